"""Connections that are kept for the next message, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.agents.outbound.street import HANG, Host, Street, street

from estafeta.agents.outbound.outcome import HostFacts
from estafeta.agents.outbound.pool import Connection, ConnectionKey, Pool
from estafeta.client import ClientTimeouts, SmtpClient, TlsMode

Run = Callable[[Callable[[Street], Awaitable[None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a test's coroutine with a street."""

    def run_it(test: Callable[[Street], Awaitable[None]]) -> None:
        async def main() -> None:
            async with street(tmp_path) as made:
                await test(made)

        asyncio.run(main())

    return run_it


def key(address: str = "127.0.0.2", demand: str = "may", login: str = "") -> ConnectionKey:
    return ConnectionKey("mx.example.com", address, 25, False, demand, login)


async def connection(street: Street, of: ConnectionKey | None = None) -> Connection:
    client = await SmtpClient.connect(
        "127.0.0.2",
        street.port,
        local_name="mx.example.org",
        tls=TlsMode.NONE,
        timeouts=ClientTimeouts(quit=0.2),
    )
    return Connection(of or key(), client, HostFacts("mx.example.com"), 1)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


def test_the_connection_used_last_is_taken_first(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host())
        pool = Pool(keep_for=60, messages=9)
        one, other = await connection(street), await connection(street)
        pool.give(one)
        pool.give(other)
        assert pool.idle == 2
        assert pool.take(key()) is other
        assert pool.take(key()) is one
        assert pool.take(key()) is None
        for each in (one, other):
            pool.give(each)
        await pool.close()

    run(test)


@pytest.mark.parametrize("other", [key("127.0.0.3"), key(demand="must"), key(login="us")])
def test_a_connection_is_for_those_who_would_make_the_same(run: Run, other: ConnectionKey) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host())
        pool = Pool(keep_for=60, messages=9)
        pool.give(await connection(street))
        assert pool.take(other) is None
        assert pool.idle == 1
        await pool.close()

    run(test)


def test_a_connection_without_work_is_ended_with_quit_after_its_time(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        pool = Pool(keep_for=0.05, messages=9)
        pool.give(await connection(street))
        pool.give(await connection(street))
        await until(lambda: host.verbs.count("QUIT") == 2)
        assert pool.idle == 0
        assert pool.take(key()) is None
        await pool.close()

    run(test)


def test_one_that_is_used_again_is_kept_anew(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        pool = Pool(keep_for=1.0, messages=9)
        used = await connection(street)
        pool.give(used)
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.5
        while loop.time() < end:
            assert pool.take(key()) is used
            pool.give(used)
            await asyncio.sleep(0)
        assert "QUIT" not in host.verbs
        await pool.close()

    run(test)


def test_no_more_are_kept_than_may_be_open(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        pool = Pool(keep_for=60, messages=9, most=3)
        kept = [await connection(street, key(login=str(number))) for number in range(5)]
        for each in kept:
            pool.give(each)
        assert pool.idle == 3
        assert pool.take(key(login="0")) is None
        assert pool.take(key(login="4")) is kept[4]
        pool.give(kept[4])
        await until(lambda: host.verbs.count("QUIT") == 2)
        await pool.close()

    run(test)


def test_one_that_has_done_its_share_or_was_lost_is_not_kept(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        pool = Pool(keep_for=60, messages=2)
        done = await connection(street)
        done.messages = 2
        pool.give(done)
        lost = await connection(street)
        lost.client.abort()
        pool.give(lost)
        assert pool.idle == 0
        await until(lambda: host.verbs.count("QUIT") == 1)
        await pool.close()

    run(test)


def test_one_that_the_host_has_ended_is_not_taken(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        pool = Pool(keep_for=60, messages=9)
        kept = await connection(street)
        pool.give(kept)
        await host.hang_up()
        await until(lambda: not kept.client.is_idle)
        assert pool.take(key()) is None
        await pool.close()

    run(test)


def test_closing_waits_for_no_host_that_is_silent(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(says={"QUIT": HANG}))
        pool = Pool(keep_for=60, messages=9)
        pool.give(await connection(street))
        late = await connection(street)
        async with asyncio.timeout(5):
            await pool.close()
        pool.give(late)
        assert pool.idle == 0
        await pool.close()

    run(test)
