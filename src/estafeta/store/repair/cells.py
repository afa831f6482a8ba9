"""Pages of SQLite's b-trees, cell by cell, and records value by value, as its file format document describes them.

Whatever does not hold together is not guessed: a cell is read whole, or as far as its overflow pages go and marked so,
or not at all. Nothing here trusts a number in the file further than the page it stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct, error

from estafeta.mail.value import value

Value = int | float | str | bytes | None
"""A value of a record; text that is no UTF-8 makes its record unreadable."""

TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR = 13, 5, 10, 2
"""The first octet of a b-tree page."""

LARGEST_PAYLOAD = 64 * 1024 * 1024
"""Octets of a row beyond which a length is taken for damage: contents in the database have 256 KiB."""

_U16, _U32 = Struct(">H"), Struct(">I")
_FLOAT = Struct(">d")
_INTEGER_SIZES = (0, 1, 2, 3, 4, 6, 8)


class Malformed(Exception):
    """What should be a page, cell or record is none."""


@value
class Cell:
    """One cell: a row, an entry of an index, or (without payload) the key beside a child."""

    rowid: int | None
    payload: bytes
    is_whole: bool
    """False: pages on which the payload goes on are damaged; it ends, or is wrong, somewhere."""
    overflow: tuple[int, ...]
    """The pages on which it goes on."""


@value
class Page:
    """A b-tree page."""

    kind: int
    cells: tuple[Cell, ...]
    children: tuple[int, ...]
    """Pages below, from left to right; none for a leaf."""
    broken: int
    """Cells that cannot be read."""

    @property
    def is_table(self) -> bool:
        """Of a table with rowids."""
        return self.kind in (TABLE_LEAF, TABLE_INTERIOR)


def varint(octets: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and where it ends. Raises Malformed."""
    value = 0
    for count in range(8):
        if at >= len(octets):
            raise Malformed
        octet = octets[at]
        at += 1
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            return value, at
        if count == 7:
            break
    if at >= len(octets):
        raise Malformed
    value = value << 8 | octets[at]
    return (value - (1 << 64) if value >> 63 else value), at + 1


def kind_of(octets: bytes, *, is_first: bool = False) -> int | None:
    """The kind of b-tree page that these octets begin like, or None."""
    kind = octets[100 if is_first else 0]
    return kind if kind in (TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR) else None


def read_page(octets: bytes, usable: int, fetch: Callable[[int], bytes | None], *, is_first: bool = False) -> Page:
    """The cells of a page; `usable` is its size without what is reserved at its end, `fetch` gives overflow pages.

    Raises Malformed when its header is none.
    """
    start = 100 if is_first else 0
    kind = kind_of(octets, is_first=is_first)
    if kind is None:
        raise Malformed
    is_interior = kind in (TABLE_INTERIOR, INDEX_INTERIOR)
    count, content = _U16.unpack_from(octets, start + 3)[0], _U16.unpack_from(octets, start + 5)[0] or 65536
    pointers = start + (12 if is_interior else 8)
    # A cell with its pointer takes six octets at least.
    if pointers + 2 * count > usable or count > usable // 6 or content > max(usable, 65536):
        raise Malformed
    cells: list[Cell] = []
    children: list[int] = []
    broken = 0
    for number in range(count):
        at = _U16.unpack_from(octets, pointers + 2 * number)[0]
        try:
            if not pointers + 2 * count <= at < usable:
                raise Malformed
            if is_interior:
                children.append(_U32.unpack_from(octets, at)[0])
                at += 4
            cells.append(_cell(octets, at, kind, usable, fetch))
        except (Malformed, error):
            broken += 1
    if is_interior:
        children.append(_U32.unpack_from(octets, start + 8)[0])
    return Page(kind, tuple(cells), tuple(children), broken)


def _cell(octets: bytes, at: int, kind: int, usable: int, fetch: Callable[[int], bytes | None]) -> Cell:
    rowid = None
    if kind == TABLE_INTERIOR:
        rowid, _ = varint(octets, at)
        return Cell(rowid, b"", True, ())
    length, at = varint(octets, at)
    if kind == TABLE_LEAF:
        rowid, at = varint(octets, at)
    if not 0 < length <= LARGEST_PAYLOAD:
        raise Malformed
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if length <= most:
        if at + length > usable:
            raise Malformed
        return Cell(rowid, bytes(octets[at : at + length]), True, ())
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    if local > most:
        local = least
    if at + local + 4 > usable:
        raise Malformed
    pieces, is_whole = [bytes(octets[at : at + local])], True
    pages: list[int] = []
    following, left = _U32.unpack_from(octets, at + local)[0], length - local
    while left:
        page = fetch(following) if following > 1 and following not in pages[-1:] else None
        if page is None:
            is_whole = False
            break
        pages.append(following)
        piece = page[4 : min(usable, 4 + left)]
        pieces.append(piece)
        left -= len(piece)
        following = _U32.unpack_from(page, 0)[0]
    # The last page of a chain names none after it.
    return Cell(rowid, b"".join(pieces), is_whole and not following, tuple(pages))


def serial_types(payload: bytes) -> tuple[list[int], int]:
    """What the header of a record says of its values, and where they begin. Raises Malformed."""
    size, at = varint(payload, 0)
    if not at <= size <= len(payload):
        raise Malformed
    kinds: list[int] = []
    while at < size:
        kind, at = varint(payload, at)
        if kind < 0 or kind in (10, 11):
            raise Malformed
        kinds.append(kind)
    if at != size:
        raise Malformed
    return kinds, size


def read_record(payload: bytes, *, is_whole: bool = True) -> list[Value]:
    """The values of a record. Raises Malformed.

    Of one that is not whole, octets and text may be shorter than they were, and what would come after is None.
    """
    kinds, at = serial_types(payload)
    values: list[Value] = []
    for kind in kinds:
        size = _INTEGER_SIZES[kind] if kind < 7 else 8 if kind == 7 else 0 if kind < 12 else (kind - 12) // 2
        octets = payload[at : at + size]
        if len(octets) < size and (is_whole or (kind < 12 and octets)):
            raise Malformed
        values.append(None if len(octets) < size and kind < 12 else _value(kind, octets))
        at += size
    if is_whole and at != len(payload):
        raise Malformed
    return values


def _value(kind: int, octets: bytes) -> Value:
    if kind == 0:
        return None
    if kind < 7:
        return int.from_bytes(octets, "big", signed=True)
    if kind == 7:
        value: float = _FLOAT.unpack(octets)[0]
        return value
    if kind < 10:
        return kind - 8
    if kind % 2 == 0:
        return octets
    try:
        return octets.decode()
    except UnicodeDecodeError as fault:
        raise Malformed from fault


def trunk_leaves(octets: bytes, usable: int, pages: int) -> tuple[int, list[int]] | None:
    """What a page says that lists free pages: the next such page (0: none), and free ones; None if it is none.

    Its first number is a page's or 0, so it is never taken for a b-tree page in a file below 2^25 pages.
    """
    following, count = _U32.unpack_from(octets, 0)[0], _U32.unpack_from(octets, 4)[0]
    if following > pages or count > usable // 4 - 2 or not any(octets[:8]):
        return None
    leaves = [_U32.unpack_from(octets, 8 + 4 * number)[0] for number in range(count)]
    if any(not 2 <= leaf <= pages for leaf in leaves) or len(set(leaves)) != count:
        return None
    return following, leaves


def numbers(octets: bytes, *places: int) -> Iterator[int]:
    """Unsigned 32-bit numbers at places of a header."""
    for place in places:
        yield _U32.unpack_from(octets, place)[0]
