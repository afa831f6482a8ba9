"""The server as a process: its sockets, the user it runs as, its signals, and the other processes beside it.

The order of the start: sockets that were handed over, ports, the key; then root is given up; then the post office.
Settings are read once more as the user that serves, so that what he may not read is said now and not at a reload.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from estafeta.app import notify, privileges
from estafeta.app.crew import Commands, Crew, end_with_parent
from estafeta.app.incidents import log_incidents
from estafeta.app.monitoring.lines import Lines
from estafeta.app.monitoring.watchdog import Patience, Watchdog
from estafeta.app.office import ListenFailed, PostOffice, new_event_loop
from estafeta.app.overload import Overload
from estafeta.app.privileges import HeldKey, PrivilegeFault
from estafeta.app.surroundings import Surroundings
from estafeta.config.faults import SettingsError
from estafeta.config.owner import Owner, UnfitOwner, owner_of
from estafeta.config.settings import Settings
from estafeta.net.errors import TlsError
from estafeta.net.files import raise_file_limit
from estafeta.net.inherited import ListeningSockets
from estafeta.net.listener import listen
from estafeta.store.changes import EVERYTHING

log = structlog.get_logger("estafeta.app")

RELOAD_SIGNAL = signal.SIGHUP
CREW_GRACE = 10.0
"""Seconds that the other processes may take longer than their drain before they are killed."""
SETTLED_AFTER = 1.0
"""Seconds of service after which what is there is taken for what stays: nobody waits for the 70 ms at the start."""
_PORTS_FREE_AFTER = 3.0
"""Seconds within which processes that outlive the first one of a server that was killed let go of its ports."""

ReadAgain = Callable[[], Settings]


def run(settings: Settings, read_again: ReadAgain | None = None, *, commands: Commands | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then drain; SIGHUP reads settings and certificates again.

    `read_again` gives the settings as they are now, or raises SettingsError. `commands` start the other processes;
    None says that this is one of them, which ends when its standard input does. Raises what `PostOffice.start` raises,
    and PrivilegeFault.
    """
    raise_file_limit()
    privileges.seal()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(settings, read_again, commands))


class _ServiceManager:
    """Keeps our sockets while no process of ours runs (FDSTORE of sd_pid_notify_with_fds(3))."""

    def keep(self, name: str, descriptor: int) -> None:
        """Sockets are not watched there: that a listening one is readable says nothing of its end."""
        notify.notify("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0", files=[descriptor])

    def forget(self, name: str) -> None:
        """Let the manager close it."""
        notify.notify("FDSTOREREMOVE=1", f"FDNAME={name}")


class _Resources:
    """What this process has before it serves, and keeps while it does: sockets, and the key that root has read."""

    def __init__(self, *, is_first: bool) -> None:
        self.sockets = ListeningSockets(_ServiceManager() if is_first else None)
        self.sockets.inherit(os.environ, os.getpid())
        self.key = HeldKey.inherited()
        self._is_first = is_first

    async def begin(self, settings: Settings, *, patience: float = _PORTS_FREE_AFTER) -> None:
        """Sockets for all listeners of all processes, while this one may bind them. Raises ListenFailed.

        A port that is in use is tried again for so many seconds.
        """
        ends_at = time.monotonic() + patience
        while True:
            try:
                await self.fit(settings)
            except ListenFailed as failed:
                # Workers of a server that was killed have its ports until they notice.
                if failed.error.errno != errno.EADDRINUSE or time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(0.05)
            else:
                break
        if self._is_first:
            for number in range(2, settings.processes.workers + 1):
                await self.sockets.share(number)

    async def fit(self, settings: Settings) -> None:
        """Sockets for all listeners, where this process has them to hand on. Raises ListenFailed."""
        if not self._is_first:
            return
        failed = await self.sockets.fit(_addresses(settings), settings.processes.workers)
        for wanted in settings.listen:
            if (error := failed.get((wanted.address, wanted.port))) is not None:
                raise ListenFailed(wanted, error)

    def give_up_root(self, settings: Settings) -> bool:
        """Become whom the settings name, after all that needs root. Raises PrivilegeFault, TlsError."""
        try:
            owner = owner_of(settings.process)
        except UnfitOwner as error:
            raise PrivilegeFault(str(error)) from None
        if owner is None or os.geteuid() == owner.user:
            return False
        if os.geteuid() == 0:
            self._prepare(settings, owner)
        privileges.become(owner)
        privileges.seal()  # a change of the user opens the memory again
        return True

    def _prepare(self, settings: Settings, owner: Owner) -> None:
        if settings.tls is not None:
            try:
                self.key = HeldKey.read(settings.tls.key)
            except OSError as error:
                raise TlsError(f"key file {settings.tls.key}: {error.strerror}") from error
        privileges.make_ready(settings.data, owner)

    def put_into(self, settings: Settings) -> Settings:
        """The settings as this process can use them."""
        return settings if self.key is None else self.key.put_into(settings)

    def close(self) -> None:
        """No socket waits for a process that ends; those that somebody else has, go on."""
        self.sockets.close()


