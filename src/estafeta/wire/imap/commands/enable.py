"""ENABLE (RFC 9051 §6.3.1)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Enable(Request):
    """Turn extensions on."""

    capabilities: tuple[str, ...]
    """In upper case."""


# enable = "ENABLE" 1*(SP capability)
def _read(reader: Reader) -> Enable:
    found: list[str] = []
    while not found or not reader.at_end():
        reader.sp()
        found.append(reader.keyword())
        reader.limit(found)
    return Enable(tuple(found))


ENABLE = Command("ENABLE", AUTHENTICATED, _read, "ENABLE")
