"""`estafeta serve` as a process of its own, and its store seen from outside: what every foreign program meets."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from estafeta.config.settings import ListenerKind
from estafeta.mail.address import Address
from estafeta.net.authority import Issued, issue
from estafeta.store import accounts, domains, mailboxes, messages, queue
from estafeta.store.passwords import hash_password
from estafeta.store.records import Instant, MailboxId
from estafeta.store.store import Store, Transaction, open_store

T = TypeVar("T")

PASSWORD = "correct horse battery staple"
_HASHED = hash_password(PASSWORD)
_SERVE = "import sys; from estafeta.cli.main import main; sys.argv[0] = 'estafeta'; main()"
_RECEIVED = re.compile(rb"Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
_RETURN_PATH = re.compile(rb"Return-Path: <[^\r\n]*>\r\n")


class RunningServer:
    """A server with a data directory of its own, all listeners on loopback, and a certificate for localhost."""

    def __init__(self, folder: Path, *, domain: str = "example.org", settings: str = "") -> None:
        self.folder = folder
        self.domain = domain
        self.ports = dict(zip(ListenerKind, free_ports(len(ListenerKind)), strict=True))
        self.issued: Issued = issue(folder / "tls", ["localhost", "127.0.0.1"])
        self.log = folder / "server.log"
        self._file = folder / "estafeta.toml"
        self._file.write_text(self._settings(settings))
        self._process: subprocess.Popen[bytes] | None = None
        self._change(lambda tx: domains.add(tx, domain, now=_now()))

    def _settings(self, further: str) -> str:
        lines = [
            'hostname = "mx.example.org"',
            'data = "data"',
            "[tls]",
            f'certificate = "{self.issued.certificate}"',
            f'key = "{self.issued.key}"',
        ]
        for kind, port in self.ports.items():
            lines += ["[[listen]]", f'kind = "{kind}"', 'address = "127.0.0.1"', f"port = {port}"]
        return "\n".join([*lines, further, ""])

    # The process.

    def start(self) -> None:
        """Start it and wait for its greeting."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, "serve", "--config", str(self._file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
            )
        wait_for(self._is_up, f"the server's greeting; its log: {self.log}", seconds=30)

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the server has ended: {self.log.read_text()[-2000:]}")
        try:
            with smtplib.SMTP("127.0.0.1", self.ports[ListenerKind.SMTP], timeout=10):
                return True
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end; gives the exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End it as a crash does."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """End it in order, or by force when it is not in order; gives the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                return self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
        return self.wait()

    # The store, from outside.

    def waiting(self) -> int:
        """How many recipients wait for other hosts."""
        return self._ask(lambda tx, store: sum(queue.count(tx).values()))

    def account(self, name: str, *, domain: str | None = None) -> str:
        """A new account while the server runs; gives its address."""
        address = Address(name, domain or self.domain)

        def add(tx: Transaction) -> None:
            if domains.find(tx, address.domain) is None:
                domains.add(tx, address.domain, now=_now())
            accounts.add(tx, address, password=_HASHED, now=_now())

        self._change(add)
        return str(address)

    def messages(self, address: str, *, mailbox: str = "INBOX") -> list[bytes]:
        """The messages in a mailbox of the account, octet for octet."""

        def read(tx: Transaction, store: Store) -> list[bytes]:
            inbox = _mailbox(tx, address, mailbox)
            found = messages.list_of(tx, inbox)
            return [messages.read_content(tx, store.content, inbox, message.uid) for message in found]

        return self._ask(read)

    def count(self, address: str) -> int:
        """How many messages are in the account's INBOX."""
        return self._ask(lambda tx, store: len(messages.list_of(tx, _inbox(tx, address))))

    def put(self, sender: str, address: str, contents: list[bytes]) -> None:
        """Have messages delivered to an account, as another host does."""
        with smtplib.SMTP("127.0.0.1", self.ports[ListenerKind.SMTP], timeout=30) as client:
            for content in contents:
                assert client.sendmail(sender, [address], content, mail_options=["BODY=8BITMIME"]) == {}

    def _change(self, change: Callable[[Transaction], object]) -> None:
        store = open_store(self.folder / "data", clock=time.time)
        try:
            asyncio.run(store.write(change))
        finally:
            store.close()

    def _ask(self, query: Callable[[Transaction, Store], T]) -> T:
        store = open_store(self.folder / "data", clock=time.time)
        try:
            return asyncio.run(store.read(lambda tx: query(tx, store)))
        finally:
            store.close()


def _inbox(tx: Transaction, address: str) -> MailboxId:
    return _mailbox(tx, address, "INBOX")


def _mailbox(tx: Transaction, address: str, name: str) -> MailboxId:
    account = accounts.find(tx, Address.parse(address))
    assert account is not None
    return next(each.mailbox_id for each in mailboxes.list_of(tx, account.account_id) if each.name == name)


def _now() -> Instant:
    return Instant(time.time())


def running(server: RunningServer) -> Iterator[RunningServer]:
    """Run a server for as long as a fixture lives; its end must be an orderly one."""
    server.start()
    try:
        yield server
    finally:
        code = server.stop()
    assert code == 0, server.log.read_text()[-2000:]


def behind_trace(message: bytes) -> bytes:
    """What the client sent: the message behind the Return-Path and the one Received field that are ours."""
    return_path = _RETURN_PATH.match(message)
    assert return_path is not None, message[:200]
    received = _RECEIVED.match(message, return_path.end())
    assert received is not None, message[:400]
    return message[received.end() :]


def behind_all_trace(message: bytes) -> bytes:
    """The message behind our trace fields and those of every host before us."""
    rest = behind_trace(message)
    while (received := _RECEIVED.match(rest)) is not None:
        rest = rest[received.end() :]
    return rest


def free_ports(count: int) -> list[int]:
    """Ports that are free now, below those that the system gives to clients.

    While a server is down one of its own clients could get such a one, and the server not have it again.
    """
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", random.randrange(15_000, 32_000)))
        except OSError:
            one.close()
        else:
            sockets.append(one)
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(is_there: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Look again and again for what another program does in its own time."""
    deadline = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} seconds in vain for {what}")
        time.sleep(0.05)
