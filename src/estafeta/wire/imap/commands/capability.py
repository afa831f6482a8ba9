"""CAPABILITY (RFC 9051 §6.1.1)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import ANY, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Capability(Request):
    """What is offered now."""


def _read(reader: Reader) -> Capability:
    reader.end()
    return Capability()


CAPABILITY = Command("CAPABILITY", ANY, _read)
