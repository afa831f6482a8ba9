"""Reading replies and capabilities, on the client's side (RFC 5321 §4.2, RFC 2034).

Lenient where the world's servers need it (no text, no space behind the code, bare LF, codes that differ
within one reply), strict in size, so that no server makes its client grow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.wire.errors import RemoteProtocolError

# RFC 5321 §4.5.3.1.5 says 512; servers that explain a rejection with links and ids say more.
MAX_LINE: Final = 4096
# Longer than any EHLO or HELP reply seen.
MAX_LINES: Final = 200

# RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
# Reply-code = %x32-35 %x30-35 %x30-39; second digits beyond 5 are in use. The text may follow without space.
_REPLY_LINE: Final = re.compile(r"([2-5][0-9]{2})(?![0-9])([ -]?)(.*)", re.DOTALL)
# RFC 2034 §4: text = status-code SP text
_STATUS: Final = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:[ \t]+|$)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class ReplyReader:
    """Takes octets as they come and gives whole replies."""

    __slots__ = ("_lines", "_octets")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._lines: list[tuple[int | None, str]] = []

    def feed(self, octets: bytes) -> None:
        """Add what arrived."""
        self._octets += octets

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be read, not even part of a reply."""
        return not self._octets and not self._lines

    def next_reply(self) -> Reply | None:
        """The next reply, None when it is not yet whole; raises RemoteProtocolError."""
        while True:
            end = self._octets.find(b"\n", 0, MAX_LINE)
            if end < 0:
                if len(self._octets) >= MAX_LINE:
                    raise RemoteProtocolError(f"reply line of more than {MAX_LINE} octets")
                return None
            line = self._octets[:end].rstrip(b"\r").decode("utf-8", "replace")
            del self._octets[: end + 1]
            if self._is_last(_CONTROL.sub("?", line)):
                lines, self._lines = self._lines, []
                return _reply(lines)
            if len(self._lines) >= MAX_LINES:
                raise RemoteProtocolError(f"reply of more than {MAX_LINES} lines")

    def _is_last(self, line: str) -> bool:
        match = _REPLY_LINE.match(line)
        if match is not None:
            self._lines.append((int(match[1]), match[3]))
            return match[2] != "-"
        if not self._lines:
            raise RemoteProtocolError(f"not a reply: {line[:80]!r}")
        # Inside a reply of several lines, a line that lost its code is text.
        self._lines.append((None, line))
        return False


def _reply(lines: list[tuple[int | None, str]]) -> Reply:
    # RFC 5321 §4.2.1: the codes of all lines are the same. Where they are not, the last one counts.
    code = lines[-1][0]
    assert code is not None
    status: EnhancedStatusCode | None = None
    texts = []
    for _, text in lines:
        match = _STATUS.match(text)
        # RFC 2034 §4: the class of the status code agrees with the first digit of the reply code.
        if match is not None and int(match[1]) == code // 100:
            status = status or EnhancedStatusCode(int(match[1]), int(match[2]), int(match[3]))
            text = text[match.end() :]
        texts.append(text)
    return Reply(code, status, tuple(texts))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server announced in its reply to EHLO or LHLO: its name, and keywords with their parameters."""

    server: str
    keywords: MappingProxyType[str, tuple[str, ...]]

    @staticmethod
    def of(reply: Reply) -> Capabilities:
        """Read a positive reply to EHLO (RFC 5321 §4.1.1.1); lines that are no ehlo-line are passed over."""
        keywords: dict[str, tuple[str, ...]] = {}
        for line in reply.lines[1:]:
            # RFC 5321 §4.1.1.1: ehlo-line = ehlo-keyword *( SP ehlo-param )
            # "AUTH=LOGIN" is how servers said it for clients older than RFC 2554.
            words = line.replace("=", " ", 1).split() if line[:5].upper() == "AUTH=" else line.split()
            if words:
                keyword = words[0].upper()
                known = keywords.get(keyword, ())
                keywords[keyword] = known + tuple(word for word in words[1:] if word not in known)
        server = reply.lines[0].split()[:1]
        return Capabilities(server[0] if server else "", MappingProxyType(keywords))

    @staticmethod
    def none(reply: Reply) -> Capabilities:
        """What a server has that only knows HELO."""
        return Capabilities.of(Reply(reply.code, reply.status, reply.lines[:1]))

    def has(self, keyword: str) -> bool:
        """Whether the extension was announced."""
        return keyword.upper() in self.keywords

    @property
    def size(self) -> int | None:
        """The largest message in octets, where the server says one (RFC 1870 §3: 0 is no limit)."""
        for parameter in self.keywords.get("SIZE", ()):
            # 20 digits are what RFC 1870 §3 allows.
            if parameter.isascii() and parameter.isdecimal() and len(parameter) <= 20:
                return int(parameter) or None
        return None

    @property
    def auth_mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms as announced, in upper case (RFC 4954 §3)."""
        return tuple(name.upper() for name in self.keywords.get("AUTH", ()))
