"""Virtual time, and callbacks that belong to processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from estafeta.simulation.loop import PROCESS, Process, Stuck, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop(random.Random(1).random)
    yield made
    made.close()


def test_time_leaps_to_the_next_timer(loop: VirtualLoop) -> None:
    async def sleep() -> list[float]:
        await asyncio.gather(asyncio.sleep(86_400), asyncio.sleep(3.5))
        return [loop.time()]

    assert loop.run_until_complete(sleep()) == [86_400]


def test_who_waits_for_nothing_is_found(loop: VirtualLoop) -> None:
    with pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())


def test_a_killed_process_says_nothing_more(loop: VirtualLoop) -> None:
    said: list[str] = []

    async def talk() -> None:
        try:
            for number in range(10):
                await asyncio.sleep(1)
                said.append(f"word {number}")
        finally:
            said.append("last words")

    async def world() -> None:
        process = Process("one")
        task = loop.create_task(talk(), context=process.context)
        await asyncio.sleep(2.5)
        process.is_alive = False
        await asyncio.sleep(20)
        assert said == ["word 0", "word 1"]
        assert not task.done()
        loop.silence()

    loop.run_until_complete(world())


def test_a_process_that_stood_still_goes_on_late(loop: VirtualLoop) -> None:
    heard: list[float] = []

    async def tick() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            heard.append(loop.time())

    async def world() -> None:
        process = Process("one")
        task = loop.create_task(tick(), context=process.context)
        await asyncio.sleep(1.5)
        process.is_still = True
        await asyncio.sleep(10)
        process.go_on(loop)
        await task

    loop.run_until_complete(world())
    assert heard == [1, 11.5, 12.5]


def test_children_belong_to_the_process_of_their_parents(loop: VirtualLoop) -> None:
    async def child() -> Process | None:
        return PROCESS.get()

    async def parent() -> Process | None:
        return await asyncio.create_task(child())

    async def world() -> bool:
        process = Process("one")
        return await loop.create_task(parent(), context=process.context) is process

    assert loop.run_until_complete(world())


def test_threads_run_in_line_after_a_moment(loop: VirtualLoop) -> None:
    async def world() -> tuple[int, bool]:
        value = await asyncio.to_thread(lambda: 42)
        return value, 0 < loop.time() < 0.01

    assert loop.run_until_complete(world()) == (42, True)


def test_what_a_thread_raises_is_raised(loop: VirtualLoop) -> None:
    async def world() -> None:
        await asyncio.to_thread(lambda: [][1])

    with pytest.raises(IndexError):
        loop.run_until_complete(world())
