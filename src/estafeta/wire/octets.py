"""The receive buffer: limited lines that end in CRLF and nothing else (RFC 5321 §2.3.8).

A bare LF ends a line too, but only so that the reader stays in step: the line is reported as faulty.
"""

from __future__ import annotations

import re
from enum import StrEnum

_CR, _NUL = 0x0D, 0x00
_BARE_LF = re.compile(rb"(?<!\r)\n")


class LineFault(StrEnum):
    """Why a line of a command dialogue cannot be read."""

    TOO_LONG = "line too long"
    BARE_LF = "line not ended by CRLF"
    BARE_CR = "bare CR in line"
    NUL = "NUL in line"


class ReceiveBuffer:
    """Octets that arrived and were not yet taken."""

    __slots__ = ("_at", "_is_skipping", "_octets", "_scanned")

    def __init__(self) -> None:
        # Most arrivals are taken whole, and are then never copied: what is taken is only passed by.
        self._octets = b""
        self._at = 0
        self._scanned = 0  # no LF before this position
        self._is_skipping = False

    def feed(self, octets: bytes) -> None:
        """Add what arrived."""
        if self._at == len(self._octets):
            self._octets = octets
            self._scanned = 0
        else:
            self._octets = self._octets[self._at :] + octets
            self._scanned = max(0, self._scanned - self._at)
        self._at = 0

    def __len__(self) -> int:
        return len(self._octets) - self._at

    def clear(self) -> None:
        """Forget all (STARTTLS)."""
        self._octets = b""
        self._at = self._scanned = 0
        self._is_skipping = False

    def take_line(self, limit: int) -> bytes | LineFault | None:
        """The next line without its CRLF; None when it is not yet whole.

        A line of more than `limit` octets (CRLF counted) is thrown away as it comes, whatever its
        length, and reported once, when its end has come.
        """
        octets, at = self._octets, self._at
        if at == len(octets):
            return None
        end = octets.find(b"\n", self._scanned if self._scanned > at else at)
        if end < 0:
            if len(octets) - at > limit:
                self._is_skipping = True
            if self._is_skipping:
                self._at = len(octets)
            self._scanned = len(octets)
            return None
        self._at = end + 1
        if self._is_skipping or end - at >= limit:
            self._is_skipping = False
            return LineFault.TOO_LONG
        if end == at or octets[end - 1] != _CR:
            return LineFault.BARE_LF
        line = octets[at : end - 1]
        # Octets are looked for as numbers: `bytes in bytes` raises and drops an error first (3 % of the CPU).
        if _CR in line:
            return LineFault.BARE_CR
        if _NUL in line:
            return LineFault.NUL
        return line

    def take(self, count: int) -> bytes:
        """The next `count` octets, or as many as there are."""
        octets = self._octets[self._at : self._at + count]
        self._at += len(octets)
        return octets

    def find(self, octets: bytes) -> int:
        """Where the octets first stand, counted from the next octet, or -1."""
        found = self._octets.find(octets, self._at)
        return found if found < 0 else found - self._at

    def tail(self, count: int) -> bytes:
        """The last `count` octets, not taken."""
        return self._octets[max(self._at, len(self._octets) - count) :]

    def starts_with(self, octets: bytes, at: int = 0) -> bool:
        """Whether these stand behind the next `at` octets."""
        return self._octets.startswith(octets, self._at + at)


class RepairingBuffer(ReceiveBuffer):
    """A buffer for senders that end their lines with LF alone: each bare LF is a CRLF from its arrival on.

    Behind it everything is strict. What it repairs another server may have read otherwise, and so lines that a
    stranger wrote can become commands (SMTP smuggling): only for senders of one's own.
    """

    __slots__ = ("_ends_in_cr",)

    def __init__(self) -> None:
        super().__init__()
        self._ends_in_cr = False

    def feed(self, octets: bytes) -> None:
        """Add what arrived."""
        ended_in_cr, self._ends_in_cr = self._ends_in_cr, octets.endswith(b"\r")
        if ended_in_cr:  # the CR stands before it already
            octets = _BARE_LF.sub(b"\r\n", b"\r" + octets)[1:]
        elif octets.count(b"\n") != octets.count(b"\r\n"):
            octets = _BARE_LF.sub(b"\r\n", octets)
        super().feed(octets)

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._ends_in_cr = False
