"""Subscriptions: names of mailboxes that a user wants to see (RFC 9051 §6.3.7). A mailbox need not be there."""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.errors import StoreError
from estafeta.store.records import AccountId
from estafeta.store.statements import Statements

_sql = Statements("subscriptions")

MOST = 50_000
"""Names that one account may subscribe: several times what anybody has, and read at once for LSUB."""


class TooManyNames(StoreError):
    """The account subscribes as many names as it may."""


def of(tx: Transaction, account_id: AccountId) -> set[str]:
    """All subscribed names, as the user says them: other users' mailboxes with their namespace before."""
    return {name for (name,) in tx.run(_sql.subscriptions_of_account, account_id=account_id)}


def set_(tx: Transaction, account_id: AccountId, name: str, *, is_subscribed: bool) -> bool:
    """Put a name on the list, or take it away; gives whether that changed anything. Raises TooManyNames."""
    if is_subscribed:
        row = tx.one(_sql.count_subscriptions, account_id=account_id)
        if row is not None and row[0] >= MOST:
            raise TooManyNames(f"an account subscribes {MOST} names at most")
    statement = _sql.subscribe if is_subscribed else _sql.unsubscribe
    changed = tx.do(statement, account_id=account_id, name=name) > 0
    if changed:
        tx.touch(account_id)
    return changed
