"""How far long work has come, in one line on a terminal; nothing where there is none."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_AGAIN_AFTER = 0.2


class Progress:
    """`show` it as often as wanted."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._shown_at = 0.0

    def show(self, what: str, done: int, whole: int) -> None:
        """So much of it is done."""
        now = time.monotonic()
        if self._is_shown and (now - self._shown_at > _AGAIN_AFTER or done == whole):
            self._shown_at = now
            self._write(f"{what}: {done:,} of {whole:,}")

    def clear(self) -> None:
        """Make room for something else."""
        if self._is_shown and self._shown_at:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()
