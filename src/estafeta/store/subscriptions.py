"""Names of mailboxes that an account wants to see (RFC 9051 §6.3.7); they need not exist."""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.records import AccountId
from estafeta.store.statements import Statements

_sql = Statements("subscriptions")


def of(tx: Transaction, account_id: AccountId) -> set[str]:
    """The names."""
    return {name for (name,) in tx.run(_sql.subscriptions_of_account, account_id=account_id)}


def set_(tx: Transaction, account_id: AccountId, name: str, *, is_subscribed: bool) -> bool:
    """Put a name on the list, or take it away; gives whether that changed anything."""
    statement = _sql.subscribe if is_subscribed else _sql.unsubscribe
    changed = tx.do(statement, account_id=account_id, name=name) > 0
    if changed:
        tx.touch(account_id)
    return changed
