"""The next message's envelope goes out behind the content of the one before, and nobody gets anything twice for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.agents.outbound.street import (
    CONTENT,
    DEFERRED,
    DROP,
    FAILED,
    MODERN,
    OLD,
    RELAYED,
    Host,
    Street,
    fates,
    street,
)

from estafeta.agents.outbound.lane import Job

ZONE = """
example.com. MX 10 mx.example.com.
mx.example.com. A 127.0.0.2
"""
Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a test's coroutine with a street."""

    def run_it(test: Callable[[Street], Awaitable[None]], **settings: Any) -> None:
        async def main() -> None:
            async with street(tmp_path, ZONE, **settings) as made:
                await test(made)

        asyncio.run(main())

    return run_it


def line_up(street: Street, *names: str, **message: Any) -> list[Job]:
    """Jobs for these people, each taken along while the one before is carried."""
    jobs = [street.job(f"{name}@example.com", **message) for name in names]
    for job, following in pairwise(jobs):
        job.take_next = lambda following=following: following
    for job in jobs:
        job.content = CONTENT.replace(b"hello", str(job.message.message_id).encode())
    return jobs


async def carry(street: Street, jobs: list[Job]) -> list[str]:
    """What became of them."""
    found = []
    for job in jobs:
        assert job.content is not None
        attempt = await street.attempt_at("example.com", job, job.content)
        found += fates(attempt)
    return found


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)


@pytest.mark.rfc("2920 §3.1", "MAIL of the next message stands in one group behind the final dot.")
def test_the_next_envelope_is_there_before_its_turn(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*OLD))
        jobs = line_up(street, "ann", "ben", "cy", "dora")
        assert await carry(street, jobs[:2]) == [RELAYED] * 2
        # Not behind the first message of a connection; behind the second.
        await until(lambda: host.verbs.count("DATA") == 3)
        assert host.verbs.count("MAIL") == 3
        assert len(host.taken) == 2
        assert await carry(street, jobs[2:]) == [RELAYED] * 2
        assert host.connections == 1
        assert [each.content for each in host.taken] == [each.content for each in jobs]
        assert [each.recipients for each in host.taken] == [
            [f"TO:<{name}@example.com>"] for name in ("ann", "ben", "cy", "dora")
        ]

    run(test)


def test_a_host_that_takes_chunks_gets_each_message_at_its_turn(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*MODERN))
        jobs = line_up(street, "ann", "ben", "cy", "dora")
        assert await carry(street, jobs) == [RELAYED] * 4
        assert all(job.begun is None for job in jobs)
        assert len(host.taken) == 4

    run(test)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "CONTENT"])
def test_a_refusal_is_that_of_its_own_message(run: Run, verb: str) -> None:
    async def test(street: Street) -> None:
        fine = "354 go on" if verb == "DATA" else "250 fine"
        host = await street.open(2, Host(*OLD, says={verb: [fine, fine, "550 5.7.1 not this one", fine, fine]}))
        jobs = line_up(street, "ann", "ben", "cy", "dora", "eva")
        assert await carry(street, jobs) == [RELAYED, RELAYED, FAILED, RELAYED, RELAYED]
        assert len(host.taken) == 4

    run(test)


@pytest.mark.parametrize("last_words", [b"", b"421 4.3.2 enough\r\n"])
@pytest.mark.parametrize("closes_after", [2, 3])
def test_a_host_that_closes_gets_each_message_once(run: Run, closes_after: int, last_words: bytes) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*OLD))
        host.closes_after, host.last_words = closes_after, last_words
        jobs = line_up(street, *(f"n{number}" for number in range(10)))
        assert await carry(street, jobs) == [RELAYED] * 10
        assert [each.content for each in host.taken] == [each.content for each in jobs]

    run(test)


def test_a_connection_that_breaks_at_the_next_envelope_is_replaced(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*OLD, says={"MAIL": ["250 fine", "250 fine", DROP, "250 fine"]}))
        assert await carry(street, line_up(street, "ann", "ben", "cy")) == [RELAYED] * 3
        assert (host.connections, len(host.taken)) == (2, 3)

    run(test)


def test_a_message_that_breaks_off_leaves_the_next_to_another_connection(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*OLD, says={"CONTENT": ["250 fine", DROP, "250 fine"]}))
        assert await carry(street, line_up(street, "ann", "ben", "cy")) == [RELAYED, DEFERRED, RELAYED]
        assert [each.recipients for each in host.taken] == [["TO:<ann@example.com>"], ["TO:<cy@example.com>"]]
        assert host.connections == 2

    run(test)


def test_what_is_not_gone_on_with_is_not_sent(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*OLD))
        jobs = line_up(street, "ann", "ben", "cy")
        await carry(street, jobs[:2])
        await until(lambda: host.verbs.count("DATA") == 3)
        assert jobs[2].begun is not None
        jobs[2].begun.drop()
        jobs[2].begun = None
        assert fates(await street.attempt("eva@example.com")) == [RELAYED]
        assert [each.recipients for each in host.taken] == [
            [f"TO:<{name}@example.com>"] for name in ("ann", "ben", "eva")
        ]
        assert host.connections == 2

    run(test)


@pytest.mark.parametrize("message", [{"requires_tls": True}, {"body": "BINARYMIME"}])
def test_what_must_be_asked_for_first_goes_at_its_turn(run: Run, message: dict[str, Any]) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*OLD))
        jobs = line_up(street, "ann", "ben") + line_up(street, "cy", **message)
        jobs[1].take_next = lambda: jobs[2]
        assert await carry(street, jobs[:2]) == [RELAYED] * 2
        assert jobs[2].begun is None
        assert fates(await street.attempt("eva@example.com")) == [RELAYED]
        assert host.connections == 1

    run(test)


def test_a_connection_ends_after_so_many_messages_all_the_same(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*OLD))
        assert await carry(street, line_up(street, *(f"n{number}" for number in range(9)))) == [RELAYED] * 9
        assert (host.connections, len(host.taken)) == (3, 9)

    run(test, messages=3)
