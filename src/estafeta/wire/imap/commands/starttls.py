"""STARTTLS (RFC 9051 §6.2.1)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import NOT_AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class StartTls(Request):
    """The engine has sent nothing yet: the OK goes first, then the handshake begins."""


def _read(reader: Reader) -> StartTls:
    reader.end()
    return StartTls()


STARTTLS = Command("STARTTLS", NOT_AUTHENTICATED, _read)
