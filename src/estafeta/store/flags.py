"""Flags as bits: five of the system, and the keywords of a mailbox (RFC 9051 §2.3.2)."""

from __future__ import annotations

from collections.abc import Iterable

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = 1, 2, 4, 8, 16
SYSTEM: dict[str, int] = {
    "\\Seen": SEEN,
    "\\Answered": ANSWERED,
    "\\Flagged": FLAGGED,
    "\\Deleted": DELETED,
    "\\Draft": DRAFT,
}
ALL_FLAGS = 2**63 - 1
"""Every bit of a mask."""
FIRST_KEYWORD = 5
LAST_KEYWORD = 61
"""A number of the database has 63 bits without its sign."""

_SYSTEM_BY_LOWERED = {name.lower(): bit for name, bit in SYSTEM.items()}


def system_bit(name: str) -> int | None:
    """The bit of a system flag, in any case."""
    return _SYSTEM_BY_LOWERED.get(name.lower())


class Keywords:
    """The keywords of one mailbox by their bits; a value that does not change."""

    __slots__ = ("_bits", "_texts", "names")

    def __init__(self, names: tuple[tuple[int, str], ...] = ()) -> None:
        self.names = names
        """Bit number and name, in the order of the bits."""
        self._bits = {name.lower(): 1 << bit for bit, name in names}
        self._texts: dict[int, bytes] = {}

    def bit(self, name: str) -> int:
        """The bit of a flag or keyword, in any case; 0 for a keyword that no message here has."""
        return _SYSTEM_BY_LOWERED.get(name.lower()) or self._bits.get(name.lower(), 0)

    def mask(self, names: Iterable[str]) -> int:
        """The bits of all these that are known here."""
        mask = 0
        for name in names:
            mask |= self.bit(name)
        return mask

    def of(self, flags: int) -> tuple[str, ...]:
        """The names of flags that are set."""
        system = [name for name, bit in SYSTEM.items() if flags & bit]
        return (*system, *(name for bit, name in self.names if flags >> bit & 1))

    def wire(self, flags: int) -> bytes:
        """The names parted by blanks, as FETCH has them between its parentheses."""
        text = self._texts.get(flags)
        if text is None:
            text = self._texts[flags] = " ".join(self.of(flags)).encode()
        return text
