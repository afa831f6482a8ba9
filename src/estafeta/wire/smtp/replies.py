"""Reading replies and capabilities, on the client's side (RFC 5321 §4.2, RFC 2034).

Lenient where the world's servers need it (no text, no space behind the code, bare LF, codes that differ
within one reply), strict in size, so that no server makes its client grow.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.mail.value import value
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.extensions.limits import Limits

# RFC 5321 §4.5.3.1.5 says 512; servers that explain a rejection with links and ids say more.
# Departs from RFC 5321 §4.5.3.1.5: the client reads lines of up to 4096 octets.
MAX_LINE: Final = 4096
# Longer than any EHLO or HELP reply seen.
MAX_LINES: Final = 200

# RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
# Reply-code = %x32-35 %x30-35 %x30-39; second digits beyond 5 are in use. The text may follow without space.
# Departs from RFC 5321 §4.2: the client takes replies whose lines differ in their codes, lines that end in a bare
# LF, and codes without text or without a space before it.
_REPLY_LINE: Final = re.compile(r"([2-5][0-9]{2})(?![0-9])([ -]?)(.*)", re.DOTALL)
# RFC 2034 §4: text = status-code SP text
_STATUS: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|$)")
KNOWN: Final = frozenset(extension.keyword for extension in EXTENSIONS)
NO_LIMITS: Final = Limits()
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class ReplyReader:
    """Takes octets as they come and gives whole replies."""

    __slots__ = ("_at", "_lines", "_octets")

    def __init__(self) -> None:
        # Most arrivals are read whole, and are then never copied: what is read is only passed by.
        self._octets = b""
        self._at = 0
        self._lines: list[tuple[int | None, str]] = []

    def feed(self, octets: bytes) -> None:
        """Add what arrived."""
        self._octets = octets if self._at == len(self._octets) else self._octets[self._at :] + octets
        self._at = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be read, not even part of a reply."""
        return self._at == len(self._octets) and not self._lines

    def take_rest(self) -> bytes:
        """What was not read, up to the end of what arrived."""
        rest = self._octets[self._at :]
        self._at = len(self._octets)
        return rest

    def next_reply(self) -> Reply | None:
        """The next reply, None when it is not yet whole; raises RemoteProtocolError."""
        octets, at = self._octets, self._at
        end = octets.find(b"\n", at, at + MAX_LINE)
        if end >= 0 and not self._lines:
            reply = _single(octets[at:end])
            if reply is not None:
                self._at = end + 1
                return reply
        while True:
            if end < 0:
                if len(octets) - at >= MAX_LINE:
                    raise RemoteProtocolError(f"reply line of more than {MAX_LINE} octets")
                return None
            line = octets[at:end]
            self._at = at = end + 1
            if self._is_last(line):
                lines, self._lines = self._lines, []
                return _reply(lines)
            if len(self._lines) >= MAX_LINES:
                raise RemoteProtocolError(f"reply of more than {MAX_LINES} lines")
            end = octets.find(b"\n", at, at + MAX_LINE)

    def _is_last(self, octets: bytes) -> bool:
        line = _text(octets)
        match = _REPLY_LINE.match(line)
        if match is not None:
            self._lines.append((int(match[1]), match[3]))
            return match[2] != "-"
        if not self._lines:
            raise RemoteProtocolError(f"not a reply: {line[:80]!r}")
        # Inside a reply of several lines, a line that lost its code is text.
        self._lines.append((None, line))
        return False


def _text(line: bytes) -> str:
    text = line.rstrip(b"\r").decode("utf-8", "replace")
    return text if text.isprintable() else _CONTROL.sub("?", text)


@lru_cache(maxsize=512)
def _single(line: bytes) -> Reply | None:
    """A reply of one line: most are, and the same come again and again."""
    match = _REPLY_LINE.match(_text(line))
    return None if match is None or match[2] == "-" else _reply([(int(match[1]), match[3])])


@lru_cache(maxsize=256)
def _status(text: str) -> EnhancedStatusCode:
    return EnhancedStatusCode.parse(text)


def _reply(lines: list[tuple[int | None, str]]) -> Reply:
    # RFC 5321 §4.2.1: the codes of all lines are the same. Where they are not, the last one counts.
    code = lines[-1][0]
    assert code is not None
    status: EnhancedStatusCode | None = None
    texts = []
    for _, text in lines:
        match = _STATUS.match(text)
        if match is not None:
            said = _status(match[1])
            # RFC 2034 §4: the class of the status code agrees with the first digit of the reply code.
            if said.klass == code // 100:
                status = status or said
                text = text[match.end() :]
        texts.append(text)
    return Reply(code, status, tuple(texts))


@value
class Capabilities:
    """What a server announced in its reply to EHLO or LHLO: its name, and keywords with their parameters."""

    server: str
    keywords: MappingProxyType[str, tuple[str, ...]]
    size: int | None = None
    """The largest message in octets, where the server says one (RFC 1870 §3: 0 is no limit)."""
    limits: Limits = NO_LIMITS
    """How much a transaction and a session may be (RFC 9422)."""
    known: frozenset[str] = frozenset()
    """The keywords of extensions that this client knows."""

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
        return Capabilities(
            server[0] if server else "",
            MappingProxyType(keywords),
            _size(keywords.get("SIZE", ())),
            Limits.of(keywords["LIMITS"]) if "LIMITS" in keywords else NO_LIMITS,
            KNOWN.intersection(keywords),
        )

    @staticmethod
    def none(reply: Reply) -> Capabilities:
        """What a server has that only knows HELO."""
        return Capabilities.of(Reply(reply.code, reply.status, reply.lines[:1]))

    @property
    def takes_binary(self) -> bool:
        """Whether BODY=BINARYMIME can be said (RFC 3030 §3)."""
        return {"BINARYMIME", "CHUNKING", "8BITMIME"} <= self.known

    def has(self, keyword: str) -> bool:
        """Whether the extension was announced."""
        return keyword.upper() in self.keywords

    @property
    def auth_mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms as announced, in upper case (RFC 4954 §3)."""
        return tuple(name.upper() for name in self.keywords.get("AUTH", ()))


def _size(parameters: tuple[str, ...]) -> int | None:
    for parameter in parameters:
        # 20 digits are what RFC 1870 §3 allows.
        if parameter.isascii() and parameter.isdecimal() and len(parameter) <= 20:
            return int(parameter) or None
    return None
