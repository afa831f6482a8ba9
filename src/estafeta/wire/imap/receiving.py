"""The receive buffer of IMAP: of a line that cannot be read it still tells the end.

A line ends in the announcement of a literal, or ends the command (RFC 9051 §4.3): who does not know which takes the
octets of a literal for commands.
"""

from __future__ import annotations

from estafeta.wire.octets import LineFault, ReceiveBuffer

_KEPT = 64
"""Octets of the end: more than the announcement of any literal has."""


class CommandBuffer(ReceiveBuffer):
    """Octets that arrived and were not yet taken."""

    __slots__ = ("_begin",)

    def __init__(self) -> None:
        super().__init__()
        self._begin = 0  # of the line that was taken last, or of what is kept of it

    def take_line(self, limit: int) -> bytes | LineFault | None:
        """The next line without its CRLF; None when it is not yet whole. Of what is too long the end is kept."""
        self._begin = self._at
        line = super().take_line(limit)
        if line is None and self._is_skipping:
            self._at = max(self._begin, len(self._octets) - _KEPT)
        return line

    def end_of_line(self) -> bytes:
        """The last octets of the line that was taken last, without what ended it."""
        end = self._octets[max(self._at - _KEPT, self._begin) : self._at]
        return end.removesuffix(b"\n").removesuffix(b"\r")
