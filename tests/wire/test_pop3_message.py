"""Dot-stuffing and TOP: a client gets what was stored, and nothing in it ends the response early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.pop3.message import DotStuffer, end_of_header, end_of_top, stuffed

PIECES = st.lists(st.sampled_from([b".", b"..", b"\r\n", b"a", b"\r\n.", b"\r\n.\r\n", b"\r", b"b."]), max_size=30)


def by_pieces(pieces: list[bytes]) -> bytes:
    stuffer = DotStuffer()
    return b"".join([*(stuffer.encode(piece) for piece in pieces), stuffer.end()])


@pytest.mark.rfc("1939 §3", "Lines that begin with a dot are stuffed, so that the client gets back what was stored.")
@given(PIECES)
def test_a_client_gets_back_what_was_stored(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    lines = by_pieces(pieces).split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    read = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])
    assert read in (octets, octets + b"\r\n")
    assert read == octets or not octets.endswith(b"\r\n")


@given(PIECES)
def test_where_a_message_is_cut_changes_nothing(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    assert by_pieces(pieces) == by_pieces([octets]) == stuffed(octets)


def test_a_dot_behind_a_bare_lf_does_not_end_the_response_for_readers_of_lf() -> None:
    assert by_pieces([b"a\n", b".\r\n+OK\r\n"]) == b"a\n..\r\n+OK\r\n.\r\n"


@pytest.mark.parametrize(
    ("octets", "lines", "shown"),
    [
        (b"A: b\r\n\r\none\r\ntwo\r\n", 0, b"A: b\r\n\r\n"),
        (b"A: b\r\n\r\none\r\ntwo\r\n", 1, b"A: b\r\n\r\none\r\n"),
        (b"A: b\r\n\r\none\r\ntwo\r\n", 3, b"A: b\r\n\r\none\r\ntwo\r\n"),
        (b"A: b\r\n\r\none\r\ntwo", 2, b"A: b\r\n\r\none\r\ntwo"),
        (b"A: b\r\nC: d\r\n", 5, b"A: b\r\nC: d\r\n"),
        (b"A: b\r\n\r\n", 0, b"A: b\r\n\r\n"),
        (b"\r\nbody\r\n\r\nmore\r\n", 1, b"\r\nbody\r\n"),
        (b"", 3, b""),
    ],
)
def test_top_shows_the_header_and_so_many_lines(octets: bytes, lines: int, shown: bytes) -> None:
    assert octets[: end_of_top(octets, lines)] == shown


def test_a_message_without_a_blank_line_is_all_header() -> None:
    assert end_of_header(b"A: b\r\n") == 6
