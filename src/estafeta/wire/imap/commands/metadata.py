"""GETMETADATA and SETMETADATA (RFC 5464 §4)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class GetMetadata(Request):
    """Annotations."""

    mailbox: str
    """Empty for the server."""
    entries: tuple[str, ...]
    max_size: int | None = None
    depth: int | None = 0
    """0, 1, or None for infinity."""


@value
class SetMetadata(Request):
    """Set annotations, or remove them."""

    mailbox: str
    entries: tuple[tuple[str, bytes | None], ...]


# entry = astring; slash-separated path to entry, not with "*" or "%"
def entry(reader: Reader) -> str:
    """The name of an entry, in lower case (RFC 5464 §4.4.1: not sensitive to case)."""
    name = reader.text()
    if not name.startswith("/") or name.endswith("/") or "//" in name or not name.isascii() or set(name) & set("*%"):
        raise GrammarError("not the name of an entry")
    return name.lower()


# getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
def _read_get(reader: Reader) -> GetMetadata:
    reader.sp()
    max_size: int | None = None
    depth: int | None = 0
    # Departs from RFC 5464 §5: the options may stand before the mailbox, as its grammar has it, or behind it, as its
    # examples and some clients have it.
    options = _options(reader) if reader.looks_at(b"(") else None
    if options is not None:
        reader.sp()
    mailbox = reader.mailbox()
    reader.sp()
    if options is None and (reader.looks_at(b"(MAXSIZE ") or reader.looks_at(b"(DEPTH ")):
        options = _options(reader)
        reader.sp()
    if options is not None:
        max_size, depth = options
    entries: list[str] = []
    if reader.skip(b"("):
        while not reader.skip(b")"):
            if entries:
                reader.sp()
            entries.append(entry(reader))
            reader.limit(entries)
        if not entries:
            raise GrammarError("expected an entry")
    else:
        entries.append(entry(reader))
    reader.end()
    return GetMetadata(mailbox, tuple(entries), max_size, depth)


# getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"
def _options(reader: Reader) -> tuple[int | None, int | None]:
    max_size: int | None = None
    depth: int | None = 0
    reader.expect(b"(")
    while True:
        match reader.keyword():
            case "MAXSIZE":
                reader.sp()
                max_size = reader.number()
            case "DEPTH":
                reader.sp()
                word = reader.keyword()
                if word not in ("0", "1", "INFINITY"):
                    raise GrammarError("DEPTH is 0, 1 or infinity")
                depth = None if word == "INFINITY" else int(word)
            case _:
                raise GrammarError("there is no such option of GETMETADATA")
        if reader.skip(b")"):
            return max_size, depth
        reader.sp()


# setmetadata = "SETMETADATA" SP mailbox SP entry-values
def _read_set(reader: Reader) -> SetMetadata:
    reader.sp()
    mailbox = reader.mailbox()
    reader.sp()
    reader.expect(b"(")
    entries: list[tuple[str, bytes | None]] = []
    while not reader.skip(b")"):
        if entries:
            reader.sp()
        name = entry(reader)
        reader.sp()
        entries.append((name, reader.nstring()))
        if len(entries) > 100:
            raise GrammarError("too many entries", "METADATA TOOMANY")
    if not entries:
        raise GrammarError("expected an entry")
    reader.end()
    return SetMetadata(mailbox, tuple(entries))


GETMETADATA = Command("GETMETADATA", AUTHENTICATED, _read_get, "METADATA")
SETMETADATA = Command("SETMETADATA", AUTHENTICATED, _read_set, "METADATA")
