"""Whatever comes as a message for a person's screen: every line prints, is no wider than the screen and stands behind
its bar, no escape and no mark that turns the direction of text comes through, and what is left out is said."""

from __future__ import annotations

import unicodedata

from tests.fuzz.inputs import Input

from estafeta.mail.readable import readable
from estafeta.mail.report import clean
from estafeta.mail.screen import BAR, MAX_HEADING, MAX_MARKS, printable, screenful

PLAIN, WHOLE = range(2)
"""Flags: a header of plain text comes before the octets; a screen that has room for all."""
_PLAIN = b"Subject: a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"


def columns(line: str) -> int:
    """How wide a terminal shows it."""
    marks = ("Mn", "Me", "Mc")
    return sum(
        0 if unicodedata.category(each) in marks else 1 + (unicodedata.east_asian_width(each) in ("W", "F"))
        for each in line
    )


def check_line(line: str) -> None:
    """What may stand on a screen."""
    assert line.isprintable() and "\x1b" not in line, ascii(line)
    for at in range(len(line) - MAX_MARKS):
        assert any(unicodedata.category(each)[0] != "M" for each in line[at : at + MAX_MARKS + 1])


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    message = readable((_PLAIN if given.has(PLAIN) else b"") + given.octets)
    lines, wide = (5000, 5000) if given.has(WHOLE) else (1 + given.cut % 7, 2 + (given.cut >> 3))
    heading = given.octets.decode("utf-8", "replace")
    shown = screenful(heading, message, lines=lines, columns=wide)
    assert len(shown.lines) <= lines and columns(shown.heading) <= MAX_HEADING
    for line in (shown.heading, *shown.lines):
        check_line(line)
    assert all(columns(line) <= wide for line in shown.lines), shown.lines
    told = shown.text().split("\n")
    assert told[-1] == "" and all(line.startswith(BAR) for line in told[1:-2]) and len(told) == len(shown.lines) + 3
    assert message.is_all or not shown.is_whole
    assert printable(printable(heading)) == printable(heading)
    limit = 3 + given.cut
    cleaned = clean(heading, limit)
    assert len(cleaned) <= limit and cleaned.isprintable() and clean(cleaned, limit) == cleaned
