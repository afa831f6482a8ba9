"""Overload: what is new is put off before what is open suffers, and what is open before what was begun.

First new connections are refused, then MAIL in sessions that are open; content that comes is always taken in. What is
measured is how late this process is for its own work, how long the store takes, memory, and files that can be opened;
a full disk is another matter, for it stops new mail and nothing else. Each has one figure at which it begins, and is
over when all have been well below theirs for some seconds, so that nothing flaps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Final

import structlog

from estafeta.agents.pressure import Pressure
from estafeta.app.machine import files_left, memory_share
from estafeta.app.monitoring.standing import room_of
from estafeta.config.settings import OverloadSettings
from estafeta.mail.value import value
from estafeta.net.listener import Room
from estafeta.store.store import Store

_log = structlog.get_logger("estafeta.app.overload")

LOOK_AFTER: Final = 0.25
"""Seconds between two looks."""
_SLOW_LOOKS: Final = 4
"""Every so many looks those are done that ask the kernel."""
_LAG_WEIGHT: Final = 0.3
"""What the last look counts in the average of the lag: a pause of some seconds alone is no overload, five are."""
_SURE_AFTER: Final = 2
"""Looks in a row that must find it, before it is one."""
_MEMORY_FULL: Final = 0.90
_MEMORY_STEP: Final = 0.05
_FILES_LEFT: Final = 64
"""Fewer than this are for the store, contents and connections that go out; see `net.files` for what is kept free."""
_DISK_OVER: Final = 1.1
"""The disk is no longer short when so many times what must be free is free."""
_WELL: Final = 0.5


class Level(IntEnum):
    """How much is put off."""

    NONE = 0
    CONNECTIONS = 1
    """New connections."""
    MAIL = 2
    """And MAIL in sessions that are open."""


@value
class Figures:
    """What one look has found."""

    loop_lag: float = 0.0
    """Seconds by which the process is late, on the average."""
    store_age: float = 0.0
    """Seconds that the oldest change waits."""
    store_waiting: int = 0
    """Changes that wait."""
    memory_share: float = 0.0
    """Of the memory that may be had, from 0 to 1."""
    files_left: int = 2**31
    """Files that can still be opened."""

    def strain(self, settings: OverloadSettings) -> tuple[float, str]:
        """How heavy it is by the worst of them, and which: from 1 on new connections are refused, from 2 on MAIL."""
        found = {
            "loop_lag": self.loop_lag / settings.loop_lag,
            "store_age": self.store_age / settings.store_age,
            "store_waiting": self.store_waiting / settings.store_waiting,
            "memory": 1 + (self.memory_share - _MEMORY_FULL) / _MEMORY_STEP,
            # Sessions that are open have their files already.
            "open_files": min(1.0, _FILES_LEFT / max(1, self.files_left)),
        }
        worst = max(found, key=lambda name: found[name])
        return found[worst], worst


class Overload:
    """Looks again and again, and shuts and opens the doors. `start` it in the loop that it watches."""

    def __init__(
        self,
        settings: OverloadSettings,
        store: Store,
        room: Room,
        pressure: Pressure,
        *,
        data: Path,
        least_free: int,
        monotonic: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.least_free = least_free
        """Octets of the disk that are to stay free."""
        self.level = Level.NONE
        self.figures = Figures()
        """What the last look has found."""
        self.times = 0
        """How often it began, since the start."""
        self.seconds = 0.0
        """How long it lasted, those together that are over."""
        self.is_disk_short = False
        self._store = store
        self._room = room
        self._pressure = pressure
        self._data = data
        self._monotonic = monotonic
        self._age = _StoreAge(store)
        self._lag = 0.0
        self._memory = 0.0
        self._looks = 0
        self._found = 0
        self._well_since: float | None = None
        self._began_at = 0.0
        self._began_with = (0, 0)
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        self._due_at = self._monotonic() + LOOK_AFTER
        self._timer = asyncio.get_running_loop().call_later(LOOK_AFTER, self._look_again)

    def stop(self) -> None:
        """Look no more; the doors are open."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._room.is_shut = self._pressure.is_overloaded = False
        self._pressure.room = None

    def replace(self, settings: OverloadSettings, least_free: int) -> None:
        """New settings."""
        self.settings, self.least_free = settings, least_free

    def _look_again(self) -> None:
        try:
            self.look(self._monotonic() - self._due_at)
        finally:
            self.start()

    def look(self, lag: float) -> None:
        """One look, so many seconds later than it was due."""
        self._lag += _LAG_WEIGHT * (max(0.0, lag) - self._lag)
        if self._looks % _SLOW_LOOKS == 0:
            self._memory = memory_share(self.settings.memory)
            self._look_at_disk()
        self._looks += 1
        now = self._monotonic()
        self.figures = Figures(
            loop_lag=self._lag,
            store_age=self._age.at(now),
            store_waiting=self._store.waiting,
            memory_share=self._memory,
            files_left=files_left(),
        )
        self._decide(now)

    def _decide(self, now: float) -> None:
        """From the figures to the level, up at once when it is sure, down when it was well for long enough."""
        strain, why = self.figures.strain(self.settings) if self.settings.enabled else (0.0, "")
        found = Level(min(int(strain), Level.MAIL)) if strain > 0 else Level.NONE
        self._found = self._found + 1 if found > self.level else 0
        if found > self.level:
            self._well_since = None
            if self._found >= _SURE_AFTER:
                self._found = 0
                self._go_to(found, why, now)
            return
        if self.level is Level.NONE:
            return
        if found >= self.level or (self.level is Level.CONNECTIONS and strain >= _WELL):
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now
        elif now - self._well_since >= self.settings.calm_after or not self.settings.enabled:
            self._well_since = None
            self._go_to(Level(self.level - 1), why, now)

    def _go_to(self, level: Level, why: str, now: float) -> None:
        before, self.level = self.level, level
        self._room.is_shut = level >= Level.CONNECTIONS
        self._pressure.is_overloaded = level >= Level.MAIL
        figures = {
            "loop_lag": round(self.figures.loop_lag, 2),
            "store_age": round(self.figures.store_age, 2),
            "store_waiting": self.figures.store_waiting,
            "memory": f"{self.figures.memory_share:.0%}",
            "open_files_left": self.figures.files_left,
            "connections": self._room.taken,
        }
        if before is Level.NONE:
            self.times += 1
            self._began_at, self._began_with = now, (self._room.turned_away, self._pressure.deferred)
        if level is Level.NONE:
            lasted = now - self._began_at
            self.seconds += lasted
            refused, deferred = self._began_with
            _log.info(
                "overload is over",
                seconds=round(lasted, 1),
                refused_connections=self._room.turned_away - refused,
                deferred_mail=self._pressure.deferred - deferred,
                **figures,
            )
        elif level > before:
            what = "new connections are refused" if level is Level.CONNECTIONS else "new mail is put off too"
            _log.warning(f"overload: {what}", because_of=why, **figures)

    def _look_at_disk(self) -> None:
        free, least = room_of(self._data, self.least_free)
        if free is None:
            self._pressure.room = None
            return
        is_short = free < (least * _DISK_OVER if self.is_disk_short else least)
        if is_short != self.is_disk_short:
            self.is_disk_short = is_short
            if is_short:
                _log.error("the disk is nearly full: new mail is put off", free=free, least_free=least)
            else:
                _log.info("the disk has room for mail again", free=free, least_free=least)
        self._pressure.room = 0 if is_short else free - least


class _StoreAge:
    """For how long the oldest change of a store waits, told from what the store counts anyway."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._marks: deque[tuple[float, float]] = deque()
        """Looks, and how many changes were to be committed by then."""
        self._failures = 0

    def at(self, now: float) -> float:
        """Seconds; no shorter than since the last look but one."""
        commits, waiting = self._store.commits, self._store.waiting
        if commits.failures != self._failures:  # what failed waits no more, and was not counted
            self._failures = commits.failures
            self._marks.clear()
        done, began_at = commits.sizes.total, commits.began_at
        while self._marks and self._marks[0][1] <= done:
            self._marks.popleft()
        if waiting:
            self._marks.append((now, done + waiting))
        else:
            self._marks.clear()
        age = now - self._marks[0][0] if self._marks else 0.0
        return max(age, 0.0 if began_at is None else now - began_at)
