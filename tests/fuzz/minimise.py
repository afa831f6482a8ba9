"""Which of many inputs lead to code that no shorter one leads to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any

import estafeta

_SOURCE = estafeta.__path__[0]

Step = tuple[CodeType, int, int]
"""From one line of a function to another."""


def few(run: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """Those of the inputs, the shortest first, that take a step in our code which none before them took."""
    known: set[Step] = set()
    kept: list[bytes] = []
    for octets in sorted(set(inputs), key=lambda octets: (len(octets), octets)):
        steps = _steps(run, octets)
        if not steps <= known:
            known |= steps
            kept.append(octets)
    return kept


def _steps(run: Callable[[bytes], None], octets: bytes) -> set[Step]:
    found: set[Step] = set()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_SOURCE):
            return None
        last = 0

        def follow(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            found.add((code, last, frame.f_lineno))
            last = frame.f_lineno
            return follow

        return follow

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        run(octets)
    finally:
        sys.settrace(before)
    return found
