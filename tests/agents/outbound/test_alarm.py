"""The alarm clock for what senders were promised."""

from __future__ import annotations

import asyncio

from tests.agents.outbound.yard import NOW, Clock

from estafeta.agents.outbound.alarm import AHEAD, Alarm


async def waking(alarm: Alarm, clock: Clock, seconds: int, longest: float = 30.0) -> list[float]:
    """When it rings, or the wait is over, in so many seconds from now."""
    rung: list[float] = []

    async def wait() -> None:
        while True:
            await alarm.wait(longest)
            rung.append(clock.now - NOW)

    waiter = asyncio.create_task(wait())
    for _ in range(seconds):
        for _ in range(10):
            await asyncio.sleep(0)
        clock.move(1.0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    return rung


def test_it_rings_at_each_time_that_it_was_set_to_and_not_before() -> None:
    async def test() -> None:
        clock = Clock()
        alarm = Alarm(clock, clock.sleep)
        for at in (40.5, 7.0, 7.0, 6.2):
            alarm.set(NOW + at)
        assert await waking(alarm, clock, 80) == [7.0, 37.0, 41.0, 71.0]

    asyncio.run(test())


def test_what_is_over_rings_at_once() -> None:
    async def test() -> None:
        clock = Clock()
        alarm = Alarm(clock, clock.sleep)
        alarm.set(NOW - 100)
        await alarm.wait(30.0)
        assert clock.now == NOW

    asyncio.run(test())


def test_a_sooner_time_wakes_who_waits_already() -> None:
    async def test() -> None:
        clock = Clock()
        alarm = Alarm(clock, clock.sleep)
        rung = asyncio.create_task(alarm.wait(1000.0))
        for at in (60.0, 5.0, 20.0):
            await asyncio.sleep(0)
            alarm.set(NOW + at)
        for _ in range(5):
            for _ in range(5):
                await asyncio.sleep(0)
            assert not rung.done()
            clock.move(1.0)
        await rung

    asyncio.run(test())


def test_what_is_far_away_is_not_kept() -> None:
    async def test() -> None:
        clock = Clock()
        alarm = Alarm(clock, clock.sleep)
        for number in range(1000):
            alarm.set(NOW + AHEAD + 1 + number)
        assert await waking(alarm, clock, 200, longest=1000.0) == []

    asyncio.run(test())
