"""COPY and MOVE (RFC 9051 §6.4.7, §6.4.8)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import SELECTED, Command
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Copy(Request):
    """Put messages into another mailbox; MOVE takes them away here."""

    numbers: NumberSet
    is_uid: bool
    mailbox: str
    is_move: bool = False


# copy = "COPY" SP sequence-set SP mailbox
def _read(reader: Reader, is_uid: bool, is_move: bool) -> Copy:
    reader.sp()
    numbers = reader.sequence_set()
    reader.sp()
    mailbox = reader.mailbox()
    reader.end()
    return Copy(numbers, is_uid, mailbox, is_move)


COPY = Command("COPY", SELECTED, lambda reader: _read(reader, False, False))
UID_COPY = Command("UID COPY", SELECTED, lambda reader: _read(reader, True, False))
MOVE = Command("MOVE", SELECTED, lambda reader: _read(reader, False, True), "MOVE")
UID_MOVE = Command("UID MOVE", SELECTED, lambda reader: _read(reader, True, True), "MOVE")
