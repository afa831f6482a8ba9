"""What arrives that is no commands: mail data up to the final dot, chunks, and octets that nobody wants.

Mail data has dot transparency and strict line ends (RFC 5321 §4.5.2, §2.3.8); chunks are counted (RFC 3030 §2).

Only CRLF "." CRLF ends the data. What another server might take for the end (LF "." LF and its kin, the
seed of SMTP smuggling) is a fault. The work is done on whole runs of octets; up to four octets that may
be the start of the final dot are held back until more arrive.
"""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.reply import Reply
from estafeta.wire.octets import ReceiveBuffer

_END, _DOTTED = b"\r\n.\r\n", b"\r\n."
_NUL = 0x00
# As a client would end its data that ends lines with LF, or mixes both.
_FALSE_ENDS = (b"\n.\n", b"\n.\r\n", b"\r.\r")


class DataFault(StrEnum):
    """Why mail data cannot be taken; where both are, the first one here counts, wherever the octets are cut."""

    BARE_LINE_END = "bare CR or LF in mail data"
    NUL = "NUL in mail data"


# Departs from RFC 5321 §4.5.3.1.6: a line of mail data may be of any length within the message's size.
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
        # The first line that begins with a dot mostly is the end, so that all is searched but once.
        dotted = buffer.find(_DOTTED)
        end = dotted if dotted < 0 or buffer.starts_with(_END, dotted) else buffer.find(_END)
        if end >= 0:
            run = buffer.take(end + 2)
            buffer.take(3)
            self.is_complete = True
            return self._run(run, has_dots=dotted < end)
        tail = buffer.tail(4)
        if self._is_start and len(buffer) < 3 and tail[:1] == b".":
            return b""
        held = tail.find(b"\r")
        count = len(buffer) - (len(tail) - held if held >= 0 else 0)
        if count == 0:
            return b""
        return self._run(buffer.take(count), has_dots=dotted >= 0)

    def _run(self, octets: bytes, *, has_dots: bool) -> bytes:
        if has_bare_line_ends(octets):
            self.fault = DataFault.BARE_LINE_END
        if self.fault is not None:
            window = self._last + octets
            self.has_false_end |= any(false_end in window for false_end in _FALSE_ENDS)
        self._last = octets[-3:] if len(octets) > 2 else (self._last + octets)[-3:]
        # Departs from RFC 5321 §4.1.1.4: a NUL is refused in mail data, and in commands too (500).
        if _NUL in octets:
            self.fault = self.fault or DataFault.NUL
        if not octets.isascii():
            self.has_8bit = True
        # RFC 5321 §4.5.2: a leading dot of a line that has more is deleted.
        if has_dots:
            octets = octets.replace(_DOTTED, b"\r\n")
        if self._is_start and octets[:1] == b".":
            octets = octets[1:]
        self._is_start = False
        self.size += len(octets)
        return octets


class ChunkReader:
    """Reads one transaction's content out of chunks, as it stands (RFC 3030 §2)."""

    __slots__ = ("_ends_in_cr", "_left", "fault", "has_8bit", "is_binary", "is_last", "is_refused", "size")

    def __init__(self, *, is_binary: bool) -> None:
        self.is_binary = is_binary
        """BODY=BINARYMIME: lines mean nothing, and any octet is allowed (RFC 3030 §3)."""
        self._left = 0
        self._ends_in_cr = False
        self.is_last = False
        """The chunk at hand is the last one."""
        self.is_refused = False
        """A chunk was refused: no other may follow (RFC 3030 §2)."""
        self.size = 0
        self.has_8bit = False
        self.fault: DataFault | None = None

    def begin(self, size: int, *, is_last: bool) -> None:
        """A chunk of so many octets follows."""
        self._left = size
        self.is_last = is_last

    def add(self, octets: bytes, *, is_last: bool) -> None:
        """A piece of the content that did not come from the client (RFC 4468 §3)."""
        self.is_last = is_last
        self.size += len(octets)
        if not octets.isascii():
            self.has_8bit = True
        if not self.is_binary and self.fault is not DataFault.BARE_LINE_END:
            self._check(octets)

    @property
    def is_complete(self) -> bool:
        """The chunk at hand was read."""
        return self._left == 0

    def take(self, buffer: ReceiveBuffer) -> bytes:
        """The run of content that can be taken now; empty when there is none."""
        octets = buffer.take(self._left)
        self._left -= len(octets)
        self.size += len(octets)
        if not octets.isascii():
            self.has_8bit = True
        if not self.is_binary and self.fault is not DataFault.BARE_LINE_END:
            self._check(octets)
        return octets

    def _check(self, octets: bytes) -> None:
        """RFC 3030 §2: what is not declared as binary has lines, as mail data has."""
        window = b"\r" + octets if self._ends_in_cr else octets
        is_end = self.is_last and not self._left
        self._ends_in_cr = window.endswith(b"\r") and not is_end
        if has_bare_line_ends(window[:-1] if self._ends_in_cr else window):
            self.fault = DataFault.BARE_LINE_END
        elif _NUL in window:
            self.fault = DataFault.NUL


class Skipper:
    """Passes over the octets of a chunk that belongs to no transaction (RFC 3030 §2); `reply` is its answer then."""

    __slots__ = ("_left", "reply", "verb")

    def __init__(self, verb: str, size: int, reply: Reply) -> None:
        self.verb = verb
        self._left = size
        self.reply = reply

    @property
    def is_complete(self) -> bool:
        """All were passed over."""
        return self._left == 0

    def take(self, buffer: ReceiveBuffer) -> bytes:
        """Pass over what has come."""
        self._left -= len(buffer.take(self._left))
        return b""
