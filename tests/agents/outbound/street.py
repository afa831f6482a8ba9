"""A street of other people's hosts on loopback, each at an address of its own, and a relay that goes there."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from estafeta.agents.outbound.gateways.settings import GatewaySettings
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.plan import Planner
from estafeta.agents.outbound.pool import Pool
from estafeta.agents.outbound.relay import Attempt, Relay
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.outbound.tls_reporting import TlsReporter, TlsReportSettings
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.net.authority import Issued
from estafeta.net.errors import NetError
from estafeta.net.https import Https
from estafeta.net.listener import Listener, listen
from estafeta.net.stream import Stream
from estafeta.net.tls import ServerTls, TlsClientSettings
from estafeta.net.zones import ZoneResolver
from estafeta.routing.destinations import Destination
from estafeta.routing.security import Security, TlsRule
from estafeta.store.records import (
    ContentId,
    Fate,
    Instant,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)
from estafeta.store.store import open_store

DROP = "drop"
"""Close the connection instead of a reply."""
HANG = "hang"
"""Say nothing more."""
MODERN = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000", "CHUNKING", "DSN")
OLD = ("PIPELINING", "8BITMIME", "SIZE 10000000")
CONTENT = b"From: ana@example.org\r\nSubject: x\r\n\r\nhello\r\n"


@dataclass
class Taken:
    """One message that a host took."""

    mail: str
    recipients: list[str]
    content: bytes


class Host:
    """A server that takes everything, unless told otherwise."""

    def __init__(
        self,
        *extensions: str,
        says: dict[str, str | list[str]] | None = None,
        lmtp: bool = False,
        tls: ServerTls | None = None,
    ) -> None:
        self.extensions = extensions or MODERN
        self.says = says or {}
        """Replies by verb, or by verb and part of its argument (`RCPT ben`); of a list each one once. GREETING is the
        first reply, CONTENT the one to the final dot or the last chunk."""
        self.lmtp = lmtp
        self.tls = tls
        self.closes_after = 0
        """Messages on one connection; 0 for any number."""
        self.last_words = b""
        """Said before it closes after so many messages."""
        self.heard: list[str] = []
        self.connections = 0
        self.taken: list[Taken] = []
        self._streams: list[Stream] = []

    @property
    def verbs(self) -> list[str]:
        """The verbs of all that was heard."""
        return [line.split(" ")[0].upper() for line in self.heard]

    async def hang_up(self) -> None:
        """Close all connections, as a server does with idle ones."""
        for stream in self._streams:
            await stream.close()
        self._streams.clear()

    def _reply(self, verb: str, argument: str, usual: str) -> str:
        for key in (f"{verb} {part}" for part in argument.replace("<", " ").replace("@", " ").split()):
            if key in self.says:
                return self._next(key, usual)
        return self._next(verb, usual) if verb in self.says else usual

    def _next(self, key: str, usual: str) -> str:
        said = self.says[key]
        if isinstance(said, str):
            return said
        return said.pop(0) if said else usual

    async def serve(self, stream: Stream) -> None:
        """One connection."""
        self.connections += 1
        self._streams.append(stream)
        stream.set_deadline(20)
        try:
            await _Session(self, stream).run()
        except (NetError, _Over):
            return


class _Over(Exception):
    """The connection is to be closed."""


class _Session:
    def __init__(self, host: Host, stream: Stream) -> None:
        self.host = host
        self.stream = stream
        self.buffer = b""
        self.mail = ""
        self.recipients: list[str] = []
        self.chunks = b""
        self.messages = 0

    async def run(self) -> None:
        await self.say("GREETING", "", "220 host.example ready")
        while True:
            line = await self.line()
            self.host.heard.append(line)
            verb, _, argument = line.partition(" ")
            await self.do(verb.upper(), argument)

    async def do(self, verb: str, argument: str) -> None:
        match verb:
            case "EHLO" | "LHLO":
                keywords = [*self.host.extensions, *(("STARTTLS",) if self.host.tls and not self.stream.tls else ())]
                lines = ["host.example", *keywords]
                usual = "\r\n".join(f"250{'-' if each is not lines[-1] else ' '}{each}" for each in lines)
                await self.say("EHLO", argument, usual)
            case "STARTTLS":
                assert self.host.tls is not None
                reply = await self.say("STARTTLS", "", "220 go on")
                if reply == "220 and gone":
                    raise _Over
                if reply == "220 and nonsense":
                    await self.stream.receive()
                    self.stream.send(b"nonsense\r\n")
                elif reply.startswith("220"):
                    await self.stream.start_tls(self.host.tls.context, server_side=True)
            case "MAIL":
                is_taken = (await self.say("MAIL", argument, "250 2.1.0 fine")).startswith("2")
                self.mail, self.recipients, self.chunks = argument if is_taken else "", [], b""
            case "RCPT":
                if not self.mail:
                    await self.say("NOBODY", "", "503 5.5.1 nobody to send from")
                elif (await self.say("RCPT", argument, "250 2.1.5 fine")).startswith("2"):
                    self.recipients.append(argument)
            case "DATA":
                if not self.recipients:
                    await self.say("NOBODY", "", "503 5.5.1 nobody to send to")
                elif (await self.say("DATA", "", "354 go on")).startswith("3"):
                    await self.take(await self.dotted())
            case "BDAT":
                size, _, last = argument.partition(" ")
                self.chunks += await self.octets(int(size))
                if not self.recipients:
                    await self.say("NOBODY", "", "503 5.5.1 nobody to send to")
                elif last.upper() == "LAST":
                    await self.take(self.chunks)
                else:
                    await self.say("BDAT", "", "250 2.0.0 go on")
            case "AUTH":
                await self.say("AUTH", argument, "235 2.7.0 welcome")
            case "QUIT":
                await self.say("QUIT", "", "221 2.0.0 bye")
                raise _Over
            case _:
                await self.say(verb, argument, "250 2.0.0 fine")

    async def take(self, content: bytes) -> None:
        taken = Taken(self.mail, list(self.recipients), content)
        for recipient in self.recipients if self.host.lmtp else [""]:
            reply = await self.say("CONTENT", recipient, "250 2.0.0 taken")
            if not reply.startswith("2"):
                taken.recipients = [each for each in taken.recipients if each != recipient] if recipient else []
        if taken.recipients:
            self.host.taken.append(taken)
        self.messages += 1
        if self.messages == self.host.closes_after:
            if self.host.last_words:
                self.stream.send(self.host.last_words)
            raise _Over

    async def say(self, verb: str, argument: str, usual: str) -> str:
        reply = self.host._reply(verb, argument, usual)
        if reply == DROP:
            raise _Over
        if reply == HANG:
            while await self.stream.receive():
                pass
            raise _Over
        self.stream.send(reply.encode() + b"\r\n")
        if reply.startswith("421"):
            raise _Over
        return reply

    async def line(self) -> str:
        while b"\r\n" not in self.buffer:
            await self.more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("utf-8", "surrogateescape")

    async def octets(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self.more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    async def dotted(self) -> bytes:
        lines = []
        while (line := await self.line()) != ".":
            lines.append(line.removeprefix(".").encode("utf-8", "surrogateescape") + b"\r\n")
        return b"".join(lines)

    async def more(self) -> None:
        octets = await self.stream.receive()
        if not octets:
            raise _Over
        self.buffer += octets


class Street:
    """Hosts, a DNS that leads to them, and a relay."""

    def __init__(
        self,
        folder: Path,
        zone: str = "",
        *,
        rules: Sequence[TlsRule] = (),
        gateways: Iterable[GatewaySettings] = (),
        authority: Path | None = None,
        keep_for: float = 5.0,
        messages: int = 100,
        authentic: bool = False,
        **settings: Any,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("", 0))
            self.port: int = probe.getsockname()[1]
        self.now = 1000.0
        self.store = open_store(folder / "data", clock=time.time)
        self.resolver = ZoneResolver(zone, authentic=authentic)
        client = TlsClientSettings(ca_file=authority)
        self.security = Security(self.resolver, None, rules=rules, client=client, clock=time.time)
        waits = dict.fromkeys(("connect_after", "reply_after", "data_after", "block_after", "final_after"), 5.0)
        self.settings = RelaySettings(**{"port": self.port, "allow_loopback": True, **waits, **settings})
        self.gateways = {each.name: self._here(each) for each in gateways}
        self.planner = Planner(
            self.resolver,
            self.security,
            self.gateways,
            port=self.port,
            is_own=lambda name, _: name == "mx.example.org",
            shuffle=lambda _: None,
            monotonic=lambda: self.now,
            ipv6=True,
            allow_loopback=True,
        )
        self.pool = Pool(keep_for=keep_for, messages=messages)
        reporter = TlsReporter(
            TlsReportSettings(enabled=False),
            hostname="mx.example.org",
            store=self.store,
            resolver=self.resolver,
            https=Https(self.resolver),
            submit=self._submit,
            clock=time.time,
        )
        self.relay = Relay(
            self.settings,
            planner=self.planner,
            security=self.security,
            pool=self.pool,
            hello="mx.example.org",
            reporter=reporter,
            clock=lambda: self.clock(),
            tunnels=lambda domain: domain in self.tunnelled,
        )
        self.clock: Callable[[], float] = time.time
        self.tunnelled: tuple[str, ...] = ()
        """Domains whose hosts are told priorities in the header."""
        self._listeners: list[Listener] = []
        self._ids = iter(range(1, 1_000_000))

    async def _submit(self, *_: object) -> None:
        raise AssertionError("nothing is reported here")

    def _here(self, gateway: GatewaySettings) -> GatewaySettings:
        return gateway if gateway.port else replace(gateway, port=self.port)

    async def open(self, number: int, host: Host, *, tls: ServerTls | None = None) -> Host:
        """A host at 127.0.0.`number`."""
        self._listeners.append(await listen(f"127.0.0.{number}", self.port, host.serve, tls=tls))
        return host

    async def close(self) -> None:
        """Leave nothing open."""
        await self.pool.close()
        for listener in self._listeners:
            listener.close()
        await asyncio.gather(*(listener.drain(2) for listener in self._listeners))
        self.store.close()

    def job(self, *addresses: str, **message: Any) -> Job:
        """A message for these."""
        number = next(self._ids)
        path = ReversePath(Address.parse("ana@example.org"))
        made = QueuedMessage(MessageId(number), ContentId(number), path, Instant(0), len(CONTENT))
        made = replace(made, **message)
        return Job(made, [self._recipient(Address.parse(each), made) for each in addresses])

    def _recipient(self, address: Address, message: QueuedMessage) -> QueuedRecipient:
        return QueuedRecipient(
            RecipientId(next(self._ids)),
            message,
            ForwardPath(address),
            address.domain,
            QueueStatus.ACTIVE,
            Instant(0),
            None,
        )

    async def attempt(
        self, *addresses: str, content: bytes = CONTENT, destination: str = "", **message: Any
    ) -> Attempt:
        """One attempt, at the destination of the first address unless another is named."""
        job = self.job(*addresses, **message)
        return await self.attempt_at(destination or job.recipients[0].destination, job, content)

    async def attempt_at(self, destination: str, job: Job, content: bytes) -> Attempt:
        """One attempt of a job."""
        attempt = await self.relay.attempt(Destination.parse(destination), job, content)
        assert [each.recipient for each in attempt.outcomes] == job.recipients
        return attempt


@asynccontextmanager
async def street(folder: Path, zone: str = "", **settings: Any) -> AsyncIterator[Street]:
    """A street that is left empty at the end."""
    made = Street(folder, zone, **settings)
    try:
        yield made
    finally:
        await made.close()


def server_tls(issued: Issued) -> ServerTls:
    """What a host shows."""
    return ServerTls(issued.certificate, issued.key)


def fates(attempt: Attempt) -> list[str]:
    """What became of the recipients, in their order."""
    return [each.fate.value for each in attempt.outcomes]


def the_one(attempt: Attempt) -> Outcome:
    """Of the only recipient."""
    [outcome] = attempt.outcomes
    return outcome


RELAYED, DEFERRED, FAILED, DELIVERED = (
    each.value for each in (Fate.RELAYED, Fate.DEFERRED, Fate.FAILED, Fate.DELIVERED)
)
