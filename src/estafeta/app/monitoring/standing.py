"""What stands in the queue, the store and on the disk: asked of the store by the first process, and kept for a while.

Counting a queue of a million recipients takes tenths of a second, so that scrapers who come often get what the last
question has found.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from estafeta.app.monitoring import catalogue
from estafeta.app.monitoring.readings import Readings
from estafeta.mail.value import value
from estafeta.store import queue, stored
from estafeta.store.errors import StoreError
from estafeta.store.records import Instant, QueueStatus
from estafeta.store.store import DATABASE, Store

_CONTENTS_STEP = 20_000
"""Contents that one question reads: some hundredths of a second."""
_CONTENTS_AFTER = 300.0
"""Seconds for which the size of all contents is kept."""


@value
class Standing:
    """What was found out."""

    states: dict[QueueStatus, int] = field(default_factory=dict)
    oldest_at: float | None = None
    """When the oldest message of the queue was accepted."""
    destinations: tuple[tuple[str, int], ...] = ()
    """Those with the most recipients, and how many."""
    contents: int = 0
    """Octets of the files of large messages."""


class Survey:
    """Asks, at most every so often; who comes meanwhile waits for the same answer."""

    def __init__(self, monotonic: Callable[[], float], clock: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._clock = clock
        self._last = Standing()
        self._at: float | None = None
        self._contents_at: float | None = None
        self._under_way: asyncio.Task[Standing] | None = None

    async def standing(self, store: Store, *, keep_for: float, destinations: int) -> Standing:
        """The last answer, or a new one where that is older than `keep_for`; the old one where the store fails."""
        if self._at is not None and self._monotonic() - self._at < keep_for:
            return self._last
        if self._under_way is None:
            self._under_way = asyncio.get_running_loop().create_task(self._ask(store, destinations))
            self._under_way.add_done_callback(self._asked)
        await asyncio.wait((self._under_way,))
        return self._last

    def _asked(self, task: asyncio.Task[Standing]) -> None:
        self._under_way = None
        if not task.cancelled() and task.exception() is None:
            self._last, self._at = task.result(), self._monotonic()

    async def close(self) -> None:
        """Ask no more."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait((self._under_way,))

    async def _ask(self, store: Store, destinations: int) -> Standing:
        now, before = Instant(self._clock()), self._last
        try:
            states = await store.read(queue.count)
            oldest_at = await store.read(stored.oldest_queued)
            backlogs = []
            if destinations:
                backlogs = await store.read(lambda tx: queue.backlogs(tx, now=now, limit=destinations))
            contents = before.contents
            if self._contents_at is None or self._monotonic() - self._contents_at >= _CONTENTS_AFTER:
                contents, self._contents_at = await _contents(store), self._monotonic()
        except StoreError:
            return before
        told = tuple((each.destination, each.waiting + each.in_hand) for each in backlogs)
        return Standing(states, oldest_at, told, contents)


async def _contents(store: Store) -> int:
    """Octets of all files of contents, in steps. Raises StoreError."""
    octets, after = 0, ""
    while True:
        some, last = await store.read(lambda tx, after=after: stored.content_files(tx, after, _CONTENTS_STEP))  # type: ignore[misc]
        octets += some
        if last is None:
            return octets
        after = last


def put_standing(readings: Readings, standing: Standing, data: Path, now: float) -> None:
    """Add it, with the sizes of the store's files; `now` in seconds since 1970."""
    for state, number in standing.states.items():
        readings.put(catalogue.QUEUE_RECIPIENTS, number, state.value)
    age = 0.0 if standing.oldest_at is None else max(0.0, now - standing.oldest_at)
    readings.put(catalogue.QUEUE_OLDEST, age)
    for destination, number in standing.destinations:
        readings.put(catalogue.QUEUE_DESTINATION, number, destination)
    readings.put(catalogue.STORE_OCTETS, _size(data / DATABASE), "database")
    readings.put(catalogue.STORE_OCTETS, _size(data / f"{DATABASE}-wal"), "log")
    readings.put(catalogue.STORE_OCTETS, standing.contents, "contents")
    free, _ = room_of(data, 0)
    if free is not None:
        readings.put(catalogue.DISK_FREE, free)


def room_of(data: Path, least_free: int) -> tuple[int | None, int]:
    """What is free, and what must be left free: `least_free`, or a twentieth of the disk where that is less."""
    try:
        found = os.statvfs(data)
    except OSError:
        return None, least_free
    return found.f_bavail * found.f_frsize, min(least_free, found.f_blocks * found.f_frsize // 20)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
