"""A message as it is shown on a person's screen: so many lines, so wide, and no character but those that print.

A stranger wrote it and a terminal reads it: controls, escape sequences, marks that turn the direction of text and
whatever else has no width of its own are replaced, and each line of the text stands behind a bar, so that none can
pass for something else.
"""

from __future__ import annotations

import re
import unicodedata

from estafeta.mail.readable import Readable
from estafeta.mail.value import value

BAR = "| "
REPLACED = "\ufffd"
MAX_MARKS = 2
"""Combining marks on one character; more climb over the lines around."""
MAX_HEADING = 200
"""Columns of the heading, and of the subject."""

_LINE_END = re.compile(r"\r\n|\r|\n")


@value
class Screenful:
    """What is shown of one message; every character prints."""

    heading: str
    lines: tuple[str, ...]
    is_whole: bool
    """The message has nothing more to read than this."""

    def text(self) -> str:
        """All of it, each line with its newline."""
        told = [self.heading, *(BAR + line for line in self.lines)]
        told.append("-- end" if self.is_whole else "-- the whole message is in the mailbox")
        return "".join(f"{line}\n" for line in told)


def screenful(heading: str, message: Readable, *, lines: int, columns: int) -> Screenful:
    """Fit a message to a screen of so many lines and columns."""
    fitted: list[str] = []
    is_whole = message.is_all
    if message.subject:
        fitted.append(_fold(f"Subject: {printable(message.subject)}", min(columns, MAX_HEADING), 1)[0])
    text = message.text or ""
    rows = _LINE_END.split(text.strip("\r\n"), maxsplit=lines) if text.strip() else []
    for row in rows:
        # One line more than there is room for tells that there is more.
        fitted += _fold(printable(row), columns, lines + 1 - len(fitted))
        if len(fitted) > lines:
            fitted, is_whole = fitted[:lines], False
            break
    return Screenful(_fold(printable(heading), MAX_HEADING, 1)[0], tuple(fitted), is_whole)


def printable(text: str) -> str:
    """One line of characters that print: the others are replaced, tabs are blanks, heaps of marks are cut."""
    shown: list[str] = []
    marks = 0
    for character in text.replace("\t", "    "):
        is_mark = unicodedata.category(character)[0] == "M"
        marks = marks + 1 if is_mark else 0
        if marks > MAX_MARKS:
            continue
        # Not printable by Unicode's categories: Cc, Cf (bidi and zero width), Cs, Co, Cn, Zl, Zp, Zs but the blank.
        shown.append(character if character.isprintable() else REPLACED)
    return "".join(shown)


def _fold(line: str, columns: int, most: int) -> list[str]:
    """The line in pieces that fit, at most so many; always one."""
    pieces: list[str] = []
    begins = width = 0
    for at, character in enumerate(line):
        wide = _width(character)
        if width + wide > columns and at > begins:
            pieces.append(line[begins:at])
            if len(pieces) >= most:
                return pieces
            begins, width = at, 0
        width += wide
    pieces.append(line[begins:])
    return pieces


def _width(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character)[0] == "M":
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
