"""STATUS: counts of a mailbox from its row, whether it is open or not (RFC 9051 §6.3.11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from estafeta.access.imap.naming import resolve_in, written
from estafeta.store import mailboxes, messages
from estafeta.store.engine import Transaction
from estafeta.store.records import Mailbox
from estafeta.wire.imap.commands.status import MailboxStatus, StatusItem
from estafeta.wire.imap.completion import Completion, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


async def status(session: Session, request: MailboxStatus) -> Completion:
    """Tell what is asked of one mailbox."""
    account = session.account
    assert account is not None
    items = request.items

    def query(tx: Transaction) -> tuple[str, Mailbox, int]:
        found = resolve_in(tx, account, request.mailbox, "r")
        return found.name, found.mailbox, recent(tx, found.mailbox) if StatusItem.RECENT in items else 0

    name, mailbox, recent_count = await session.environment.store.read(query)
    note_condstore(session, items)
    session.send(status_line(session, name, mailbox, items, recent_count))
    return ok("Status completed")


def note_condstore(session: Session, items: Iterable[StatusItem]) -> None:
    """Asking for HIGHESTMODSEQ enables CONDSTORE (RFC 7162 §3.1)."""
    if StatusItem.HIGHESTMODSEQ in items:
        session.enable_condstore()


def recent(tx: Transaction, mailbox: Mailbox) -> int:
    """How many messages no session was told of yet (RFC 3501 §2.3.2)."""
    if mailbox.recent_uid >= mailbox.uid_next or not mailbox.messages:
        return 0
    return messages.count_from(tx, mailbox.mailbox_id, mailbox.recent_uid)


def status_line(
    session: Session, name: str, mailbox: Mailbox, items: Iterable[StatusItem], recent_count: int = 0
) -> bytes:
    """One untagged STATUS, with the items in the order of the question, each once."""
    values = b" ".join([_value(session, mailbox, item, recent_count) for item in dict.fromkeys(items)])
    return b"* STATUS %b (%b)\r\n" % (written(session, name), values)


_COUNTS: dict[StatusItem, Callable[[Mailbox], int]] = {
    StatusItem.MESSAGES: attrgetter("messages"),
    StatusItem.UIDNEXT: attrgetter("uid_next"),
    StatusItem.UIDVALIDITY: attrgetter("uid_validity"),
    StatusItem.UNSEEN: attrgetter("unseen"),
    StatusItem.DELETED: attrgetter("deleted"),
    StatusItem.SIZE: attrgetter("octets"),
    StatusItem.HIGHESTMODSEQ: attrgetter("highest_modseq"),
    StatusItem.DELETED_STORAGE: attrgetter("deleted_octets"),  # RFC 9208 §4.1.4: in octets
}
_NAMES = {item: item.value.encode("ascii") for item in StatusItem}


def _value(session: Session, mailbox: Mailbox, item: StatusItem, recent_count: int) -> bytes:
    name, count = _NAMES[item], _COUNTS.get(item)
    if count is not None:
        return b"%b %d" % (name, count(mailbox))
    if item is StatusItem.MAILBOXID:  # RFC 8474 §4.3
        return b"%b (%b)" % (name, mailboxes.object_id(mailbox.mailbox_id).encode("ascii"))
    if item is StatusItem.APPENDLIMIT:  # RFC 7889 §4
        return b"%b %d" % (name, session.settings.message_size)
    return b"%b %d" % (name, recent_count)
