"""The receive buffer: limited lines that end in CRLF and nothing else (RFC 5321 §2.3.8).

A bare LF ends a line too, but only so that the reader stays in step: the line is reported as faulty.
"""

from __future__ import annotations

from enum import StrEnum


class LineFault(StrEnum):
    """Why a line of a command dialogue cannot be read."""

    TOO_LONG = "line too long"
    BARE_LF = "line not ended by CRLF"
    BARE_CR = "bare CR in line"
    NUL = "NUL in line"


class ReceiveBuffer:
    """Octets that arrived and were not yet taken."""

    __slots__ = ("_is_skipping", "_octets", "_scanned")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._scanned = 0  # no LF before this position
        self._is_skipping = False

    def feed(self, octets: bytes) -> None:
        """Add what arrived."""
        self._octets += octets

    def __len__(self) -> int:
        return len(self._octets)

    def clear(self) -> None:
        """Forget all (STARTTLS)."""
        self._octets.clear()
        self._scanned = 0
        self._is_skipping = False

    def take_line(self, limit: int) -> bytes | LineFault | None:
        """The next line without its CRLF; None when it is not yet whole.

        A line of more than `limit` octets (CRLF counted) is thrown away as it comes, whatever its
        length, and reported once, when its end has come.
        """
        buffer = self._octets
        end = buffer.find(b"\n", self._scanned)
        if end < 0:
            if len(buffer) > limit:
                self._is_skipping = True
            if self._is_skipping:
                buffer.clear()
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        self._scanned = 0
        if self._is_skipping or end >= limit:
            self._is_skipping = False
            return LineFault.TOO_LONG
        if line[-2:] != b"\r\n":
            return LineFault.BARE_LF
        line = line[:-2]
        if b"\r" in line:
            return LineFault.BARE_CR
        if b"\0" in line:
            return LineFault.NUL
        return line

    def take(self, count: int) -> bytes:
        """The next `count` octets, or as many as there are."""
        octets = bytes(self._octets[:count])
        del self._octets[:count]
        self._scanned = 0
        return octets

    def find(self, octets: bytes) -> int:
        """Where the octets first stand, or -1."""
        return self._octets.find(octets)

    def tail(self, count: int) -> bytes:
        """The last `count` octets, not taken."""
        return bytes(self._octets[-count:])

    def starts_with(self, octets: bytes) -> bool:
        """Whether the next octets are these."""
        return self._octets.startswith(octets)
