"""What became of a UID that is not in its mailbox: whether the mailbox has noted its expunge.

The notes of a mailbox are read once, and later only what is new: an account that is read by POP3 has thousands.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from estafeta.store.engine import Transaction
from estafeta.store.messages import merged
from estafeta.store.statements import Statements

_sql = Statements("audit")

_MOST_KEPT = 500_000
"""Ranges in memory: about 60 MB."""


@dataclass(slots=True)
class _Notes:
    modseq: int = 0
    """Up to which notes were read."""
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """In order, none overlapping."""

    def has(self, uid: int) -> bool:
        low, high = 0, len(self.ranges)
        while low < high:
            middle = (low + high) // 2
            if self.ranges[middle][1] < uid:
                low = middle + 1
            else:
                high = middle
        return low < len(self.ranges) and self.ranges[low][0] <= uid


class ExpungedUids:
    """The notes of many mailboxes, bounded."""

    def __init__(self) -> None:
        self._notes: dict[int, _Notes] = {}
        self._kept = 0

    def may_be_gone(self, tx: Transaction, mailbox_id: int, uid: int) -> bool:
        """Whether a UID was expunged, or nobody can know: its mailbox was removed, or has forgotten old expunges."""
        notes = self._notes.get(mailbox_id)
        if notes is not None and notes.has(uid):
            return True
        row = tx.one(_sql.mailbox_notes, mailbox_id=mailbox_id)
        if row is None:
            return True
        name, expunged_after, modseq = row
        if expunged_after > 0 or name.startswith("/"):
            return True
        if notes is None:
            if self._kept > _MOST_KEPT:
                self._notes.clear()
                self._kept = 0
            notes = self._notes[mailbox_id] = _Notes()
        before = len(notes.ranges)
        newer = tx.run(_sql.expunged_after, mailbox_id=mailbox_id, modseq=notes.modseq)
        notes.ranges = merged([*notes.ranges, *newer])
        notes.modseq = modseq
        self._kept += len(notes.ranges) - before
        return notes.has(uid)
