"""Ids that are unique across processes and restarts and grow with time.

63 bits, so that they fit every database's signed integer: 42 bits of milliseconds since 1970 (enough until
2109), 8 of the worker (the process), 13 of a sequence. A clock that stands still or goes back only makes the
source run ahead of it. As text an id has 13 characters of Crockford's base32, which sort as the ids do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_WORKER_BITS = 8
_SEQUENCE_BITS = 13
_SHIFT = _WORKER_BITS + _SEQUENCE_BITS
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1
MAX_WORKERS = 1 << _WORKER_BITS
"""Processes that can have one store open at a time."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH = 13
# Crockford's base32 reads what people mistake: o for 0, i and l for 1.
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)} | {"o": 0, "i": 1, "l": 1}


class IdSource:
    """Gives ids; safe to call from any thread."""

    def __init__(self, clock: Callable[[], float], *, worker: int, above: int = 0) -> None:
        """`clock` gives seconds since 1970; every id is greater than `above`."""
        self._clock = clock
        self._worker = worker << _SEQUENCE_BITS
        self._lock = threading.Lock()
        self._millisecond = above >> _SHIFT
        self._sequence = _SEQUENCE_MASK  # the first id is of a later millisecond than `above`

    def next_id(self) -> int:
        """A new id, greater than each that this source gave before."""
        with self._lock:
            now = int(self._clock() * 1000)
            if now > self._millisecond:
                self._millisecond = now
                self._sequence = 0
            elif self._sequence < _SEQUENCE_MASK:
                self._sequence += 1
            else:
                self._millisecond += 1
                self._sequence = 0
            return self._millisecond << _SHIFT | self._worker | self._sequence

    @staticmethod
    def smallest_at(instant: float) -> int:
        """A bound: ids given before the instant (seconds since 1970) are smaller, unless their source ran ahead."""
        return int(instant * 1000) << _SHIFT

    @staticmethod
    def text(number: int) -> str:
        """The id as 13 characters, lower case."""
        # Two letters at a time, and no loop: a quarter of the work.
        return (
            _ALPHABET[number >> 60]
            + _PAIRS[number >> 50 & 1023]
            + _PAIRS[number >> 40 & 1023]
            + _PAIRS[number >> 30 & 1023]
            + _PAIRS[number >> 20 & 1023]
            + _PAIRS[number >> 10 & 1023]
            + _PAIRS[number & 1023]
        )

    @staticmethod
    def parse(text: str) -> int:
        """Read what `text` gave, in either case; raises ValueError."""
        if len(text) != _LENGTH:
            raise ValueError(f"an id has {_LENGTH} characters: {text!r}")
        number = 0
        for letter in text.lower():
            value = _VALUES.get(letter)
            if value is None:
                raise ValueError(f"not an id: {text!r}")
            number = number << 5 | value
        if number >> 63:
            raise ValueError(f"not an id: {text!r}")
        return number
