"""Responses of FETCH, many messages at once (RFC 9051 §7.5.2).

What is asked for is compiled once into a plan: a template for one message, and for each place in it a function that
gives the values of all messages of a batch. So no message costs a decision of its own. The plan also says how wide
the rows are that must be read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import repeat
from operator import add
from typing import Any

from estafeta.access.imap.identity import thread_id
from estafeta.mail.mime.choosing import chooser
from estafeta.mail.mime.fields import header_end
from estafeta.mail.mime.index import Part, find, index, unpack
from estafeta.mail.mime.section import UnknownEncoding, decoded, header_fields, section_span
from estafeta.mail.mime.structure import string
from estafeta.mail.value import value
from estafeta.store import fetching, messages
from estafeta.store.engine import Row
from estafeta.store.fetching import Shape
from estafeta.store.flags import Keywords
from estafeta.wire.imap.fetching import Binary, BinarySize, FetchItem, Item, Preview, Section, SectionText

HEADER_OCTETS = 65_536
"""Of a content read for its header section alone; the few longer ones are read whole."""


@dataclass(slots=True)
class Batch:
    """Messages that are rendered together, ascending, and what was read of each."""

    numbers: Sequence[int]
    """Message numbers, or UIDs where these are used instead (RFC 9586)."""
    uids: Sequence[int]
    flags: Sequence[int]
    modseqs: Sequence[int]
    keywords: Keywords
    rows: list[Row] = field(default_factory=list)
    shape: Shape = fetching.ROWS
    seen: Sequence[bool] = ()
    """Which of them this FETCH has made \\Seen; empty where it makes none so."""
    recent: Sequence[range] = ()
    """UIDs that are \\Recent in this session (RFC 3501 §2.3.2)."""
    has_unknown_encoding: bool = False
    """Something could not be decoded."""
    _columns: dict[str, Sequence[Any]] = field(default_factory=dict)
    _wholes: list[bytes] | None = None
    _roots: list[Part] | None = None
    _headers: list[bytes] | None = None

    def column(self, name: str) -> Sequence[Any]:
        """One column of all rows."""
        if not self._columns:
            self._columns = dict(zip(self.shape.columns, zip(*self.rows, strict=True), strict=False))
        return self._columns[name]

    @property
    def wholes(self) -> list[bytes]:
        """The octets of the messages."""
        if self._wholes is None:
            self._wholes = [a + b for a, b in zip(self.column("prefix"), self.column("octets"), strict=True)]
        return self._wholes

    @property
    def headers(self) -> list[bytes]:
        """Their header sections with the empty line."""
        if self._headers is None:
            self._headers = [
                octets[: header_end(octets, 0, len(octets))]
                for octets in map(bytes.__add__, self.column("prefix"), self.column("octets"))
            ]
        return self._headers

    @property
    def roots(self) -> list[Part]:
        """Their parts."""
        if self._roots is None:
            if "parts" in self.shape.columns:
                packed = zip(self.column("parts"), self.column("prefix"), strict=True)
                self._roots = [unpack(parts, len(prefix)) for parts, prefix in packed]
            else:
                self._roots = [index(octets) for octets in self.wholes]
        return self._roots


Values = Callable[[Batch], tuple[Iterable[Any], ...]]
"""For each place in a fragment the values of all messages."""


@value
class Column:
    """What one item adds to the response."""

    fragment: bytes
    """A template for one message."""
    values: Values
    shape: Shape | None = None
    """What must be read for it; None: nothing, the snapshot has it."""
    item: FetchItem | None = None


@value
class Plan:
    """How the answer to one FETCH is made."""

    columns: tuple[Column, ...]
    head: bytes
    """How a response begins: a template for the number."""
    template: bytes
    """The whole response."""
    shape: Shape | None
    """How wide the rows must be; None when the snapshot is enough."""
    sets_seen: bool
    """Something asked for makes messages \\Seen (RFC 9051 §6.4.5)."""

    @property
    def needs_description(self) -> bool:
        """What was not described yet must be; else it may be left out (LAZY of RFC 8970 §4.1)."""
        lazy = Preview(is_lazy=True)
        return any(
            column.item != lazy and column.shape is not None and column.shape.described for column in self.columns
        )

    def render(self, batch: Batch) -> bytes:
        """The responses for a batch."""
        columns: list[Iterable[Any]] = [batch.numbers]
        for column in self.columns:
            columns += column.values(batch)
        template = self.template
        return b"".join([template % values for values in zip(*columns, strict=False)])


def compiled(
    items: tuple[FetchItem, ...], *, is_uid_only: bool = False, is_condstore: bool = False, may_set_seen: bool = False
) -> Plan:
    """The plan for items, in their order.

    `is_uid_only`: the responses are UIDFETCH (RFC 9586 §3.3), and UID is not repeated in them. `is_condstore`: what
    tells of a new \\Seen has MODSEQ and UID too (RFC 7162 §3.2.4). `may_set_seen`: the user may change \\Seen here.
    """
    wanted = dict.fromkeys(items)
    if is_uid_only and len(wanted) > 1:
        wanted.pop(Item.UID, None)
    columns = [_column(item) for item in wanted]
    sets_seen = may_set_seen and any(isinstance(item, Section | Binary) and not item.peek for item in wanted)
    if sets_seen:
        columns.append(_seen_column(set(wanted), is_uid_only=is_uid_only, is_condstore=is_condstore))
    # The last fragment brings its own blank, for it may be empty.
    fragments = b" ".join(column.fragment for column in columns if column.item is not None)
    tail = b"%b" if sets_seen else b""
    head = b"* %d UIDFETCH (" if is_uid_only else b"* %d FETCH ("
    return Plan(tuple(columns), head, head + fragments + tail + b")\r\n", _widest(columns), sets_seen)


def _widest(columns: list[Column]) -> Shape | None:
    """The narrowest shape that has all columns."""
    shapes = {column.shape for column in columns if column.shape is not None}
    if len(shapes) <= 1:
        return next(iter(shapes), None)
    names = {name for shape in shapes for name in shape.columns}
    is_whole = any(shape in _WHOLE for shape in shapes)
    fitting = [shape for shape in fetching.SHAPES if names <= set(shape.columns) and (shape in _WHOLE or not is_whole)]
    return fitting[0]


_WHOLE = (fetching.WHOLE, fetching.DESCRIBED_WHOLE)


# The columns.


def flag_texts(batch: Batch) -> Iterable[bytes]:
    """Flags as FETCH has them between its parentheses."""
    known = {flags: batch.keywords.wire(flags) for flags in set(batch.flags)}
    texts = map(known.__getitem__, batch.flags)
    if not batch.recent:
        return texts
    found = list(texts)
    with_recent = {flags: b"\\Recent " + text if text else b"\\Recent" for flags, text in known.items()}
    for uids in batch.recent:
        first, end = bisect_left(batch.uids, uids.start), bisect_left(batch.uids, uids.stop)
        found[first:end] = map(with_recent.__getitem__, batch.flags[first:end])
    return found


def _from_row(name: bytes, column: str, shape: Shape) -> Column:
    return Column(name + b" %b", lambda batch: (batch.column(column),), shape)


def _flags(batch: Batch) -> tuple[Iterable[bytes], ...]:
    return (flag_texts(batch),)


def _dates(column: str) -> Values:
    return lambda batch: (map(date_time, batch.column(column)),)


def _email_ids(batch: Batch) -> tuple[list[bytes], ...]:
    pairs = zip(batch.column("content_id"), batch.column("prefix"), strict=True)
    return ([messages.email_id(content_id, prefix).encode() for content_id, prefix in pairs],)


def _thread_ids(batch: Batch) -> tuple[list[bytes], ...]:
    rows = zip(batch.column("message_ids"), *_email_ids(batch), strict=True)
    return ([thread_id(message_ids, email_id.decode()).encode() for message_ids, email_id in rows],)


def _previews(batch: Batch) -> tuple[list[bytes], ...]:
    # RFC 8970 §3.2: NIL only where LAZY was said, and then the description may be missing.
    return ([b"NIL" if text is None else string(text.encode("utf-8", "replace")) for text in batch.column("preview")],)


_COLUMNS = {
    Item.FLAGS: Column(b"FLAGS (%b)", _flags),
    Item.UID: Column(b"UID %d", lambda batch: (batch.uids,)),
    Item.MODSEQ: Column(b"MODSEQ (%d)", lambda batch: (batch.modseqs,)),
    Item.INTERNALDATE: Column(b'INTERNALDATE "%b"', _dates("internal_at"), fetching.ROWS),
    Item.SAVEDATE: Column(b'SAVEDATE "%b"', _dates("saved_at"), fetching.FULL_ROWS),
    Item.SIZE: Column(b"RFC822.SIZE %d", lambda batch: (batch.column("size"),), fetching.ROWS),
    Item.ENVELOPE: _from_row(b"ENVELOPE", "envelope", fetching.ENVELOPED),
    Item.BODY: _from_row(b"BODY", "body", fetching.DESCRIBED),
    Item.BODYSTRUCTURE: _from_row(b"BODYSTRUCTURE", "body_structure", fetching.DESCRIBED),
    Item.EMAILID: Column(b"EMAILID (%b)", _email_ids, fetching.FULL_ROWS),
    Item.THREADID: Column(b"THREADID (%b)", _thread_ids, fetching.DESCRIBED),
}


def _column(item: FetchItem) -> Column:
    if isinstance(item, Item):
        known = _COLUMNS[item]
        return Column(known.fragment, known.values, known.shape, item)
    if isinstance(item, Preview):
        return Column(b"PREVIEW %b", _previews, fetching.DESCRIBED, item)
    name = response_name(item).replace(b"%", b"%%")
    if isinstance(item, BinarySize):
        shape = fetching.DESCRIBED_WHOLE if item.path else fetching.ROWS
        return Column(name + b" %d", lambda batch: (_binary_sizes(batch, item),), shape, item)
    if isinstance(item, Binary):
        shape = fetching.DESCRIBED_WHOLE if item.path else fetching.WHOLE
        return Column(name + b" %b", lambda batch: (_binaries(batch, item),), shape, item)
    return _section_column(name, item)


def response_name(item: Section | Binary | BinarySize) -> bytes:
    """The name in the response, with the origin of a partial (RFC 9051 §7.5.2)."""
    if isinstance(item, Section):
        name = item.name
    else:
        kind = b"BINARY.SIZE" if isinstance(item, BinarySize) else b"BINARY"
        name = b"%b[%b]" % (kind, b".".join(b"%d" % number for number in item.path))
    partial = None if isinstance(item, BinarySize) else item.partial
    return name if partial is None else b"%b<%d>" % (name, partial[0])


def _section_column(name: bytes, item: Section) -> Column:
    if item.path:
        return Column(name + b" %b", lambda batch: (_parts(batch, item),), fetching.DESCRIBED_WHOLE, item)
    if item.text is SectionText.ALL and item.partial is None:

        def wholes(batch: Batch) -> tuple[Sequence[Any], ...]:
            prefixes, octets = batch.column("prefix"), list(map(without_nul, batch.column("octets")))
            return list(map(add, map(len, prefixes), map(len, octets))), prefixes, octets

        # Prefix and content come together in the response itself: each octet is copied once less.
        return Column(name + b" {%d}\r\n%b%b", wholes, fetching.WHOLE, item)
    if item.text is SectionText.ALL:
        return Column(name + b" %b", lambda batch: (_literals(batch.wholes, item.partial),), fetching.WHOLE, item)
    if item.text is SectionText.TEXT:

        def texts(batch: Batch) -> tuple[Iterable[bytes], ...]:
            bodies = (octets[header_end(octets, 0, len(octets)) :] for octets in batch.wholes)
            return (_literals(bodies, item.partial),)

        return Column(name + b" %b", texts, fetching.WHOLE, item)

    def headers(batch: Batch) -> tuple[Iterable[bytes], ...]:
        found: Iterable[bytes] = batch.headers
        if item.text is not SectionText.HEADER:
            found = map(choose, found)
        return (_literals(found, item.partial),)

    choose = chooser(item.fields, others=item.text is SectionText.FIELDS_NOT)
    return Column(name + b" %b", headers, fetching.HEADED, item)


def _seen_column(items: set[FetchItem], *, is_uid_only: bool, is_condstore: bool) -> Column:
    """What is added for messages that have become \\Seen by this (RFC 9051 §6.4.5), unless it was asked for."""
    fragments: list[bytes] = []
    columns: list[Callable[[Batch], Iterable[Any]]] = []
    if Item.FLAGS not in items:
        fragments.append(b" FLAGS (%b)")
        columns.append(flag_texts)
    if is_condstore and Item.UID not in items and not is_uid_only:
        fragments.append(b" UID %d")
        columns.append(lambda batch: batch.uids)
    if is_condstore and Item.MODSEQ not in items:
        fragments.append(b" MODSEQ (%d)")
        columns.append(lambda batch: batch.modseqs)
    template = b"".join(fragments)

    def told(batch: Batch) -> tuple[Iterable[bytes], ...]:
        if not columns or not any(batch.seen):
            return (repeat(b""),)
        values = zip(*(column(batch) for column in columns), strict=True)
        return ([template % value if is_new else b"" for is_new, value in zip(batch.seen, values, strict=True)],)

    return Column(b"%b", told)


# Sections.


def _clipped(octets: bytes, partial: tuple[int, int] | None) -> bytes:
    # RFC 9051 §6.4.5: what is beyond the end is cut off, and a beginning beyond it gives nothing.
    return octets if partial is None else octets[partial[0] : partial[0] + partial[1]]


def without_nul(octets: bytes) -> bytes:
    """A literal has no NUL (RFC 9051 §4.3): each goes as another octet, so that sizes stay; BINARY has it as it is."""
    return octets.replace(b"\0", b"\x80")


# Departs from RFC 6855 §3: header fields in UTF-8 go as they are, to clients that did not say UTF8=ACCEPT too.
def literal(octets: bytes) -> bytes:
    """A literal."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def _literals(found: Iterable[bytes], partial: tuple[int, int] | None) -> Iterable[bytes]:
    return [literal(without_nul(_clipped(octets, partial))) for octets in found]


