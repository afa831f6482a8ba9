"""A machine with a post office: it starts, is killed, loses power, stands still, and starts again on the same disk."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import argon2

from estafeta.access.imap.settings import ImapSettings
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.app.office import PostOffice
from estafeta.app.surroundings import Surroundings
from estafeta.config.settings import Listen, ListenerKind, Settings, ShutdownSettings, SmtpSettings, StoreSettings
from estafeta.mail.address import Address
from estafeta.mail.value import value
from estafeta.net.dns import DnsSettings
from estafeta.net.listener import ConnectionLimits, Listener, Room, Serve
from estafeta.net.tls import TlsClientSettings
from estafeta.routing.security import DaneSettings
from estafeta.routing.sts import MtaStsSettings
from estafeta.simulation.disk import Disk
from estafeta.simulation.dns import ADDRESS
from estafeta.simulation.loop import Process, VirtualLoop
from estafeta.simulation.machinery import LoopReader, LoopWriter
from estafeta.simulation.network import Network, Socket
from estafeta.store import accounts, aliases, domains
from estafeta.store.audit import audit_now
from estafeta.store.errors import StoreError
from estafeta.store.machinery import Machinery
from estafeta.store.records import HashedPassword, Instant
from estafeta.store.store import Store, Transaction, open_store
from estafeta.wire.sasl import ScramKeys

BEGINNING = 1_767_225_600.0
"""The first of January 2026: the world's time 0."""
CLIENTS = IPv4Network("198.51.100.0/24")
"""Where the clients are whose mail every node relays."""
PASSWORD = "correct horse"  # noqa: S105 - of accounts that exist nowhere
USERS = ("ana", "luis", "eva", "small")
"""Each node has these; the last has little room."""
SMALL_QUOTA = 2
"""Messages that it has room for."""
RESTART_AFTER = 10.0
"""Seconds after which who supervises a server that could not start starts it again."""
_LOOK_AFTER = 0.5
"""Seconds between two looks at whether a process that was told to stop has ended, or is dead."""


@value
class Place:
    """A machine, its address and its domain."""

    name: str
    ip: str

    @property
    def domain(self) -> str:
        """Its mail domain."""
        return f"{self.name}.test"


PLACES = (Place("a", "192.0.2.1"), Place("b", "192.0.2.2"), Place("c", "192.0.2.3"))


def _password() -> HashedPassword:
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    return HashedPassword(hashed, ScramKeys.of(PASSWORD, b"salt" * 8, iterations=4096))


def make_template(folder: Path, place: Place, places: tuple[Place, ...]) -> None:
    """The data directory that a node begins with."""

    def populate(tx: Transaction) -> None:
        now, domain = Instant(BEGINNING), place.domain
        domains.add(tx, domain, now=now)
        password = _password()
        for name in USERS:
            quota = SMALL_QUOTA if name == USERS[-1] else None
            accounts.add(tx, Address(name, domain), password=password, quota_messages=quota, now=now)
        other = places[(places.index(place) + 1) % len(places)]
        members = [Address("ana", domain), Address("luis", domain), Address("friend", "ext0.test")]
        aliases.add(tx, Address("team", domain), members)
        aliases.add(tx, Address("away", domain), [Address("eva", other.domain)])

    async def make() -> None:
        store = open_store(folder, clock=lambda: BEGINNING)
        try:
            await store.write(populate)
        finally:
            store.close()

    asyncio.run(make())


