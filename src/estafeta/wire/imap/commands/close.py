"""CLOSE, UNSELECT, CHECK (RFC 9051 §6.4.1, §6.4.2; RFC 3501 §6.4.1)."""

from __future__ import annotations

from collections.abc import Callable

from estafeta.mail.value import value
from estafeta.wire.imap.command import SELECTED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Close(Request):
    """Expunge without telling, and leave the mailbox."""


@value
class Unselect(Request):
    """Leave the mailbox."""


@value
class Check(Request):
    """A checkpoint, after IMAP4rev1."""


def _without_arguments(make: Callable[[], Request]) -> Callable[[Reader], Request]:
    def read(reader: Reader) -> Request:
        reader.end()
        return make()

    return read


CLOSE = Command("CLOSE", SELECTED, _without_arguments(Close))
UNSELECT = Command("UNSELECT", SELECTED, _without_arguments(Unselect), "UNSELECT")
CHECK = Command("CHECK", SELECTED, _without_arguments(Check))
