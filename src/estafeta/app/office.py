"""The composition root: settings become wired objects that run, re-read, drain and stop.

`PostOffice` is the whole server inside a running event loop; as a process, with its signals, it is in `serving.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import structlog

from estafeta.access import pop3 as pop3_server
from estafeta.access.imap import office as imap_server
from estafeta.access.imap.environment import ImapEnvironment
from estafeta.access.imap.office import ImapService
from estafeta.access.imap.searching.remembered import Remembered
from estafeta.access.imap.snapshots import Snapshots
from estafeta.access.indexing import Indexing
from estafeta.access.maildrop import MaildropLocks
from estafeta.access.pop3 import Pop3Environment, Pop3Service
from estafeta.agents.environment import Environment, ListenerFacts, Role
from estafeta.agents.lines import Say
from estafeta.agents.live.screens import Screens
from estafeta.agents.pressure import Pressure
from estafeta.agents.reception import Reception
from estafeta.app.monitoring.health import State
from estafeta.app.monitoring.lines import Lines
from estafeta.app.monitoring.monitor import Monitor
from estafeta.app.monitoring.tallies import Served, Tallies
from estafeta.app.outbound import Outbound
from estafeta.app.secret import house_secret
from estafeta.app.surroundings import Surroundings
from estafeta.app.tokens import token_checker
from estafeta.app.upkeep import fill_digests
from estafeta.config.settings import JournalSettings, LineEnds, Listen, ListenerKind, MonitoringSettings, Settings
from estafeta.mail.wording import Wording
from estafeta.net.bell import BELLS, ring
from estafeta.net.files import connections_within
from estafeta.net.listener import Listener, Room
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls
from estafeta.policy.guard import LoginGuard
from estafeta.policy.login import Authenticator
from estafeta.store import accounts, destinations, journal, mailboxes
from estafeta.store.errors import StoreError
from estafeta.store.records import Instant
from estafeta.store.search import SearchIndexes
from estafeta.store.store import Store, open_store

log = structlog.get_logger("estafeta.app")

_ROLES = {
    ListenerKind.SMTP: Role.MX,
    ListenerKind.SUBMISSION: Role.SUBMISSION,
    ListenerKind.SUBMISSIONS: Role.SUBMISSION,
    ListenerKind.LMTP: Role.LMTP,
    ListenerKind.ODMR: Role.ODMR,
}

UPKEEP_AFTER = 3600.0
"""Seconds between two rounds of removing what the journal need not keep."""

UPKEEP_STEP = 500
"""Entries of the journal in one step: a few milliseconds, so that no session waits for it."""

FORGET_DESTINATIONS_AFTER = 7 * 86_400.0
"""Seconds after which a host that did not answer, and that nobody has tried since, is no longer remembered."""

PERSONAL_FACTS = (
    "peer",
    "helo",
    "client_name",
    "submitter",
    "account",
    "reverse_path",
    "forward_path",
    "subject",
    "message_id_field",
    "detail",
)
"""What redaction blanks in the journal."""


class ListenFailed(Exception):
    """A port cannot be had."""

    def __init__(self, listen: Listen | MonitoringSettings, error: OSError) -> None:
        super().__init__(f"cannot listen on {listen.name}: {error.strerror or error}")
        self.listen = listen
        self.error = error


@dataclass(slots=True)
class _Open:
    """One listener that is served."""

    listen: Listen
    listener: Listener

    @property
    def name(self) -> str:
        """As the journal names it."""
        return self.listen.name


class PostOffice:
    """The server. `start` and `stop` it inside a running event loop; it handles no signals."""

    def __init__(
        self,
        settings: Settings,
        *,
        is_first: bool = True,
        surroundings: Surroundings | None = None,
        lines: Lines | None = None,
    ) -> None:
        """`lines` take what the log says of messages."""
        self.settings = settings
        self.tallies = Tallies()
        """What is counted here."""
        self.state = State.STARTING
        self._lines = lines
        self._around = surroundings or Surroundings()
        self._is_first = is_first
        """Of the processes that serve; it alone does the upkeep."""
        self._store: Store | None = None
        self._tls: ServerTls | None = None
        self._asking_tls: ServerTls | None = None
        """The same for listeners that ask for certificates; None where none is asked for."""
        self._reception: Reception | None = None
        self._pop3: Pop3Service | None = None
        self._imap: ImapService | None = None
        self._snapshots: Snapshots | None = None
        self._indexing: Indexing | None = None
        self._remembered = Remembered()
        self._outbound: Outbound | None = None
        self._guard: LoginGuard | None = None
        self.screens = Screens(settings.data, settings.live, self._around.clock)
        """The door to people who are there, for sessions that are attached to it."""
        self.room = Room(connections_within())
        """What all listeners take together."""
        self.pressure = Pressure()
        """What the machine can still take; whoever measures it writes it there."""
        self._open: list[_Open] = []
        self._leaving: list[Listener] = []
        self._upkeep: asyncio.Task[None] | None = None
        self.monitor = Monitor(self, is_first=is_first, clock=self._around.clock, monotonic=self._around.monotonic)
        """What tells of it."""

    @property
    def store(self) -> Store:
        """The store; there after `start`."""
        if self._store is None:
            raise RuntimeError("the post office is not open")
        return self._store

    @property
    def in_memory(self) -> int:
        """Queued recipients that are in memory."""
        return self._outbound.dispatcher.in_memory if self._outbound is not None else 0

    @property
    def open_store(self) -> Store | None:
        """The store, while it is open."""
        return self._store

    @property
    def served(self) -> Sequence[Served]:
        """The listeners that are open."""
        return self._open

    @property
    def certificate_ends_at(self) -> float | None:
        """When the certificate that is shown ends, in seconds since 1970; None where there is none."""
        return None if self._tls is None else self._tls.not_after.timestamp()

    def port(self, kind: ListenerKind) -> int:
        """The port of the first listener of this kind; for settings that say 0."""
        return next(each.listener.port for each in self._open if each.listen.kind is kind)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    # Opening.

    async def start(self) -> None:
        """Open the store and every listener. Raises ListenFailed, StoreError, TlsError, and leaves nothing open."""
        settings = self.settings
        try:
            await self._monitor_by(self.monitor.start)
            if settings.tls is not None:
                self._tls, self._asking_tls = _server_tls(settings), _asking_tls(settings)
            self._store = await asyncio.to_thread(
                open_store,
                settings.data,
                clock=self._around.clock,
                large_content=settings.store.large_content,
                machinery=self._around.machinery,
            )
            self._wire()
            assert self._outbound is not None
            await self._outbound.start()
            self._fit_connections()
            for wanted in settings.listen:
                await self._listen(wanted)
        except BaseException:
            await self.stop()
            raise
        if self._is_first:
            self._upkeep = asyncio.create_task(self._keep_up())
        self.state = State.SERVING
        log.info("serving", hostname=settings.hostname, listeners=[each.listen.name for each in self._open])

    def _wire(self) -> None:
        """Make what sessions share, by the settings of now."""
        settings, store, around = self.settings, self.store, self._around
        secret = house_secret(settings.data)
        if self._outbound is None:
            self._outbound = Outbound(settings, store, secret, around, tallies=self.tallies, say=self._say)
        else:
            self._outbound.replace(settings, self._say)
        if self._guard is None or self._guard.settings != settings.login:
            self._guard = LoginGuard(settings.login, around.monotonic)
        tokens = token_checker(settings.oauth, self._outbound.resolver, around)
        authenticator = Authenticator(
            store, self._guard, secret=secret, sleep=asyncio.sleep, tokens=tokens, tally=self.tallies.logins
        )
        self.screens.settings = settings.live
        screens = self.screens if settings.live.enabled else None
        say_of_sessions = None if self._lines is None else self._lines.say_of_sessions
        environment = replace(
            _environment(settings, store, self._outbound, authenticator, around, screens),
            tally=self.tallies.reception,
            say=self._say,
            say_of_sessions=say_of_sessions,
            pressure=self.pressure,
        )
        pop3_environment = Pop3Environment(
            hostname=settings.hostname,
            store=store,
            authenticator=authenticator,
            locks=MaildropLocks(settings.data / "lock"),
            settings=settings.pop3,
            clock=around.clock,
            nonce=around.nonce,
            tally=self.tallies.access,
            say=self._say,
            say_of_sessions=say_of_sessions,
        )
        if self._snapshots is None or self._indexing is None:
            self._snapshots = Snapshots(store)
            self._indexing = Indexing(store, SearchIndexes(settings.data))
        self._snapshots.most_messages = settings.imap.remembered_messages
        imap_environment = ImapEnvironment(
            hostname=settings.hostname,
            store=store,
            authenticator=authenticator,
            snapshots=self._snapshots,
            indexing=self._indexing,
            remembered=self._remembered,
            settings=settings.imap,
            clock=around.clock,
            nonce=around.nonce,
            tally=self.tallies.access,
            say=self._say,
            say_of_sessions=say_of_sessions,
        )
        if self._reception is None or self._pop3 is None or self._imap is None:
            self._reception, self._pop3 = Reception(environment), Pop3Service(pop3_environment)
            self._imap = ImapService(imap_environment)
        else:
            self._reception.replace(environment)
            self._pop3.replace(pop3_environment)
            self._imap.replace(imap_environment)

    @property
    def _say(self) -> Say | None:
        return None if self._lines is None else self._lines.say

    async def _monitor_by(self, begin: Callable[[], Awaitable[None]]) -> None:
        try:
            await begin()
        except OSError as error:
            raise ListenFailed(self.settings.monitoring, error) from error

    def _fit_connections(self) -> None:
        """Say so where there are fewer files than connections could be; clients too many are told to come again."""
        asked = self.settings.connections.connections * len(self.settings.listen)
        if asked > self.room.most:
            log.warning(
                "open files are too few for all connections that the settings allow",
                connections=asked,
                served=self.room.most,
                remedy="raise the limit (LimitNOFILE= of the service, ulimit -n), or lower connections.connections",
            )

    @property
    def _shares_ports(self) -> bool:
        return self.settings.processes.workers > 1

    async def _listen(self, wanted: Listen) -> None:
        serve, refuse = self._server(wanted)
        try:
            listener = await self._around.listen(
                wanted.address,
                wanted.port,
                serve,
                tls=self._tls_of(wanted) if wanted.kind.implicit_tls else None,
                limits=self.settings.connections,
                refuse=refuse,
                reuse_port=self._shares_ports,
                proxies=wanted.proxy_protocol,
                room=self.room,
            )
        except OSError as error:
            raise ListenFailed(wanted, error) from error
        listener.tally = self.tallies.listener(wanted.name)
        listener.shut = self._busy(wanted.kind)
        self._open.append(_Open(wanted, listener))

    def _tls_of(self, wanted: Listen) -> ServerTls | None:
        return (self._asking_tls if wanted.kind.asks_for_certificates else None) or self._tls

    def _server(self, wanted: Listen) -> tuple[Callable[[Stream], Awaitable[None]], bytes]:
        """What serves a listener's connections, and what a client too many is told."""
        assert self._reception is not None and self._pop3 is not None and self._imap is not None
        if wanted.kind in (ListenerKind.IMAP, ListenerKind.IMAPS):
            return self._imap.server(wanted.name, self._tls_of(wanted)), imap_server.TOO_MANY_CONNECTIONS
        role = _ROLES.get(wanted.kind)
        if role is None:
            return self._pop3.server(wanted.name, self._tls_of(wanted)), pop3_server.TOO_MANY_CONNECTIONS
        facts = ListenerFacts(
            wanted.name,
            role,
            self._tls_of(wanted),
            wanted.takes_mail,
            repairs_line_ends=wanted.line_ends is LineEnds.REPAIR,
            bare_addresses=wanted.bare_addresses,
        )
        serve = self._reception.server(facts)
        return serve, self._reception.refusal()

    def _busy(self, kind: ListenerKind) -> bytes:
        """What a client is told who comes while the room is shut."""
        assert self._reception is not None
        if kind in (ListenerKind.IMAP, ListenerKind.IMAPS):
            return imap_server.OVERLOADED
        return pop3_server.OVERLOADED if kind.gives_mail else self._reception.busy()

    # Re-reading.

    async def reload(self, settings: Settings) -> None:
        """Go on with new settings: sessions that are open keep theirs, listeners that are new are opened.

        The data directory stays what it is. Raises TlsError or ListenFailed; what could be done is done then.
        """
        before = self.settings
        if settings.tls == before.tls:
            for tls in (self._tls, self._asking_tls):
                if tls is not None:
                    tls.reload()
        else:
            asking = _asking_tls(settings)
            self._tls, self._asking_tls = None if settings.tls is None else _server_tls(settings), asking
        self.settings = settings.model_copy(update={"data": before.data})
        if self._lines is not None:
            self._lines.replace(settings.log)
        self._wire()
        self._fit_connections()
        refusal = [
            (each.connections, each.smtp.language, each.replies, each.processes.workers) for each in (before, settings)
        ]
        kept = [] if settings.tls != before.tls or refusal[0] != refusal[1] else settings.listen
        for each in [each for each in self._open if each.listen not in kept]:
            each.listener.close()
            self._open.remove(each)
            self._leaving.append(each.listener)
        served = [each.listen for each in self._open]
        failed: ListenFailed | None = None
        for wanted in settings.listen:
            if wanted not in served:
                try:
                    await self._listen(wanted)
                except ListenFailed as error:
                    failed = failed or error
        try:
            await self._monitor_by(self.monitor.replace)
        except ListenFailed as error:
            failed = failed or error
        log.info("settings read again", listeners=[each.listen.name for each in self._open])
        if failed is not None:
            raise failed

    # Closing.

    async def stop(self) -> None:
        """Take no new mail, let sessions finish what they are sending, close the store."""
        self.state = State.STOPPING
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
        listeners = [each.listener for each in self._open] + self._leaving
        for listener in listeners:
            listener.close()
        if self._reception is not None and self._pop3 is not None and self._imap is not None and listeners:
            self._reception.close_idle()
            self._pop3.close_idle()
            self._imap.close_idle()
            seconds = self.settings.shutdown.drain_seconds
            ended = await asyncio.gather(*(listener.drain(seconds) for listener in listeners))
            if not all(ended):
                log.warning("sessions were cut", after_seconds=seconds)
        self._open.clear()
        self._leaving.clear()
        if self._outbound is not None:
            await self._outbound.stop(self.settings.shutdown.drain_seconds)
            self._outbound = None
        if self._snapshots is not None:
            self._snapshots.close()
            self._snapshots = None
        if self._indexing is not None:
            self._indexing.indexes.close()
            self._indexing = None
        await self.monitor.stop()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)
            self._store = None
        if self._lines is not None:
            self._lines.flush()

    # Upkeep.

    async def _keep_up(self) -> None:
        """Again and again, in short steps: remove from the journal what need not be kept."""
        while True:
            try:
                await tidy_journal(self.store, self.settings.journal, self._around.clock())
                while await self.store.write(accounts.clear_removed):  # what a command had no time to end
                    pass
                while await self.store.write(mailboxes.clear_removed):
                    pass
                long_ago = Instant(self._around.clock() - FORGET_DESTINATIONS_AFTER)
                while await self.store.write(partial(destinations.prune, before=long_ago, limit=UPKEEP_STEP)):
                    pass
                if self._outbound is not None:
                    await self._outbound.report()
                await fill_digests(self.store)
            except StoreError as error:
                log.error("upkeep failed", reason=str(error))
            except Exception:
                log.exception("upkeep failed")
            await asyncio.sleep(UPKEEP_AFTER)


