"""MD5's compression, so that a keyed hash can go on from states that were kept in place of the key (RFC 2104 §4).

The standard library's MD5 takes no state. Octets that are hashed here are a challenge: some blocks at most.
"""

from __future__ import annotations

import struct
from math import floor, sin
from typing import Final

BLOCK: Final = 64
STATE: Final = 16
"""Octets of a state, the four words of RFC 1321 §3.3 in their order."""

# RFC 1321 §3.4
_SHIFTS: Final = (
    *(7, 12, 17, 22) * 4,
    *(5, 9, 14, 20) * 4,
    *(4, 11, 16, 23) * 4,
    *(6, 10, 15, 21) * 4,
)
_SINES: Final = tuple(floor(abs(sin(number + 1)) * 2**32) for number in range(64))
_START: Final = struct.pack("<4I", 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)


def keyed_states(key: bytes) -> bytes:
    """The inner and the outer state of HMAC-MD5 under a key (RFC 2104 §2, §4): 32 octets, as good as the key for it."""
    if len(key) > BLOCK:
        key = finish(_START, key, 0)
    padded = key.ljust(BLOCK, b"\0")
    inner, outer = (bytes(octet ^ pad for octet in padded) for pad in (0x36, 0x5C))
    return _compress(_START, inner) + _compress(_START, outer)


def keyed_hash(states: bytes, text: bytes) -> bytes:
    """HMAC-MD5 of a text under the key whose states these are: 16 octets."""
    inner = finish(states[:STATE], text, BLOCK)
    return finish(states[STATE:], inner, BLOCK)


def finish(state: bytes, rest: bytes, before: int) -> bytes:
    """MD5 of `before` octets that led to the state, a whole number of blocks, and of the rest (RFC 1321 §3.1, §3.2)."""
    padding = b"\x80" + b"\0" * ((55 - len(rest)) % BLOCK)
    octets = rest + padding + struct.pack("<Q", (before + len(rest)) * 8)
    for at in range(0, len(octets), BLOCK):
        state = _compress(state, octets[at : at + BLOCK])
    return state


def _compress(state: bytes, block: bytes) -> bytes:
    words = struct.unpack("<16I", block)
    first = struct.unpack("<4I", state)
    a, b, c, d = first
    for step in range(64):
        if step < 16:
            mixed, index = (b & c) | (~b & d), step
        elif step < 32:
            mixed, index = (d & b) | (~d & c), (5 * step + 1) % 16
        elif step < 48:
            mixed, index = b ^ c ^ d, (3 * step + 5) % 16
        else:
            mixed, index = c ^ (b | (~d & 0xFFFFFFFF)), (7 * step) % 16
        summed = (a + mixed + _SINES[step] + words[index]) & 0xFFFFFFFF
        shift = _SHIFTS[step]
        a, d, c = d, c, b
        b = (b + ((summed << shift) | (summed >> (32 - shift)))) & 0xFFFFFFFF
    return struct.pack("<4I", *((one + other) & 0xFFFFFFFF for one, other in zip(first, (a, b, c, d), strict=True)))
