"""Listeners: limits, failures of sessions, the orderly end."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from ipaddress import ip_network
from typing import Any

import pytest
from structlog.testing import capture_logs

from estafeta.net.authority import Issued
from estafeta.net.errors import ConnectionLost
from estafeta.net.listener import ConnectionLimits, Room, listen
from estafeta.net.stream import SocketStream, connect
from estafeta.net.tls import ServerTls, client_context

Run = Callable[[Coroutine[Any, Any, None]], None]
REFUSE = b"421 4.3.2 too many connections\r\n"
NOBODY_EXEMPT = ConnectionLimits(per_client=2, exempt_networks=())


async def greet_and_wait(stream: SocketStream) -> None:
    stream.send(b"220 ready\r\n")
    while await stream.receive():
        pass


async def until_end(stream: SocketStream) -> bytes:
    parts = []
    while octets := await stream.receive():
        parts.append(octets)
    return b"".join(parts)


@pytest.mark.rfc("5321 §3.1", "A client with too many connections is refused at its next one.")
def test_one_client_over_its_limit_is_refused_until_another_of_its_connections_ends(run: Run) -> None:
    async def main() -> None:
        listener = await listen("127.0.0.1", 0, greet_and_wait, limits=NOBODY_EXEMPT, refuse=REFUSE)
        first, second = [await connect("127.0.0.1", listener.port) for _ in range(2)]
        assert await first.receive() == await second.receive() == b"220 ready\r\n"
        third = await connect("127.0.0.1", listener.port)
        assert await until_end(third) == REFUSE
        assert listener.refused == 1 and listener.connections == 2
        await third.close()
        await first.close()
        greeting = REFUSE
        while greeting == REFUSE:  # the server sees the end of the first a moment later
            again = await connect("127.0.0.1", listener.port)
            greeting = await again.receive()
            if greeting == REFUSE:
                await again.close()
        assert greeting == b"220 ready\r\n"
        await second.close()
        await again.close()
        assert await listener.drain(5)

    run(main())


def test_another_address_has_a_limit_of_its_own(run: Run) -> None:
    async def main() -> None:
        limits = ConnectionLimits(per_client=1, exempt_networks=())
        listener = await listen("127.0.0.1", 0, greet_and_wait, limits=limits, refuse=REFUSE)
        first = await connect("127.0.0.1", listener.port, local_address="127.0.0.2")
        second = await connect("127.0.0.1", listener.port, local_address="127.0.0.3")
        third = await connect("127.0.0.1", listener.port, local_address="127.0.0.2")
        assert await first.receive() == b"220 ready\r\n"
        assert await second.receive() == b"220 ready\r\n"
        assert await until_end(third) == REFUSE
        for stream in (first, second, third):
            await stream.close()
        assert await listener.drain(5)

    run(main())


def test_exempt_networks_are_limited_only_in_all(run: Run) -> None:
    async def main() -> None:
        limits = ConnectionLimits(connections=3, per_client=1, exempt_networks=(ip_network("127.0.0.0/8"),))
        listener = await listen("127.0.0.1", 0, greet_and_wait, limits=limits, refuse=REFUSE)
        streams = [await connect("127.0.0.1", listener.port) for _ in range(3)]
        for stream in streams:
            assert await stream.receive() == b"220 ready\r\n"
        fourth = await connect("127.0.0.1", listener.port)
        assert await until_end(fourth) == REFUSE
        for stream in (*streams, fourth):
            await stream.close()
        assert await listener.drain(5)

    run(main())


def test_a_refused_tls_client_is_cut(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        limits = ConnectionLimits(connections=0)
        listener = await listen("127.0.0.1", 0, greet_and_wait, tls=tls, limits=limits, refuse=REFUSE)
        stream = await connect("127.0.0.1", listener.port)
        assert await until_end(stream) == b""
        await stream.close()
        assert await listener.drain(5)

    run(main())


def test_a_session_that_raises_ends_alone_and_is_logged_with_an_id(run: Run) -> None:
    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            if await stream.receive() == b"break":
                raise ValueError("broken session")
            stream.send(b"well")

        with capture_logs() as logs:
            listener = await listen("127.0.0.1", 0, serve)
            sound = await connect("127.0.0.1", listener.port)
            broken = await connect("127.0.0.1", listener.port)
            broken.send(b"break")
            assert await until_end(broken) == b""
            sound.send(b"hello")
            assert await until_end(sound) == b"well"
            await broken.close()
            await sound.close()
            assert await listener.drain(5)
        [entry] = [entry for entry in logs if entry["log_level"] == "error"]
        assert entry["event"] == "session failed"
        assert len(entry["incident"]) == 12 and entry["peer"].startswith("127.0.0.1:")

    run(main())


def test_a_lost_connection_is_no_error_in_the_log(run: Run) -> None:
    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            await stream.receive()
            raise ConnectionLost("by the peer")

        with capture_logs() as logs:
            listener = await listen("127.0.0.1", 0, serve)
            stream = await connect("127.0.0.1", listener.port)
            stream.send(b"x")
            assert await until_end(stream) == b""
            await stream.close()
            assert await listener.drain(5)
        assert [entry["log_level"] for entry in logs] == ["info"]

    run(main())


def test_a_closed_listener_takes_no_one_and_leaves_the_open_ones_in_peace(run: Run) -> None:
    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            while octets := await stream.receive():
                stream.send(octets)

        listener = await listen("127.0.0.1", 0, serve)
        stream = await connect("127.0.0.1", listener.port)
        stream.send(b"before")
        assert await stream.receive() == b"before"
        listener.close()
        stream.send(b"after")
        assert await stream.receive() == b"after"
        with socket.socket() as probe:
            probe.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_connect(probe, ("127.0.0.1", listener.port))
        draining = asyncio.create_task(listener.drain(10))
        await stream.close()
        assert await draining
        assert listener.connections == 0

    run(main())


def test_what_does_not_end_by_itself_is_cancelled_and_may_say_goodbye(run: Run) -> None:
    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            try:
                stream.send(b"220 ready\r\n")
                await stream.receive()
            except asyncio.CancelledError:
                stream.send(b"421 4.3.2 going down\r\n")
                raise

        listener = await listen("127.0.0.1", 0, serve)
        stream = await connect("127.0.0.1", listener.port)
        assert await stream.receive() == b"220 ready\r\n"
        assert not await listener.drain(0.01)
        assert await until_end(stream) == b"421 4.3.2 going down\r\n"
        await stream.close()

    run(main())


def test_a_slow_handshake_keeps_no_one_else_waiting(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        listener = await listen("127.0.0.1", 0, greet_and_wait, tls=tls, limits=ConnectionLimits(handshake_after=0.05))
        mute = await connect("127.0.0.1", listener.port)
        quick = await connect("127.0.0.1", listener.port, context=client_context(issued.authority), timeout=5)
        assert await quick.receive() == b"220 ready\r\n"
        assert await until_end(mute) == b""
        await quick.close()
        await mute.close()
        assert await listener.drain(5)

    run(main())


def test_a_client_hello_that_comes_at_once_is_not_lost(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        listener = await listen("127.0.0.1", 0, greet_and_wait, tls=tls)

        async def once() -> None:
            stream = await connect("127.0.0.1", listener.port, context=client_context(issued.authority), timeout=5)
            assert await stream.receive() == b"220 ready\r\n"
            await stream.close()

        await asyncio.gather(*(once() for _ in range(20)))
        assert await listener.drain(5)

    run(main())


def test_ipv6_and_ipv4_share_a_port_number_and_do_not_mix(run: Run) -> None:
    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            stream.send(stream.peer.ip.encode())

        listener = await listen(None, 0, serve)
        for ip in {"127.0.0.1": None, "::1": None}:
            if not any((":" in address.ip) == (":" in ip) for address in listener.addresses):
                continue
            stream = await connect(ip, listener.port)
            assert await until_end(stream) == ip.encode()
            await stream.close()
        assert await listener.drain(5)

    run(main())


def test_a_port_that_is_taken_is_named(run: Run) -> None:
    async def main() -> None:
        listener = await listen("127.0.0.1", 0, greet_and_wait)
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{listener.port}: Address already"):
            await listen("127.0.0.1", listener.port, greet_and_wait)
        assert await listener.drain(5)

    run(main())


def test_several_processes_can_share_a_port(run: Run) -> None:
    async def main() -> None:
        first = await listen("127.0.0.1", 0, greet_and_wait, reuse_port=True)
        second = await listen("127.0.0.1", first.port, greet_and_wait, reuse_port=True)
        assert second.port == first.port
        assert await first.drain(5) and await second.drain(5)

    run(main())


def test_a_listening_socket_that_the_loop_gave_up_is_taken_up_again(run: Run) -> None:
    async def main() -> None:
        listener = await listen("127.0.0.1", 0, greet_and_wait)
        server, used = listener._serving[0]
        server.close()
        used.close()
        with capture_logs() as logs:
            listener._look()
            assert listener._revival is not None
            await listener._revival
        assert [entry["event"] for entry in logs] == ["accepting failed, listening again"]
        stream = await connect("127.0.0.1", listener.port)
        assert await stream.receive() == b"220 ready\r\n"
        await stream.close()
        assert await listener.drain(5)

    run(main())


_EXHAUSTED = """
import asyncio, resource, socket, sys
import structlog, uvloop
from estafeta.net.listener import listen
from estafeta.net.stream import connect
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def serve(stream):
    stream.send(b"220 ready")
    await stream.receive()

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    listener = await listen("127.0.0.1", 0, serve)
    warm = await connect("127.0.0.1", listener.port)
    await warm.close()
    crowd = [socket.socket() for _ in range(8)]
    spare = []
    try:
        while True:
            spare.append(socket.socket())
    except OSError:
        pass
    for one in crowd:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", listener.port))
    wait = asyncio.Event()
    loop.call_later(0.05, wait.set)
    await wait.wait()
    for one in (*crowd, *spare):
        one.close()
    async with asyncio.timeout(10):
        stream = await connect("127.0.0.1", listener.port)
        print((await stream.receive()).decode())
        await stream.close()
    await listener.drain(1)

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with asyncio.Runner(loop_factory=uvloop.new_event_loop if sys.argv[1] == "uvloop" else None) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_process_out_of_files_accepts_again_when_it_has_some(loop: str) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 64
    done = subprocess.run(
        [sys.executable, "-c", _EXHAUSTED, loop],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "220 ready", done.stderr


def test_listeners_that_share_a_room_take_no_more_together_than_it_has(run: Run) -> None:
    async def main() -> None:
        room = Room(3)
        one, two = [await listen("127.0.0.1", 0, greet_and_wait, refuse=REFUSE, room=room) for _ in range(2)]
        streams, told = [], []
        for port in (one.port, one.port, two.port, two.port, one.port):
            streams.append(await connect("127.0.0.1", port))
            told.append(await streams[-1].receive())
        assert told == [b"220 ready\r\n"] * 3 + [REFUSE] * 2
        for stream in streams:
            await stream.close()
        assert await one.drain(5) and await two.drain(5)
        assert room.taken == 0

    run(main())
