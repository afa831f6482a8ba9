"""Mail data: dot transparency at every cut, one end of data only, and no bare line ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.octets import ReceiveBuffer
from estafeta.wire.smtp.data import DataFault, DataReader


def read(octets: bytes, cuts: list[int]) -> tuple[bytes, DataReader, bytes]:
    """The content, the reader, and what was left behind the final dot."""
    buffer, reader, content = ReceiveBuffer(), DataReader(), b""
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        buffer.feed(octets[start:end])
        while not reader.is_complete and (run := reader.take(buffer)):
            content += run
    return content, reader, buffer.take(len(buffer))


def stuffed(content: bytes) -> bytes:
    """As a client sends it (RFC 5321 §4.5.2); the content ends in CRLF."""
    return b"".join(b"." + line if line[:1] == b"." else line for line in content.splitlines(keepends=True))


lines = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x", b"x.", b" .", b"\xc3\xa9", b"x" * 40]), min_size=0)


@pytest.mark.rfc("5321 §4.5.2", "The server takes doubled dots away, wherever the octets are cut.")
@pytest.mark.rfc("5321 §4.5.3.1.6", "Lines of mail data have no length of their own.")
@given(lines, st.lists(st.integers(0, 400)))
def test_dots_are_transparent_at_every_cut(parts: list[bytes], cuts: list[int]) -> None:
    content = b"".join(line + b"\r\n" for line in parts)
    got, reader, left = read(stuffed(content) + b".\r\nQUIT\r\n", cuts)
    assert (got, reader.is_complete, left, reader.fault) == (content, True, b"QUIT\r\n", None)
    assert reader.size == len(content)


def test_every_single_cut_of_a_dotted_message_gives_the_same() -> None:
    octets = b"..\r\n.\r.\r\n\r\n...\r\n.\r\n".replace(b"\r.\r", b"..\r")
    whole = read(octets, [])[0]
    for cut in range(len(octets)):
        assert read(octets, [cut])[0] == whole


def test_octet_by_octet_is_the_same_as_whole() -> None:
    octets = b".. one\r\n...\r\n\r\n.. \r\nend\r\n.\r\n"
    assert read(octets, list(range(len(octets))))[0] == read(octets, [])[0] == b". one\r\n..\r\n\r\n. \r\nend\r\n"


def test_empty_data_ends_at_once() -> None:
    content, reader, _ = read(b".\r\n", [1, 2])
    assert content == b"" and reader.is_complete


@pytest.mark.rfc("5321 §2.3.8", "A bare CR or LF in mail data is a fault, wherever the octets are cut.")
@pytest.mark.parametrize("octets", [b"a\nb\r\n.\r\n", b"a\rb\r\n.\r\n", b"\n.\r\n.\r\n", b"a\r\r\n.\r\n"])
def test_a_bare_cr_or_lf_is_a_fault(octets: bytes) -> None:
    for cut in range(len(octets)):
        assert read(octets, [cut])[1].fault is DataFault.BARE_LINE_END


@pytest.mark.rfc("5321 §4.1.1.4", "A NUL in mail data is a fault.")
def test_nul_is_a_fault() -> None:
    assert read(b"a\0b\r\n.\r\n", [])[1].fault is DataFault.NUL


@pytest.mark.rfc("5321 §4.1.1.4", "Nothing but CRLF, dot, CRLF ends the data.")
@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r\r\n"])
def test_what_another_server_might_take_for_the_end_is_not_the_end(end: bytes) -> None:
    octets = b"one" + end + b"MAIL FROM:<smuggled@example.net>\r\n"
    for cut in range(len(octets)):
        _, reader, _ = read(octets, [cut])
        assert not reader.is_complete
        assert reader.fault is DataFault.BARE_LINE_END


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n"])
def test_a_false_end_is_noticed_at_every_cut(end: bytes) -> None:
    octets = b"one" + end + b"more of it"
    for cut in range(len(octets)):
        assert read(octets, [cut])[1].has_false_end


def test_8bit_data_is_noticed() -> None:
    assert read("año\r\n.\r\n".encode(), [])[1].has_8bit
    assert not read(b"ano\r\n.\r\n", [])[1].has_8bit
