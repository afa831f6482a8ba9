"""The parts of a message and where they stand in it, octet by octet (RFC 2046 §5, RFC 9051 §6.4.5.1).

A multipart's delimiters are found before what is between them is looked at, so the outer one counts where two could be
meant. What is broken is read as the world means it: a delimiter line counts when it is the boundary and blanks; where
there is none so, when it begins with the boundary. Depth, parts and header sections are bounded; the rest stays whole.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from estafeta.mail.mime.fields import Fields, fields, header_end, unfolded, without_comments
from estafeta.mail.value import value

Parameters = tuple[tuple[str, bytes], ...]
"""Names in lower case and values without their quotes, both not decoded (RFC 2231 stays as it is)."""

US_ASCII: Parameters = (("charset", b"us-ascii"),)
"""Of what does not say what it is (RFC 2045 §5.2)."""
MESSAGES = frozenset({"rfc822", "global"})
"""Kinds of message/* that are a message (RFC 2046 §5.2.1, RFC 6532 §3.7)."""
IDENTITIES = frozenset({"7bit", "8bit", "binary"})
"""Encodings that leave the octets as they are (RFC 2045 §6.2)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a message is taken apart."""

    depth: int = 64
    """Parts within parts; mail of people has two or three, what goes round as forwards some ten."""
    parts: int = 2_000
    """Parts in all: more than the largest digests have. What follows stays in the last one, or is left out."""
    delimiters: int = 100_000
    """Lines in all that look like delimiters; each costs a look in every multipart around it."""
    header: int = 262_144
    """Octets of a header section whose fields are looked at."""
    field: int = 16_384
    """Octets of one MIME field that are looked at."""
    parameters: int = 64
    """Parameters of one MIME field."""


@value
class Part:
    """One entity. Offsets are places in the octets that were indexed."""

    start: int
    """The first octet of its header section."""
    body: int
    """The first octet of its body."""
    end: int
    """Behind its last octet."""
    lines: int
    """Ends of lines in its body; counted for text/* and messages, else 0."""
    media_type: str = "text"
    """In lower case."""
    subtype: str = "plain"
    parameters: Parameters = US_ASCII
    encoding: str = "7bit"
    """In lower case."""
    content_id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    language: bytes | None = None
    location: bytes | None = None
    disposition: tuple[str, Parameters] | None = None
    parts: tuple[Part, ...] = ()
    """Of a multipart its parts, never none; of a message that can be read in place the one message."""

    @property
    def is_multipart(self) -> bool:
        """Has parts beside each other."""
        return self.media_type == "multipart"

    @property
    def is_message(self) -> bool:
        """Holds a message, whether or not that could be taken apart."""
        return self.media_type == "message" and self.subtype in MESSAGES

    @property
    def size(self) -> int:
        """Octets of the body as transferred."""
        return self.end - self.body

    def parameter(self, name: str) -> bytes | None:
        """The value of a parameter of Content-Type."""
        return next((value for each, value in self.parameters if each == name), None)


def index(octets: bytes, limits: Limits | None = None) -> Part:
    """Find the parts of a message."""
    return indexed(octets, limits)[0]


def indexed(octets: bytes, limits: Limits | None = None) -> tuple[Part, Fields]:
    """The parts, and the fields of the message's own header section, read once."""
    reader = _Reader(octets, limits or Limits())
    body = header_end(octets, 0, len(octets))
    found = reader.fields(0, body)
    return reader.part(0, body, len(octets), found, reader.limits.depth, "plain"), found


def find(root: Part, path: tuple[int, ...]) -> Part | None:
    """The part of a number such as 2.1; the message itself for an empty one (RFC 9051 §6.4.5.1)."""
    part = root
    is_message = True  # its numbers are those of the parts in it, or 1 for its only body
    for number in path:
        if not is_message and part.is_message and part.parts:
            part, is_message = part.parts[0], True
        if part.is_multipart:
            if not 0 < number <= len(part.parts):
                return None
            part = part.parts[number - 1]
        elif not is_message or number != 1:
            return None
        is_message = False
    return part


_FIRST_FIELD = re.compile(rb"\r?\n|[!-9;-~]++[ \t]*+:")
# RFC 2045 §5.1; what is no type is text/plain.
_TYPE = re.compile(rb"[ \t]*+([^\s/;,=()<>@\"]++)[ \t]*+/[ \t]*+([^\s/;,=()<>@\"]++)[ \t]*+(?=;|\Z|[\s,])")
_WORD = re.compile(rb'[ \t]*+"?([^\s;"]++)')
_PARAMETER = re.compile(rb';[ \t;]*+([^\s;="]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]++|\\.)*+)"?|([^\s;"]++))', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_DELIMITER_END = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\r?\Z)")
_LOOSE_END = re.compile(rb"(--)?[^\n]*+(?:\n|\Z)")


class _Reader:
    __slots__ = ("delimiters_left", "limits", "octets", "parts_left")

    def __init__(self, octets: bytes, limits: Limits) -> None:
        self.octets = octets
        self.limits = limits
        self.parts_left = limits.parts
        self.delimiters_left = limits.delimiters

    def fields(self, start: int, body: int) -> Fields:
        return fields(self.octets, start, min(body, start + self.limits.header)) if body > start else {}

    def entity(self, start: int, end: int, depth: int, default: str) -> Part:
        body = header_end(self.octets, start, end)
        if body == end and _FIRST_FIELD.match(self.octets, start, end) is None:
            body = start  # what has neither a field nor an empty line is all body
        return self.part(start, body, end, self.fields(start, body), depth, default)

    def part(self, start: int, body: int, end: int, found: Fields, depth: int, default: str) -> Part:
        """One entity, and what is in it as deep as is left."""
        self.parts_left -= 1
        media_type, subtype, parameters = self._type(found, default)
        encoding = "7bit"
        if b"content-transfer-encoding" in found:
            word = _WORD.match(self._line(found[b"content-transfer-encoding"][0]))
            encoding = "7bit" if word is None else word[1].decode("latin-1").lower()
        parts: tuple[Part, ...] = ()
        lines = 0
        if media_type == "multipart":
            parts = self._multipart(body, end, subtype, parameters, depth - 1)
        elif media_type == "text":
            lines = self.octets.count(b"\n", body, end)
        elif media_type == "message" and subtype in MESSAGES:
            lines = self.octets.count(b"\n", body, end)
            # Departs from RFC 9051 §7.5.2: an encoded message is not taken apart, as its parts stand nowhere.
            if encoding in IDENTITIES and depth > 0 and self.parts_left > 0:
                parts = (self.entity(body, end, depth - 1, "plain"),)
        if len(found) - (b"content-type" in found) - (b"content-transfer-encoding" in found) <= 0:
            return Part(start, body, end, lines, media_type, subtype, parameters, encoding, parts=parts)
        return Part(
            start,
            body,
            end,
            lines,
            media_type,
            subtype,
            parameters,
            encoding,
            self._value(found, b"content-id"),
            self._value(found, b"content-description"),
            self._value(found, b"content-md5"),
            self._value(found, b"content-language"),
            self._value(found, b"content-location"),
            self._disposition(found),
            parts,
        )

    def _multipart(self, body: int, end: int, subtype: str, parameters: Parameters, depth: int) -> tuple[Part, ...]:
        boundary = next((value for name, value in parameters if name == "boundary"), b"")
        spans = self._spans(body, end, boundary) if depth >= 0 else []
        if not spans:  # nothing but a preamble, which is better seen than lost
            return (Part(body, body, end, self.octets.count(b"\n", body, end)),)
        default = "rfc822" if subtype == "digest" else "plain"  # RFC 2046 §5.1.5
        parts: list[Part] = []
        for first, last in spans:
            if self.parts_left <= 0:
                break
            parts.append(self.entity(first, last, depth, default))
        return tuple(parts)

    def _spans(self, body: int, end: int, boundary: bytes) -> list[tuple[int, int]]:
        if not boundary.strip(b" \t"):
            return []
        delimiter = b"\n--" + boundary
        found = self._between(body, end, delimiter, _DELIMITER_END)
        if not found:  # RFC 2046 §5.1.1: no boundary ends with blanks, and what follows it on its line is no matter
            found = self._between(body, end, delimiter.rstrip(b" \t"), _LOOSE_END)
        return found

    def _between(self, body: int, end: int, delimiter: bytes, line_end: re.Pattern[bytes]) -> list[tuple[int, int]]:
        """What stands between the delimiter lines (RFC 2046 §5.1.1); the line end before one belongs to it."""
        octets = self.octets
        found: list[tuple[int, int]] = []
        begun: int | None = None
        at = body - 1  # the end of the empty line may be that before the first delimiter
        while len(found) < self.parts_left and self.delimiters_left > 0:
            at = octets.find(delimiter, at, end)
            if at < 0:
                break
            self.delimiters_left -= 1
            match = line_end.match(octets, at + len(delimiter), end)
            if match is None:
                at += len(delimiter)
                continue
            if begun is not None:
                before = at - 1 if at > begun and octets[at - 1] == 13 else at
                found.append((begun, max(begun, before)))
            begun = match.end()
            if match[1] is not None:
                return found
            at = begun - 1 if octets[begun - 1] == 10 else begun
        if begun is not None:  # cut off, never closed, or more than are taken
            if found and len(found) >= self.parts_left:
                found[-1] = (found[-1][0], end)
            else:
                found.append((begun, end))
        return found

    def _line(self, body: bytes) -> bytes:
        return without_comments(unfolded(body[: self.limits.field]))

    def _type(self, found: Fields, default: str) -> tuple[str, str, Parameters]:
        given = found.get(b"content-type")
        if given is not None:
            line = self._line(given[0])
            match = _TYPE.match(line)
            if match is not None:
                media_type, subtype = match[1].decode("latin-1").lower(), match[2].decode("latin-1").lower()
                return media_type, subtype, self._parameters(line, match.end())
        elif default == "rfc822":
            return "message", "rfc822", ()
        return "text", "plain", US_ASCII  # RFC 2045 §5.2

    def _parameters(self, line: bytes, at: int) -> Parameters:
        found: list[tuple[str, bytes]] = []
        for match in _PARAMETER.finditer(line, at):
            name, quoted, token = match.groups()
            if quoted is not None:
                token = _QUOTED_PAIR.sub(rb"\1", quoted) if b"\\" in quoted else quoted
            found.append((name.decode("latin-1").lower(), token))
            if len(found) >= self.limits.parameters:
                break
        return tuple(found)

    def _value(self, found: Fields, name: bytes) -> bytes | None:
        given = found.get(name)
        return None if given is None else unfolded(given[0][: self.limits.field])

    def _disposition(self, found: Fields) -> tuple[str, Parameters] | None:
        given = found.get(b"content-disposition")
        if given is None:
            return None
        line = self._line(given[0])
        word = _WORD.match(line)
        if word is None:
            return None
        return word[1].decode("latin-1").lower(), self._parameters(line, word.end())


_encoded = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def pack(part: Part) -> bytes:
    """The index in the form in which it is kept."""
    return _encoded(_packed(part)).encode("ascii")


def unpack(octets: bytes, prefix: int = 0) -> Part:
    """What was packed; `prefix` octets now stand before the message and belong to its header section.

    Raises ValueError for what was never packed.
    """
    try:
        root = _unpacked(json.loads(octets), prefix)
    except (TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError("no index of a message") from error
    return replace(root, start=0) if prefix else root


_TEXTS = ("content_id", "description", "md5", "language", "location")


def _packed(part: Part) -> list[Any]:
    kind = [part.media_type, part.subtype, part.encoding, _packed_parameters(part.parameters)]
    others: dict[str, Any] = {
        name: value.decode("latin-1") for name in _TEXTS if (value := getattr(part, name)) is not None
    }
    if part.disposition is not None:
        others["disposition"] = [part.disposition[0], _packed_parameters(part.disposition[1])]
    return [part.start, part.body, part.end, part.lines, kind, others, [_packed(each) for each in part.parts]]


def _packed_parameters(parameters: Parameters) -> list[tuple[str, str]]:
    return [(name, value.decode("latin-1")) for name, value in parameters]


def _unpacked(packed: list[Any], by: int) -> Part:
    start, body, end, lines, (media_type, subtype, encoding, parameters), others, parts = packed
    disposition = others.get("disposition")
    texts = {name: others[name].encode("latin-1") for name in _TEXTS if name in others}
    return Part(
        start + by,
        body + by,
        end + by,
        lines,
        media_type,
        subtype,
        _unpacked_parameters(parameters),
        encoding,
        disposition=None if disposition is None else (disposition[0], _unpacked_parameters(disposition[1])),
        parts=tuple(_unpacked(each, by) for each in parts),
        **texts,
    )


def _unpacked_parameters(packed: list[list[str]]) -> Parameters:
    return tuple((name, value.encode("latin-1")) for name, value in packed)
