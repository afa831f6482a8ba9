"""A provider: a post office on loopback that keeps mail for customers until they call."""

from __future__ import annotations

import asyncio
import secrets
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Self

from estafeta.agents.environment import Environment, ListenerFacts, Role
from estafeta.agents.ondemand import Frequency, OnDemand, OnDemandCustomer, OnDemandSettings
from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, GatewayTls
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.reception import Reception
from estafeta.app.outbound import Outbound
from estafeta.app.surroundings import Surroundings
from estafeta.client import ClientTimeouts
from estafeta.config.settings import Settings
from estafeta.mail.address import Address
from estafeta.net.authority import Issued
from estafeta.net.dns import DnsSettings
from estafeta.net.listener import Listener, listen
from estafeta.net.stream import Stream, connect
from estafeta.net.tls import ServerTls, client_context
from estafeta.policy.guard import LoginGuard
from estafeta.policy.login import Authenticator
from estafeta.routing.routes import RouteAction, RouteRule
from estafeta.store import accounts, domains, journal, passwords, queue
from estafeta.store.records import EntryKind, Instant, JournalEntry, QueuedRecipient
from estafeta.store.store import Transaction, open_store

PASSWORD = "correct horse"
HASHED = passwords.hash_password(PASSWORD)
CUSTOMER = "office@provider.example"
STRANGER = "ana@provider.example"

KEPT = tuple(
    RouteRule(domain=name, action=RouteAction.ON_DEMAND, for_anyone=True)
    for name in ("customer.example", "customer.test", "other.example")
)
CUSTOMERS = OnDemandSettings(customer=(OnDemandCustomer(CUSTOMER, ("customer.example", "customer.test"), turn=True),))


def gateway(port: int) -> GatewaySettings:
    """The customer's host, which is found by its address."""
    return GatewaySettings("customer", GatewayKind.SMTP, host="127.0.0.1", port=port, tls=GatewayTls.NONE)


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Says a line, gives the reply; once the roles are turned, reads commands and replies to them."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._buffer = b""

    async def line(self) -> str:
        """One line without its end; empty at the end of the stream."""
        while b"\r\n" not in self._buffer:
            octets = await self.stream.receive()
            if not octets:
                return ""
            self._buffer += octets
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    async def reply(self) -> str:
        """A whole reply, its lines joined by a newline."""
        lines = [await self.line()]
        while lines[-1][3:4] == "-":
            lines.append(await self.line())
        return "\n".join(lines)

    async def say(self, line: str) -> str:
        """A command and its reply."""
        self.stream.send(line.encode() + b"\r\n")
        return await self.reply()

    async def login(self, identity: str = CUSTOMER) -> str:
        """AUTH PLAIN."""
        return await self.say("AUTH PLAIN " + b64encode(f"\0{identity}\0{PASSWORD}".encode()).decode())

    async def take(
        self,
        *,
        final: str = "250 2.0.0 taken",
        refused: str = "<>",
        at_most: int = 100,
        took: Callable[[bytes], object] = lambda message: None,
    ) -> list[bytes]:
        """Be the server, without pipelining, until QUIT or so many messages; gives their contents.

        The one that is too many is not answered; recipients with `refused` in them are put off. `took` is told of
        each that was answered.
        """
        messages: list[bytes] = []
        self.stream.send(b"220 customer.example\r\n")
        while command := await self.line():
            verb = command.upper()
            if verb.startswith("EHLO"):
                self.stream.send(b"250-customer.example\r\n250 8BITMIME\r\n")
            elif verb == "DATA":
                self.stream.send(b"354 go on\r\n")
                lines = []
                while (line := await self.line()) != ".":
                    lines.append(line.removeprefix(".").encode() + b"\r\n")
                messages.append(b"".join(lines))
                if len(messages) > at_most:
                    return messages
                self.stream.send(final.encode() + b"\r\n")
                took(messages[-1])
            elif verb.startswith("RCPT") and refused in command:
                self.stream.send(b"452 4.2.2 mailbox full\r\n")
            elif verb == "QUIT":
                self.stream.send(b"221 bye\r\n")
                break
            else:
                self.stream.send(b"250 fine\r\n")
        return messages


async def deliver(client: Client, *recipients: str, text: str = "hello") -> None:
    """Mail from a stranger for these, one message each."""
    await client.reply()
    await client.say("EHLO elsewhere.example")
    for number, recipient in enumerate(recipients):
        for line in ("MAIL FROM:<luis@elsewhere.example>", f"RCPT TO:<{recipient}>", "DATA"):
            assert (await client.say(line))[0] in "23"
        said = f"Subject: {text} {number}\r\n\r\n{text} {number}\r\n."
        assert (await client.say(said)).startswith("250")


