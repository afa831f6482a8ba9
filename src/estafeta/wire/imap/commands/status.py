"""STATUS (RFC 9051 §6.3.11) with STATUS=SIZE, STATUS=DELETED, CONDSTORE, OBJECTID, APPENDLIMIT."""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


class StatusItem(StrEnum):
    """What can be asked of a mailbox that is not open."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    MAILBOXID = "MAILBOXID"
    APPENDLIMIT = "APPENDLIMIT"
    DELETED_STORAGE = "DELETED-STORAGE"  # RFC 9208 §5.2


@value
class MailboxStatus(Request):
    """Counts of a mailbox."""

    mailbox: str
    items: tuple[StatusItem, ...]


# status = "STATUS" SP mailbox SP status-items
def _read(reader: Reader) -> MailboxStatus:
    reader.sp()
    mailbox = reader.mailbox()
    reader.sp()
    items = status_items(reader)
    reader.end()
    return MailboxStatus(mailbox, items)


# "(" status-att *(SP status-att) ")"
def status_items(reader: Reader) -> tuple[StatusItem, ...]:
    """Items in parentheses; each once."""
    reader.expect(b"(")
    found: dict[StatusItem, None] = {}
    while not reader.skip(b")"):
        if found:
            reader.sp()
        name = reader.keyword()
        try:
            found[StatusItem(name)] = None
        except ValueError:
            raise GrammarError("there is no such item of STATUS") from None
    if not found:
        raise GrammarError("expected an item")
    return tuple(found)


STATUS = Command("STATUS", AUTHENTICATED, _read)
