"""DELETE (RFC 9051 §6.3.5)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Delete(Request):
    """Remove a mailbox."""

    mailbox: str


# delete = "DELETE" SP mailbox
def _read(reader: Reader) -> Delete:
    reader.sp()
    mailbox = reader.mailbox()
    reader.end()
    return Delete(mailbox)


DELETE = Command("DELETE", AUTHENTICATED, _read)
