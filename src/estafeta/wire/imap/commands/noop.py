"""NOOP (RFC 9051 §6.1.2)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import ANY, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Noop(Request):
    """Tell what is new."""


def _read(reader: Reader) -> Noop:
    reader.end()
    return Noop()


NOOP = Command("NOOP", ANY, _read)
