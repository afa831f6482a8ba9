"""The addresses of a header field (RFC 5322 §3.4), with the obsolete forms and what the world makes of them.

An address in one of the common forms is read by one pattern, another one word by word; each octet is looked at once.
Texts stay as they are: encoded words are not decoded here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from estafeta.mail.mime.fields import comment_end, unfolded

MAX_ADDRESSES = 5_000
"""Addresses that are read of a field, and of the messages in a message: more than people write to."""


class Address(NamedTuple):
    """What RFC 9051 §7.5.2 calls an address structure.

    The beginning of a group has only a mailbox, the group's name; its end has nothing. An address that lacks its
    mailbox or its host has empty octets there.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None

    @property
    def is_group(self) -> bool:
        """The beginning or the end of a group."""
        return self.host is None


_GROUP_END = Address(None, None, None, None)

# phrase <a@b>, "quoted" <a@b>, or a@b, and the comma behind it.
_COMMON = re.compile(
    rb'(?:(?:"([^"\\]*+)"[ \t]*+|([^][()<>@,;:\\"]*+))<([^][()<>@,;:\\"\s]++)@([^][()<>@,;:\\"\s]++)>'
    rb'|([^][()<>@,;:\\"\s]++)@([^][()<>@,;:\\"\s]++))[ \t]*+(?:,|\Z)'
)
_BETWEEN = re.compile(rb"[\s,]*+")
_BLANKS = re.compile(rb"\s\s+|[\t\r\n]")
_WORD = re.compile(
    rb'\s++|(?P<quoted>"(?:[^"\\]++|\\.)*+"?)|(?P<literal>\[[^][\\]*+\]?)|(?P<atom>[^][()<>@,;:\\"\s]++|\\.?)|(?P<special>.)',
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def addresses(bodies: list[bytes], limit: int = MAX_ADDRESSES) -> list[Address]:
    """Those of a field that may stand several times (RFC 5322 §4.5.3); no more than the limit are read."""
    found: list[Address] = []
    for body in bodies:
        limit = _read(unfolded(body), found, limit)
    return found


def _read(line: bytes, found: list[Address], limit: int) -> int:
    """Returns how many more may be read."""
    at = 0
    reader: _Words | None = None
    while at < len(line) and limit > 0:
        limit -= 1
        match = _COMMON.match(line, at)
        if match is not None:
            quoted, phrase, mailbox, host, plain, plain_host = match.groups()
            if plain is not None:
                found.append(Address(None, None, plain, plain_host))
            else:
                found.append(Address(_name(phrase) if quoted is None else quoted or None, None, mailbox, host))
            at = match.end()
        else:
            reader = reader or _Words(line, found)
            at = reader.next(at)
        match = _BETWEEN.match(line, at)
        if match is not None:
            at = match.end()
    if reader is not None and reader.is_in_group:
        found.append(_GROUP_END)
    return limit


def _name(phrase: bytes) -> bytes | None:
    return _BLANKS.sub(b" ", phrase).strip() or None


class _Words:
    """Reads an address word by word: up to its comma, the name of a group up to its colon."""

    __slots__ = ("found", "is_in_group", "line")

    def __init__(self, line: bytes, found: list[Address]) -> None:
        self.line = line
        self.found = found
        self.is_in_group = False

    def next(self, at: int) -> int:
        """Read one; returns where the next begins."""
        words: list[bytes] = []
        ats: list[int] = []  # which of the words are at signs
        comment: bytes | None = None
        angle: list[bytes] | None = None
        while at < len(self.line):
            match = _WORD.match(self.line, at)
            if match is None:
                break
            special = match["special"]
            if special == b"(":
                end = comment_end(self.line, at)
                comment = self.line[at + 1 : end - 1 if self.line[end - 1] == 41 else end].strip()
                at = end
                continue
            at = match.end()
            if special is None:
                word = self._word(match)
                if word is not None:
                    words.append(word)
            elif special == b"<" and angle is None:
                angle, at = self._angle(at)
            elif special == b":" and angle is None:
                self.found.append(Address(None, None, b" ".join(words), None))
                self.is_in_group = True
                return at
            elif special in b",;":
                self._end(words, ats, comment, angle)
                if special == b";" and self.is_in_group:
                    self.found.append(_GROUP_END)
                    self.is_in_group = False
                return at
            elif special == b"@" and angle is None:
                ats.append(len(words))
                words.append(b"@")
        self._end(words, ats, comment, angle)
        return at

    def _word(self, match: re.Match[bytes]) -> bytes | None:
        quoted = match["quoted"]
        if quoted is None:
            return match["atom"] or match["literal"]
        inner = quoted[1:-1] if len(quoted) > 1 and quoted.endswith(b'"') else quoted[1:]
        return _QUOTED_PAIR.sub(rb"\1", inner)

    def _angle(self, at: int) -> tuple[list[bytes], int]:
        """The words between the angle brackets; a comma ends them where no route can be."""
        words: list[bytes] = []
        while at < len(self.line):
            match = _WORD.match(self.line, at)
            if match is None:
                break
            special = match["special"]
            if special == b"(":
                at = comment_end(self.line, at)
                continue
            if special == b";" or (special == b"," and words[:1] != [b"@"]):
                break
            at = match.end()
            if special == b">":
                break
            word = special or self._word(match)
            if word is not None:
                words.append(word)
        return words, at

    def _end(self, words: list[bytes], ats: list[int], comment: bytes | None, angle: list[bytes] | None) -> None:
        if angle is not None:
            name = b" ".join(words) or comment
            route = None
            if angle[:1] == [b"@"] and b":" in angle:  # RFC 5322 §4.4: a route is read and kept apart
                colon = angle.index(b":")
                route, angle = b"".join(angle[:colon]), angle[colon + 1 :]
            places = [place for place, word in enumerate(angle) if word == b"@"]
            last = places[-1] if places else len(angle)
            host = b"".join(angle[last + 1 :])
            self.found.append(Address(name or None, route, b"".join(angle[:last]), host))
        elif ats:
            last = ats[-1]
            first = max(0, last - 1)
            while first > 0 and (  # RFC 5322 §4.4: blanks around dots
                words[first].startswith((b".", b"@")) or words[first - 1].endswith((b".", b"@"))
            ):
                first -= 1
            name = b" ".join(words[:first]) or comment
            self.found.append(Address(name or None, None, b"".join(words[first:last]), b"".join(words[last + 1 :])))
        elif words:
            self.found.append(Address(comment or None, None, b" ".join(words), b""))
