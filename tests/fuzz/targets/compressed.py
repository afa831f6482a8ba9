"""Whatever comes compressed, in whatever cuts: each step gives at most so many octets, all of them together are what
zlib makes of it, and what is no deflate is refused with CompressionError in the same place."""

from __future__ import annotations

import zlib

from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces

from estafeta.wire.imap.compression import MOST_AT_ONCE, Compression, CompressionError

PLAIN, BOMB = range(2)
"""Flags: what was deflated here, and stands so many times."""
MOST = 4 * MOST_AT_ONCE


def inflated(octets: bytes, cut: int) -> tuple[bytes, bool]:
    """What comes out, and whether it was refused."""
    compression, out = Compression(), bytearray()
    for piece in pieces(octets, cut):
        left = piece
        while True:
            try:
                made, left = compression.inflate(left)
            except CompressionError as error:
                assert str(error)
                return bytes(out), True
            assert len(made) <= MOST_AT_ONCE and len(left) <= len(piece)
            out += made
            if len(out) > MOST:
                return bytes(out[:MOST]), False
            if not left and len(made) < MOST_AT_ONCE:
                break
    return bytes(out), False


def by_zlib(octets: bytes) -> tuple[bytes, bool]:
    """The same, at once."""
    inflate = zlib.decompressobj(-15)
    try:
        out = inflate.decompress(octets, MOST)
    except zlib.error:
        return b"", True
    return out, inflate.eof


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    if given.has(PLAIN):
        plain = given.octets * (4096 if given.has(BOMB) else 1)
        sent = Compression().deflate(plain)
        for cut in {WHOLE, OCTETS, given.cut}:
            assert inflated(sent, cut) == (plain[:MOST], False)
        return
    found = inflated(given.octets, given.cut)
    for cut in {WHOLE, OCTETS} - {given.cut}:
        again = inflated(given.octets, cut)
        assert again[1] == found[1] and (again[1] or again == found)
    made, is_refused = by_zlib(given.octets)
    assert is_refused == found[1] or len(made) == MOST
    assert is_refused or found[0] == made
