"""A post office whose next hosts are on loopback: many messages, new settings, an end and a new beginning."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.agents.conftest import Office, populate
from tests.agents.outbound.street import Host

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, GatewayTls
from estafeta.agents.outbound.settings import DestinationLimit, RelaySettings
from estafeta.app import PostOffice, new_event_loop
from estafeta.config.settings import Listen, ListenerKind, Settings, ShutdownSettings, TlsSettings
from estafeta.net.authority import Issued
from estafeta.net.listener import listen
from estafeta.net.stream import Stream
from estafeta.routing.routes import RouteRule

LETTER = b"From: ana@example.org\r\nSubject: %d\r\n\r\nhello\r\n"


class Slow(Host):
    """Greets when it is told to."""

    def __init__(self, *extensions: str) -> None:
        super().__init__(*extensions)
        self.go = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.open = self.most = 0

    async def serve(self, stream: Stream) -> None:
        self.has_begun.set()
        self.open += 1
        self.most = max(self.most, self.open)
        await self.go.wait()
        await super().serve(stream)
        self.open -= 1


@asynccontextmanager
async def hosts(port: int, **at: Host) -> AsyncIterator[None]:
    """Hosts at 127.0.0.2 (`two`) and 127.0.0.3 (`three`)."""
    numbers = {"two": 2, "three": 3}
    listeners = [await listen(f"127.0.0.{numbers[name]}", port, host.serve) for name, host in at.items()]
    try:
        yield
    finally:
        for listener in listeners:
            listener.close()
        await asyncio.gather(*(listener.drain(1) for listener in listeners))


class House:
    """Makes post offices over the same data."""

    def __init__(self, folder: Path, issued: Issued) -> None:
        self.folder = folder
        self.issued = issued
        with socket.socket() as probe:  # one that is free at all addresses of this machine
            probe.bind(("", 0))
            self.port: int = probe.getsockname()[1]
        self.has_data = False

    def settings(self, **settings: Any) -> Settings:
        """Of one that submits, and relays to that port."""
        relay = {"port": self.port, "allow_loopback": True, "poll_after": 0.1, **settings.pop("relay", {})}
        return Settings(
            hostname="mx.example.org",
            data=self.folder / "data",
            listen=(Listen(kind=ListenerKind.SUBMISSION, address="127.0.0.1", port=0),),
            tls=TlsSettings(certificate=self.issued.certificate, key=self.issued.key),
            relay=RelaySettings(**relay),
            shutdown=ShutdownSettings(drain_seconds=settings.pop("drain_seconds", 5.0)),
            **settings,
        )

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Office]:
        """One that serves."""
        async with PostOffice(self.settings(**settings)) as office:
            if not self.has_data:
                await office.store.write(populate)
                self.has_data = True
            tested = Office(office, self.issued)
            try:
                yield tested
            finally:
                await tested.close()


Play: TypeAlias = Callable[[Callable[[House], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path, issued: Issued) -> Play:
    """Run a test's coroutine with a house."""

    def play_it(test: Callable[[House], Awaitable[None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(60):
                await test(House(tmp_path, issued))

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())

    return play_it


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.001)


async def until_empty(office: Office) -> None:
    while await office.queued():
        await asyncio.sleep(0.005)


def test_what_many_sessions_hand_in_comes_out_once(play: Play) -> None:
    async def test(house: House) -> None:
        two, three = Host(), Host()
        three.closes_after = 3

        async def session(office: Office, number: int) -> None:
            client = await office.submitter()
            for each in range(20):
                to = f"u{number}.{each}@[127.0.0.{2 + each % 2}]"
                assert (await client.send("ana@example.org", to, LETTER % each)).startswith("250")

        async with hosts(house.port, two=two, three=three), house.open() as office:
            await asyncio.gather(*(session(office, number) for number in range(5)))
            await until_empty(office)
        taken = Counter(each for host in (two, three) for message in host.taken for each in message.recipients)
        assert len(taken) == 100
        assert set(taken.values()) == {1}
        assert len(two.taken) == 50
        assert two.connections < 30

    play(test)


def test_an_end_keeps_what_is_not_sent_for_the_next_beginning(play: Play) -> None:
    async def test(house: House) -> None:
        slow, host = Slow(), Host()
        async with hosts(house.port, two=slow):
            async with house.open(drain_seconds=0.1, relay={"first_concurrency": 2}) as office:
                client = await office.submitter()
                for number in range(10):
                    await client.send("ana@example.org", f"u{number}@[127.0.0.2]", LETTER % number)
                await slow.has_begun.wait()
            slow.go.set()
        async with hosts(house.port, two=host), house.open() as office:
            await until_empty(office)
        assert sorted(message.recipients[0] for message in host.taken) == [
            f"TO:<u{number}@[127.0.0.2]>" for number in range(10)
        ]

    play(test)


def test_new_settings_send_what_waits_elsewhere_and_let_attempts_end(play: Play) -> None:
    async def test(house: House) -> None:
        slow, three = Slow(), Host()
        ways = tuple(
            GatewaySettings(name, GatewayKind.SMTP, host=host, port=house.port, tls=GatewayTls.NONE)
            for name, host in (("first", "127.0.0.2"), ("second", "127.0.0.3"))
        )
        before, after = ((RouteRule("far.example", gateway=name),) for name in ("first", "second"))
        one = {"first_concurrency": 1}
        async with (
            hosts(house.port, two=slow, three=three),
            house.open(gateway=ways, route=before, relay=one) as office,
        ):
            client = await office.submitter()
            for number in range(4):
                await client.send("ana@example.org", f"u{number}@far.example", LETTER % number)
            await slow.has_begun.wait()
            await office.office.reload(house.settings(gateway=ways, route=after, relay=one))
            await until(lambda: len(three.taken) == 3)
            slow.go.set()
            await until_empty(office)
            assert [message.recipients for message in slow.taken] == [["TO:<u0@far.example>"]]

    play(test)


def test_a_destination_has_no_more_connections_than_its_limit(play: Play) -> None:
    async def test(house: House) -> None:
        slow = Slow()
        limit = DestinationLimit("[127.0.0.2]", concurrency=3)
        async with hosts(house.port, two=slow), house.open(destination_limit=(limit,)) as office:
            client = await office.submitter()
            for number in range(12):
                await client.send("ana@example.org", f"u{number}@[127.0.0.2]", LETTER % number)
            await until(lambda: slow.open == 3)
            slow.go.set()
            await until_empty(office)
        assert slow.most == 3

    play(test)


def test_lmtp_keeps_its_recipients_apart_and_the_sender_hears_of_one(play: Play) -> None:
    async def test(house: House) -> None:
        mailboxes = Host(lmtp=True, says={"CONTENT ben": "552 5.2.2 mailbox full"})
        way = GatewaySettings("office", GatewayKind.LMTP, host="127.0.0.2", port=house.port, tls=GatewayTls.NONE)
        route = (RouteRule("office.example", gateway="office"),)
        async with hosts(house.port, two=mailboxes), house.open(gateway=(way,), route=route) as office:
            client = await office.submitter()
            codes = await client.say_all(
                "MAIL FROM:<ana@example.org>", "RCPT TO:<ann@office.example>", "RCPT TO:<ben@office.example>", "DATA"
            )
            assert codes == [250, 250, 250, 354]
            assert (await client.say(LETTER % 1 + b".")).startswith("250")
            await until_empty(office)
            [notice] = await office.mailbox("ana@example.org")
        assert [message.recipients for message in mailboxes.taken] == [["TO:<ann@office.example>"]]
        assert b"ben@office.example" in notice and b"mailbox full" in notice
        assert b"ann@office.example" not in notice

    play(test)