def _parts(batch: Batch, item: Section) -> Iterable[bytes]:
    text = item.text.value
    for octets, root in zip(batch.wholes, batch.roots, strict=True):
        span = section_span(root, item.path, text)
        if span is None:
            yield b"NIL"
            continue
        found = octets[span[0] : span[1]]
        if item.text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
            found = header_fields(found, text, item.fields)
        yield literal(without_nul(_clipped(found, item.partial)))


def _decoded_parts(batch: Batch, path: tuple[int, ...]) -> Iterable[bytes | None]:
    """The decoded octets of a part of each; None where there is none, or it cannot be decoded."""
    if not path:
        # RFC 3516 §4.2: a message as a whole has no encoding; that of its parts is theirs.
        yield from batch.wholes
        return
    for octets, root in zip(batch.wholes, batch.roots, strict=True):
        part = find(root, path)
        try:
            yield None if part is None else decoded(octets, part)
        except UnknownEncoding:
            batch.has_unknown_encoding = True
            yield None


def binary_literal(octets: bytes | None, partial: tuple[int, int] | None) -> bytes:
    """A literal8 where there is a NUL, else a literal (RFC 3516 §4.3); NIL for nothing."""
    if octets is None:
        return b"NIL"
    octets = _clipped(octets, partial)
    return b"~" + literal(octets) if b"\0" in octets else literal(octets)


