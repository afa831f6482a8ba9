"""When the indexer has its turn, by a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from estafeta.app.patience import QUIET_AFTER, RESTS, WAIT_AT_MOST, Patience
from estafeta.simulation.loop import VirtualLoop


def run(talk: Callable[[VirtualLoop], Awaitable[None]]) -> None:
    loop = VirtualLoop(lambda: 0.5)
    try:
        loop.run_until_complete(talk(loop))
    finally:
        loop.close()


async def deliveries(loop: VirtualLoop, patience: Patience, *, every: float, until: float) -> None:
    while loop.time() < until:
        patience.hear(1)
        await asyncio.sleep(every)


def test_new_mail_is_indexed_after_a_quiet_moment() -> None:
    async def talk(loop: VirtualLoop) -> None:
        patience = Patience()
        busy = loop.create_task(deliveries(loop, patience, every=0.5, until=10.0))
        assert await patience.turn(within=60.0)
        assert 10.0 <= loop.time() <= 10.0 + 2 * QUIET_AFTER
        await busy
        patience.hear(1)
        began = loop.time()
        assert await patience.turn(within=60.0)
        assert loop.time() - began == QUIET_AFTER

    run(talk)


def test_mail_that_keeps_coming_does_not_put_it_off_for_ever() -> None:
    async def talk(loop: VirtualLoop) -> None:
        patience = Patience()
        busy = loop.create_task(deliveries(loop, patience, every=0.5, until=100.0))
        assert await patience.turn(within=60.0)
        assert loop.time() <= WAIT_AT_MOST + QUIET_AFTER
        busy.cancel()

    run(talk)


def test_what_came_while_it_worked_is_another_turn() -> None:
    async def talk(loop: VirtualLoop) -> None:
        patience = Patience()
        patience.hear(1)
        assert await patience.turn(within=60.0)
        patience.hear(1)
        await asyncio.wait_for(patience.turn(within=60.0), 10 * QUIET_AFTER)

    run(talk)


def test_no_turn_comes_when_nothing_changes_for_long() -> None:
    async def talk(loop: VirtualLoop) -> None:
        patience = Patience()
        assert not await patience.turn(within=60.0)
        assert loop.time() == 60.0
        patience.hear(1)
        patience.forget()
        assert not await patience.turn(within=60.0)
        patience.hear(1)
        assert await patience.turn()

    run(talk)


def test_it_rests_while_mail_comes_and_works_through_when_none_does() -> None:
    async def talk(loop: VirtualLoop) -> None:
        patience = Patience()

        async def step() -> float:
            began = loop.time()
            await asyncio.sleep(1.0)  # the work
            await patience.rest()
            return loop.time() - began - 1.0

        assert await step() == 0.0
        patience.hear(1)
        assert await step() == RESTS
        assert await step() == 0.0

    run(talk)
