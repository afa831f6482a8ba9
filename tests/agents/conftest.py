"""A post office on loopback with a real store, and a client that speaks line by line."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from estafeta.agents.settings import SmtpLimits
from estafeta.app import PostOffice, new_event_loop
from estafeta.config.settings import Listen, ListenerKind, Settings, SmtpSettings, TlsSettings
from estafeta.mail.address import Address
from estafeta.net.authority import Issued, issue
from estafeta.net.dns import DnsSettings
from estafeta.net.stream import Stream, connect
from estafeta.net.tls import client_context
from estafeta.store import accounts, aliases, domains, journal, mailboxes, messages, passwords, queue
from estafeta.store.records import Instant, JournalEntry, QueuedRecipient
from estafeta.store.store import Transaction

PASSWORD = "correct horse"
HASHED = passwords.hash_password(PASSWORD)


NO_DNS = DnsSettings(servers=("127.0.0.1",), port=9, timeout=0.2, tries=1)
"""A server that is not there: nothing leaves the machine, and mail for elsewhere stays in the queue."""


class Client:
    """Says a line, gives the reply."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._buffer = b""

    async def reply(self) -> str:
        """One whole reply, its lines joined by a newline; empty at the end of the stream."""
        lines: list[str] = []
        while True:
            while b"\r\n" not in self._buffer:
                octets = await self.stream.receive()
                if not octets:
                    return "\n".join(lines)
                self._buffer += octets
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            lines.append(line.decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        """A command and its reply."""
        self.stream.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return await self.reply()

    async def say_all(self, *lines: str) -> list[int]:
        """The reply codes of several commands, one after the other."""
        return [int((await self.say(line))[:3]) for line in lines]

    async def send(self, reverse_path: str, forward_path: str, content: bytes) -> str:
        """A whole transaction; gives the first reply that is not positive, or the last."""
        for line in (f"MAIL FROM:<{reverse_path}>", f"RCPT TO:<{forward_path}>", "DATA"):
            reply = await self.say(line)
            if reply[0] not in "23":
                return reply
        return await self.say(content + b".")

    async def login(self, identity: str, password: str = PASSWORD) -> str:
        """AUTH PLAIN."""
        response = b64encode(f"\0{identity}\0{password}".encode()).decode()
        return await self.say(f"AUTH PLAIN {response}")


class Office:
    """What tests ask of a running post office."""

    def __init__(self, office: PostOffice, issued: Issued) -> None:
        self.office = office
        self.issued = issued
        self._streams: list[Stream] = []

    async def client(self, kind: ListenerKind = ListenerKind.SMTP, *, hello: bool = True, tls: bool = False) -> Client:
        """A connection to a listener, greeted."""
        context = client_context(self.issued.authority)
        stream = await connect(
            "127.0.0.1",
            self.office.port(kind),
            context=context if kind.implicit_tls else None,
            server_hostname="localhost" if kind.implicit_tls else None,
        )
        self._streams.append(stream)
        stream.set_deadline(20)
        client = Client(stream)
        await client.reply()
        verb = "LHLO" if kind is ListenerKind.LMTP else "EHLO"
        if hello:
            await client.say(f"{verb} client.example.net")
        if tls:
            await client.say("STARTTLS")
            await stream.start_tls(context, server_hostname="localhost")
            await client.say(f"{verb} client.example.net")
        return client

    async def close(self) -> None:
        """Leave nothing open."""
        for stream in self._streams:
            await stream.close()

    async def submitter(self, identity: str = "ana@example.org") -> Client:
        """A client that is logged in over TLS."""
        client = await self.client(ListenerKind.SUBMISSION, tls=True)
        assert (await client.login(identity)).startswith("235")
        return client

    async def change(self, change: Callable[[Transaction], Any]) -> None:
        """What an operator does meanwhile."""
        await self.office.store.write(change)

    async def mailbox(self, address: str) -> list[bytes]:
        """The messages in an INBOX."""
        store = self.office.store

        def read(tx: Transaction) -> list[bytes]:
            account = accounts.find(tx, Address.parse(address))
            assert account is not None
            inbox = mailboxes.inbox(tx, account.account_id)
            return [
                messages.read_content(tx, store.content, inbox.mailbox_id, message.uid)
                for message in messages.list_of(tx, inbox.mailbox_id)
            ]

        return await store.read(read)

    async def queued(self) -> list[QueuedRecipient]:
        """The queue."""
        return await self.office.store.read(lambda tx: queue.list_all(tx, limit=100))

    async def journal(self, key: str) -> list[JournalEntry]:
        """What trace finds, after all that waits to be written was written."""
        await self.office.store.write(lambda tx: None)
        return await self.office.store.read(lambda tx: journal.by_key(tx, key, limit=50))


def populate(tx: Transaction) -> None:
    """One domain, two users, an alias."""
    now = Instant(time.time())
    domains.add(tx, "example.org", now=now)
    for name in ("ana", "luis"):
        accounts.add(tx, Address(name, "example.org"), password=HASHED, now=now)
    aliases.add(tx, Address("team", "example.org"), [Address("ana", "example.org"), Address("luis", "example.org")])


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """A certificate for localhost."""
    return issue(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])


Test = Callable[[Office], Coroutine[Any, Any, None]]
Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, issued: Issued) -> Run:
    """Run a test's coroutine with an open post office; keywords are settings of `[smtp]`, `limits` theirs."""

    def run_it(
        test: Test, *, limits: SmtpLimits | None = None, settings: dict[str, Any] | None = None, **smtp: Any
    ) -> None:
        kinds = (
            ListenerKind.SMTP,
            ListenerKind.SUBMISSION,
            ListenerKind.SUBMISSIONS,
            ListenerKind.LMTP,
            ListenerKind.POP3,
        )
        made = Settings(
            hostname="mx.example.org",
            data=tmp_path / "data",
            listen=tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in kinds),
            tls=TlsSettings(certificate=issued.certificate, key=issued.key),
            smtp=SmtpSettings(**smtp, limits=limits or SmtpLimits()),
            **({"dns": NO_DNS} | (settings or {})),
        )

        async def main() -> None:
            async with PostOffice(made) as office:
                await office.store.write(populate)
                tested = Office(office, issued)
                try:
                    await test(tested)
                finally:
                    await tested.close()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())

    return run_it
