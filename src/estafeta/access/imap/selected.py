"""The mailbox that a session has open, as its client knows it (RFC 9051 §7.5).

Flags and new messages are told at any time. What was expunged keeps its number until the client may be told: until
then the view has it still, between messages that are there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence

from estafeta.access.imap.snapshot import Snapshot, keeping, link, merged
from estafeta.mail.value import value
from estafeta.store.records import Mailbox
from estafeta.wire.imap.numbers import NumberSet

_SPREAD = 8
"""A stretch of so many messages for each that is looked for is gone through as a whole."""


class BadNumbers(Exception):
    """A message number is beyond the last message; the command is answered BAD (RFC 9051 §9, seq-number)."""


@value
class Update:
    """What a client is to be told, in this order."""

    before: Snapshot
    view: Snapshot
    """What it knows then."""
    expunged: Sequence[int]
    """UIDs, ascending."""
    added: int
    """How many messages are new, at the end."""
    changed: Sequence[int]
    """UIDs of messages that it knew, whose flags are others now, ascending."""

    @property
    def has_new_keywords(self) -> bool:
        """Keywords came or went."""
        return self.before.keywords.names != self.view.keywords.names

    @property
    def added_uids(self) -> array[int]:
        """The UIDs of those that are new."""
        return self.view.uids[len(self.view) - self.added :]


class Selected:
    """One open mailbox of one session."""

    __slots__ = ("_newest", "_recent", "ghosts", "is_read_only", "mailbox", "name", "rights", "saved", "view")

    def __init__(self, mailbox: Mailbox, name: str, rights: str, snapshot: Snapshot, *, is_read_only: bool) -> None:
        self.mailbox = mailbox
        """The row as it was when the mailbox was opened."""
        self.name = name
        """As this user says it."""
        self.rights = rights
        """Letters of RFC 4314 §2.1."""
        self.is_read_only = is_read_only
        self.view = snapshot
        """What the client was told: a message number is a position and one."""
        self.saved: Sequence[int] = array("I")
        """UIDs of the last SEARCH with SAVE, ascending (RFC 5182)."""
        self.ghosts: list[int] = []
        """UIDs of the view that are gone, which the client was not told yet, ascending (RFC 2180 §4.1)."""
        self._newest = snapshot
        self._recent: list[range] = []

    # Numbers.

    def positions(self, numbers: NumberSet, is_uid: bool) -> list[int]:
        """The positions that a set means, ascending; UIDs that are not there are passed over. Raises BadNumbers."""
        found = self.ranges(numbers, is_uid)
        return list(found[0]) if len(found) == 1 else [position for each in found for position in each]

    def ranges(self, numbers: NumberSet, is_uid: bool) -> list[range]:
        """The same as ranges of positions, none of them empty. Raises BadNumbers."""
        view = self.view
        if numbers.is_saved:
            found = (view.position(uid) for uid in self.saved)
            return merged(range(each, each + 1) for each in found if each is not None)
        if is_uid:
            resolved = numbers.resolved(view.uids[-1] if view.uids else 0)
            return [each for first, last in resolved if (each := view.within(first, last))]
        resolved = numbers.resolved(len(view))
        # RFC 9051 §9: `*` is no message number in an empty mailbox either.
        if resolved and (resolved[-1][1] > len(view) or resolved[0][0] < 1):
            raise BadNumbers
        return [range(first - 1, last) for first, last in resolved]

    # \Recent.

    @property
    def recent_uids(self) -> Sequence[range]:
        """The UIDs that are \\Recent here; some of the messages may be gone."""
        return self._recent

    def add_recent(self, uids: range) -> None:
        """This session is the one that is told of these as \\Recent."""
        if not uids:
            return
        if self._recent and self._recent[-1].stop == uids.start:
            self._recent[-1] = range(self._recent[-1].start, uids.stop)
        else:
            self._recent.append(uids)

    def is_recent(self, uid: int) -> bool:
        """Whether a message is \\Recent in this session (RFC 3501 §2.3.2)."""
        return any(uid in uids for uids in self._recent)

    @property
    def recent(self) -> int:
        """How many messages are."""
        return sum(len(self.view.within(uids.start, uids.stop - 1)) for uids in self._recent)

    # What is new.

    def is_behind(self, newest: Snapshot, *, expunges: bool) -> bool:
        """Whether there is something to tell."""
        return newest is not self._newest or (expunges and bool(self.ghosts))

    def lags_by(self, newest: Snapshot) -> int:
        """How many messages have changed or gone since; some of them may be counted twice."""
        count, step = 0, self._newest.step
        while step is not newest.step and step.next is not None:
            count += len(step.expunged) + len(step.changed)
            step = step.next
        return count if step is newest.step else len(newest)

    def advance(self, newest: Snapshot, *, expunges: bool, silent: Mapping[int, int] | None = None) -> Update:
        """Make the newest snapshot the view, and say what is to be told of that.

        Without `expunges` the numbers stay. Flags that are as `silent` has them by UID are not told.
        """
        before = self.view
        expunged, changed = _walked(self._newest, newest)
        self._newest = newest
        gone = {uid for uid in expunged if before.position(uid) is not None}
        gone.update(self.ghosts)
        ghosts = sorted(gone)
        added = len(newest) - (len(before) - len(ghosts))
        if expunges or not ghosts:
            told, self.ghosts, self.view = ghosts, [], newest
        else:
            told, self.ghosts, self.view = [], ghosts, keeping(before, newest, ghosts)
        return Update(before, self.view, told, added, self._changed(before, newest, changed, silent or {}))

    @staticmethod
    def _changed(before: Snapshot, newest: Snapshot, changed: Iterable[int], silent: Mapping[int, int]) -> list[int]:
        wanted = set(changed)
        if not wanted:
            return []
        expected = silent.get
        first, last = bisect_left(newest.uids, min(wanted)), bisect_right(newest.uids, max(wanted))
        if last - first <= _SPREAD * len(wanted):
            # Most messages of a stretch: going through all of them is many times as fast as looking each up.
            stretch = zip(newest.uids[first:last], newest.flags[first:last], strict=True)
            found = [uid for uid, flags in stretch if uid in wanted and expected(uid) != flags]
        else:
            found = []
            for uid in sorted(wanted):
                position = newest.position(uid)
                if position is not None and expected(uid) != newest.flags[position]:
                    found.append(uid)
        if before.uids is newest.uids:  # only flags are others
            return found
        return [uid for uid in found if before.position(uid) is not None]


def _walked(old: Snapshot, newest: Snapshot) -> tuple[array[int], array[int]]:
    """UIDs that were expunged, and those that were changed, on the way from one snapshot to a later one."""
    expunged, changed = array("I"), array("I")
    step = old.step
    while step is not newest.step:
        if step.next is None:  # it does not lead there: the newest was loaded anew
            link(old, newest)
            return old.step.expunged, old.step.changed
        expunged += step.expunged
        changed += step.changed
        step = step.next
    return expunged, changed
