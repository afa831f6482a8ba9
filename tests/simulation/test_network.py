"""Connections in memory: order, latency, back-pressure, and every way in which they end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest

from estafeta.net.errors import ConnectFailed, ConnectionLost
from estafeta.net.listener import ConnectionLimits, Listener, Room
from estafeta.net.stream import Stream, connect
from estafeta.simulation.loop import Process, VirtualLoop
from estafeta.simulation.network import Fate, Network, NetworkFaults
from estafeta.simulation.node import listen

HERE, THERE = "198.51.100.1", "192.0.2.1"


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop(random.Random(1).random)
    made.network = Network(made, random.Random(2))
    yield made
    made.close()


def network_of(loop: VirtualLoop) -> Network:
    assert loop.network is not None
    return loop.network


async def echo(stream: Stream) -> None:
    while octets := await stream.receive():
        stream.send(octets)
        await stream.drain()


async def open_port(loop: VirtualLoop, serve: Callable[[Stream], Awaitable[None]] = echo) -> tuple[Process, Listener]:
    """A server at THERE in a process of its own."""
    process = Process("server")
    network_of(loop).addresses[process] = THERE
    listening = listen(
        THERE,
        25,
        serve,
        tls=None,
        limits=ConnectionLimits(),
        refuse=b"",
        reuse_port=False,
        proxies=(),
        room=Room(100),
    )
    return process, await loop.create_task(listening, context=process.context)


def always(network: Network, fate: Fate) -> None:
    network._fate = lambda: fate  # type: ignore[method-assign]


async def received(stream: Stream, size: int) -> bytes:
    octets = b""
    while len(octets) < size and (more := await stream.receive()):
        octets += more
    return octets


def play(loop: VirtualLoop, scenario: Callable[[], Awaitable[None]]) -> None:
    async def world() -> None:
        await scenario()
        await asyncio.sleep(2000)
        loop.silence()

    loop.run_until_complete(world())
    assert loop.failures == []


@pytest.mark.parametrize("piece", [0, 7, 1400])
def test_octets_arrive_whole_in_order_and_after_the_latency(loop: VirtualLoop, piece: int) -> None:
    always(network_of(loop), Fate(0.05, piece=piece))
    sent = bytes(range(256)) * (4 if piece == 7 else 2000)

    async def scenario() -> None:
        await open_port(loop)
        stream = await connect(THERE, 25)
        began_at = loop.time()
        stream.send(sent)
        assert await received(stream, len(sent)) == sent
        assert loop.time() - began_at >= 0.1
        assert stream.peer.ip == THERE
        await stream.close()

    play(loop, scenario)


def test_nobody_listens(loop: VirtualLoop) -> None:
    async def scenario() -> None:
        with pytest.raises(ConnectFailed, match="refused"):
            await connect(THERE, 25)

    play(loop, scenario)


def test_a_connection_breaks_at_an_octet(loop: VirtualLoop) -> None:
    heard: list[bytes] = []

    async def hear(stream: Stream) -> None:
        heard.append(await received(stream, 100))

    async def scenario() -> None:
        await open_port(loop, hear)
        always(network_of(loop), Fate(0.01, breaks_after=13))
        stream = await connect(THERE, 25)
        stream.send(bytes(100))
        assert await stream.receive() == b""
        assert stream.is_lost

    play(loop, scenario)
    assert heard == [bytes(13)]


def test_a_half_open_connection_is_noticed_by_one_side_alone(loop: VirtualLoop) -> None:
    ended: list[float] = []

    async def hear(stream: Stream) -> None:
        stream.set_deadline(500)
        try:
            await received(stream, 100)
        finally:
            ended.append(loop.time())

    async def scenario() -> None:
        await open_port(loop, hear)
        always(network_of(loop), Fate(0.01, breaks_after=5, is_half=True))
        stream = await connect(THERE, 25)
        stream.send(bytes(100))
        assert await stream.receive() == b""
        assert loop.time() < 1

    play(loop, scenario)
    assert ended and ended[0] > 499


def test_a_partition_holds_octets_up_and_healing_lets_them_through(loop: VirtualLoop) -> None:
    network = network_of(loop)
    always(network, Fate(0.01))

    async def scenario() -> None:
        await open_port(loop)
        stream = await connect(THERE, 25)
        network.part(HERE, THERE)
        stream.send(b"hello")
        loop.call_later(100, network.heal, HERE, THERE)
        assert await received(stream, 5) == b"hello"
        assert loop.time() > 100
        await stream.close()

    play(loop, scenario)


def test_a_long_partition_ends_the_connection_of_who_sent(loop: VirtualLoop) -> None:
    network = network_of(loop)
    always(network, Fate(0.01))
    doubtful: list[int] = []
    network.broken = lambda connection: doubtful.append(connection.number)

    async def scenario() -> None:
        await open_port(loop)
        stream = await connect(THERE, 25)
        network.part(HERE, THERE)
        stream.send(b"hello")
        assert await stream.receive() == b""
        assert loop.time() > 800
        with pytest.raises(ConnectionLost):
            stream.send(b"more")

    play(loop, scenario)
    assert doubtful


def test_killing_a_process_resets_its_connections_and_frees_its_port(loop: VirtualLoop) -> None:
    network = network_of(loop)

    async def scenario() -> None:
        process, _ = await open_port(loop)
        stream = await connect(THERE, 25)
        process.is_alive = False
        network.killed(process)
        assert await stream.receive() == b""
        with pytest.raises(ConnectFailed):
            await connect(THERE, 25)
        await open_port(loop)
        again = await connect(THERE, 25)
        again.send(b"hello")
        assert await received(again, 5) == b"hello"
        await again.close()

    play(loop, scenario)


def test_of_a_machine_without_power_nobody_hears_until_it_is_back(loop: VirtualLoop) -> None:
    network = network_of(loop)
    always(network, Fate(0.01))

    async def scenario() -> None:
        process, _ = await open_port(loop)
        stream = await connect(THERE, 25)
        process.is_alive = False
        network.vanished(THERE, process)
        stream.send(b"hello")
        loop.call_later(60, network.returned, THERE)
        assert await stream.receive() == b""  # it does not know the connection any more
        assert 60 <= loop.time() < 61

    play(loop, scenario)


def test_who_does_not_read_holds_up_who_writes(loop: VirtualLoop) -> None:
    always(network_of(loop), Fate(0.01))
    go = asyncio.Event()

    async def read_late(stream: Stream) -> None:
        await go.wait()
        await received(stream, 2_000_000)

    async def scenario() -> None:
        await open_port(loop, read_late)
        stream = await connect(THERE, 25)
        for _ in range(20):
            stream.send(bytes(100_000))
        draining = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(50)
        assert not draining.done()
        go.set()
        await draining
        await stream.close()

    play(loop, scenario)


def test_the_same_seed_gives_the_same_fates() -> None:
    def fates() -> list[Fate]:
        loop = VirtualLoop(random.Random(1).random)
        network = Network(loop, random.Random(5))
        network.faults = NetworkFaults(breaks=0.3, half_open=0.1, slow=0.3)
        loop.close()
        return [network._fate() for _ in range(100)]

    assert fates() == fates()
    assert {fate.piece > 0 for fate in fates()} == {True, False}
    assert {fate.breaks_after is None for fate in fates()} == {True, False}
