"""What is known of all messages of a mailbox at one moment; a value that all its sessions share.

A snapshot leads to what came after it: each change of the mailbox is a step of a chain, so that a session which
was told of an older state walks from there to the newest, at the cost of what changed and not of what there is.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from estafeta.store.flags import SEEN, Keywords
from estafeta.store.messages import Changes, Loaded
from estafeta.store.records import Mailbox, MailboxId

_LOW_OCTET = 0 if sys.byteorder == "little" else 7
_IS_UNSEEN = bytes(0 if octet & SEEN else 1 for octet in range(256))


@dataclass(slots=True, eq=False)
class Step:
    """One change of a mailbox: what it did, once `next` is there."""

    expunged: array[int] = field(default_factory=lambda: array("I"))
    """UIDs that were there and are gone, ascending."""
    changed: array[int] = field(default_factory=lambda: array("I"))
    """UIDs whose flags changed; some of them may be gone by now."""
    next: Step | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The messages of a mailbox in UID order; the arrays are never altered."""

    mailbox: Mailbox
    """The row as it was then; `recent_uid` may be older."""
    keywords: Keywords
    uids: array[int]
    flags: array[int]
    modseqs: array[int]
    contents: array[int]
    """Ids of their contents."""
    step: Step = field(default_factory=Step, repr=False)
    """What comes after."""

    @property
    def mailbox_id(self) -> MailboxId:
        """The mailbox."""
        return self.mailbox.mailbox_id

    @property
    def uid_validity(self) -> int:
        """UIDVALIDITY."""
        return self.mailbox.uid_validity

    @property
    def uid_next(self) -> int:
        """UIDNEXT."""
        return self.mailbox.uid_next

    @property
    def modseq(self) -> int:
        """HIGHESTMODSEQ."""
        return self.mailbox.highest_modseq

    def __len__(self) -> int:
        return len(self.uids)

    def position(self, uid: int) -> int | None:
        """Where a message is; its number is one more. None when it is not there."""
        uids = self.uids
        found = bisect_left(uids, uid)
        return found if found < len(uids) and uids[found] == uid else None

    def within(self, first_uid: int, last_uid: int) -> range:
        """The positions of the messages in a range of UIDs, both ends in it."""
        return range(bisect_left(self.uids, first_uid), bisect_right(self.uids, last_uid))

    def first_unseen(self) -> int | None:
        """The position of the first message that is not \\Seen; None when all are."""
        if not self.mailbox.unseen:
            return None
        # One octet of each number is looked at, all at once.
        found = self.flags.tobytes()[_LOW_OCTET::8].translate(_IS_UNSEEN).find(1)
        return found if found >= 0 else None

    def changed_since(self, modseq: int) -> list[int]:
        """The positions of messages that came or changed after a MODSEQ (RFC 7162 §3.1.4.1)."""
        if modseq >= self.modseq:
            return []
        return [position for position, each in enumerate(self.modseqs) if each > modseq]

    @classmethod
    def of(cls, loaded: Loaded) -> Snapshot:
        """A snapshot without a past."""
        return cls(loaded.mailbox, loaded.keywords, loaded.uids, loaded.flags, loaded.modseqs, loaded.contents)


def after(old: Snapshot, changes: Changes) -> Snapshot:
    """The snapshot after changes; the old one leads to it."""
    uids, flags, modseqs, contents = old.uids, old.flags, old.modseqs, old.contents
    changed = array("I")
    if changes.changed:
        flags, modseqs, changed = _changed(old, changes.changed)
    expunged = array("I")
    if changes.expunged:
        gone = [each for first, last in changes.expunged if (each := old.within(first, last))]
        gone = merged(gone)
        for positions in gone:
            expunged += uids[positions.start : positions.stop]
        if gone:
            uids, flags, modseqs, contents = (without(each, gone) for each in (uids, flags, modseqs, contents))
    added = changes.added
    if added.uids:
        uids, flags = uids + added.uids, flags + added.flags
        modseqs, contents = modseqs + added.modseqs, contents + added.contents
    new = Snapshot(changes.mailbox, changes.keywords, uids, flags, modseqs, contents)
    old.step.expunged, old.step.changed, old.step.next = expunged, changed, new.step
    return new


def _changed(old: Snapshot, changes: Sequence[tuple[int, int, int]]) -> tuple[array[int], array[int], array[int]]:
    """The flags and MODSEQs after at least one change (UID, flags, MODSEQ; ascending), and the UIDs whose they are."""
    flags, modseqs = array("Q", old.flags), array("Q", old.modseqs)
    first, last = old.position(changes[0][0]), old.position(changes[-1][0])
    if first is not None and last is not None and last - first + 1 == len(changes):
        # All of a stretch, as after STORE 1:*: whole columns are put in its place, in a third of the time.
        columns = tuple(zip(*changes, strict=True))
        changed = array("I", columns[0])
        if changed == old.uids[first : last + 1]:
            flags[first : last + 1], modseqs[first : last + 1] = array("Q", columns[1]), array("Q", columns[2])
            return flags, modseqs, changed
    changed = array("I")
    for uid, mask, modseq in changes:
        position = old.position(uid)
        if position is not None:
            flags[position], modseqs[position] = mask, modseq
            changed.append(uid)
    return flags, modseqs, changed


def link(old: Snapshot, new: Snapshot) -> None:
    """Let an old snapshot lead to one that was loaded anew."""
    there = set(new.uids)
    expunged = array("I", [uid for uid in old.uids if uid not in there])
    changed = array("I", [new.uids[position] for position in new.changed_since(old.modseq)])
    del changed[bisect_left(changed, old.uid_next) :]
    old.step.expunged, old.step.changed, old.step.next = expunged, changed, new.step


def merged(ranges: Iterable[range]) -> list[range]:
    """Ranges of positions, ascending, without those that overlap."""
    found: list[range] = []
    for each in sorted(ranges, key=lambda positions: positions.start):
        if found and each.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, each.stop))
        else:
            found.append(each)
    return found


def without(numbers: array[int], gone: Sequence[range]) -> array[int]:
    """Numbers without those at some positions (ascending ranges)."""
    left = array(numbers.typecode)
    start = 0
    for positions in gone:
        left += numbers[start : positions.start]
        start = positions.stop
    left += numbers[start:]
    return left


def keeping(old: Snapshot, new: Snapshot, ghosts: Sequence[int]) -> Snapshot:
    """The new snapshot with messages that are gone (UIDs, ascending) still in their places, as they last were."""
    columns = [array(each.typecode) for each in (new.uids, new.flags, new.modseqs, new.contents)]
    start = 0
    for uid in ghosts:
        place, known = bisect_left(new.uids, uid), old.position(uid)
        assert known is not None
        for column, source, last in zip(
            columns,
            (new.uids, new.flags, new.modseqs, new.contents),
            (old.uids, old.flags, old.modseqs, old.contents),
            strict=True,
        ):
            if place > start:
                column += source[start:place]
            column.append(last[known])
        start = max(start, place)
    for column, source in zip(columns, (new.uids, new.flags, new.modseqs, new.contents), strict=True):
        column += source[start:]
    return replace(new, uids=columns[0], flags=columns[1], modseqs=columns[2], contents=columns[3])
