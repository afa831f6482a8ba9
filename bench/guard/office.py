"""A post office in one process, over memory streams: the whole way of a message, without sockets and threads.

Changes and queries are run in line, once for all that one turn of the event loop handed in, so that the same work is
done each time. The disk is the real one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar, cast

import uvloop

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.app.monitoring.lines import Lines
from estafeta.app.office import PostOffice
from estafeta.app.surroundings import Surroundings
from estafeta.config.settings import Listen, ListenerKind, LogSettings, Settings, SmtpSettings
from estafeta.mail.address import Address
from estafeta.net.address import PeerAddress
from estafeta.net.dns import DnsSettings
from estafeta.net.listener import Listener, Serve
from estafeta.net.memory import MemoryStream, MemoryTransport
from estafeta.store import accounts, domains, passwords
from estafeta.store.engine import Transaction
from estafeta.store.groupcommit import GroupCommit, Submission, resolve
from estafeta.store.ids import IdSource
from estafeta.store.machinery import Machinery
from estafeta.store.readers import run_queries
from estafeta.store.records import Instant
from estafeta.store.sqlite import SqliteTransaction, connect

T = TypeVar("T")

CLIENT, SERVER = PeerAddress("127.0.0.1", 40000), PeerAddress("127.0.0.1", 25)
USER, PASSWORD = "foo@bench.test", "correct horse battery staple"
BEGINNING = 1_767_225_600.0


class InlineWriter:
    """In the place of the writer's thread."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self._is_scheduled = False

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """See `ThreadDriver.write`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._submit(Submission(change, future))
        return await future

    def write_later(self, change: Callable[[Transaction], object]) -> None:
        """See `ThreadDriver.write_later`."""
        self._submit(Submission(change))

    def _submit(self, submission: Submission) -> None:
        self._commit.submit(submission)
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._is_scheduled = False
        while self._commit.has_waiting:
            resolve(self._commit.run_group())

    @property
    def waiting(self) -> int:
        """See `ThreadDriver.waiting`."""
        return self._commit.waiting

    def close(self) -> None:
        """Finish what waits."""
        self._run()


class InlineReader:
    """In the place of the readers' threads."""

    def __init__(self, path: Path, ids: IdSource, vfs: str | None) -> None:
        self._connection = connect(path, read_only=True, vfs=vfs)
        self._transaction = SqliteTransaction(self._connection, ids)
        self._waiting: list[Submission] = []

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """See `Readers.read`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._run)
        self._waiting.append(Submission(query, future))
        return await future

    def _run(self) -> None:
        group, self._waiting = self._waiting, []
        if group:
            run_queries(self._connection, self._transaction, group)
            resolve(group)

    def close(self) -> None:
        """Finish what waits."""
        self._run()
        self._connection.close(True)


def join(client: asyncio.Protocol, server: asyncio.Protocol) -> MemoryTransport:
    """Connect two protocols by memory; gives the client's transport."""
    first = MemoryTransport(cast(MemoryStream, client), CLIENT, SERVER)
    second = MemoryTransport(cast(MemoryStream, server), SERVER, CLIENT)
    first.other, second.other = second, first
    client.connection_made(first)
    server.connection_made(second)
    return first


class MemoryLoop(uvloop.Loop):
    """The server's own event loop, but connections to other hosts lead to `next_host`."""

    next_host: Callable[[], asyncio.Protocol]

    async def create_connection(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        """Reach the next host."""
        protocol = protocol_factory()
        return join(protocol, self.next_host()), protocol


class Office:
    """The running post office and the doors into it."""

    def __init__(self, office: PostOffice, doors: dict[int, Serve]) -> None:
        self.office = office
        self._doors = doors
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, kind: ListenerKind, client: asyncio.Protocol) -> MemoryTransport:
        """Connect a client's protocol to a listener."""
        stream = MemoryStream()
        transport = join(client, stream)
        task = asyncio.get_running_loop().create_task(self._serve(self._doors[kind.default_port], stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return transport

    async def _serve(self, serve: Serve, stream: MemoryStream) -> None:
        try:
            await serve(stream)
        finally:
            await stream.close()


@asynccontextmanager
async def open_office(folder: Path) -> AsyncIterator[Office]:
    """A post office as shipped, with one account; its log goes nowhere."""
    settings = Settings(
        hostname="mx.bench.test",
        data=folder / "data",
        listen=tuple(Listen(kind=kind, address="127.0.0.1") for kind in (ListenerKind.SMTP, ListenerKind.IMAP)),
        smtp=SmtpSettings(trusted_networks=(IPv4Network("127.0.0.0/8"),)),
        relay=RelaySettings(allow_loopback=True),
        dns=DnsSettings(servers=("127.0.0.1",), port=9, timeout=0.2, tries=1),
    )
    doors: dict[int, Serve] = {}

    async def listen(
        host: str | None, port: int, serve: Serve, *, limits: Any, refuse: bytes, room: Any, **_: object
    ) -> Listener:
        doors[port] = serve
        return Listener(serve, None, limits, refuse, (), room)

    around = Surroundings(
        chance=random.Random(1),
        listen=cast(Any, listen),
        machinery=Machinery(writer=InlineWriter, reader=InlineReader),
    )
    with (folder / "log").open("w") as log:
        lines = Lines(LogSettings(), around.clock, log)
        async with PostOffice(settings, surroundings=around, lines=lines) as office:
            await office.store.write(_populate)
            yield Office(office, doors)


def _populate(tx: Transaction) -> None:
    now = Instant(BEGINNING)
    domains.add(tx, "bench.test", now=now)
    accounts.add(tx, Address.parse(USER), password=passwords.hash_password(PASSWORD), now=now)


def run_in_memory(main: Callable[[MemoryLoop], Awaitable[None]]) -> None:
    """Run in the server's event loop."""
    loops: list[MemoryLoop] = []

    def make() -> MemoryLoop:
        loops.append(MemoryLoop())
        return loops[0]

    async def start() -> None:
        await main(loops[0])

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(start())
