"""UNAUTHENTICATE (RFC 8437)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Unauthenticate(Request):
    """Back to the state before login."""


def _read(reader: Reader) -> Unauthenticate:
    reader.end()
    return Unauthenticate()


UNAUTHENTICATE = Command("UNAUTHENTICATE", AUTHENTICATED, _read, "UNAUTHENTICATE")
