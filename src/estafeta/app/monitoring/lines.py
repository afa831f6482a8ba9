"""Lines of messages and sessions, written some at a time: whoever is served waits for no line.

A session hands its facts over as they are; they become text a moment later, all that has come together, in writes that
the lines of other processes cannot cut in two.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO

from estafeta.app.monitoring.rendering import json_line, text_line, timestamp_of
from estafeta.config.settings import LogSettings

FLUSH_AFTER = 0.1
"""Seconds that a line may wait."""
MOST_WAITING = 500
"""Lines that may wait; some hundredths of a second of work."""
_AT_ONCE = 4000
"""Characters of one write: up to 4096 octets a pipe takes them whole."""

Say = Callable[[str, Mapping[str, object]], None]


class Lines:
    """Made once for a process; `replace` when the settings were read again, `flush` at the end."""

    def __init__(self, settings: LogSettings, clock: Callable[[], float], file: TextIO | None = None) -> None:
        """`file` in place of standard error."""
        self._settings = settings
        self._clock = clock
        self._file = file
        self._waiting: list[tuple[float, str, Mapping[str, object]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def replace(self, settings: LogSettings) -> None:
        """By the settings of now."""
        self.flush()
        self._settings = settings

    @property
    def say(self) -> Say | None:
        """Takes a line about a message or a login; None where the settings want none."""
        return self._take if self._settings.messages and self._settings.level in ("debug", "info") else None

    @property
    def say_of_sessions(self) -> Say | None:
        """Takes a line about a session that has ended; None where the settings want none."""
        return self._take_debug if self._settings.level == "debug" else None

    def _take(self, event: str, facts: Mapping[str, object]) -> None:
        waiting = self._waiting
        waiting.append((self._clock(), event, facts))
        if len(waiting) >= MOST_WAITING:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)

    def _take_debug(self, event: str, facts: Mapping[str, object]) -> None:
        self._take(event, {"level": "debug", **facts})

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        render = json_line if self._settings.format == "json" else text_line
        some: list[str] = []
        size = 0
        for at, event, facts in waiting:
            level = "info"
            if "level" in facts:
                facts = dict(facts)
                level = str(facts.pop("level"))
            line = render(timestamp_of(at), level, event, facts) + "\n"
            if size + len(line) > _AT_ONCE:
                self._write("".join(some))
                some, size = [], 0
            some.append(line)
            size += len(line)
        self._write("".join(some))

    def _write(self, text: str) -> None:
        if text:
            file = self._file or sys.stderr
            with suppress(OSError, ValueError):  # nobody reads it, and nobody could be told
                file.write(text)
                file.flush()
