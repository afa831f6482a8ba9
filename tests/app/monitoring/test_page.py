"""The pages take little from strangers: a request that is late, large, or none is cut; others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.app.monitoring.watched import ask, watched, watched_settings

from estafeta.app import new_event_loop
from estafeta.app.monitoring.page import MAX_HEAD, MAX_REQUESTS, Page, PageServer
from estafeta.net.authority import Issued
from estafeta.net.listener import ConnectionLimits, Listener, listen
from estafeta.net.stream import Stream, connect

HELLO = Page(200, b"hello\n")


async def find(path: str, accept: str) -> Page | None:
    if path == "/accept":
        return Page(200, accept.encode())
    return HELLO if path == "/hello" else None


def play(test: Callable[[Listener], Awaitable[None]], *, request_after: float = 20.0, connections: int = 20) -> None:
    async def main() -> None:
        limits = ConnectionLimits(connections, connections)
        listener = await listen("127.0.0.1", 0, PageServer(find, request_after).serve, limits=limits)
        try:
            async with asyncio.timeout(30):
                await test(listener)
        finally:
            await listener.drain(0.0)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


async def said(stream: Stream) -> bytes:
    """All that comes until the end."""
    octets = b""
    while more := await stream.receive():
        octets += more
    return octets


async def exchange(listener: Listener, octets: bytes) -> bytes:
    stream = await connect("127.0.0.1", listener.port)
    stream.set_deadline(20)
    try:
        stream.send(octets)
        return await said(stream)
    finally:
        await stream.close()


def test_pages_are_given_one_after_the_other_on_one_connection() -> None:
    async def test(listener: Listener) -> None:
        answer = await exchange(
            listener,
            b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
            b"HEAD /hello?all=1 HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        first, second, third = answer.split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"200 ") and first.endswith(b"\r\n\r\nhello\n")
        assert second.startswith(b"200 ") and b"content-length: 6" in second.lower() and second.endswith(b"\r\n\r\n")
        assert third.startswith(b"404 ")

    play(test)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH"])
def test_nothing_but_get_and_head_is_done(method: str) -> None:
    async def test(listener: Listener) -> None:
        octets = f"{method} /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        answer = await exchange(listener, octets)
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nallow: get, head\r\n" in answer.lower()
        assert b"hello" not in answer

    play(test)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), id="TLS"),
        pytest.param(b"EHLO client.example.net\r\n\r\n", id="SMTP"),
        pytest.param(b"GET /hello HTTP/two\r\nHost: x\r\n\r\n", id="version"),
        pytest.param(b"GET /hello HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", id="two hosts"),
        pytest.param(b"GET /hello HTTP/1.1\r\nHost: x\r\n bad: fold\r\nno colon\r\n\r\n", id="no colon"),
        pytest.param(b"GET /hello\x00 HTTP/1.1\r\nHost: x\r\n\r\n", id="NUL"),
        pytest.param(b"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="length"),
        pytest.param(
            b"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two lengths"
        ),
        pytest.param(
            b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", id="large"
        ),
        pytest.param(b"GET /" + b"x" * (2 * MAX_HEAD), id="endless"),
        pytest.param(b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " * 4000, id="many"),
    ],
)
def test_what_is_no_request_is_refused_and_cut(octets: bytes) -> None:
    async def test(listener: Listener) -> None:
        answer = await exchange(listener, octets)
        assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
        assert b"hello" not in answer
        assert len(answer) < 1000

    play(test)


@pytest.mark.parametrize(
    "octets",
    [
        b"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
    ],
)
def test_no_content_is_taken(octets: bytes) -> None:
    async def test(listener: Listener) -> None:
        answer = await exchange(listener, octets)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"hello" not in answer

    play(test)


@pytest.mark.parametrize("octets", [b"", b"GET /hel", b"GET /hello HTTP/1.1\r\nHost: x\r\nX"])
def test_a_request_that_does_not_come_is_not_waited_for(octets: bytes) -> None:
    async def test(listener: Listener) -> None:
        assert await exchange(listener, octets) == b""
        assert listener.connections <= 1

    play(test, request_after=0.1)


def test_octets_that_trickle_in_gain_no_time() -> None:
    async def test(listener: Listener) -> None:
        stream = await connect("127.0.0.1", listener.port)
        stream.set_deadline(20)
        ended = asyncio.ensure_future(said(stream))
        loop = asyncio.get_running_loop()
        began = loop.time()
        stream.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n")
        while not ended.done() and not stream.is_lost and loop.time() - began < 15:
            stream.send(b"X: y\r\n")
            await asyncio.sleep(0.02)
        assert await ended == b""
        assert loop.time() - began < 10
        await stream.close()

    play(test, request_after=0.2)


def test_a_connection_has_an_end() -> None:
    async def test(listener: Listener) -> None:
        answer = await exchange(listener, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n" * (MAX_REQUESTS + 5))
        assert answer.count(b"HTTP/1.1 200 ") == MAX_REQUESTS

    play(test)


def test_slow_ones_hold_no_others_up_and_too_many_are_turned_away(tmp_path: Path, issued: Issued) -> None:
    async def main() -> None:
        settings = watched_settings(tmp_path, issued, monitoring={"connections": 5})
        async with watched(settings, issued) as office:
            port = office.office.monitor.port
            slow = [await connect("127.0.0.1", port) for _ in range(4)]
            for each in slow:
                each.send(b"GET /metrics HTTP/1.1\r\n")
            assert json.loads((await ask(port, "/health")).body)["status"] == "ok"
            fifth, sixth = await connect("127.0.0.1", port), await connect("127.0.0.1", port)
            sixth.set_deadline(20)
            assert await sixth.receive() == b""
            for each in (*slow, fifth, sixth):
                each.abort()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def test_an_accept_header_of_any_length_is_cut() -> None:
    async def test(listener: Listener) -> None:
        octets = b"GET /accept HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: %b\r\n\r\n" % (b"a" * 4000)
        assert (await exchange(listener, octets)).partition(b"\r\n\r\n")[2] == b"a" * 1000

    play(test)