async def tidy_journal(store: Store, settings: JournalSettings, now: float) -> None:
    """Remove entries that are too old, and blank personal data in those that are old enough."""
    if settings.keep_days:
        before = Instant(now - settings.keep_days * 86_400)
        while await store.write(lambda tx: journal.prune(tx, before, UPKEEP_STEP)):
            pass
    if settings.redact_after_days:
        before_redaction = Instant(now - settings.redact_after_days * 86_400)
        while await store.write(lambda tx: journal.redact(tx, before_redaction, UPKEEP_STEP, PERSONAL_FACTS)):
            pass


def _environment(
    settings: Settings,
    store: Store,
    outbound: Outbound,
    authenticator: Authenticator,
    around: Surroundings,
    screens: Screens | None = None,
) -> Environment:
    return Environment(
        hostname=settings.hostname,
        store=store,
        directory=outbound.directory,
        outward=outbound.outward(),
        on_demand=outbound.on_demand(),
        screens=screens,
        authenticator=authenticator,
        settings=settings.smtp,
        limits=settings.smtp.limits,
        promises=settings.promises,
        clock=around.clock,
        monotonic=around.monotonic,
        nonce=around.nonce,
        wording=Wording.of_settings(settings.smtp.language, settings.replies),
        resolver=outbound.resolver if settings.smtp.check_recipient_domains else None,
    )


@asynccontextmanager
async def environment(settings: Settings, store: Store) -> AsyncIterator[Environment]:
    """What a session outside the server needs. What it queues is tried by the server, which is told of it at the end.

    Raises TlsError where files that the settings name cannot be used.
    """
    secret = house_secret(settings.data)
    around = Surroundings()
    outbound = Outbound(settings, store, secret, around)
    authenticator = Authenticator(
        store, LoginGuard(settings.login, around.monotonic), secret=secret, sleep=asyncio.sleep
    )
    try:
        yield _environment(settings, store, outbound, authenticator, around)
    finally:
        await outbound.stop(0.0)
        ring(settings.data / BELLS, "look")


def _server_tls(settings: Settings) -> ServerTls:
    assert settings.tls is not None
    return ServerTls(settings.tls.certificate, settings.tls.key, minimum=settings.tls.minimum)


def _asking_tls(settings: Settings) -> ServerTls | None:
    tls = settings.tls
    if tls is None or tls.client_authorities is None:
        return None
    return ServerTls(tls.certificate, tls.key, minimum=tls.minimum, client_authorities=tls.client_authorities)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where there is one."""
    try:
        import uvloop
    except ImportError:  # not on this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
