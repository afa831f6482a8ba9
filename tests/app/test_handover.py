"""The server is ended and started again while clients come all the time: none is refused, and no mail is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.app.servicemanager import LOOPBACK, ServiceManager, free_port, listening

from estafeta.mail.address import Address
from estafeta.store import accounts, domains, mailboxes, messages
from estafeta.store.passwords import hash_password
from estafeta.store.records import Instant
from estafeta.store.store import Transaction, open_store

ANA = Address.parse("ana@example.org")
CLIENTS = 5
_SUBJECT = re.compile(rb"Subject: \d+")


def prepare(folder: Path, port: int, settings: str = "") -> None:
    """The settings file, and a store with an account."""
    lines = ['hostname = "mx.example.org"', 'data = "data"', settings]
    lines += ["[shutdown]", "drain_seconds = 5.0", "[[listen]]", 'kind = "smtp"', f'address = "{LOOPBACK}"']
    (folder / "estafeta.toml").write_text("\n".join([*lines, f"port = {port}", ""]))
    now = Instant(time.time())

    def change(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=now)
        accounts.add(tx, ANA, password=hash_password("correct horse"), now=now)

    async def main() -> None:
        store = open_store(folder / "data", clock=time.time)
        await store.write(change)
        store.close()

    asyncio.run(main())


def delivered(folder: Path) -> list[str]:
    """The subjects of what is in the mailbox."""
    store = open_store(folder / "data", clock=time.time)

    def query(tx: Transaction) -> list[str]:
        account = accounts.find(tx, ANA)
        assert account is not None
        inbox = mailboxes.inbox(tx, account.account_id).mailbox_id
        found = [messages.read_content(tx, store.content, inbox, each.uid) for each in messages.list_of(tx, inbox)]
        return [_SUBJECT.findall(content)[0].decode() for content in found]

    try:
        return asyncio.run(store.read(query))
    finally:
        store.close()


class Clients:
    """Some that connect, hand in one numbered message and go, again and again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused: list[str] = []
        """Connections that nobody greeted."""
        self.deferred = 0
        """Sessions that were told to come again, or were cut before the end of the data."""
        self.answered: set[int] = set()
        self._next = 0
        self._is_over = False

    async def run(self, meanwhile: Callable[[], None]) -> None:
        """Connect all the time while something is done in a thread."""
        tasks = [asyncio.create_task(self._client()) for _ in range(CLIENTS)]
        try:
            await asyncio.to_thread(meanwhile)
        finally:
            self._is_over = True
            await asyncio.gather(*tasks)

    async def _client(self) -> None:
        while not self._is_over:
            self._next += 1
            await self._hand_in(self._next)

    async def _hand_in(self, number: int) -> None:
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
            greeting = await reader.readuntil(b"\r\n")
        except (OSError, asyncio.IncompleteReadError) as error:
            self.refused.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.05)
            return
        with suppress(OSError, asyncio.IncompleteReadError):
            reply = greeting
            for line in (
                b"HELO client.example",
                b"MAIL FROM:<luis@example.net>",
                b"RCPT TO:<ana@example.org>",
                b"DATA",
                b"Subject: %d\r\n\r\ntext\r\n." % number,
            ):
                if reply[:1] not in b"23":
                    break
                writer.write(line + b"\r\n")
                reply = await reader.readuntil(b"\r\n")
            else:
                if reply.startswith(b"250"):
                    self.answered.add(number)
        self.deferred += number not in self.answered
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def started(folder: Path) -> Iterator[Callable[..., ServiceManager]]:
    made: list[ServiceManager] = []

    def make(*sockets: socket.socket) -> ServiceManager:
        made.append(ServiceManager(folder, sockets))
        return made[-1]

    yield make
    for each in made:
        each.close()


def mail_goes_on(manager: ServiceManager, clients: Clients) -> None:
    so_far = len(clients.answered)
    manager.until_true(lambda: len(clients.answered) > so_far + CLIENTS, "mail")


def check(folder: Path, clients: Clients) -> None:
    assert not clients.refused
    found = Counter(delivered(folder))
    assert len(clients.answered) > CLIENTS
    assert {f"Subject: {number}" for number in clients.answered} <= {*found}
    # Who was told 250 is told no more than once; who was not may have sent it all the same.
    assert set(found.values()) == {1}


def test_with_the_socket_of_a_unit_five_restarts_refuse_nobody(
    folder: Path, started: Callable[..., ServiceManager]
) -> None:
    one = listening()
    port = one.getsockname()[1]
    prepare(folder, port, "[processes]\nindexer = false")
    manager = started(one)
    clients = Clients(port)

    def restart() -> None:
        for _ in range(5):
            manager.start()
            mail_goes_on(manager, clients)
            assert manager.stop() == 0
        manager.start()

    # Clients come before the first start already, and wait.
    asyncio.run(clients.run(restart))
    manager.stop()
    check(folder, clients)
    assert not manager.stored


def test_without_one_the_manager_keeps_our_sockets_for_the_next_of_two_workers(
    folder: Path, started: Callable[..., ServiceManager]
) -> None:
    port = free_port()
    prepare(folder, port, "[processes]\nworkers = 2\nindexer = false")
    manager = started()
    manager.start()
    assert sorted(manager.stored) == [f"kept-127.0.0.1-{port}-1", f"kept-127.0.0.1-{port}-2"]
    clients = Clients(port)

    def restart() -> None:
        for _ in range(2):
            mail_goes_on(manager, clients)
            assert manager.stop() == 0
            manager.start()
        manager.until_true(lambda: bool(children_of(manager)), "the other worker")
        (worker,) = children_of(manager)
        assert not clients.refused
        os.kill(worker, signal.SIGKILL)  # its socket is taken up by the one that comes in its place
        manager.until_true(lambda: bool({*children_of(manager)} - {worker}), "another in its place")
        mail_goes_on(manager, clients)
        # Where one serves instead of two, it accepts from both sockets.
        file = folder / "estafeta.toml"
        file.write_text(file.read_text().replace("workers = 2", "workers = 1"))
        assert manager.process is not None
        manager.process.send_signal(signal.SIGHUP)
        manager.until("READY=1")
        manager.until_true(lambda: not children_of(manager), "end of the other worker")
        mail_goes_on(manager, clients)

    asyncio.run(clients.run(restart))
    assert len(manager.stored) == 2
    manager.stop()
    # A connection that the killed process had accepted is cut; none is refused.
    clients.refused = [each for each in clients.refused if "Refused" in each]
    check(folder, clients)


def children_of(manager: ServiceManager) -> list[int]:
    """The other processes of the server."""
    assert manager.process is not None
    number = manager.process.pid
    return [int(child) for child in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


def test_a_port_that_is_no_longer_served_is_not_kept(folder: Path, started: Callable[..., ServiceManager]) -> None:
    first, second = free_port(), free_port()
    prepare(folder, first, f'[[listen]]\nkind = "pop3"\naddress = "{LOOPBACK}"\nport = {second}\n')
    manager = started()
    manager.start()
    assert {int(name.split("-")[2]) for name in manager.stored} == {first, second}
    file = folder / "estafeta.toml"
    file.write_text(file.read_text().replace(f"port = {second}", f"port = {(third := free_port())}"))
    assert manager.process is not None
    manager.process.send_signal(signal.SIGHUP)
    manager.until("READY=1")
    assert {int(name.split("-")[2]) for name in manager.stored} == {first, third}
    assert manager.stop() == 0
    manager.start()
    assert {int(name.split("-")[2]) for name in manager.stored} == {first, third}
    assert manager.stop() == 0
