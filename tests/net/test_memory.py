"""Memory streams behave as socket streams do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from estafeta.net.errors import ConnectionLost, DeadlinePassed
from estafeta.net.memory import CHANNEL_BINDING, CLIENT, SERVER, pair
from estafeta.net.stream import READ_HIGH, Stream

Run = Callable[[Coroutine[Any, Any, None]], None]


def test_both_directions_carry_octets_and_the_end(run: Run) -> None:
    async def main() -> None:
        client, server = pair()
        assert (client.peer, client.local) == (SERVER, CLIENT)
        assert (server.peer, server.local) == (CLIENT, SERVER)
        client.send(b"EHLO ")
        client.send(b"x\r\n")
        assert await server.receive() == b"EHLO x\r\n"
        server.send(b"250 x\r\n")
        assert await client.receive() == b"250 x\r\n"
        server.send(b"421 bye\r\n")
        await server.close()
        assert await client.receive() == b"421 bye\r\n"
        assert await client.receive() == b""
        await client.close()
        with pytest.raises(ConnectionLost):
            client.send(b"QUIT\r\n")

    run(main())


def test_both_ends_can_close_at_once(run: Run) -> None:
    async def main() -> None:
        client, server = pair()
        await asyncio.gather(client.close(), server.close())
        while not (client.is_lost and server.is_lost):
            await asyncio.sleep(0)

    run(main())


def test_a_deadline_passes_in_memory_too(run: Run) -> None:
    async def main() -> None:
        client, _ = pair()
        client.set_deadline(0.01)
        with pytest.raises(DeadlinePassed):
            await client.receive()

    run(main())


def test_back_pressure_reaches_the_sender_and_goes_away(run: Run) -> None:
    async def main() -> None:
        client, server = pair()
        client.set_deadline(0.02)
        sent = 0
        with pytest.raises(DeadlinePassed):
            while True:
                client.send(b"x" * 65536)
                sent += 65536
                await client.drain()
        assert READ_HIGH < server.pending < 3 * READ_HIGH
        client.set_deadline(5)
        received = 0
        while received < sent:
            received += len(await server.receive())
        await client.drain()
        assert received == sent

    run(main())


def test_a_cut_line_is_a_reset_for_both(run: Run) -> None:
    async def main() -> None:
        client, server = pair()
        client.send(b"lost on the way")
        client.cut()
        assert await server.receive() == b""
        assert await client.receive() == b""
        with pytest.raises(ConnectionLost):
            await server.drain()

    run(main())


def test_tls_needs_both_ends_and_forgets_what_came_before(run: Run) -> None:
    async def main() -> None:
        client, server = pair()
        client.send(b"STARTTLS\r\nRSET\r\n")
        await server.receive()
        server.data_received(b"RSET\r\n")
        await asyncio.gather(
            client.start_tls(server_hostname="mail.example.org", timeout=5),
            server.start_tls(server_side=True, timeout=5),
        )
        assert client.tls is not None and client.tls == server.tls
        assert client.tls.server_name == "mail.example.org"
        assert client.tls.channel_binding == CHANNEL_BINDING
        assert server.pending == 0
        with pytest.raises(DeadlinePassed):
            alone, _ = pair()
            await alone.start_tls(timeout=0.01)

    run(main())


def test_both_kinds_of_stream_fit_the_type() -> None:
    async def main() -> None:
        client, _ = pair()
        stream: Stream = client
        assert stream.pending == 0

    asyncio.run(main())


def test_each_end_sees_the_certificates_of_the_other_under_tls(run: Run) -> None:
    async def main() -> None:
        client, server = pair()
        server.certificates = (b"leaf", b"authority")
        assert not client.peer_chain
        await asyncio.gather(client.start_tls(timeout=5), server.start_tls(server_side=True, timeout=5))
        assert client.peer_chain == (b"leaf", b"authority")
        assert not server.peer_chain

    run(main())
