"""What messages are sorted and threaded by: base subject, sent date, message ids (RFC 5256 §2, RFC 5322 §3)."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from estafeta.mail.mime.fields import comment_end, unfolded

MAX_SUBJECT = 8_192
"""Letters of a subject that are looked at; what unwraps forwards goes over it again and again."""
MAX_REFERENCES = 250
"""Message ids of one message: the first, and the last before it."""

_BLANKS = re.compile(r"[ \t\r\n]+")
_BLOB = re.compile(r"\[[^][]*+\][ \t]*+")
_REFWD = re.compile(r"(?:re|fwd?)[ \t]*+(?:\[[^][]*+\][ \t]*+)?:", re.IGNORECASE)
_TRAILER = re.compile(r"(?:\(fwd\)|[ \t])\Z", re.IGNORECASE)


def base_subject(text: str) -> tuple[str, bool]:
    """The base subject of a decoded subject, and whether it was a reply or a forward (RFC 5256 §2.1)."""
    text = _BLANKS.sub(" ", text[:MAX_SUBJECT])  # (1)
    is_reply = False
    while True:
        text, has_trailer = _without_trailers(text)
        text, has_leader = _without_leaders(text)
        is_reply = is_reply or has_trailer or has_leader
        if text[:5].lower() != "[fwd:" or not text.endswith("]"):  # (6)
            return text, is_reply
        text, is_reply = text[5:-1], True


def _without_trailers(text: str) -> tuple[str, bool]:
    """RFC 5256 §2.1 (2)."""
    end = len(text)
    found = False
    while end:
        if text[end - 1] == " ":
            end -= 1
        elif end >= 5 and text[end - 5 : end].lower() == "(fwd)":
            end -= 5
            found = True
        else:
            break
    return text[:end], found


def _without_leaders(text: str) -> tuple[str, bool]:
    """RFC 5256 §2.1 (3) to (5)."""
    at = 0
    found = False
    while True:
        while text.startswith(" ", at):
            at += 1
        last = after = at
        while (blob := _BLOB.match(text, after)) is not None:
            last, after = after, blob.end()
        refwd = _REFWD.match(text, after)
        if refwd is None:  # (4): blobs go one by one, as long as something is left
            return text[after if after < len(text) else last :], found
        at = refwd.end()  # (3): subj-leader
        found = True


class _Title(dict[int, str]):
    """Letters by their numbers, in title case where that is one letter; some thousand are remembered."""

    def __missing__(self, number: int) -> str:
        letter = chr(number)
        title = letter.title()
        found = title if len(title) == 1 else letter
        if len(self) < 4_000:
            self[number] = found
        return found


_TITLE = _Title()


def casemapped(text: str) -> str:
    """By which texts are ordered and compared (i;unicode-casemap, RFC 5051 §2)."""
    if text.isascii():
        return text.upper()
    return unicodedata.normalize("NFKD", text.translate(_TITLE))


_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_HOURS = {b"edt": -4, b"est": -5, b"cdt": -5, b"cst": -6, b"mdt": -6, b"mst": -7, b"pdt": -7, b"pst": -8}
"""RFC 5322 §4.3; any other name is as if nobody knew."""
_TIME = rb"(?:(\d{1,2})[:.](\d{1,2})(?:[:.](\d{1,2})(?:[.,]\d{0,9})?)?)"
_ZONE = rb"(?:[ \t]*+([+-]\d\d:\d\d|[+-]\d{3,4}|[A-Za-z]{1,9}))?"
_DATE = re.compile(
    rb"[ \t]*+(?:[^\d \t,]{1,20}[ \t]*+,?[ \t]*+)?(\d{1,2})[ \t-]++([A-Za-z]{3})[A-Za-z]{0,6}+\.?[ \t,-]++(\d{2,4})"
    rb"(?!\d)(?:[ \t,]++" + _TIME + _ZONE + rb")?"
)
_ASCTIME = re.compile(
    rb"[ \t]*+[A-Za-z]{3,9},?[ \t]++([A-Za-z]{3})[a-z]{0,6}[ \t]++(\d{1,2}),?[ \t]++"
    + _TIME
    + _ZONE
    + rb"[ \t]++(\d{4})"
)
_ISO = re.compile(rb"[ \t]*+(\d{4})-(\d\d)-(\d\d)(?:[T \t]++" + _TIME + _ZONE + rb")?")
_EPOCH = date(1970, 1, 1).toordinal()


def sent_at(body: bytes) -> tuple[float, date] | None:
    """The instant of a Date field, and the day as it is written (RFC 5322 §3.3, §4.3); None where there is none.

    A time or a zone that nobody can read counts as 00:00:00 and as UTC (RFC 5256 §2.2).
    """
    line = _without_comments(unfolded(body[:1_000]))
    if (match := _DATE.match(line)) is not None:
        day, month, year, hour, minute, second, zone = match.groups()
        number = _MONTHS.get(month.lower(), 0)
    elif (match := _ASCTIME.match(line)) is not None:
        month, day, hour, minute, second, zone, year = match.groups()
        number = _MONTHS.get(month.lower(), 0)
    elif (match := _ISO.match(line)) is not None:
        year, month, day, hour, minute, second, zone = match.groups()
        number = int(month)
    else:
        return None
    try:
        written = date(_year(year), number, int(day))
    except ValueError:
        return None
    seconds = int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
    if int(hour or 0) > 24 or int(minute or 0) > 59 or int(second or 0) > 60:
        seconds = 0
    return float((written.toordinal() - _EPOCH) * 86_400 + seconds - _offset(zone)), written


def _year(digits: bytes) -> int:
    """RFC 5322 §4.3: of two digits 00 to 49 are of this century, of three they count from 1900."""
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if len(digits) == 2 and year < 50 else 1900)


def _offset(zone: bytes | None) -> int:
    if not zone:
        return 0
    if zone[:1] not in (b"+", b"-"):
        return _HOURS.get(zone.lower(), 0) * 3600
    digits = zone[1:].replace(b":", b"").rjust(4, b"0")
    offset = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    if offset >= 86_400:
        return 0
    return -offset if zone.startswith(b"-") else offset


def _without_comments(line: bytes) -> bytes:
    at = line.find(b"(")
    while at >= 0:
        line = line[:at] + b" " + line[comment_end(line, at) :]
        at = line.find(b"(", at)
    return line


# RFC 5322 §3.6.4; whatever stands between the brackets is an id, as the world writes many.
_MESSAGE_ID = re.compile(rb"<([^<>]++)>")
_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_WHITE = re.compile(rb"\s++")
_LONGEST_ID = 998


def message_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a field in their order, without brackets, blanks and the quotes of quoted parts (RFC 5256 §3)."""
    found = [
        _WHITE.sub(b"", match) if b'"' not in match else _unquoted(match)
        for match in _MESSAGE_ID.findall(unfolded(body))
        if len(match) <= _LONGEST_ID
    ]
    if len(found) > MAX_REFERENCES:
        found = [found[0], *found[1 - MAX_REFERENCES :]]
    return tuple([each.decode("utf-8", "replace") for each in found if each])


def _unquoted(octets: bytes) -> bytes:
    return _QUOTED.sub(lambda match: _QUOTED_PAIR.sub(rb"\1", match[1]), octets).strip()
