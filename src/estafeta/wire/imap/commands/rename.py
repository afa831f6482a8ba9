"""RENAME (RFC 9051 §6.3.6)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Rename(Request):
    """Give a mailbox and those below it another name."""

    mailbox: str
    new_name: str


# rename = "RENAME" SP mailbox SP mailbox
def _read(reader: Reader) -> Rename:
    reader.sp()
    mailbox = reader.mailbox()
    reader.sp()
    new_name = reader.mailbox()
    reader.end()
    return Rename(mailbox, new_name.rstrip("/") or new_name)


RENAME = Command("RENAME", AUTHENTICATED, _read)
