"""Notices of delay and the end of a recipient's time, each once and when it is due, tried or not."""

from __future__ import annotations

import asyncio

import pytest
from tests.agents.outbound.conftest import Play
from tests.agents.outbound.yard import LATER, NOW, Yard, dead, said

from estafeta.agents.outbound.dispatcher import Dispatcher
from estafeta.mail.envelope import Notify
from estafeta.store import destinations, queue
from estafeta.store.errors import StoreError
from estafeta.store.records import DestinationState, Instant, QueueStatus

NOTICE_AFTER = 14_400.0
LIFETIME = 432_000.0
DAY = 86_400.0


async def review(dispatcher: Dispatcher) -> None:
    while await dispatcher.reviewer.review():
        pass


async def block(yard: Yard, seconds: float) -> None:
    state = DestinationState("one.example", Instant(NOW + seconds), 1, "connect: 451 4.4.1 nobody answers there")
    await yard.store.write(lambda tx: destinations.block(tx, state))


def actions(notices: list[str]) -> list[str]:
    return [line.removeprefix("Action: ") for notice in notices for line in notice.splitlines() if "Action: " in line]


def test_the_sender_hears_of_a_delay_once_and_at_its_time(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        async with yard.running() as dispatcher:
            [row] = await yard.accept(dispatcher, "a@one.example")
            await yard.until_idle(dispatcher)
            yard.clock.now = NOW + NOTICE_AFTER - 1
            await review(dispatcher)
            assert not await yard.notices()
            yard.clock.now = NOW + NOTICE_AFTER
            await review(dispatcher)
            [notice] = await yard.notices()
            assert actions([notice]) == ["delayed"]
            assert "not now" in notice
            [left] = await yard.queued()
            assert (left.holder, left.is_delay_told, left.review_at) == (None, True, NOW + LIFETIME)
            for _ in range(20):  # tried again, and put off again
                yard.clock.now += NOTICE_AFTER
                await review(dispatcher)
                await yard.until_idle(dispatcher)
            assert actions(await yard.notices()) == ["delayed"]
        told = [each for each in await yard.attempts(row) if each["ended"] == "looked at"]
        assert [each["recipients"][0]["told"] for each in told] == ["the sender was told of the delay"]
        assert len(told[0]["notifications"]) == 1

    play(test)


def test_it_is_told_of_where_nothing_was_tried_at_all(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await block(yard, 10 * DAY)
        async with yard.running() as dispatcher:
            [row] = await yard.accept(dispatcher, "a@one.example")
            assert row.holder is None
            yard.clock.now += NOTICE_AFTER
            await review(dispatcher)
            [notice] = await yard.notices()
            assert actions([notice]) == ["delayed"]
            assert "nobody answers there" in notice

    play(test)


def test_time_ends_also_where_the_destination_is_left_alone(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await block(yard, 10 * DAY)
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            yard.clock.now += LIFETIME - 1
            await review(dispatcher)
            assert len(await yard.queued()) == 1
            yard.clock.now += 1
            await review(dispatcher)
            await yard.until_empty()
            assert actions(await yard.notices()) == ["delayed", "failed"]
            await review(dispatcher)
            assert len(await yard.notices()) == 2
        assert not yard.hosts.tried

    play(test)


def test_time_ends_while_all_attempts_fail(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = dead
        async with yard.running() as dispatcher:
            [row] = await yard.accept(dispatcher, "a@one.example")
            while await yard.queued():
                await yard.until_idle(dispatcher)
                yard.clock.move(3600)
                await review(dispatcher)
                assert yard.clock.now <= NOW + LIFETIME + 3600
            assert yard.clock.now >= NOW + LIFETIME
        assert actions(await yard.notices()) == ["delayed", "failed"]
        last = (await yard.attempts(row))[-1]
        assert last["recipients"][0]["fate"] == "expired"
        # A wait of 4 hours again and again, and the first ones.
        assert 30 <= yard.hosts.tries_at("one.example") <= 36

    play(test)


def test_what_is_held_is_not_looked_at(play: Play) -> None:
    async def test(yard: Yard) -> None:
        [held] = yard.recipients("a@one.example", status=QueueStatus.HELD)
        await yard.commit([held])
        async with yard.running() as dispatcher:
            yard.clock.now += 2 * LIFETIME
            await review(dispatcher)
            assert await yard.queued() == [held]
            # Released after its time, it is tried once, and has expired if that fails.
            yard.hosts.does["one.example"] = lambda job: said(job, LATER)
            now = Instant(yard.clock.now)
            await yard.store.write(lambda tx: queue.release(tx, held.recipient_id, now=now))
            await review(dispatcher)
            dispatcher.look()
            await yard.until_empty()
            assert yard.hosts.tries_at("one.example") == 1
        assert actions(await yard.notices()) == ["failed"]

    play(test)


@pytest.mark.parametrize(
    ("reverse_path", "notify"),
    [("", None), ("ana@example.org", frozenset({Notify.NEVER})), ("ana@example.org", frozenset({Notify.FAILURE}))],
)
def test_who_does_not_want_to_hear_of_a_delay_does_not(
    play: Play, reverse_path: str, notify: frozenset[Notify] | None
) -> None:
    async def test(yard: Yard) -> None:
        await block(yard, 10 * DAY)
        async with yard.running() as dispatcher:
            message = yard.message(reverse_path)
            [row] = await yard.accept(dispatcher, "a@one.example", message=message, notify=notify)
            yard.clock.now += NOTICE_AFTER
            await review(dispatcher)
            await yard.until_idle(dispatcher)
            assert not await yard.notices()
            [left] = await yard.queued()
            assert (left.review_at, left.is_delay_told) == (NOW + LIFETIME, False)
            # Nothing happened that the journal should tell of.
            assert not await yard.attempts(row)

    play(test)


def test_recipients_of_a_message_are_told_of_together(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await block(yard, 10 * DAY)
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example", "b@one.example")
            yard.clock.now += NOTICE_AFTER
            await review(dispatcher)
            [notice] = await yard.notices()
            assert actions([notice]) == ["delayed", "delayed"]

    play(test)


def test_many_are_looked_at_and_nothing_stays_in_memory(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await block(yard, 10 * DAY)
        await yard.store_many(230, "one.example")
        async with yard.running() as dispatcher:
            yard.clock.now += NOTICE_AFTER
            await review(dispatcher)
            await yard.until_idle(dispatcher)
            assert len(await yard.notices()) == 230

    play(test)


def test_what_cannot_be_looked_at_is_given_back_and_looked_at_later(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(yard: Yard) -> None:
        await block(yard, 10 * DAY)
        await yard.store_many(30, "one.example")
        async with yard.running() as dispatcher:
            yard.clock.now += NOTICE_AFTER
            find = destinations.find
            fails = True

            def found(tx: object, destination: str) -> object:
                if fails and destination == "one.example":
                    raise StoreError("the disk is gone")
                return find(tx, destination)  # type: ignore[arg-type]

            monkeypatch.setattr(destinations, "find", found)
            assert not await dispatcher.reviewer.review()
            await yard.until_idle(dispatcher)
            assert [each.holder for each in await yard.queued()] == [None] * 30
            fails = False
            await review(dispatcher)
            assert len(await yard.notices()) == 30

    play(test)


@pytest.mark.parametrize("turns", [1, 3, 6, 10, 20])
def test_a_process_that_ends_meanwhile_loses_nothing(play: Play, turns: int) -> None:
    async def test(yard: Yard) -> None:
        await block(yard, 10 * DAY)
        await yard.store_many(40, "one.example")
        yard.clock.now += NOTICE_AFTER
        async with yard.running():
            for _ in range(turns):
                await asyncio.sleep(0)
        told = len(await yard.notices())
        left = await yard.queued()
        assert len(left) == 40
        assert sum(each.is_delay_told for each in left) == told
        async with yard.running() as dispatcher:
            await review(dispatcher)
        assert len(await yard.notices()) == 40

    play(test)
