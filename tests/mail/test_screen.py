"""What a stranger writes stays within its lines on the screen of another."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.readable import Readable
from estafeta.mail.screen import BAR, MAX_HEADING, Screenful, printable, screenful


def shown(text: str | None, *, is_all: bool = True, subject: str = "", lines: int = 5, columns: int = 20) -> Screenful:
    return screenful(
        "Message from ana@example.org at 15:04", Readable(text, is_all, subject), lines=lines, columns=columns
    )


def test_a_short_message_is_shown_whole() -> None:
    screen = shown("hola\r\n\r\n¿qué tal?\r\n\r\n", subject="lunch")
    assert screen.is_whole
    assert screen.text() == (
        "Message from ana@example.org at 15:04\n| Subject: lunch\n| hola\n| \n| ¿qué tal?\n-- end\n"
    )


def test_a_message_without_text_is_not_whole() -> None:
    screen = shown(None, is_all=False, subject="a picture")
    assert screen.lines == ("Subject: a picture",) and not screen.is_whole
    assert screen.text().endswith("\n-- the whole message is in the mailbox\n")


@pytest.mark.parametrize(
    ("text", "lines", "is_whole"),
    [
        ("1\n2\n3\n4\n5", 5, True),
        ("1\n2\n3\n4\n5\n\n", 5, True),
        ("1\n2\n3\n4\n5\n6", 5, False),
        ("x" * 100, 5, True),
        ("x" * 101, 5, False),
        ("x" * 60 + "\n" + "y" * 41, 5, False),
        ("界" * 50, 5, True),
        ("界" * 51, 5, False),
        ("\r".join("123456"), 5, False),
        ("", 0, True),
    ],
)
def test_lines_and_columns_are_counted(text: str, lines: int, is_whole: bool) -> None:
    screen = shown(text)
    assert (len(screen.lines), screen.is_whole) == (lines, is_whole)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J",
        "\x9b2J",
        "\x1b]0;owned\x07",
        "a\x08b",
        "\u202eabc",
        "\u2066a",
        "\u200b",
        "\ufeff",
        "\u2028",
        "\x85",
        "\0",
    ],
)
def test_what_commands_a_terminal_is_replaced(text: str) -> None:
    screen = shown(f"x{text}", subject=f"x{text}")
    assert "\ufffd" in screen.lines[0] and "\ufffd" in screen.lines[1]
    assert not set(text) & set(screen.text()) - set("[2J]0;ownedabcx")


def test_heaps_of_marks_are_cut() -> None:
    assert printable("a" + "\u0301" * 50 + "b") == "a\u0301\u0301b"


def test_no_line_passes_for_another() -> None:
    screen = shown("-- end\nMessage from root at 15:05\n| pay", columns=40)
    assert screen.text().splitlines()[1:4] == ["| -- end", "| Message from root at 15:05", "| | pay"]


def columns_of(line: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in line)
    return len(line) + wide - sum(unicodedata.category(character)[0] == "M" for character in line)


@given(st.text(max_size=600), st.text(max_size=300), st.text(max_size=300), st.integers(1, 8), st.integers(2, 40))
def test_only_what_prints_gets_out_and_no_more_than_fits(
    text: str, subject: str, sender: str, lines: int, columns: int
) -> None:
    heading = f"Message from {sender}"
    screen = screenful(heading, Readable(text, True, subject), lines=lines, columns=columns)
    out = screen.text()
    assert all(character == "\n" or character.isprintable() for character in out)
    rows = out.split("\n")
    assert len(rows) == len(screen.lines) + 3 and len(screen.lines) <= lines
    assert all(row.startswith(BAR) and columns_of(row) <= columns + len(BAR) + 2 for row in rows[1:-2])
    assert columns_of(rows[0]) <= MAX_HEADING + 2
