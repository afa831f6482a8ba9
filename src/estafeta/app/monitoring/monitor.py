"""What is told of a running post office over HTTP: `/metrics`, `/health`, `/health/ready`; and among its processes.

The first process answers; the others tell it what they count. The pages are there before the store is opened, and
until it is closed, so that starting and ending can be seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from estafeta.agents.pressure import Pressure
from estafeta.app.monitoring import catalogue, health
from estafeta.app.monitoring.colleagues import Hearing, Telling
from estafeta.app.monitoring.exposition import exposed
from estafeta.app.monitoring.health import Check, Probe, State
from estafeta.app.monitoring.page import Page, PageServer
from estafeta.app.monitoring.readings import Readings
from estafeta.app.monitoring.standing import Standing, Survey, put_standing, room_of
from estafeta.app.monitoring.tallies import (
    ProcessFacts,
    Served,
    Tallies,
    gathered,
    process_facts,
    put_build,
    put_overload,
    put_process,
)
from estafeta.config.settings import MonitoringSettings, Settings
from estafeta.net.listener import ConnectionLimits, Listener, Room, listen
from estafeta.store.store import Store

_log = structlog.get_logger("estafeta.app.monitoring")

_FIRST = "1"
"""The name of the first process."""


class Office(Protocol):
    """What a monitor looks at."""

    settings: Settings
    tallies: Tallies
    state: State
    room: Room
    pressure: Pressure

    @property
    def served(self) -> Sequence[Served]:
        """The listeners that are open."""

    @property
    def open_store(self) -> Store | None:
        """The store, while it is open."""

    @property
    def in_memory(self) -> int:
        """Recipients of the queue in memory."""

    @property
    def certificate_ends_at(self) -> float | None:
        """When the certificate that is shown ends, in seconds since 1970; None where there is none."""


class Monitor:
    """One for a process. `start` it in a running event loop; `replace` when the settings were read again."""

    def __init__(
        self,
        office: Office,
        *,
        is_first: bool,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._office = office
        self._is_first = is_first
        self._clock = clock
        self._monotonic = monotonic
        self._started_at = clock()
        self._settings: MonitoringSettings | None = None
        self._listener: Listener | None = None
        self._hearing: Hearing | None = None
        self._telling: Telling | None = None
        self._survey = Survey(monotonic, clock)
        self._probe = Probe(monotonic)

    @property
    def port(self) -> int:
        """The port of the pages; for settings that say 0."""
        assert self._listener is not None
        return self._listener.port

    async def start(self) -> None:
        """Begin to tell, where the settings say so. Raises OSError where the port cannot be had."""
        self._settings = settings = self._office.settings.monitoring
        if settings.port is None:
            return
        if not self._is_first:
            self._telling = Telling(self._office.settings.data, self._gathered, self._facts)
            self._telling.start()
            return
        server = PageServer(self._find, settings.request_after)
        self._listener = await listen(
            settings.address,
            settings.port,
            server.serve,
            limits=ConnectionLimits(settings.connections, settings.connections),
        )
        hearing = Hearing(self._office.settings.data, self._monotonic)
        try:
            hearing.open()
        except OSError as error:
            _log.warning("metrics are those of the first process alone", reason=str(error))
        else:
            self._hearing = hearing

    async def replace(self) -> None:
        """Go on by the settings of now. Raises OSError where the port cannot be had: nothing is told then."""
        before, now = self._settings, self._office.settings.monitoring
        if before is None or before == now:
            return
        keys = ("port", "address", "connections", "request_after")
        if all(getattr(before, key) == getattr(now, key) for key in keys):
            self._settings = now
            return
        await self._close()
        await self.start()

    async def stop(self) -> None:
        """Tell no more; of another process, after its last word."""
        await self._survey.close()
        await self._probe.close()
        await self._close()

    async def _close(self) -> None:
        if self._telling is not None:
            self._telling.stop()
            self._telling = None
        if self._listener is not None:
            await self._listener.drain(0.0)
            self._listener = None
        if self._hearing is not None:
            self._hearing.close()
            self._hearing = None

    # The pages.

    async def _find(self, path: str, accept: str) -> Page | None:
        if path == "/metrics":
            text, media_type = exposed(await self.readings(), accept)
            return Page(200, text, media_type)
        if path == "/health":
            return _page(await self.checks())
        if path == "/health/ready":
            return _page([health.of_state(self._office.state)])
        return None

    async def readings(self) -> Readings:
        """All metrics, of all processes."""
        office, now = self._office, self._clock()
        readings = self._gathered()
        put_process(readings, _FIRST, self._facts())
        put_build(readings)
        if self._hearing is not None:
            self._hearing.put(readings)
        put_standing(readings, await self._standing(), office.settings.data, now)
        expires_at = office.certificate_ends_at
        if expires_at is not None:
            readings.put(catalogue.CERTIFICATE_EXPIRES, expires_at)
        return readings

    async def checks(self) -> list[Check]:
        """Every part of the server, looked at."""
        office, settings, now = self._office, self._office.settings, self._clock()
        patience = min(health.PROBE_AFTER, settings.monitoring.commit_after)
        checks = [health.of_state(office.state), await self._probe.check(office.open_store, patience)]
        if office.state is State.SERVING:
            checks.append(health.of_listeners(office.served))
        checks.append(health.of_disk(*room_of(settings.data, settings.store.least_free)))
        checks.append(health.of_certificate(office.certificate_ends_at, now, settings.monitoring.certificate_days))
        standing = await self._standing()
        checks.append(health.of_queue(standing.oldest_at, now, settings.monitoring.queue_age))
        if self._hearing is not None:
            checks.append(health.of_processes(self._hearing.living, self._hearing.silent()))
        return checks

    async def _standing(self) -> Standing:
        store, settings = self._office.open_store, self._office.settings.monitoring
        if store is None:
            return Standing()
        return await self._survey.standing(store, keep_for=settings.count_after, destinations=settings.destinations)

    def _gathered(self) -> Readings:
        office = self._office
        store = office.open_store
        readings = gathered(
            office.tallies,
            office.served,
            None if store is None else store.commits,
            waiting=0 if store is None else store.waiting,
            in_memory=office.in_memory,
        )
        put_overload(readings, office.room, office.pressure)
        return readings

    def _facts(self) -> ProcessFacts:
        return process_facts(self._started_at)


def _page(checks: Sequence[Check]) -> Page:
    status, body = health.report(checks)
    return Page(status, body, "application/json")
