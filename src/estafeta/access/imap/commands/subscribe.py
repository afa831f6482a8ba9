"""SUBSCRIBE and UNSUBSCRIBE: the names that a user wants to see (RFC 9051 §6.3.7, §6.3.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap.naming import normal, note_own, refuse_unfit
from estafeta.store import subscriptions
from estafeta.store.engine import Transaction
from estafeta.wire.imap.commands.subscribe import Subscribe
from estafeta.wire.imap.completion import Completion, Refused, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


async def subscribe(session: Session, request: Subscribe) -> Completion:
    """Put a name on the list, whether there is such a mailbox or not, or take it away.

    Whether it is there is not looked at, so that nothing is told of mailboxes that the user may not see
    (RFC 4314 §4), and so that a name stays subscribed while its mailbox is away.
    """
    account = session.account
    assert account is not None
    name = normal(request.mailbox.removesuffix("/"))
    if request.is_subscribed:
        refuse_unfit(name)

    def change(tx: Transaction) -> None:
        try:
            subscriptions.set_(tx, account.account_id, name, is_subscribed=request.is_subscribed)
        except subscriptions.TooManyNames:
            raise Refused("There are too many subscriptions", "LIMIT") from None

    note_own(session, name)
    await session.environment.store.write(change)
    return ok("Subscribed" if request.is_subscribed else "Unsubscribed")
