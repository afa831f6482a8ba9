"""FETCH and UID FETCH (RFC 9051 §6.4.5, RFC 7162)."""

from __future__ import annotations

import re

from estafeta.mail.value import value
from estafeta.wire.imap.command import SELECTED, Command
from estafeta.wire.imap.fetching import Binary, BinarySize, FetchItem, Item, Preview, Section, SectionText
from estafeta.wire.imap.numbers import NumberSet
from estafeta.wire.imap.reading import MAX_MODSEQ, GrammarError, Reader
from estafeta.wire.imap.request import Request
from estafeta.wire.imap.searching import Window
from estafeta.wire.imap.writing import astring


@value
class Fetch(Request):
    """Tell of messages."""

    numbers: NumberSet
    is_uid: bool
    items: tuple[FetchItem, ...]
    """UID among them for UID FETCH."""
    changed_since: int | None = None
    vanished: bool = False
    partial: Window | None = None
    """RFC 9394 §3.3."""


_MACROS: dict[str, tuple[FetchItem, ...]] = {
    "ALL": (Item.FLAGS, Item.INTERNALDATE, Item.SIZE, Item.ENVELOPE),
    "FAST": (Item.FLAGS, Item.INTERNALDATE, Item.SIZE),
    "FULL": (Item.FLAGS, Item.INTERNALDATE, Item.SIZE, Item.ENVELOPE, Item.BODY),
}
_ITEMS = {item.value: item for item in Item}
_REV1 = {
    "RFC822": Section(name=b"RFC822"),
    "RFC822.HEADER": Section(text=SectionText.HEADER, peek=True, name=b"RFC822.HEADER"),
    "RFC822.TEXT": Section(text=SectionText.TEXT, name=b"RFC822.TEXT"),
}
_MOST_ITEMS = 200
_MOST_PARTS = 100
"""Numbers of one path: deeper than any message is read."""

# fetch-att up to its brackets
_NAME = re.compile(rb"[A-Za-z0-9.]+")


# fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
def _read(reader: Reader, is_uid: bool) -> Fetch:
    reader.sp()
    numbers = reader.sequence_set()
    reader.sp()
    items = fetch_items(reader)
    changed_since: int | None = None
    vanished = False
    partial: Window | None = None
    if not reader.at_end():
        # RFC 4466 §2.4: fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"
        reader.sp()
        reader.expect(b"(")
        while True:
            match reader.keyword():
                case "CHANGEDSINCE":
                    reader.sp()
                    changed_since = reader.nz_number(MAX_MODSEQ)
                case "VANISHED":
                    vanished = True
                case "PARTIAL":
                    reader.sp()
                    partial = window(reader)
                case _:
                    raise GrammarError("there is no such modifier of FETCH")
            if reader.skip(b")"):
                break
            reader.sp()
    reader.end()
    # RFC 7162 §3.2.6: VANISHED only with UID FETCH, CHANGEDSINCE and QRESYNC
    if vanished and (not is_uid or changed_since is None or "QRESYNC" not in reader.session.enabled):
        raise GrammarError("VANISHED needs UID FETCH, CHANGEDSINCE and QRESYNC")
    if partial is not None and not is_uid:  # RFC 9394 §3.3
        raise GrammarError("PARTIAL is for UID FETCH")
    if is_uid and Item.UID not in items:
        items = (Item.UID, *items)
    return Fetch(numbers, is_uid, items, changed_since, vanished, partial)


# partial-range = nz-number ":" nz-number / "-" nz-number ":" "-" nz-number
def window(reader: Reader) -> Window:
    """A range of results (RFC 9394 §4)."""
    sign = -1 if reader.skip(b"-") else 1
    first = reader.nz_number()
    reader.expect(b":")
    if sign < 0:
        reader.expect(b"-")
    last = reader.nz_number()
    low, high = sorted((first, last))
    return Window(-low, -high) if sign < 0 else Window(low, high)


