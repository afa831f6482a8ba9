"""STORE and UID STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3)."""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.value import value
from estafeta.wire.imap.command import SELECTED, Command
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.reading import MAX_MODSEQ, GrammarError, Reader
from estafeta.wire.imap.request import Request


class StoreMode(StrEnum):
    """What happens to the flags."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@value
class Store(Request):
    """Change flags."""

    numbers: NumberSet
    is_uid: bool
    mode: StoreMode
    flags: tuple[str, ...]
    is_silent: bool = False
    unchanged_since: int | None = None


# store = "STORE" SP sequence-set [SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"] SP store-att-flags
def _read(reader: Reader, is_uid: bool) -> Store:
    reader.sp()
    numbers = reader.sequence_set()
    reader.sp()
    unchanged_since: int | None = None
    if reader.skip(b"("):
        reader.expect(b"UNCHANGEDSINCE ")
        unchanged_since = reader.number(MAX_MODSEQ)
        reader.expect(b")")
        reader.sp()
    # store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
    word = reader.keyword()
    name, dot, silent = word.partition(".")
    if (dot and silent != "SILENT") or name not in ("FLAGS", "+FLAGS", "-FLAGS"):
        raise GrammarError("expected FLAGS, +FLAGS or -FLAGS")
    reader.sp()
    if reader.looks_at(b"("):
        flags = reader.flag_list()
    else:
        found = [reader.flag()]
        while not reader.at_end():
            reader.sp()
            found.append(reader.flag())
            reader.limit(found)
        flags = tuple(found)
    reader.end()
    return Store(numbers, is_uid, StoreMode(name), flags, bool(dot), unchanged_since)


STORE = Command("STORE", SELECTED, lambda reader: _read(reader, False))
UID_STORE = Command("UID STORE", SELECTED, lambda reader: _read(reader, True))
