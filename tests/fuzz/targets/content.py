"""Mail data and chunks, in whatever cuts: the readers give what a plain reading of RFC 5321 §4.5.2 and RFC 3030 §2
gives, hold no more than four octets, and take what `stuff_dots` wrote back to what it was."""

from __future__ import annotations

import re

from tests.fuzz.inputs import OCTETS, WHOLE, Input, Program, pieces

from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.reply import Reply
from estafeta.wire.octets import ReceiveBuffer
from estafeta.wire.smtp.content import FINAL_DOT, ended, stuff_dots
from estafeta.wire.smtp.data import ChunkReader, DataFault, DataReader, Skipper

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def read_data(octets: bytes, cut: int) -> tuple[bytes, DataReader, bytes]:
    """The content, its reader, and what is left behind the final dot."""
    buffer, reader, content = ReceiveBuffer(), DataReader(), b""
    for piece in pieces(octets, cut):
        buffer.feed(piece)
        while not reader.is_complete and (run := reader.take(buffer)):
            content += run
        assert reader.is_complete or len(buffer) <= 4
    return content, reader, buffer.take(len(buffer))


def plain_reading(octets: bytes) -> tuple[bytes, bytes] | None:
    """Data and rest, None where the final dot is missing (RFC 5321 §4.1.1.4)."""
    before, found, rest = (b"\r\n" + octets).partition(b"\r\n.\r\n")
    return (before[2:] + b"\r\n" if before else b"", rest) if found else None


def check_data(octets: bytes, cut: int) -> None:
    """One reading."""
    content, reader, rest = read_data(octets, cut)
    assert len(content) == reader.size
    plain = plain_reading(octets)
    assert reader.is_complete == (plain is not None)
    if plain is None:
        whole, _, _ = read_data(octets + b"\r\n.\r\n", WHOLE)
        assert whole.startswith(content)
        return
    data, left = plain
    assert rest == left
    assert content == re.sub(rb"(?:\A|(?<=\r\n))\.", b"", data)
    fault = DataFault.BARE_LINE_END if _BARE.search(data) else DataFault.NUL if b"\0" in data else None
    assert reader.fault is fault, (reader.fault, fault)
    assert reader.has_8bit == (not data.isascii())
    framed = b"\r\n" + data
    assert reader.has_false_end == any(end in framed for end in (b"\n.\n", b"\n.\r\n", b"\r.\r")), data


def check_chunks(given: Input, cut: int) -> tuple[bytes, DataFault | None, bool]:
    """Chunks of sizes that the input says; gives what they make together."""
    program = Program(given.octets)
    reader, buffer, content = ChunkReader(is_binary=given.has(0)), ReceiveBuffer(), b""
    while program:
        chunk = program.octets(program.number())
        reader.begin(len(chunk), is_last=not program)
        for piece in pieces(chunk, cut):
            buffer.feed(piece)
            content += reader.take(buffer)
        if not chunk:
            reader.take(buffer)
        assert reader.is_complete and not len(buffer)
    return content, reader.fault, reader.has_8bit


def check_skipped(octets: bytes, cut: int) -> None:
    """What nobody wants is passed over, and not an octet more."""
    skipper, buffer = Skipper("BDAT", len(octets) // 2, Reply.of(503, "no")), ReceiveBuffer()
    for piece in pieces(octets, cut):
        buffer.feed(piece)
        assert skipper.take(buffer) == b""
    assert skipper.is_complete and buffer.take(len(octets)) == octets[len(octets) // 2 :]


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    for cut in {WHOLE, OCTETS, given.cut}:
        check_data(given.octets, cut)
        check_skipped(given.octets, cut)
    content, fault, has_8bit = check_chunks(given, given.cut)
    assert check_chunks(given, WHOLE) == check_chunks(given, OCTETS) == (content, fault, has_8bit)
    if given.has(0):
        assert fault is None
    else:
        plain = DataFault.BARE_LINE_END if _BARE.search(content) else DataFault.NUL if b"\0" in content else None
        assert fault is plain, (fault, plain)
    if not has_bare_line_ends(given.octets):
        back, reader, rest = read_data(stuff_dots(given.octets) + FINAL_DOT + b"QUIT\r\n", given.cut)
        assert (back, reader.is_complete, rest) == (ended(given.octets), True, b"QUIT\r\n")
        assert not reader.has_false_end
