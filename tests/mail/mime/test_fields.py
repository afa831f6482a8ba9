"""Header sections as they stand, however they are written."""

from __future__ import annotations

import pytest

from estafeta.mail.mime.fields import comment_end, fields, header_end, unfolded


@pytest.mark.rfc("5322 §2.1", "The header section ends with the first empty line, with bare LF as well.")
@pytest.mark.parametrize(
    ("octets", "end"),
    [
        (b"A: 1\r\n\r\nbody\r\n\r\n", 8),
        (b"A: 1\n\nbody\r\n\r\n", 6),
        (b"A: 1\r\n\nbody", 7),
        (b"A: 1\n\r\nbody", 7),
        (b"\r\nbody", 2),
        (b"\nbody", 1),
        (b"A: 1\r\n \r\nB: 2", 13),
        (b"A: 1\r\n", 6),
        (b"", 0),
    ],
)
def test_the_header_section_ends_with_an_empty_line(octets: bytes, end: int) -> None:
    assert header_end(octets, 0, len(octets)) == end
    assert header_end(b"x" + octets, 1, 1 + len(octets)) == end + 1


@pytest.mark.rfc(
    "5322 §2.2", "Fields are found by name in any case, with their folds; what is no field is passed over."
)
def test_fields_are_found_by_name() -> None:
    octets = b"From x\r\nA: 1\r\n\tfolded\r\nno field\r\na : 2\r\nB:\nC\xf1: 3\r\nD: \xf1\r\n\r\nE: body"
    assert fields(octets, 0, header_end(octets, 0, len(octets))) == {
        b"a": [b" 1\r\n\tfolded\r", b" 2\r"],
        b"b": [b""],
        b"d": [b" \xf1\r"],
    }
    assert unfolded(b" 1\r\n\tfolded \r") == b"1\tfolded"


@pytest.mark.rfc(
    "5322 §3.2.2", "A comment ends with its own parenthesis; quoted ones and comments in it do not end it."
)
@pytest.mark.parametrize(
    ("octets", "end"),
    [(b"(a) b", 3), (b"(a (b) c) d", 9), (b"(a \\) b) c", 8), (b"(a (b) c", 8), (b"(\\", 2), (b"(", 1)],
)
def test_comments_end_where_they_are_closed(octets: bytes, end: int) -> None:
    assert comment_end(octets, 0) == end