def fetch_items(reader: Reader) -> tuple[FetchItem, ...]:
    """One item, a macro, or items in parentheses."""
    if not reader.skip(b"("):
        item = _fetch_att(reader, is_alone=True)
        return item if isinstance(item, tuple) else (item,)
    found: dict[FetchItem, None] = {}
    while not reader.skip(b")"):
        if found:
            reader.sp()
        item = _fetch_att(reader, is_alone=False)
        assert not isinstance(item, tuple)
        found[item] = None
        if len(found) > _MOST_ITEMS:
            raise GrammarError("too many items")
    if not found:
        raise GrammarError("expected an item")
    return tuple(found)


def _fetch_att(reader: Reader, *, is_alone: bool) -> FetchItem | tuple[FetchItem, ...]:
    name = reader.word(_NAME, "an item").upper()
    if is_alone and name in _MACROS:
        return _MACROS[name]
    if reader.skip(b"["):
        match name:
            case "BODY" | "BODY.PEEK":
                return _section(reader, name.endswith(".PEEK"))
            case "BINARY" | "BINARY.PEEK":
                path, _ = _path(reader, is_alone=True)
                reader.expect(b"]")
                return Binary(path, _partial(reader), name.endswith(".PEEK"))
            case "BINARY.SIZE":
                path, _ = _path(reader, is_alone=True)
                reader.expect(b"]")
                return BinarySize(path)
        raise GrammarError("there is no such item")
    if name == "PREVIEW":
        is_lazy = reader.looks_at(b" (") and reader.skip(b" (LAZY)")
        return Preview(is_lazy)
    found = _ITEMS.get(name) or _REV1.get(name)
    if found is None:
        raise GrammarError("there is no such item")
    return found


# section = "[" [section-spec] "]"; section-spec = section-msgtext / (section-part ["." section-text])
def _section(reader: Reader, peek: bool) -> Section:
    path, goes_on = _path(reader)
    text = SectionText.ALL
    fields: tuple[str, ...] = ()
    if goes_on or (not path and not reader.looks_at(b"]")):
        name = reader.word(_NAME, "a section").upper()
        try:
            text = SectionText(name)
        except ValueError:
            raise GrammarError("there is no such section") from None
        if text is SectionText.MIME and not path:
            raise GrammarError("MIME is of a part")
        if text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
            reader.sp()
            fields = _header_list(reader)
    words = b".".join([*(b"%d" % number for number in path), *([text.value.encode()] if text.value else [])])
    if fields:
        words += b" (" + b" ".join(astring(name) for name in fields) + b")"
    reader.expect(b"]")
    return Section(path, text, fields, _partial(reader), peek, b"BODY[" + words + b"]")


# section-part = nz-number *("." nz-number)
def _path(reader: Reader, *, is_alone: bool = False) -> tuple[tuple[int, ...], bool]:
    """The numbers, and whether a dot and a name follow; `is_alone` where none may."""
    path: list[int] = []
    goes_on = False
    while reader.is_digit_next():
        path.append(reader.nz_number())
        if len(path) > _MOST_PARTS:
            raise GrammarError("too many parts")
        goes_on = reader.skip(b".")
        if not goes_on:
            break
    if goes_on and is_alone:
        raise GrammarError("expected the number of a part")
    return tuple(path), goes_on


# header-list = "(" header-fld-name *(SP header-fld-name) ")"
def _header_list(reader: Reader) -> tuple[str, ...]:
    reader.expect(b"(")
    found: list[str] = []
    while not reader.skip(b")"):
        if found:
            reader.sp()
        found.append(reader.text())
        if len(found) > _MOST_ITEMS:
            raise GrammarError("too many header fields")
    if not found:
        raise GrammarError("expected a header field")
    return tuple(found)


# partial = "<" number64 "." nz-number64 ">"
def _partial(reader: Reader) -> tuple[int, int] | None:
    if not reader.skip(b"<"):
        return None
    first = reader.number(MAX_MODSEQ)
    reader.expect(b".")
    most = reader.nz_number(MAX_MODSEQ)
    reader.expect(b">")
    return first, most


FETCH = Command("FETCH", SELECTED, lambda reader: _read(reader, False))
UID_FETCH = Command("UID FETCH", SELECTED, lambda reader: _read(reader, True))
