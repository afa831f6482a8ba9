"""A damaged store in the log: one clear line a minute, not one with a traceback for each session that meets it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from estafeta.store.errors import Damaged

EVERY_SECONDS = 60.0
_REMEDY = "run `estafeta repair`"


class DamageTold:
    """A processor of structlog that lets one line of damage through each minute, and counts the others."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told_at: float | None = None
        self._left_out = 0

    def __call__(self, logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The line as it is, or of damage and short. Raises DropEvent."""
        words = _damage_in(line)
        if words is None:
            return line
        now = self._monotonic()
        if self._told_at is not None and now < self._told_at + EVERY_SECONDS:
            self._left_out += 1
            raise structlog.DropEvent
        told = {name: value for name, value in line.items() if name not in ("exc_info", "exception")}
        told["reason"] = words
        if self._left_out:
            told["lines_left_out"] = self._left_out
        self._told_at, self._left_out = now, 0
        return told


def _damage_in(line: MutableMapping[str, Any]) -> str | None:
    """What the line says of damage, if it does."""
    for value in line.values():
        if isinstance(value, str) and _REMEDY in value:
            return value
    error = line.get("exc_info")
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    while isinstance(error, BaseException):
        if isinstance(error, Damaged):
            return str(error)
        error = error.__cause__ or error.__context__
    return None
