"""Sets of message numbers and UIDs (sequence-set, RFC 9051 §9; `$` of RFC 5182)."""

from __future__ import annotations

from estafeta.mail.value import value

STAR = 0
"""`*`: the largest number in use."""


@value
class NumberSet:
    """A sequence-set as it was said: ranges in their order, either end may be STAR."""

    ranges: tuple[tuple[int, int], ...] = ()
    is_saved: bool = False
    """`$`: the result of the last SEARCH with SAVE (RFC 9051 §6.4.4.1); then there are no ranges."""

    def resolved(self, largest: int) -> list[tuple[int, int]]:
        """The ranges without STAR, each ascending, sorted and merged; `largest` is what `*` means."""
        found = sorted(
            (min(low, high), max(low, high))
            for low, high in ((first or largest, last or largest) for first, last in self.ranges)
        )
        merged: list[tuple[int, int]] = []
        for low, high in found:
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return merged
