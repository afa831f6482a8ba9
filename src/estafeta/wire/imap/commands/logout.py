"""LOGOUT (RFC 9051 §6.1.3)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import ANY, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Logout(Request):
    """The end."""


def _read(reader: Reader) -> Logout:
    reader.end()
    return Logout()


LOGOUT = Command("LOGOUT", ANY, _read)
