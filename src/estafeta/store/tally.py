"""What the store counts of its commits, for whoever asks: plain additions by the writer, read from any thread."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate


class Histogram:
    """How many values fell up to each bound, and their sum. One thread adds; others may read a moment behind."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` grow; a value counts for the first that it does not exceed."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """For each bound those above the one before; the last is for those above all."""
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def number(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    @property
    def cumulated(self) -> list[int]:
        """How many did not exceed each bound, and at last how many there were."""
        return list(accumulate(self.counts))


COMMIT_SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Changes of one group: from one session alone to a flood."""
COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a fast disk's sync to a disk in trouble."""


class CommitTally:
    """Of one store. Instants are the monotonic clock's."""

    __slots__ = ("began_at", "committed_at", "failed", "failures", "is_dead", "seconds", "sizes")

    def __init__(self) -> None:
        self.sizes = Histogram(COMMIT_SIZES)
        """Changes in each group that was committed."""
        self.seconds = Histogram(COMMIT_SECONDS)
        """How long each of these groups took, the sync included."""
        self.failures = 0
        """Groups of which nothing was kept."""
        self.began_at: float | None = None
        """When the group that runs now began; None between two."""
        self.committed_at: float | None = None
        """When the last group was committed."""
        self.failed = ""
        """Why the last group failed; empty when it was committed."""
        self.is_dead = False
        """The writer itself has failed: nothing will ever be committed again."""

    def begin(self, now: float) -> None:
        """A group begins."""
        self.began_at = now

    def succeed(self, now: float, changes: int) -> None:
        """It is durable."""
        began_at, self.began_at = self.began_at, None
        self.committed_at = now
        self.failed = ""
        self.sizes.add(changes)
        self.seconds.add(now - (began_at if began_at is not None else now))

    def fail(self, reason: str) -> None:
        """Nothing of it was kept."""
        self.began_at = None
        self.failures += 1
        self.failed = reason or "unknown"
