"""COMPRESS=DEFLATE: both directions of a session through raw deflate (RFC 4978)."""

from __future__ import annotations

import zlib

MOST_AT_ONCE = 256 * 1024
"""Octets that come out of one step: what is sent small must not fill the memory."""


class CompressionError(Exception):
    """What came is not deflate."""


class Compression:
    """Inflates what comes and deflates what goes."""

    __slots__ = ("_deflate", "_inflate")

    def __init__(self) -> None:
        # RFC 4978 §4: no zlib header (negative window bits). A small window on our side: 15 bits cost 256 KiB.
        self._inflate = zlib.decompressobj(-15)
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -13, 6)

    def inflate(self, octets: bytes) -> tuple[bytes, bytes]:
        """Some of what the octets stand for, and the octets that are left to inflate. Raises CompressionError."""
        try:
            out = self._inflate.decompress(octets, MOST_AT_ONCE)
        except zlib.error as error:
            raise CompressionError(str(error)) from error
        if self._inflate.eof:
            raise CompressionError("the stream has ended")
        return out, self._inflate.unconsumed_tail

    def deflate(self, octets: bytes) -> bytes:
        """Octets to send, whole: nothing waits for what comes after."""
        return self._deflate.compress(octets) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