def _binaries(batch: Batch, item: Binary) -> Iterable[bytes]:
    return [binary_literal(octets, item.partial) for octets in _decoded_parts(batch, item.path)]


def _binary_sizes(batch: Batch, item: BinarySize) -> Sequence[int]:
    if not item.path:
        return batch.column("size")
    return [0 if octets is None else len(octets) for octets in _decoded_parts(batch, item.path)]


# Dates.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IN_HOUR = [b":%02d:%02d +0000" % divmod(second, 60) for second in range(3600)]
_FIRST_HOUR, _LAST_HOUR = -(62_135_596_800 // 3600), 253_402_300_800 // 3600 - 1
"""The years 1 to 9999, which is what date-time can say."""


@lru_cache(8192)
def _hour(number: int) -> bytes:
    day = _EPOCH + timedelta(hours=max(_FIRST_HOUR, min(_LAST_HOUR, number)))
    return f"{day.day:2d}-{_MONTHS[day.month - 1]}-{day.year:04d} {day.hour:02d}".encode()


def date_time(instant: float) -> bytes:
    """An instant as IMAP writes it, without the quotes, in UTC (date-time of RFC 9051 §9)."""
    hour, second = divmod(int(instant), 3600)
    return _hour(hour) + _IN_HOUR[second]
