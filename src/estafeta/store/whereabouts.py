"""Where a mail object is now: the last line of every trace."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.store import messages
from estafeta.store.engine import Transaction
from estafeta.store.records import MessageId, Uid
from estafeta.store.statements import Statements

_sql = Statements("whereabouts")


@value
class Copy:
    """One message in one mailbox."""

    account: str
    mailbox: str
    uid: Uid
    flags: tuple[str, ...]


def copies_of(tx: Transaction, message_id: MessageId) -> list[Copy]:
    """The mailboxes that still hold the message, by account."""
    rows = tx.run(_sql.copies_of_message, message_id=message_id)
    return [
        Copy(account, name, uid, messages.keywords(tx, mailbox_id).of(flags))
        for account, name, uid, flags, mailbox_id in rows
    ]