class Node:
    """See the module. Made in the world's own context."""

    def __init__(
        self,
        place: Place,
        folder: Path,
        network: Network,
        chance: random.Random,
        settings: dict[str, Any],
        authorities: Path,
        died: Callable[[Node], None],
    ) -> None:
        self.place = place
        self.offset = 0.0
        """How far its clock is ahead."""
        self.starts = 0
        self.failures: list[BaseException] = []
        """Why it could not start."""
        self.gaps: list[str] = []
        """What its own ledger found wrong after a start."""
        self.died = died
        """Called when its process has been killed."""
        self.disk_bad_since: float | None = None
        """Since when what happens may not be written down."""
        self.off_for = 0.0
        """Seconds for which it stays off after it lost power at an operation of its disk."""
        self.disk = Disk(folder, chance, f"{place.name}-{id(self)}")
        self.disk.on_power_lost = self._fails
        self.process: Process | None = None
        self.office: PostOffice | None = None
        self.is_serving = False
        self.is_wanted = False
        self._folder = folder
        self._network = network
        self._loop: VirtualLoop = network.loop
        self._chance = chance
        self._settings = settings
        self._authorities = authorities
        self._graveyard: list[object] = []
        """Tasks of processes that were killed: collected, they would have their say."""

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self._folder / "data"

    @property
    def store(self) -> Store:
        """The open store."""
        assert self.office is not None
        return self.office.store

    def clock(self) -> float:
        """What time it thinks it is."""
        return BEGINNING + self._loop.now + self.offset

    def begin(self, template: Path) -> None:
        """Put the template on the disk."""
        self._folder.mkdir(parents=True)
        shutil.copytree(template, self.data)

    # Life and death.

    def start(self) -> None:
        """Switch on, or start again what was stopped."""
        self.is_wanted = True
        if self.process is not None:
            return
        self._network.returned(self.place.ip)
        process = self.process = Process(self.place.name)
        self._network.addresses[process] = self.place.ip
        self.starts += 1
        task = self._loop.create_task(self._run(process), context=process.context.copy())
        self._graveyard.append(task)

    async def _run(self, process: Process) -> None:
        office = self.office = PostOffice(self._made_settings(), surroundings=self._surroundings())
        try:
            await office.start()
        except Exception as error:
            self.failures.append(error)
            self._graveyard.append(office)
            process.is_alive = False
            self._network.killed(process)
            self.office = self.process = None
            self._loop.call_later(RESTART_AFTER, self._start_again, context=self._network.context)
            return
        self.is_serving = True
        if self.starts > 1:
            with contextlib.suppress(StoreError):  # of a disk that fails
                self.gaps += await self.audit()

    def _start_again(self) -> None:
        if self.is_wanted and self.process is None:
            self.start()

    def kill(self) -> None:
        """kill -9: what was written is there, whoever waits for it or not."""
        self._die(is_power=False)
        self._bury(is_power=False)

    def lose_power(self) -> None:
        """The machine is off, and its disk has what a disk has then."""
        self._die(is_power=True)
        self._bury(is_power=True)

    def _fails(self) -> None:
        """The disk has lost power in the midst of an operation: what runs on it must be left before it is buried."""
        self._die(is_power=True)
        self._loop.call_soon(self._bury, context=self._network.context)
        self._loop.call_later(self.off_for, self.start, context=self._network.context)

    def _die(self, *, is_power: bool) -> None:
        self.is_wanted = self.is_serving = False
        process = self.process
        if process is None or not process.is_alive:
            return
        process.is_alive = False
        self.died(self)
        if is_power:
            self._network.vanished(self.place.ip, process)
        else:
            self._network.killed(process)
            self.disk.cut_off()

    def _bury(self, *, is_power: bool = True) -> None:
        process, office = self.process, self.office
        self.process = self.office = None
        if process is not None:
            self.disk.cut_off()
            for close in list(process.bells.values()):
                close()
            for store in process.opened:
                with contextlib.suppress(Exception):
                    store.close()
            self._graveyard.extend((office, process))
        if is_power:
            self.disk.lose_power()
        self.disk.power_on()

    def fill_disk(self) -> None:
        """There is no room on the disk any more."""
        self.disk.is_full = True
        if self.disk_bad_since is None:
            self.disk_bad_since = self._loop.now

    def heal_disk(self) -> None:
        """The disk is well again."""
        self.disk.heal()
        self.disk_bad_since = None

    def end(self) -> None:
        """The run is over: nothing stays open."""
        self.kill()
        self.disk.close()

    async def stop(self) -> None:
        """SIGTERM: the post office ends as it should. Runs in the process."""
        process, office = self.process, self.office
        self.is_wanted = self.is_serving = False
        if process is None or office is None:
            return
        task = self._loop.create_task(office.stop(), context=process.context.copy())
        self._graveyard.append(task)
        while process.is_alive and not task.done():  # noqa: ASYNC110 - it may lose power while it stops
            await asyncio.sleep(_LOOK_AFTER)
        if self.process is process:
            await task
            process.is_alive = False
            self._network.killed(process)
            self.process = self.office = None

    def stand_still(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        process = self.process
        if process is not None and not process.is_still:
            process.is_still = True
            self._loop.call_later(seconds, process.go_on, self._loop, context=self._network.context)

    async def audit(self) -> list[str]:
        """What its own ledger finds wrong, as `estafeta audit` would say it."""
        store, now = self.store, Instant(self.clock())
        gaps = await store.read(lambda tx: audit_now(tx, now, measure=store.content.measure))
        return [f"{self.place.name}: audit: {gap}" for gap in gaps]

    # How it is made.

    def _made_settings(self) -> Settings:
        place = self.place
        kinds = (ListenerKind.SMTP, ListenerKind.IMAP)
        return Settings(
            hostname=f"mx.{place.domain}",
            data=self.data,
            listen=tuple(Listen(kind=kind, address=place.ip) for kind in kinds),
            smtp=SmtpSettings(trusted_networks=(CLIENTS,), check_author=False),
            imap=ImapSettings(allow_plaintext_login=True),
            connections=ConnectionLimits(exempt_networks=(IPv4Network("0.0.0.0/0"),)),
            dns=DnsSettings(servers=(ADDRESS,)),
            dane=DaneSettings(enabled=False),
            tls_client=TlsClientSettings(ca_file=self._authorities),
            mta_sts=MtaStsSettings(enabled=False),
            store=StoreSettings(large_content=4096),
            shutdown=ShutdownSettings(drain_seconds=5.0),
            relay=RelaySettings(**{"ipv6": False, **self._settings}),
        )

    def _surroundings(self) -> Surroundings:
        disk, chance = self.disk, self._chance
        return Surroundings(
            clock=self.clock,
            monotonic=self._loop.time,
            chance=chance,
            nonce=lambda: f"{chance.getrandbits(96):024x}",
            listen=listen,
            machinery=Machinery(
                vfs=disk.vfs,
                files=disk.files,
                monotonic=self._loop.time,
                writer=LoopWriter,
                reader=LoopReader,
            ),
        )


async def listen(
    host: str | None,
    port: int,
    serve: Serve,
    *,
    tls: object,
    limits: ConnectionLimits,
    refuse: bytes,
    reuse_port: bool,
    proxies: tuple[object, ...],
    room: Room,
    **_: object,
) -> Listener:
    """Open a port of the network."""
    listener = Listener(serve, None, limits, refuse, (), room)
    await listener.start([Socket(host or "0.0.0.0", port)])  # type: ignore[list-item]  # noqa: S104
    return listener
