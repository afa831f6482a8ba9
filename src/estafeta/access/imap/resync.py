"""Quick resynchronization: what a client that was away has missed (RFC 7162 §3.2.5)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from estafeta.access.imap.snapshot import Snapshot
from estafeta.store import mailboxes, messages
from estafeta.store.engine import Transaction
from estafeta.wire.imap.commands.select import QResync
from estafeta.wire.imap.numbers import NumberSet

Range = tuple[int, int]
"""UIDs, both ends in it."""


def known_uids(view: Snapshot, qresync: QResync) -> list[Range]:
    """The UIDs that the client may know of; all that were ever there when it does not say."""
    last = view.uid_next - 1
    if qresync.known_uids is None:
        return [(1, last)] if last else []
    return [(low, min(high, last)) for low, high in qresync.known_uids.resolved(last) if low <= last]


def matched_until(view: Snapshot, qresync: QResync) -> int:
    """Up to this UID the client knows what is gone: the last pair of a number and a UID that is right still."""
    if qresync.known_numbers is None or qresync.matching_uids is None:
        return 0
    uids, found = view.uids, 0
    for number, uid in zip(_each(qresync.known_numbers), _each(qresync.matching_uids), strict=False):
        if number > len(uids):
            break
        if uids[number - 1] == uid:
            found = uid
    return found


def _each(numbers: NumberSet) -> Iterator[int]:
    # RFC 7162 §7: both are in ascending order, and `*` is not allowed in them.
    return chain.from_iterable(range(first, last + 1) for first, last in numbers.ranges)


def vanished(tx: Transaction, view: Snapshot, since: int, asked: Sequence[Range]) -> list[Range]:
    """Of the UIDs that are asked for (ascending ranges), those that were expunged after a MODSEQ; for a query.

    When it is not known any more what was, all that is missing counts. What the view still has is left out: it is
    told when it leaves the view.
    """
    # RFC 7162 §3.2.7: expunges are forgotten after a while.
    is_known = mailboxes.get(tx, view.mailbox_id).expunged_after <= since
    gone = _merged(messages.expunged_since(tx, view.mailbox_id, since)) if is_known else list(asked)
    return list(_absent(view, _common(gone, asked)))


def _merged(ranges: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


def _common(first: Sequence[Range], second: Sequence[Range]) -> Iterator[Range]:
    """What is in both; each ascending and without overlaps."""
    i = j = 0
    while i < len(first) and j < len(second):
        low, high = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if low <= high:
            yield low, high
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1


def _absent(view: Snapshot, ranges: Iterable[Range]) -> Iterator[Range]:
    """Ranges without the UIDs that the view has."""
    uids = view.uids
    for low, high in ranges:
        start = low
        for uid in uids[bisect_left(uids, low) : bisect_right(uids, high)]:
            if uid > start:
                yield start, uid - 1
            start = uid + 1
        if start <= high:
            yield start, high