def _addresses(settings: Settings) -> list[tuple[str, int]]:
    return [(wanted.address, wanted.port) for wanted in settings.listen]


async def _serve(settings: Settings, read_again: ReadAgain | None, commands: Commands | None) -> int:
    loop = asyncio.get_running_loop()
    log_incidents(loop)
    wanted: asyncio.Queue[signal.Signals] = asyncio.Queue()
    is_first = commands is not None
    resources = _Resources(is_first=is_first)
    try:
        await resources.begin(settings)
        if resources.give_up_root(settings) and read_again is not None:
            settings = read_again()
        if is_first and os.geteuid() == 0:
            log.warning("the server runs as root", remedy="name a user without its rights: process.user")
        around = Surroundings(listen=partial(listen, sockets=resources.sockets))
        lines = Lines(settings.log, around.clock)
        office = PostOffice(resources.put_into(settings), is_first=is_first, surroundings=around, lines=lines)
        await office.start()
        resources.sockets.keep_only(_addresses(settings))
    except BaseException:
        resources.close()
        raise
    # Work on a hundred thousand messages makes as many objects, and no garbage: the usual 700 make half of it a search
    # for some.
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
    loop.call_later(SETTLED_AFTER, _settle)
    overload = Overload(
        settings.overload,
        office.store,
        office.room,
        office.pressure,
        data=settings.data,
        least_free=settings.store.least_free,
        monotonic=time.monotonic,
    )
    overload.start()
    watchdog = _watchdog(office, is_first=is_first)
    watchdog.start()
    for each in (signal.SIGTERM, signal.SIGINT, RELOAD_SIGNAL):
        loop.add_signal_handler(each, wanted.put_nowait, each)
    crew = None
    if commands is None:
        end_with_parent(partial(wanted.put_nowait, signal.SIGTERM))
    else:
        watch = partial(office.store.changes.watch, EVERYTHING)
        crew = Crew(commands, sockets=resources.sockets, key=resources.key, watch=watch)
        await crew.fit(settings.processes, settings.shutdown.drain_seconds)
        notify.ready()
    try:
        while await wanted.get() is RELOAD_SIGNAL:
            if read_again is None:
                continue
            if crew is not None:
                notify.reloading()
            await _reload(office, resources, read_again)
            overload.replace(office.settings.overload, office.settings.store.least_free)
            if crew is not None:
                crew.reload()
                await crew.fit(office.settings.processes, office.settings.shutdown.drain_seconds)
                notify.ready()
        log.info("closing")
        if crew is not None:
            notify.stopping()
    finally:
        resources.close()
        overload.stop()
        seconds = office.settings.shutdown.drain_seconds + CREW_GRACE
        await asyncio.gather(office.stop(), *([] if crew is None else [crew.stop(seconds)]))
        watchdog.stop()
    return 0


def _settle() -> None:
    """What is there now stays: to look through it again and again costs 2 % of the work, in pauses of some 50 ms."""
    gc.collect()
    gc.freeze()


def _watchdog(office: PostOffice, *, is_first: bool) -> Watchdog:
    settings = office.settings.monitoring
    return Watchdog(
        Patience(settings.loop_held_after, settings.commit_after, None if is_first else settings.worker_dead_after),
        office.tallies.loop,
        lambda: None if office.open_store is None else office.open_store.commits,
        monotonic=time.monotonic,
        sign_after=notify.watchdog_after() if is_first else None,
    )


async def _reload(office: PostOffice, resources: _Resources, read_again: ReadAgain) -> None:
    """Take new settings; what cannot be taken is said, and the old goes on."""
    try:
        settings = await asyncio.to_thread(read_again)
        if settings.process != office.settings.process:
            log.warning("process.user and process.group are taken at the next start")
        with suppress(ListenFailed):  # said when the post office tries it
            await resources.fit(settings)
        try:
            await office.reload(resources.put_into(settings))
        finally:
            resources.sockets.keep_only(_addresses(office.settings))
    except (SettingsError, TlsError, ListenFailed) as error:
        told = "a port cannot be served, all else is taken" if isinstance(error, ListenFailed) else "settings not taken"
        log.error(f"{told}; serving on", reason=str(error), **_remedy(error, resources))


def _remedy(error: Exception, resources: _Resources) -> dict[str, str]:
    if isinstance(error, TlsError) and resources.key is not None and "/proc/self/fd/" in str(error):
        return {"remedy": f"{resources.key.path} can be read by root alone: restart the server for a new key"}
    if isinstance(error, ListenFailed) and isinstance(error.error, PermissionError):
        return {"remedy": "a port below 1024 needs the rights of root, or CAP_NET_BIND_SERVICE: restart the server"}
    return {}
