"""Two thousand clients at once that say little: all are served, and an idle one costs little."""

from __future__ import annotations

import asyncio
import resource
import tracemalloc
from typing import Any

import pytest

from estafeta.config.settings import ListenerKind
from estafeta.net.files import raise_file_limit

CROWD = 2000


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * CROWD + 500, reason="needs files for both ends of each"
)
def test_two_thousand_connections_are_served_at_once(run: Any) -> None:
    raise_file_limit()

    async def test(office: Any) -> None:
        port = office.office.port(ListenerKind.SMTP)

        async def one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=512)
            assert (await reader.readline()).startswith(b"220")
            writer.write(b"HELO crowd.example.net\r\n")
            assert (await reader.readline()).startswith(b"250")
            return reader, writer

        ends = []
        for _ in range(CROWD // 100):
            ends += await asyncio.gather(*(one() for _ in range(100)))
        listener = next(each.listener for each in office.office._open if each.listener.port == port)
        assert listener.connections == CROWD and listener.refused == 0
        for _, writer in ends:
            writer.write(b"QUIT\r\n")
        for reader, writer in ends:
            assert (await reader.read()).startswith(b"221")
            writer.close()

    run(test)


def test_a_session_that_waits_keeps_little_memory(run: Any) -> None:
    """Both ends, the engine and the task of an idle session, as the interpreter counts them."""

    async def test(office: Any) -> None:
        await (await office.client()).say("NOOP")
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            clients = [await office.client() for _ in range(100)]
            each = (tracemalloc.get_traced_memory()[0] - before) / len(clients)
        finally:
            tracemalloc.stop()
        assert each < 24_000

    run(test)
