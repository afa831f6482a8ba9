"""Messages read for handlers: pieces of a FETCH, read and rendered in a reader thread, and single messages.

A piece is bounded by messages and by octets, so that memory is, and the event loop never waits. What was not
described yet is described here, once, and kept by a change that nobody waits for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from estafeta.access.imap.large import LargeMessage, large_message
from estafeta.access.imap.rendering import HEADER_OCTETS, Batch, Plan
from estafeta.mail.mime.description import Description, describe
from estafeta.mail.mime.fields import header_end
from estafeta.mail.value import value
from estafeta.store import descriptions, fetching, messages
from estafeta.store.content import ContentStore
from estafeta.store.engine import Row, Transaction
from estafeta.store.errors import NotFound
from estafeta.store.fetching import Shape
from estafeta.store.flags import Keywords
from estafeta.store.records import MailboxId
from estafeta.store.store import Store

MESSAGES = 1_000
"""Most messages of a piece: some milliseconds of a reader."""
OCTETS = 1024 * 1024
"""Octets of a piece after which no further message is put into it."""
_DESCRIBED = 50
"""Messages described for one piece: they cost a hundred times as much as others."""


@value
class Messages:
    """Messages of a view, ascending, as they were last told to the client."""

    numbers: Sequence[int]
    """Message numbers, or UIDs (RFC 9586)."""
    uids: Sequence[int]
    flags: Sequence[int]
    modseqs: Sequence[int]
    ranges: list[tuple[int, int]]
    """Their UIDs as ranges in which no other message is."""
    recent: Sequence[range] = ()
    """UIDs that are \\Recent in this session."""
    seen: Sequence[bool] = ()
    """Which of them this FETCH has made \\Seen."""

    def first(self, count: int) -> Messages:
        """Only so many of them."""
        if count >= len(self.uids):
            return self
        last = self.uids[count - 1]
        ranges = [(low, min(high, last)) for low, high in self.ranges if low <= last]
        return replace(
            self,
            numbers=self.numbers[:count],
            uids=self.uids[:count],
            flags=self.flags[:count],
            modseqs=self.modseqs[:count],
            ranges=ranges,
            seen=self.seen[:count],
        )

    def batch(self, keywords: Keywords) -> Batch:
        """To be rendered, without anything that must be read."""
        return Batch(self.numbers, self.uids, self.flags, self.modseqs, keywords, seen=self.seen, recent=self.recent)


@value
class Piece:
    """A part of the answer."""

    octets: bytes
    count: int
    """How many messages are done with it; the next piece begins behind them."""
    missing: int = 0
    """How many of these are gone, and were left out."""
    fresh: list[tuple[int, Description]] = field(default_factory=list)
    """Contents that were described for it, to be kept."""
    large: LargeMessage | None = None
    """The last of them, which is too large for memory and goes behind the octets."""
    has_unknown_encoding: bool = False
    """Something could not be decoded."""


def read_piece(
    tx: Transaction, contents: ContentStore, plan: Plan, mailbox_id: MailboxId, wanted: Messages, keywords: Keywords
) -> Piece:
    """Read and render as many of the messages as one piece takes, at least one. For a reader thread."""
    shape = plan.shape
    assert shape is not None
    is_whole = shape in (fetching.WHOLE, fetching.DESCRIBED_WHOLE)
    if is_whole:
        wanted = wanted.first(_fitting(tx, contents, mailbox_id, wanted))
    rows = fetching.rows(tx, shape, mailbox_id, wanted.ranges, most=HEADER_OCTETS)
    if shape.has_octets and not is_whole:
        rows = [_with_header(tx, contents, shape, row) for row in rows]
    rows, fresh, end = _described(tx, contents, plan, rows)
    large = None
    if is_whole:
        files = shape.columns.index("file")
        place = next((place for place, row in enumerate(rows) if row[files] is not None), None)
        if place is not None:
            large, rows, end = rows[place], rows[:place], rows[place][0]
    count = len(wanted.uids) if end is None else _count_to(wanted.uids, end)
    batch = _batch(wanted.first(count), keywords, rows, shape)
    octets = plan.render(batch) if rows else b""
    missing = count - len(batch.rows) - (large is not None)
    if large is None:
        return Piece(octets, count, missing, fresh, None, batch.has_unknown_encoding)
    alone = _batch(wanted.first(count), keywords, [large], shape)
    message = large_message(contents, plan, alone)
    return Piece(octets, count, missing, fresh, message, batch.has_unknown_encoding or alone.has_unknown_encoding)


def _count_to(uids: Sequence[int], last: int) -> int:
    """How many of the UIDs are not behind `last`."""
    return next((place for place, uid in enumerate(uids) if uid > last), len(uids))


def _fitting(tx: Transaction, contents: ContentStore, mailbox_id: MailboxId, wanted: Messages) -> int:
    """How many of the messages fit into a piece; what is in files does not count, it is not read here."""
    if len(wanted.uids) == 1:
        return 1
    octets = 0
    for first, last in wanted.ranges:
        for uid, size in messages.sizes(tx, mailbox_id, first, last):
            octets += size if size <= contents.threshold else 0
            if octets > OCTETS:
                return max(1, _count_to(wanted.uids, uid - 1))
    return len(wanted.uids)


def _with_header(tx: Transaction, contents: ContentStore, shape: Shape, row: Row) -> Row:
    """The row with as much of its content as holds the whole header section."""
    place = shape.columns.index("octets")
    octets, file, size = row[place : place + 3]
    if octets is None:
        with contents.open(file) as opened:
            octets = opened.read(HEADER_OCTETS)
    elif len(octets) == size:
        return row
    if header_end(octets, 0, len(octets)) == len(octets) < size:
        octets = messages.content_alone(tx, contents, row[shape.columns.index("content_id")])
    return (*row[:place], octets, *row[place + 1 :])


def _described(
    tx: Transaction, contents: ContentStore, plan: Plan, rows: list[Row]
) -> tuple[list[Row], list[tuple[int, Description]], int | None]:
    """The rows with their descriptions, those made now, and the last UID where not all could be."""
    shape = plan.shape
    assert shape is not None
    if not shape.described or not plan.needs_description:
        return rows, [], None
    place, ids = shape.columns.index(shape.described[0]), shape.columns.index("content_id")
    fresh: list[tuple[int, Description]] = []
    known: dict[int, tuple[object, ...]] = {}
    for number, row in enumerate(rows):
        if row[place] is not None:
            continue
        content_id = row[ids]
        if content_id not in known:
            if len(fresh) == _DESCRIBED:
                return rows[:number], fresh, rows[number - 1][0]
            try:
                made = describe(messages.content_alone(tx, contents, content_id))
            except NotFound:
                return rows[:number] + rows[number + 1 :], fresh, row[0]
            fresh.append((content_id, made))
            known[content_id] = _columns(made, shape.described)
        rows[number] = (*row[:place], *known[content_id])
    return rows, fresh, None


def _columns(made: Description, names: tuple[str, ...]) -> tuple[object, ...]:
    values = {
        "envelope": made.envelope,
        "body": made.body,
        "body_structure": made.body_structure,
        "preview": made.preview,
        "message_ids": "\n".join((made.message_id or "", *made.references)),
        "parts": made.parts,
    }
    return tuple(values[name] for name in names)


def _batch(wanted: Messages, keywords: Keywords, rows: list[Row], shape: Shape) -> Batch:
    """The rows beside what the snapshot knows of their messages; those that are gone are left out."""
    if [row[0] for row in rows] != list(wanted.uids):
        places = {uid: place for place, uid in enumerate(wanted.uids)}
        rows = [row for row in rows if row[0] in places]
        kept = [places[row[0]] for row in rows]
        wanted = replace(
            wanted,
            numbers=[wanted.numbers[place] for place in kept],
            uids=[wanted.uids[place] for place in kept],
            flags=[wanted.flags[place] for place in kept],
            modseqs=[wanted.modseqs[place] for place in kept],
            seen=[wanted.seen[place] for place in kept] if wanted.seen else (),
        )
    batch = wanted.batch(keywords)
    batch.rows, batch.shape = rows, shape
    return batch


def keep(store: Store, fresh: list[tuple[int, Description]]) -> None:
    """Have descriptions kept, without waiting for it."""
    if fresh:

        def change(tx: Transaction) -> None:
            for content_id, made in fresh:
                descriptions.keep(tx, content_id, made)

        store.write_later(change)


async def description(store: Store, content_id: int) -> Description:
    """What is known of a content; made and kept when it is asked for the first time. Raises NotFound."""

    def find(tx: Transaction) -> tuple[Description, bool]:
        known = descriptions.of(tx, [content_id]).get(content_id)
        if known is not None:
            return known, False
        return describe(messages.content_alone(tx, store.content, content_id)), True

    found, is_new = await store.read(find)
    if is_new:
        keep(store, [(content_id, found)])
    return found
