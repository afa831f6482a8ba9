"""How a harness takes the fuzzer's octets apart, and cuts what is left as a network may."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""Inputs that lead to all code that was found, a folder for each target."""
TARGETS = tuple(sorted(file.stem for file in (Path(__file__).parent / "targets").glob("[a-z]*.py")))
"""The harnesses by name."""
WHOLE = 0
"""The cut of what arrives in one piece."""
OCTETS = 1
"""The cut of what arrives octet by octet."""


@dataclass(frozen=True, slots=True)
class Input:
    """Flags that choose the circumstances, a cut, and what arrives."""

    flags: int
    cut: int
    octets: bytes

    @staticmethod
    def of(octets: bytes) -> Input:
        """The first octet is the flags, the second the cut."""
        return Input(octets[0] if octets else 0, octets[1] if len(octets) > 1 else WHOLE, octets[2:])

    def has(self, bit: int) -> bool:
        """Whether a flag is set."""
        return bool(self.flags >> bit & 1)


def pieces(octets: bytes, cut: int) -> Iterator[bytes]:
    """The octets in pieces of 1 to `cut` octets, always the same for the same cut; nothing where there are none."""
    if cut == WHOLE:
        if octets:
            yield octets
        return
    chance = random.Random(cut)
    at = 0
    while at < len(octets):
        size = chance.randint(1, cut)
        yield octets[at : at + size]
        at += size


class Program:
    """Octets read as numbers and texts, one after the other; zeros and nothing behind the end."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._octets)

    def number(self) -> int:
        """From 0 to 255."""
        self._at += 1
        return self._octets[self._at - 1] if self._at <= len(self._octets) else 0

    def octets(self, count: int) -> bytes:
        """So many, or as many as there are."""
        self._at += count
        return self._octets[self._at - count : self._at]


def stretched(octets: bytes, size: int) -> bytes:
    """What stands between the first two marks (0xFE), again and again up to the size; all where there are none."""
    parts = octets.split(b"\xfe", 2)
    if len(parts) < 3:
        parts = [b"", octets, b""]
    before, unit, behind = parts
    return before + unit * (size // len(unit) if unit else 0) + behind


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Fails where what is done takes more time of the processor than that; says nothing while each line is traced."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < seconds or sys.gettrace() is not None, f"took {took:.1f} seconds"
