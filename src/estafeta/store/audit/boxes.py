"""Mailboxes: counters and numbers agree with the rows, no UID is lost or there twice, every row names what is there.

A small mailbox is counted in one read with its counters. A large one is counted in parts, while mail arrives; only
where that does not give its counters it is counted in one read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace
from typing import NamedTuple

from estafeta.mail.value import value
from estafeta.store.audit.gap import Cursor, Gap, Ledger, Step
from estafeta.store.engine import Row, Transaction
from estafeta.store.ids import IdSource
from estafeta.store.statements import Statements

_sql = Statements("audit")

PART = 20_000
"""Messages that are counted in one step: some 10 ms."""
_BOXES = 500
_ROWS = 2000


class _Counted(NamedTuple):
    """What a mailbox's counters say, or its rows add up to."""

    messages: int = 0
    octets: int = 0
    unseen: int = 0
    deleted: int = 0
    deleted_octets: int = 0


_NOTHING = _Counted()
_WORDS = ("messages", "octets", "unseen messages", "deleted messages", "octets of deleted messages")


@value
class _Rows:
    """What the rows of a mailbox say."""

    counted: _Counted = _NOTHING
    last_uid: int = 0
    modseq: int = 0

    def __add__(self, other: _Rows) -> _Rows:
        counted = _Counted(*(mine + more for mine, more in zip(self.counted, other.counted, strict=True)))
        return _Rows(counted, max(self.last_uid, other.last_uid), max(self.modseq, other.modseq))


@value
class _Box:
    """A mailbox's own row."""

    mailbox_id: int
    account_id: int | None
    uid_next: int
    modseq: int
    expunged_after: int
    counted: _Counted

    @property
    def name(self) -> str:
        return f"mailbox {IdSource.text(self.mailbox_id)}"


@value
class _At:
    """Where counting goes on: behind a mailbox, or within the next one."""

    after: int = -1
    uid: int = 0
    rows: _Rows = field(default_factory=_Rows)


def _rows(row: Row) -> _Rows:
    count, octets, unseen, deleted, deleted_octets, last_uid, modseq = row
    return _Rows(
        _Counted(count, octets or 0, unseen or 0, deleted or 0, deleted_octets or 0), last_uid or 0, modseq or 0
    )


def _box(row: Row) -> _Box:
    mailbox_id, account_id, uid_next, modseq, expunged_after, *counters = row
    return _Box(mailbox_id, account_id, uid_next, modseq, expunged_after, _Counted(*counters))


