"""IDLE (RFC 9051 §6.3.13, RFC 2177)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Idle(Request):
    """Tell what is new until DONE."""


def _read(reader: Reader) -> Idle:
    reader.end()
    return Idle()


IDLE = Command("IDLE", AUTHENTICATED, _read, "IDLE")
