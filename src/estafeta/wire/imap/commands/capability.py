"""CAPABILITY (RFC 9051 §6.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from estafeta.wire.imap.command import ANY, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@dataclass(frozen=True, slots=True)
class Capability(Request):
    """What is offered now."""


def _read(reader: Reader) -> Capability:
    reader.end()
    return Capability()


CAPABILITY = Command("CAPABILITY", ANY, _read)
