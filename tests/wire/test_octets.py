"""Lines end in CRLF, are limited, and a faulty one never costs the reader its place."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.octets import LineFault, ReceiveBuffer, RepairingBuffer


def lines_of(octets: bytes, cuts: list[int], limit: int = 20) -> list[bytes | LineFault]:
    buffer = ReceiveBuffer()
    lines: list[bytes | LineFault] = []
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        buffer.feed(octets[start:end])
        while (line := buffer.take_line(limit)) is not None:
            lines.append(line)
    return lines


def test_a_line_comes_without_its_crlf() -> None:
    assert lines_of(b"NOOP\r\nQUIT\r\n", []) == [b"NOOP", b"QUIT"]


def test_faulty_lines_are_told_and_the_next_line_is_read() -> None:
    octets = b"a\nb\rc\r\nd\0e\r\nfine\r\n"
    assert lines_of(octets, []) == [LineFault.BARE_LF, LineFault.BARE_CR, LineFault.NUL, b"fine"]


def test_a_line_of_exactly_the_limit_is_read_and_one_more_octet_is_not() -> None:
    assert lines_of(b"x" * 18 + b"\r\n", []) == [b"x" * 18]
    assert lines_of(b"x" * 19 + b"\r\nok\r\n", []) == [LineFault.TOO_LONG, b"ok"]


def test_an_endless_line_is_not_kept() -> None:
    buffer = ReceiveBuffer()
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
        assert buffer.take_line(512) is None
        assert len(buffer) <= 1000
    buffer.feed(b"\r\nNOOP\r\n")
    assert [buffer.take_line(512), buffer.take_line(512)] == [LineFault.TOO_LONG, b"NOOP"]


@given(
    st.lists(st.sampled_from([b"NOOP\r\n", b"x" * 30 + b"\r\n", b"a\n", b"b\rc\r\n", b"\r\n", b"\0\r\n"])),
    st.lists(st.integers(0, 1000)),
)
def test_how_the_octets_are_cut_does_not_matter(parts: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(parts)
    assert lines_of(octets, cuts) == lines_of(octets, [])


@given(
    st.lists(st.sampled_from([b"a\n", b"b\r\n", b"\n", b"\r\n", b"c\rd\n", b".\n", b"e\r\r\n"])),
    st.lists(st.integers(0, 100)),
)
def test_the_repairing_buffer_makes_every_bare_lf_a_crlf_at_every_cut(parts: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(parts)
    buffer, got = RepairingBuffer(), b""
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        buffer.feed(octets[start:end])
        got += buffer.take(len(buffer))
    assert got == octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def test_a_repairing_buffer_that_was_cleared_begins_anew() -> None:
    buffer = RepairingBuffer()
    buffer.feed(b"x\r")
    buffer.clear()
    buffer.feed(b"\nNOOP\n")
    assert [buffer.take_line(20), buffer.take_line(20)] == [b"", b"NOOP"]
