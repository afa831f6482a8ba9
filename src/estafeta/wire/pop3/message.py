"""Messages on their way out: dot-stuffing by pieces (RFC 1939 §3) and where TOP ends (RFC 1939 §7).

A dot is stuffed after every LF, not only after CRLF: most clients read lines by LF alone, and a stored
bare LF must not let the text behind it pass as the end of the response.
"""

from __future__ import annotations

TERMINATOR = b".\r\n"


def stuffed(octets: bytes) -> bytes:
    """A message that is here whole, as it goes on the wire, terminator included."""
    dot = b"." if octets[:1] == b"." else b""
    end = TERMINATOR if not octets or octets[-2:] == b"\r\n" else b"\r\n" + TERMINATOR
    return b"%b%b%b" % (dot, octets.replace(b"\n.", b"\n.."), end)


class DotStuffer:
    """Encodes one message piece by piece; a piece without dots at line starts is passed on uncopied."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\r\n"  # the last two octets that passed

    def encode(self, piece: bytes) -> bytes:
        """The piece as it goes on the wire."""
        if not piece:
            return piece
        stuffed = piece.replace(b"\n.", b"\n..")
        if piece[:1] == b"." and self._last.endswith(b"\n"):
            stuffed = b"." + stuffed
        self._last = (self._last + piece[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """What ends the response; a last line without CRLF gets one: the terminator needs its own line."""
        return TERMINATOR if self._last == b"\r\n" else b"\r\n" + TERMINATOR


def end_of_header(octets: bytes) -> int:
    """Where the header section ends, blank line included; the whole length when there is no blank line."""
    if octets.startswith(b"\r\n"):
        return 2
    end = octets.find(b"\r\n\r\n")
    return len(octets) if end < 0 else end + 4


def end_of_top(octets: bytes, lines: int) -> int:
    """Where TOP's answer ends: after the header section, the blank line and `lines` lines of the body."""
    end = end_of_header(octets)
    for _ in range(lines):
        found = octets.find(b"\n", end)
        if found < 0:
            return len(octets)
        end = found + 1
    return end
