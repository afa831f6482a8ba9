"""What is sent, in its grammar (RFC 9051 §9): strings, names, sets of numbers, dates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from estafeta.wire.imap import names

# RFC 9051 §9: ATOM-CHAR and "]" for astrings
_ASTRING = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_QUOTED = re.compile(rb"[^\x00\r\n\x80-\xff]*")
_ESCAPED = re.compile(rb'(["\\])')
_MOST_QUOTED = 1000
"""Octets; longer strings are literals, which clients read without looking for their end."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def literal(octets: bytes) -> bytes:
    """`{4}` and the octets."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def string(octets: bytes) -> bytes:
    """A quoted string where that can be, else a literal."""
    if len(octets) <= _MOST_QUOTED and _QUOTED.fullmatch(octets):
        return b'"' + _ESCAPED.sub(rb"\\\1", octets) + b'"'
    return literal(octets)


def quoted(text: str) -> bytes:
    """A string out of text in UTF-8."""
    return string(text.encode("utf-8", "replace"))


def nstring(octets: bytes | None) -> bytes:
    """A string, or NIL."""
    return b"NIL" if octets is None else string(octets)


def astring(text: str) -> bytes:
    """An atom where that can be, else a string."""
    octets = text.encode("utf-8", "replace")
    return octets if _ASTRING.fullmatch(octets) and octets.upper() != b"NIL" else string(octets)


def mailbox_name(name: str, is_utf8: bool) -> bytes:
    """A mailbox: in UTF-8 or in modified UTF-7."""
    if not is_utf8:
        return astring(names.encoded(name))
    octets = name.encode("utf-8", "replace")
    if octets.isascii():
        return astring(name)
    # RFC 9051 §4.3: quoted strings have UTF-8 in them then.
    return b'"' + _ESCAPED.sub(rb"\\\1", octets) + b'"'


def number_set(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as a sequence-set: `1:3,5`."""
    parts: list[bytes] = []
    first = last = 0
    for number in numbers:
        if number == last + 1 and last:
            last = number
            continue
        if last:
            parts.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
        first = last = number
    if last:
        parts.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
    return b",".join(parts)


def range_set(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Ascending ranges as a sequence-set."""
    return b",".join(b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in ranges)


def date_time(instant: float) -> bytes:
    """An instant as INTERNALDATE has it, in UTC, with its quotes."""
    at = datetime.fromtimestamp(instant, UTC)
    month = _MONTHS[at.month - 1].encode()
    return b'"%2d-%b-%04d %02d:%02d:%02d +0000"' % (at.day, month, at.year, at.hour, at.minute, at.second)


def flag_list(flags: Iterable[str]) -> bytes:
    """Flags in parentheses."""
    return b"(" + " ".join(flags).encode() + b")"