def look_at_counters(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Count some mailboxes, or a part of one."""
    at: _At = cursor or _At()
    found = tx.run(_sql.mailboxes, after=at.after, limit=_BOXES)
    boxes = [_box(row) for row in found]
    if not boxes:
        return Step([], None)
    if at.uid or boxes[0].counted.messages > PART:
        return _part(tx, boxes[0], at)
    several: list[_Box] = []
    total = 0
    for box in boxes:
        total += box.counted.messages
        if several and total > PART:
            break
        several.append(box)
    is_last = len(several) == len(found) < _BOXES
    return Step(list(_gaps_of(tx, several)), None if is_last else _At(several[-1].mailbox_id))


def _part(tx: Transaction, box: _Box, at: _At) -> Step:
    row = tx.one(_sql.sums_of_part, mailbox_id=box.mailbox_id, uid=at.uid, limit=PART)
    assert row is not None
    part = _rows(row)
    rows = at.rows + part
    if part.counted.messages == PART:
        return Step([], replace(at, uid=part.last_uid, rows=rows))
    behind = _At(box.mailbox_id)
    if rows.counted == box.counted:
        return Step(list(_numbers(tx, [box], {box.mailbox_id: rows})), behind)
    return Step(list(_gaps_of(tx, [box])), behind)  # mail may have come meanwhile


def _gaps_of(tx: Transaction, boxes: list[_Box]) -> Iterator[Gap]:
    span = {"first": boxes[0].mailbox_id, "last": boxes[-1].mailbox_id}
    rows = {row[0]: _rows(row[1:]) for row in tx.run(_sql.sums, **span)}
    for box in boxes:
        there = rows.get(box.mailbox_id, _Rows())
        for word, said, counted in zip(_WORDS, box.counted, there.counted, strict=True):
            if said != counted:
                yield Gap("counters", box.name, f"it says that it has {said} {word}, and has {counted}; {_REPAIR}")
        if box.account_id is None:
            yield Gap("stray", box.name, f"its account is not there; {_REPAIR}")
    yield from _numbers(tx, boxes, rows)


_REPAIR = "stop the server, and `estafeta repair` puts it right"


def _numbers(tx: Transaction, boxes: list[_Box], rows: dict[int, _Rows]) -> Iterator[Gap]:
    """UIDs and MODSEQs (RFC 9051 §2.3.1.1, RFC 7162 §3.1.2)."""
    span = {"first": boxes[0].mailbox_id, "last": boxes[-1].mailbox_id}
    expunged = {row[0]: row[1:] for row in tx.run(_sql.sums_of_expunged, **span)}
    both: dict[int, int] = dict(tx.run(_sql.there_and_expunged, **span))
    for box in boxes:
        there = rows.get(box.mailbox_id, _Rows())
        gone, last_gone, modseq_gone = expunged.get(box.mailbox_id, (0, 0, 0))
        last = max(there.last_uid, last_gone)
        if last >= box.uid_next:
            yield Gap(
                "uids", box.name, f"UID {last} was given, and UIDNEXT is {box.uid_next}: UIDs come twice; {_REPAIR}"
            )
        if box.mailbox_id in both:
            yield Gap(
                "uids",
                box.name,
                f"UID {both[box.mailbox_id]} is there, and noted as expunged: some clients do not show it; move it",
            )
        lost = box.uid_next - 1 - there.counted.messages - gone
        if box.expunged_after == 0 and lost > 0 and last < box.uid_next and box.mailbox_id not in both:
            yield Gap("uids", box.name, f"{lost} of its UIDs are not there, and were not expunged: messages are lost")
        if max(there.modseq, modseq_gone) > box.modseq:
            most = max(there.modseq, modseq_gone)
            yield Gap("modseqs", box.name, f"a change has MODSEQ {most}, and HIGHESTMODSEQ is {box.modseq}; {_REPAIR}")


def look_at_rows(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Look at what some messages name."""
    mailbox_id, uid = cursor or (-1, -1)
    rows = tx.run(_sql.messages, mailbox_id=mailbox_id, uid=uid, limit=_ROWS)
    gaps: list[Gap] = []
    oldest = oldest_entry(tx) if rows else 0
    for in_box, uid, delivery_id, message_id, content_id, size, real_size, box, entry in rows:
        if real_size == size and box is not None and (entry is not None or delivery_id != message_id):
            continue
        where = f"UID {uid} of mailbox {IdSource.text(in_box)}"
        if real_size is None:
            content = IdSource.text(content_id)
            gaps.append(Gap("content-missing", where, f"its content {content} is not there; look in a backup for it"))
        elif real_size != size:
            gaps.append(
                Gap("content-size", where, f"it says {size} octets, and has {real_size}; clients are told a wrong size")
            )
        if box is None:
            gaps.append(Gap("stray", where, f"its mailbox is not there; {_REPAIR}"))
        if entry is None and delivery_id == message_id >= oldest:
            name = IdSource.text(message_id)
            gaps.append(Gap("never-accepted", name, f"{where} is of it, and the journal knows of no such message"))
    return Step(gaps, (rows[-1][0], rows[-1][1]) if len(rows) == _ROWS else None)


def oldest_entry(tx: Transaction) -> int:
    """The id from which on the journal has everything; it keeps older entries no more."""
    row = tx.one(_sql.oldest_entry)
    return 1 << 63 if row is None or row[0] is None else int(row[0])
