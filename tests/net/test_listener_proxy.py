"""Listeners behind a proxy: whose connection it is, before TLS too, and who may say so."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from ipaddress import ip_network
from typing import Any

import pytest
from structlog.testing import capture_logs

from estafeta.net.address import PeerAddress
from estafeta.net.authority import Issued
from estafeta.net.listener import ConnectionLimits, Listener, listen
from estafeta.net.stream import SocketStream, connect
from estafeta.net.tls import ServerTls, client_context
from estafeta.wire.proxy import Endpoint, write_v1, write_v2

Run = Callable[[Coroutine[Any, Any, None]], None]
PROXIES = (ip_network("127.0.0.1/32"),)
REFUSE = b"421 4.3.2 too many connections\r\n"
CLIENT, SERVER = Endpoint("203.0.113.7", 51234), Endpoint("192.0.2.25", 25)
LOCAL = write_v2(None, None)


async def tell_ends(stream: SocketStream) -> None:
    stream.send(f"{stream.peer} {stream.local} {stream.proxy.ip if stream.proxy else '-'}\r\n".encode())
    while octets := await stream.receive():
        stream.send(octets)


async def served(**arguments: Any) -> Listener:
    return await listen("127.0.0.1", 0, tell_ends, refuse=REFUSE, proxies=PROXIES, **arguments)


async def until_end(stream: SocketStream) -> bytes:
    parts = []
    while octets := await stream.receive():
        parts.append(octets)
    return b"".join(parts)


@pytest.mark.parametrize("header", [write_v1(CLIENT, SERVER), write_v2(CLIENT, SERVER, checksum=True)])
@pytest.mark.parametrize("cut", [1, 15, 1000])
def test_the_header_says_who_the_client_is_and_what_follows_is_his(run: Run, header: bytes, cut: int) -> None:
    async def main() -> None:
        listener = await served()
        stream = await connect("127.0.0.1", listener.port)
        octets = header + b"EHLO c\r\n"
        stream.send(octets[:cut])
        await asyncio.sleep(0)
        stream.send(octets[cut:] or b"NOOP\r\n")
        told = b""
        while told.count(b"\n") < 2:
            told += await stream.receive()
        assert told.startswith(b"203.0.113.7:51234 192.0.2.25:25 127.0.0.1\r\nEHLO c\r\n")
        await stream.close()
        assert await listener.drain(5)

    run(main())


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_proxys_own_connection_is_its_own(run: Run, header: bytes) -> None:
    async def main() -> None:
        listener = await served()
        stream = await connect("127.0.0.1", listener.port)
        stream.send(header)
        assert (await stream.receive()).decode() == f"{stream.local} {stream.peer} -\r\n"
        await stream.close()
        assert await listener.drain(5)

    run(main())


def test_others_are_served_as_who_they_are_and_their_header_is_not_read(run: Run) -> None:
    async def main() -> None:
        listener = await served()
        stream = await connect("127.0.0.1", listener.port, local_address="127.0.0.2")
        stream.send(write_v1(CLIENT, SERVER))
        told = b""
        while told.count(b"\n") < 2:
            told += await stream.receive()
        assert told == f"{stream.local} {stream.peer} -\r\n".encode() + write_v1(CLIENT, SERVER)
        await stream.close()
        assert await listener.drain(5)

    run(main())


def test_the_header_comes_before_tls(run: Run, issued: Issued) -> None:
    async def main() -> None:
        listener = await served(tls=ServerTls(issued.certificate, issued.key))
        stream = await connect("127.0.0.1", listener.port)
        stream.send(write_v2(CLIENT, SERVER))
        await stream.start_tls(client_context(issued.authority), server_hostname="localhost")
        assert (await stream.receive()).startswith(b"203.0.113.7:51234 192.0.2.25:25 127.0.0.1")
        await stream.close()
        assert await listener.drain(5)

    run(main())


def test_header_and_client_hello_may_come_in_one(run: Run, issued: Issued) -> None:
    async def main() -> None:
        listener = await served(tls=ServerTls(issued.certificate, issued.key))
        stream = await connect("127.0.0.1", listener.port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context(issued.authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
        octets = write_v1(CLIENT, SERVER)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                stream.send(octets + outgoing.read())
                octets = b""
                incoming.write(await stream.receive())
        stream.send(outgoing.read())
        told = b""
        while not told:
            try:
                told = client.read(1000)
            except ssl.SSLWantReadError:
                incoming.write(await stream.receive())
        assert told.startswith(b"203.0.113.7:51234")
        await stream.close()
        await listener.drain(1)

    run(main())


@pytest.mark.parametrize("first", [b"EHLO c\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc", b"PROXY TCP4 x\r\n"])
def test_without_a_good_header_the_connection_is_closed_without_a_word(run: Run, first: bytes) -> None:
    async def main() -> None:
        with capture_logs() as logs:
            listener = await served()
            stream = await connect("127.0.0.1", listener.port)
            stream.send(first)
            assert await until_end(stream) == b""
            await stream.close()
            assert await listener.drain(5)
        assert [entry["event"] for entry in logs] == ["no PROXY header"]

    run(main())


def test_the_header_has_its_deadline(run: Run) -> None:
    async def main() -> None:
        listener = await served(limits=ConnectionLimits(proxy_after=0.05))
        stream = await connect("127.0.0.1", listener.port)
        stream.send(b"PROXY TCP4 203.0.113.7")
        assert await until_end(stream) == b""
        await stream.close()
        assert await listener.drain(5)

    run(main())


def test_limits_count_the_clients_behind_the_proxy(run: Run) -> None:
    async def main() -> None:
        limits = ConnectionLimits(per_client=1, exempt_networks=())
        listener = await served(limits=limits)
        streams = []
        told = []
        for ip in ("203.0.113.7", "203.0.113.8", "203.0.113.7", "2001:db8::1", "2001:db8::2"):
            stream = await connect("127.0.0.1", listener.port)
            to = SERVER if "." in ip else Endpoint("2001:db8:25::25", 25)
            stream.send(write_v2(Endpoint(ip, 1000), to))
            told.append((await stream.receive())[:14])
            streams.append(stream)
        assert told == [b"203.0.113.7:10", b"203.0.113.8:10", REFUSE[:14], b"[2001:db8::1]:", REFUSE[:14]]
        assert listener.refused == 2
        for stream in streams:
            await stream.close()
        assert await listener.drain(5)
        assert PeerAddress("203.0.113.7", 1000).network == "203.0.113.7"

    run(main())
