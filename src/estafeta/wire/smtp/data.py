"""Mail data between 354 and the final dot: dot transparency and strict line ends (RFC 5321 §4.5.2, §2.3.8).

Only CRLF "." CRLF ends the data. What another server might take for the end (LF "." LF and its kin, the
seed of SMTP smuggling) is a fault. The work is done on whole runs of octets; up to four octets that may
be the start of the final dot are held back until more arrive.
"""

from __future__ import annotations

from enum import StrEnum

from estafeta.wire.octets import ReceiveBuffer

_END = b"\r\n.\r\n"
# As a client would end its data that ends lines with LF, or mixes both.
_FALSE_ENDS = (b"\n.\n", b"\n.\r\n", b"\r.\r")


class DataFault(StrEnum):
    """Why mail data cannot be taken; the first one found counts."""

    BARE_LINE_END = "bare CR or LF in mail data"
    NUL = "NUL in mail data"


class DataReader:
    """Reads one transaction's mail data out of the receive buffer."""

    __slots__ = ("_is_start", "_last", "fault", "has_8bit", "has_false_end", "is_complete", "size")

    def __init__(self) -> None:
        self._is_start = True
        self._last = b"\r\n"  # of the run before: a false end may be cut in two by the arrival of octets
        self.size = 0
        self.has_8bit = False
        self.fault: DataFault | None = None
        self.is_complete = False
        """The final dot was read."""
        self.has_false_end = False
        """The client seems to believe that its data has ended: there is no way back into step."""

    def take(self, buffer: ReceiveBuffer) -> bytes:
        """The run of content that can be taken now, without the dots; empty when there is none."""
        if self._is_start and buffer.starts_with(b".\r\n"):
            buffer.take(3)
            self.is_complete = True
            return b""
        end = buffer.find(_END)
        if end >= 0:
            run = buffer.take(end + 2)
            buffer.take(3)
            self.is_complete = True
            return self._run(run)
        tail = buffer.tail(4)
        if self._is_start and len(buffer) < 3 and tail[:1] == b".":
            return b""
        held = tail.find(b"\r")
        count = len(buffer) - (len(tail) - held if held >= 0 else 0)
        if count == 0:
            return b""
        return self._run(buffer.take(count))

    def _run(self, octets: bytes) -> bytes:
        line_ends = octets.count(b"\r\n")
        if octets.count(b"\n") != line_ends or octets.count(b"\r") != line_ends:
            self.fault = self.fault or DataFault.BARE_LINE_END
        if self.fault is not None:
            window = self._last + octets
            self.has_false_end |= any(false_end in window for false_end in _FALSE_ENDS)
        self._last = octets[-3:]
        if b"\0" in octets:
            self.fault = self.fault or DataFault.NUL
        if not octets.isascii():
            self.has_8bit = True
        # RFC 5321 §4.5.2: a leading dot of a line that has more is deleted.
        if b"\r\n." in octets:
            octets = octets.replace(b"\r\n.", b"\r\n")
        if self._is_start and octets[:1] == b".":
            octets = octets[1:]
        self._is_start = False
        self.size += len(octets)
        return octets