class Provider:
    """Serves `smtp`, `submission` and `odmr` on loopback; `async with` it."""

    def __init__(
        self,
        folder: Path,
        issued: Issued,
        *,
        on_demand: OnDemandSettings = CUSTOMERS,
        rules: Iterable[RouteRule] = KEPT,
        gateways: Iterable[GatewaySettings] = (),
        before: Callable[[Transaction], object] = lambda tx: None,
        dns_port: int = 9,
        relay: RelaySettings | None = None,
    ) -> None:
        """`before` is done to the store before the dispatcher starts; `dns_port` is where names are asked for."""
        self.issued = issued
        self.settings = Settings(
            hostname="mx.provider.example",
            data=folder,
            route=tuple(rules),
            gateway=tuple(gateways),
            dns=DnsSettings(servers=("127.0.0.1",), port=dns_port, timeout=0.2, tries=1),
            relay=relay or RelaySettings(),
        )
        self.on_demand = on_demand
        self._before = before
        self.clock = Clock()
        """The clock by which ETRN is limited."""
        self._streams: list[Stream] = []
        self._listeners: dict[Role, Listener] = {}
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        settings = self.settings
        self.store = open_store(settings.data, clock=time.time)
        await self.store.write(populate)
        await self.store.write(self._before)
        secret = b"0123456789abcdef"
        self.outbound = Outbound(settings, self.store, secret, Surroundings())
        guard = LoginGuard(settings.login, time.monotonic)
        environment = Environment(
            hostname=settings.hostname,
            store=self.store,
            directory=self.outbound.directory,
            outward=self.outbound.outward(),
            authenticator=Authenticator(self.store, guard, secret=secret, sleep=asyncio.sleep),
            settings=settings.smtp,
            limits=settings.smtp.limits,
            clock=time.time,
            monotonic=time.monotonic,
            nonce=lambda: secrets.token_urlsafe(24),
            on_demand=OnDemand(
                self.on_demand,
                settings.route,
                self.outbound.dispatcher,
                self.outbound.relay,
                Frequency(self.clock),
                ClientTimeouts(greeting=10, command=10, final=10),
            ),
        )
        self.reception = Reception(environment)
        tls = ServerTls(self.issued.certificate, self.issued.key)
        await self.outbound.start()
        for role in (Role.MX, Role.SUBMISSION, Role.ODMR):
            serve = self.reception.server(ListenerFacts(role.value, role, tls))
            self._listeners[role] = await listen("127.0.0.1", 0, partial(self._serve, serve))
        return self

    async def _serve(self, serve: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await serve(stream)
        finally:
            self._sessions.discard(task)

    async def calm(self) -> None:
        """Wait until all sessions have ended."""
        async with asyncio.timeout(20):
            while self._sessions:
                await asyncio.wait(self._sessions)

    async def __aexit__(self, *exception: object) -> None:
        for stream in self._streams:
            await stream.close()
        for listener in self._listeners.values():
            listener.close()
        for listener in self._listeners.values():
            await listener.drain(5.0)
        await self.outbound.stop(5.0)
        self.store.close()

    def port(self, role: Role) -> int:
        """Where a role is served."""
        return self._listeners[role].port

    async def client(self, role: Role = Role.ODMR, *, tls: bool = True, login: str | None = None) -> Client:
        """A connection that has said EHLO."""
        stream = await connect("127.0.0.1", self.port(role))
        self._streams.append(stream)
        stream.set_deadline(20)
        client = Client(stream)
        await client.reply()
        await client.say("EHLO customer.example")
        if tls:
            await client.say("STARTTLS")
            await stream.start_tls(client_context(self.issued.authority), server_hostname="localhost")
            await client.say("EHLO customer.example")
        if login is not None:
            assert (await client.login(login)).startswith("235")
        return client

    async def take_in(self, *recipients: str, text: str = "hello") -> None:
        """Mail from a stranger for these, one message each."""
        stream = await connect("127.0.0.1", self.port(Role.MX))
        self._streams.append(stream)
        await deliver(Client(stream), *recipients, text=text)
        await stream.close()

    async def queued(self) -> list[QueuedRecipient]:
        """The queue."""
        await self.store.write(lambda tx: None)
        return await self.store.read(lambda tx: queue.list_all(tx, limit=1000))

    async def until_queued(self, number: int) -> list[QueuedRecipient]:
        """The queue once it has so many recipients that nobody has claimed."""
        async with asyncio.timeout(20):
            while True:
                found = await self.queued()
                if len(found) == number and all(each.holder is None for each in found):
                    return found
                await asyncio.sleep(0.01)

    async def sessions(self, account: str = CUSTOMER) -> list[JournalEntry]:
        """What the journal has of the sessions of an account, the newest first; all sessions must have ended."""
        await self.calm()
        await self.store.write(lambda tx: None)
        found = await self.store.read(lambda tx: journal.by_key(tx, account, limit=100))
        return [each for each in found if each.kind is EntryKind.SESSION]

    async def attempts(self, message_id: int) -> list[JournalEntry]:
        """What the journal has of attempts to hand a message over, the oldest first."""
        await self.store.write(lambda tx: None)
        found = await self.store.read(lambda tx: journal.by_message(tx, message_id))
        return [each for each in found if each.kind is EntryKind.ATTEMPT]


def populate(tx: Transaction) -> None:
    """The provider's own domain, the customer's account and another."""
    now = Instant(time.time())
    domains.add(tx, "provider.example", now=now)
    for address in (CUSTOMER, STRANGER):
        accounts.add(tx, Address.parse(address), password=HASHED, now=now)
