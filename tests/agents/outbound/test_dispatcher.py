"""Mail in memory and in the store: who is tried when, and that each recipient comes to one end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from tests.agents.outbound.conftest import Play
from tests.agents.outbound.yard import LATER, NEVER, NOW, OK, Gate, Yard, assert_empty, dead, said, taken

from estafeta.agents.outbound.dispatcher import Dispatcher
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.presence import ALIVE_FOR
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.settings import DestinationLimit
from estafeta.store import destinations, holders, queue
from estafeta.store.errors import StoreError
from estafeta.store.records import Instant, QueuedRecipient, QueueStatus

# Ends.


def test_mail_just_accepted_goes_on_and_leaves_the_queue(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example", "b@one.example", "c@two.example")
            await yard.until_empty()
        assert sorted(yard.hosts.taken_at("one.example")) == ["a@one.example", "b@one.example"]
        assert yard.hosts.tries_at("one.example") == 1
        assert yard.hosts.taken_at("two.example") == ["c@two.example"]

    play(test)


def test_mail_that_waits_in_the_store_is_found_when_it_is_due(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.commit(yard.recipients("a@one.example"))
        await yard.commit(yard.recipients("b@one.example", next_attempt_at=Instant(NOW + 60)))
        async with yard.running() as dispatcher:
            await yard.until_idle(dispatcher)
            assert yard.hosts.taken_at("one.example") == ["a@one.example"]
            yard.clock.move(60)
            await yard.until_empty()
        assert yard.hosts.taken_at("one.example") == ["a@one.example", "b@one.example"]

    play(test)


def test_what_is_put_off_waits_for_its_time_unclaimed(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await yard.until_idle(dispatcher)
            [row] = await yard.queued()
            assert (row.holder, row.status, row.attempts) == (None, QueueStatus.DEFERRED, 1)
            assert row.next_attempt_at == NOW + 300
            assert row.last_reply == "451 4.3.2 not now"
            del yard.hosts.does["one.example"]
            yard.clock.move(299)
            await yard.until_idle(dispatcher)
            assert not yard.hosts.taken
            yard.clock.move(1)
            await yard.until_empty()

    play(test)


def test_what_fails_leaves_with_one_notification(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, NEVER)
        async with yard.running() as dispatcher:
            [row] = await yard.accept(dispatcher, "a@one.example")
            await yard.until_empty()
        [notice] = await yard.notices()
        assert "a@one.example" in notice
        [attempt] = await yard.attempts(row)
        assert attempt["ended"] == "failed"
        assert len(attempt["notifications"]) == 1

    play(test)


def test_what_is_put_off_beyond_its_time_has_expired(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        message = yard.message(accepted_at=Instant(NOW - 432_000))
        await yard.commit(yard.recipients("a@one.example", message=message, review_at=Instant(NOW + 3600)))
        async with yard.running():
            await yard.until_empty()
        [notice] = await yard.notices()
        assert "Status: 4.4.7" in notice

    play(test)


def test_an_attempt_that_breaks_is_a_local_error_and_is_made_again(play: Play) -> None:
    async def test(yard: Yard) -> None:
        def breaks(job: Job) -> Attempt:
            raise RuntimeError("a fault")

        yard.hosts.does["one.example"] = breaks
        async with yard.running() as dispatcher:
            [row] = await yard.accept(dispatcher, "a@one.example")
            await yard.until_idle(dispatcher)
            [left] = await yard.queued()
            assert left.last_reply is not None and left.last_reply.startswith("RuntimeError: 451 4.3.0 local error")
            assert not await yard.blocked()
            del yard.hosts.does["one.example"]
            yard.clock.move(300)
            await yard.until_empty()
        assert "fault" not in str(await yard.attempts(row))

    play(test)


def test_an_attempt_whose_inner_work_is_cancelled_is_a_local_error(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async def cancelled(job: Job) -> Attempt:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
            return taken(job)

        yard.hosts.does["one.example"] = cancelled
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await yard.until_idle(dispatcher)
            [left] = await yard.queued()
            assert left.attempts == 1

    play(test)


def test_a_recipient_that_an_attempt_forgets_is_tried_again(play: Play) -> None:
    async def test(yard: Yard) -> None:
        def forgets(job: Job) -> Attempt:
            return Attempt(taken(job).outcomes[:1])

        yard.hosts.does["one.example"] = forgets
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example", "b@one.example")
            await yard.until_idle(dispatcher)
            [left] = await yard.queued()
            assert (str(left.forward_path), left.attempts) == ("b@one.example", 1)

    play(test)


def test_many_recipients_of_a_message_go_in_transactions_of_so_many(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running(recipients_per_message=3) as dispatcher:
            await yard.accept(dispatcher, *(f"u{number}@one.example" for number in range(8)))
            await yard.until_empty()
        assert [len(ids) for _, ids in yard.hosts.tried] == [3, 3, 2]

    play(test)


def test_content_that_has_no_room_in_memory_is_read_again(play: Play) -> None:
    async def test(yard: Yard) -> None:
        seen = []
        gate = Gate()

        async def looks(job: Job) -> Attempt:
            seen.append(job.content is not None)
            return await gate(job)

        yard.hosts.does["one.example"] = looks
        async with yard.running(content_in_memory=100) as dispatcher:
            for number in range(4):
                await yard.accept(dispatcher, f"u{number}@one.example")
            await yard.until(lambda: len(seen) == 4)
            gate.event.set()
            await yard.until_empty()
        assert seen == [True, True, False, False]

    play(test)


# What is claimed.


def test_a_commit_whose_end_nobody_saw_is_given_back_and_goes_on(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            recipients = yard.recipients("a@one.example", dispatcher=dispatcher)
            assert recipients[0].holder is not None
            await yard.commit(recipients)  # the session is cut while it waits for this
            dispatcher.adopt(recipients)
            await yard.until_empty()
        assert yard.hosts.tries_at("one.example") == 1

    play(test)


def test_a_commit_that_failed_leaves_nothing(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            dispatcher.adopt(yard.recipients("a@one.example", dispatcher=dispatcher))
            await yard.until_idle(dispatcher)
        assert not yard.hosts.tried

    play(test)


def test_a_store_that_fails_is_asked_until_it_is_written_down_what_became_of_mail(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 3

    async def test(yard: Yard) -> None:
        settle = queue.settle

        def fails(*arguments: object, **more: object) -> object:
            nonlocal failures
            if failures:
                failures -= 1
                raise StoreError("the disk is gone")
            return settle(*arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(queue, "settle", fails)
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            for left, seconds in ((2, 1), (1, 2), (0, 4)):
                await yard.until(lambda left=left: failures == left)  # type: ignore[misc]
                assert dispatcher.in_memory == 1
                yard.clock.move(seconds)
            await yard.until_empty()
        assert yard.hosts.tries_at("one.example") == 1

    play(test)


def test_a_store_that_fails_still_does_not_keep_the_process_from_ending(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(yard: Yard) -> None:
        def fails(*arguments: object, **more: object) -> object:
            raise StoreError("the disk is gone")

        monkeypatch.setattr(queue, "settle", fails)
        monkeypatch.setattr("estafeta.agents.outbound.dispatcher._LAST_WRITES", 0.05)
        dispatcher = yard.dispatcher()
        await dispatcher.start()
        await yard.accept(dispatcher, "a@one.example")
        await yard.until(lambda: yard.hosts.tries_at("one.example") == 1)
        await dispatcher.stop(0.0)
        assert_empty(dispatcher)
        [left] = await yard.queued()
        assert left.holder is not None
        # Its claim is given back by others when its time is over.
        yard.clock.move(ALIVE_FOR + 1)
        monkeypatch.undo()
        async with yard.running():
            await yard.until_empty()

    play(test)


def test_stopping_lets_attempts_end_and_gives_back_the_rest(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        dispatcher = yard.dispatcher(first_concurrency=1)
        await dispatcher.start()
        for number in range(3):
            await yard.accept(dispatcher, f"u{number}@one.example")
        await gate.has_begun.wait()
        stopping = asyncio.create_task(dispatcher.stop(10.0))
        await asyncio.sleep(0)
        gate.event.set()
        await stopping
        assert_empty(dispatcher)
        assert yard.hosts.taken_at("one.example") == ["u0@one.example"]
        left = await yard.queued()
        assert [(str(each.forward_path), each.holder, each.attempts) for each in left] == [
            ("u1@one.example", None, 0),
            ("u2@one.example", None, 0),
        ]

    play(test)


def takes_along(gate: Gate, told: list[Job | None]) -> Callable[[Job], Awaitable[Attempt]]:
    """A host at which each attempt asks for the job that its courier carries next."""

    async def does(job: Job) -> Attempt:
        attempt = await gate(job)
        assert job.take_next is not None
        told.append(job.take_next())
        assert job.take_next() is told[-1]
        return attempt

    return does


def test_a_courier_carries_next_what_it_took_along(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate, told = Gate(), list[Job | None]()
        yard.hosts.does["one.example"] = takes_along(gate, told)
        async with yard.running(concurrency=1) as dispatcher:
            for number in range(5):
                await yard.accept(dispatcher, f"u{number}@one.example")
            gate.event.set()
            await yard.until_empty()
        assert yard.hosts.taken_at("one.example") == [f"u{number}@one.example" for number in range(5)]
        assert yard.hosts.tries_at("one.example") == 5
        assert [str(each.recipients[0].forward_path) for each in told if each is not None] == [
            f"u{number}@one.example" for number in range(1, 5)
        ]

    play(test)


def test_nothing_is_taken_along_that_another_connection_could_have(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate, told = Gate(), list[Job | None]()
        yard.hosts.does["one.example"] = takes_along(gate, told)
        async with yard.running(first_concurrency=2) as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await yard.accept(dispatcher, "b@one.example")
            await yard.until(lambda: yard.hosts.running["one.example"] == 2)
            gate.event.set()
            await yard.until_empty()
        assert told == [None, None]

    play(test)


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_what_was_taken_along_is_kept_when_a_process_stops(play: Play, seconds: float) -> None:
    async def test(yard: Yard) -> None:
        dropped: list[bool] = []
        stop = asyncio.Event()

        async def does(job: Job) -> Attempt:
            assert job.take_next is not None
            following = job.take_next()
            assert following is not None
            stop.set()
            if seconds:
                await asyncio.sleep(0)
            else:
                following.begun = _Noted(dropped)
                await asyncio.Event().wait()
            return taken(job)

        yard.hosts.does["one.example"] = does
        for number in range(3):
            await yard.commit(yard.recipients(f"u{number}@one.example"))
        dispatcher = yard.dispatcher(concurrency=1)
        await dispatcher.start()
        await stop.wait()
        await dispatcher.stop(seconds)
        assert_empty(dispatcher)
        left = await yard.queued()
        assert [(each.holder, each.attempts) for each in left] == [(None, 0)] * (2 if seconds else 3)
        assert dropped == ([] if seconds else [True])

    play(test)


class _Noted:
    """The beginning of a job that notes when it is dropped."""

    def __init__(self, dropped: list[bool]) -> None:
        self._dropped = dropped

    def drop(self) -> None:
        self._dropped.append(True)


def test_an_attempt_that_takes_too_long_when_stopping_is_cut_and_its_mail_kept(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        dispatcher = yard.dispatcher()
        await dispatcher.start()
        await yard.accept(dispatcher, "a@one.example")
        await gate.has_begun.wait()
        await dispatcher.stop(0.0)
        assert_empty(dispatcher)
        [left] = await yard.queued()
        assert (left.holder, left.attempts) == (None, 0)

    play(test)


def test_mail_accepted_while_stopping_is_kept_for_the_next_process(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        dispatcher = yard.dispatcher()
        await dispatcher.start()
        await yard.accept(dispatcher, "a@one.example")
        await gate.has_begun.wait()
        late = yard.recipients("b@one.example", dispatcher=dispatcher)
        stopping = asyncio.create_task(dispatcher.stop(10.0))
        await asyncio.sleep(0)
        assert dispatcher.room_for("one.example", yard.message()) is None
        await yard.commit(late)
        dispatcher.accepted(late, b"x")
        gate.event.set()
        await stopping
        assert_empty(dispatcher)
        [left] = await yard.queued()
        assert (str(left.forward_path), left.holder) == ("b@one.example", None)

    play(test)


def test_a_process_that_was_taken_for_dead_forgets_what_it_had_and_begins_anew(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running(first_concurrency=1) as dispatcher:
            [tried] = await yard.accept(dispatcher, "a@one.example")
            await gate.has_begun.wait()
            await yard.accept(dispatcher, "b@one.example", "c@one.example")
            before = dispatcher.room_for("x.example", yard.message())
            # It stands still, and another process takes over what it had, and holds it.
            yard.clock.now += ALIVE_FOR + 1
            now = Instant(yard.clock.now)
            await yard.store.write(lambda tx: holders.release_dead(tx, now, limit=100, review_after=14_400.0))
            other = await yard.store.write(lambda tx: holders.register(tx, now, 60.0))
            assert await yard.store.write(lambda tx: len(queue.claim_all(tx, "one.example", other, limit=9))) == 3
            await dispatcher.presence.renew()
            assert dispatcher.in_memory == 1  # what is under way
            assert dispatcher.room_for("x.example", yard.message()) not in (None, before)
            gate.event.set()
            await yard.until_idle(dispatcher)
            # The other process has them all still, but it is told what became of the attempt.
            assert [each.holder for each in await yard.queued()] == [other] * 3
            assert [each["ended"] for each in await yard.attempts(tried)] == ["relayed"]
            await yard.store.write(lambda tx: holders.leave(tx, other, 14_400.0))
            dispatcher.look()
            await yard.until_empty()
        assert sorted(yard.hosts.taken_at("one.example")) == [
            "a@one.example",
            "a@one.example",
            "b@one.example",
            "c@one.example",
        ]

    play(test)


def test_a_process_alone_that_stood_still_goes_on_with_what_it_had(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await gate.has_begun.wait()
            before = dispatcher.room_for("x.example", yard.message())
            yard.clock.now += 10 * ALIVE_FOR
            await dispatcher.presence.renew()
            assert dispatcher.room_for("x.example", yard.message()) == before
            assert [each.holder for each in await yard.queued()] == [before]
            gate.event.set()
            await yard.until_empty()
        assert yard.hosts.tries_at("one.example") == 1

    play(test)


def test_two_processes_share_a_queue(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store_many(300, "one.example")
        async with yard.running(in_memory=40) as first, yard.running(in_memory=40) as second:
            await yard.accept(first, "x@one.example")
            await yard.accept(second, "y@one.example")
            await yard.until_empty()
        assert len(yard.hosts.taken) == 302
        assert len({each.recipient_id for each in yard.hosts.taken}) == 302

    play(test)


def test_what_a_dead_process_had_claimed_is_taken_over(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gone = await yard.store.write(lambda tx: holders.register(tx, Instant(NOW), 60.0))
        await yard.commit(yard.recipients("a@one.example", holder=gone, review_at=None))
        async with yard.running() as dispatcher:
            await yard.until_idle(dispatcher)
            assert not yard.hosts.tried
            yard.clock.move(61)
            await dispatcher.presence.renew()
            await yard.until_empty()

    play(test)


# Room.


def test_a_long_queue_is_taken_in_a_little_at_a_time(play: Play) -> None:
    async def test(yard: Yard) -> None:
        domains = [f"{letter}.example" for letter in "abcde"]
        for number in range(100):
            names = (f"u{number}.{each}@{domains[number % 5]}" for each in range(50))
            await yard.commit(yard.recipients(*names))
        most = 0

        async def counts(job: Job) -> Attempt:
            nonlocal most
            await asyncio.sleep(0)
            most = max(most, dispatcher.in_memory)
            return taken(job)

        yard.hosts.does = dict.fromkeys(domains, counts)
        async with yard.running(in_memory=200) as dispatcher:
            await yard.until_empty()
        assert 100 < most <= 200
        assert len({each.recipient_id for each in yard.hosts.taken}) == len(yard.hosts.taken) == 5000

    play(test)


def test_a_message_with_more_recipients_than_there_is_room_comes_in_as_far_as_it_may(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running(in_memory=50) as dispatcher:
            await yard.accept(dispatcher, *(f"u{number}@one.example" for number in range(200)))
            assert dispatcher.in_memory <= 50
            gate.event.set()
            await yard.until_empty()
        assert len(yard.hosts.taken) == 200

    play(test)


def test_every_destination_gets_its_turn_however_much_waits_for_the_first(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store_many(1000, "aaa.example")
        gates = {f"d{number}.example": Gate() for number in range(40)}
        for name in gates:
            await yard.store_many(1, name)
        async with yard.running(in_memory=60):
            await yard.until(lambda: all(yard.hosts.tries_at(name) for name in gates))
            behind = len(yard.hosts.taken_at("aaa.example"))
            assert behind < 1000
            await yard.until_empty()

    play(test)


def test_a_huge_mailing_holds_up_no_other_sender_at_its_destination(play: Play) -> None:
    async def test(yard: Yard) -> None:
        for number in range(300):
            await yard.commit(yard.recipients(f"u{number}@one.example", message=yard.message("news@example.net")))
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running(in_memory=80, concurrency=1, first_concurrency=1) as dispatcher:
            await gate.has_begun.wait()
            await yard.until(lambda: dispatcher.in_memory >= 20)
            await yard.accept(dispatcher, "friend@one.example", message=yard.message("luis@example.net"))
            gate.event.set()
            await yard.until_empty()
        order = yard.hosts.taken_at("one.example")
        assert order.index("friend@one.example") <= 2

    play(test)


def test_a_destination_that_takes_its_time_holds_up_no_other(play: Play) -> None:
    async def test(yard: Yard) -> None:
        slow = Gate()
        yard.hosts.does["slow.example"] = slow
        await yard.store_many(300, "slow.example")
        async with yard.running(in_memory=80, connections=10, concurrency=5) as dispatcher:
            await slow.has_begun.wait()
            for number in range(30):
                await yard.accept(dispatcher, f"u{number}@quick.example")
            await yard.until(lambda: len(yard.hosts.taken_at("quick.example")) == 30)
            assert yard.hosts.most["slow.example"] <= 5
            assert not yard.hosts.taken_at("slow.example")
            slow.event.set()
            await yard.until_empty()

    play(test)


def test_destinations_take_turns_where_connections_are_few(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running(connections=1) as dispatcher:
            for number in range(20):
                await yard.accept(dispatcher, f"u{number}@one.example")
            await gate.has_begun.wait()
            await yard.accept(dispatcher, "a@two.example")
            await yard.accept(dispatcher, "a@three.example")
            gate.event.set()
            await yard.until_empty()
        names = [name for name, _ in yard.hosts.tried]
        assert names.index("two.example") <= 2
        assert names.index("three.example") <= 4

    play(test)


def test_a_destination_gets_no_more_connections_than_its_limit(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store_many(200, "one.example")

        async def slowly(job: Job) -> Attempt:
            await asyncio.sleep(0)
            return taken(job)

        yard.hosts.does["one.example"] = slowly
        async with yard.running([DestinationLimit("one.example", concurrency=3)]):
            await yard.until_empty()
        assert yard.hosts.most["one.example"] == 3

    play(test)


def test_connections_grow_with_success(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store_many(300, "one.example")

        async def slowly(job: Job) -> Attempt:
            await asyncio.sleep(0)
            return taken(job)

        yard.hosts.does["one.example"] = slowly
        async with yard.running(first_concurrency=2, concurrency=8):
            await yard.until_empty()
        assert 2 < yard.hosts.most["one.example"] <= 8

    play(test)


# Destinations that are dead.


def test_a_dead_destination_is_left_alone_and_its_mail_put_back_untried(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = dead
        async with yard.running(first_concurrency=1) as dispatcher:
            await yard.store_many(20, "one.example")
            dispatcher.look()
            await yard.until_idle(dispatcher)
            assert yard.hosts.tries_at("one.example") == 1
            assert sorted(each.attempts for each in await yard.queued()) == [0] * 19 + [1]
            assert await yard.blocked() == ["one.example"]
            # New mail for it does not come into memory.
            [late] = await yard.accept(dispatcher, "late@one.example")
            assert late.holder is None
            await yard.until_idle(dispatcher)
            assert yard.hosts.tries_at("one.example") == 1
            # After a while one courier tries again.
            yard.clock.move(301)
            await yard.until(lambda: yard.hosts.tries_at("one.example") == 2)
            await yard.until_idle(dispatcher)
            assert yard.hosts.tries_at("one.example") == 2
            assert yard.hosts.most["one.example"] == 1
            # It answers: everything flows.
            del yard.hosts.does["one.example"]
            yard.clock.move(3601)
            await yard.until_empty()
            assert await yard.blocked() == []

    play(test)


def test_attempts_under_way_when_it_died_count_once(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = asyncio.Event()

        async def dies(job: Job) -> Attempt:
            await gate.wait()
            return dead(job)

        yard.hosts.does["one.example"] = dies
        async with yard.running(first_concurrency=5) as dispatcher:
            for number in range(10):
                await yard.accept(dispatcher, f"u{number}@one.example")
            await yard.until(lambda: yard.hosts.running["one.example"] == 5)
            gate.set()
            await yard.until_idle(dispatcher)
            found = await yard.store.read(lambda tx: destinations.find(tx, "one.example"))
            assert found is not None
            assert (found.failures, found.blocked_until) == (1, NOW + 300)
            assert found.last_reply == "connect: 451 4.4.1 nobody answers"

    play(test)


def test_dead_destinations_get_a_part_of_the_connections_only(play: Play) -> None:
    async def test(yard: Yard) -> None:
        names = [f"dead{number}.example" for number in range(12)]
        for name in names:
            yard.hosts.does[name] = dead
        async with yard.running(connections=8, first_concurrency=1) as dispatcher:
            for name in names:
                await yard.accept(dispatcher, f"a@{name}")
            await yard.until_idle(dispatcher)
            gate = Gate()
            for name in names:
                yard.hosts.does[name] = gate
            yard.clock.move(301)
            await gate.has_begun.wait()
            await yard.until(lambda: dispatcher.in_memory == 12)
            assert sum(yard.hosts.running.values()) == 2
            await yard.accept(dispatcher, "a@alive.example")
            await yard.until(lambda: yard.hosts.taken_at("alive.example") == ["a@alive.example"])
            gate.event.set()
            await yard.until_empty()

    play(test)


def test_what_another_process_found_dead_is_left_alone(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = dead
        async with yard.running() as first, yard.running() as second:
            await yard.accept(first, "a@one.example")
            await yard.until_idle(first)
            await yard.store_many(3, "one.example")
            await yard.until_idle(first, second)
            assert yard.hosts.tries_at("one.example") == 1

    play(test)


def test_a_block_that_another_process_took_away_is_gone(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = dead
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await yard.until_idle(dispatcher)
            del yard.hosts.does["one.example"]
            await yard.store_many(3, "one.example")
            await yard.store.write(lambda tx: destinations.clear(tx, "one.example"))
            await yard.until(lambda: len(yard.hosts.taken) == 3)

    play(test)


def test_a_message_that_says_nothing_of_its_destination_changes_nothing_there(play: Play) -> None:
    async def test(yard: Yard) -> None:
        def own_fault(job: Job) -> Attempt:
            return replace(dead(job), tells_nothing=True)

        yard.hosts.does["one.example"] = own_fault
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await yard.until_idle(dispatcher)
            assert await yard.blocked() == []
            del yard.hosts.does["one.example"]
            await yard.accept(dispatcher, "b@one.example")
            await yard.until(lambda: yard.hosts.taken_at("one.example") == ["b@one.example"])

    play(test)


# Rates.


def test_a_destination_gets_no_more_in_a_minute_than_its_limit(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running([DestinationLimit("one.example", recipients_per_minute=60)]) as dispatcher:
            await yard.store_many(40, "one.example")
            dispatcher.look()
            await yard.until(lambda: len(yard.hosts.taken) == 6)
            for seconds in range(1, 10):
                yard.clock.move(1.0)
                await yard.until(lambda seconds=seconds: len(yard.hosts.taken) >= 6 + seconds)  # type: ignore[misc]
                assert len(yard.hosts.taken) == 6 + seconds

    play(test)


def test_an_account_reaches_no_more_in_an_hour_than_its_limit_and_holds_up_nobody(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running(account_messages_per_hour=60, in_memory=100) as dispatcher:
            for number in range(50):
                message = yard.message(account="ana@example.org")
                await yard.accept(dispatcher, f"u{number}@d{number}.example", message=message)
            await yard.accept(dispatcher, "x@d1.example", message=yard.message("luis@example.net"))
            await yard.until(lambda: len(yard.hosts.taken) >= 7)
            assert [str(each.forward_path) for each in yard.hosts.taken].count("x@d1.example") == 1
            assert len(yard.hosts.taken) == 7
            assert dispatcher.in_memory <= 10
            # The others wait in the store, one minute behind the other.
            waiting = sorted(each.next_attempt_at - NOW for each in await yard.queued() if each.holder is None)
            assert [round(after - before) for before, after in pairwise(waiting)] == [60] * (len(waiting) - 1)
            assert all(each.attempts == 0 for each in await yard.queued())
            for minutes in range(1, 45):
                yard.clock.move(60.0)
                await yard.until(lambda minutes=minutes: len(yard.hosts.taken) - 1 >= 6 + minutes)  # type: ignore[misc]
                assert len(yard.hosts.taken) - 1 == 6 + minutes
            await yard.until_empty()

    play(test)


# The operator.


def test_what_is_held_is_left_alone(play: Play) -> None:
    async def test(yard: Yard) -> None:
        [held] = yard.recipients("a@one.example", status=QueueStatus.HELD, review_at=Instant(NOW - 1))
        await yard.commit([held])
        async with yard.running() as dispatcher:
            yard.clock.move(500_000)
            while await dispatcher.reviewer.review():
                pass
            await yard.until_idle(dispatcher)
            assert not yard.hosts.tried
            assert not await yard.notices()
            await yard.store.write(lambda tx: queue.release(tx, held.recipient_id, now=Instant(yard.clock.now)))
            await yard.until_empty()
        assert len(yard.hosts.taken) == 1

    play(test)


def test_what_waits_in_memory_is_held_and_removed_at_once(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running(first_concurrency=1) as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await gate.has_begun.wait()
            held = await yard.accept(dispatcher, "b@one.example", "c@one.example")
            [removed] = await yard.accept(dispatcher, "d@one.example")
            await yard.store.write(lambda tx: queue.hold(tx, held[0].recipient_id))
            await yard.store.write(lambda tx: queue.remove(tx, removed.message.message_id))
            dispatcher.heard(f"drop {held[0].recipient_id} {removed.message.message_id}")
            gate.event.set()
            await yard.until_idle(dispatcher)
            assert yard.hosts.taken_at("one.example") == ["a@one.example", "c@one.example"]
            [left] = await yard.queued()
            assert (str(left.forward_path), left.status, left.holder) == ("b@one.example", QueueStatus.HELD, None)

    play(test)


def test_what_is_removed_while_it_is_tried_is_not_told_of(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate(NEVER)
        yard.hosts.does["one.example"] = gate
        async with yard.running() as dispatcher:
            rows = await yard.accept(dispatcher, "a@one.example", "b@one.example")
            await gate.has_begun.wait()
            await yard.store.write(lambda tx: queue.remove(tx, rows[0].recipient_id))
            gate.event.set()
            await yard.until_empty()
        # The other one's failure is told of, once, and names nobody else.
        [notice] = await yard.notices()
        assert "b@one.example" in notice and "a@one.example" not in notice

    play(test)


@pytest.mark.parametrize("text", ["", "drop", "drop x 9" + "9" * 5000, "clear", "clear \udcff", "what 1 2"])
def test_whatever_a_bell_says_does_no_harm(play: Play, text: str) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            dispatcher.heard(text)
            await yard.accept(dispatcher, "a@one.example")
            await yard.until_empty()

    play(test)


# New settings.


def test_new_settings_hold_for_what_waits(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        yard.hosts.does["two.example"] = gate
        async with yard.running(first_concurrency=1) as dispatcher:
            for number in range(4):
                await yard.accept(dispatcher, f"u{number}@one.example")
            await gate.has_begun.wait()
            assert yard.hosts.running["one.example"] == 1
            settings = yard.settings(first_concurrency=5)
            yard.reroutes["one.example"] = "two.example"
            dispatcher.replace(yard.tools(settings), settings)
            await yard.until(lambda: yard.hosts.running["two.example"] == 3)
            gate.event.set()
            await yard.until_empty()
        # The attempt under way ended where it had begun.
        assert yard.hosts.taken_at("one.example") == ["u0@one.example"]

    play(test)


def test_a_rate_that_is_taken_away_lets_all_pass(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running(account_messages_per_hour=10) as dispatcher:
            for number in range(2):
                await yard.accept(dispatcher, f"u{number}@one.example", message=yard.message(account="ana@example.org"))
            await yard.until(lambda: len(yard.hosts.taken) == 1)
            settings = yard.settings()
            dispatcher.replace(yard.tools(settings), settings)
            await yard.until_empty()

    play(test)


def test_mail_in_the_store_goes_where_the_rules_of_now_send_it(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store_many(3, "one.example")
        yard.reroutes["one.example"] = "gateway:office"
        async with yard.running():
            await yard.until_empty()
        assert {name for name, _ in yard.hosts.tried} == {"gateway:office"}

    play(test)


# On demand.


def test_what_waits_for_a_customer_is_not_tried_before_he_calls(play: Play) -> None:
    async def test(yard: Yard) -> None:
        destination = "on-demand:customer.example"
        await yard.commit(kept(yard, 1))
        async with yard.running() as dispatcher:
            await yard.until_idle(dispatcher)
            assert not yard.hosts.tried
            assert await dispatcher.serve(destination, offer_well) == 1
            await yard.until_empty()

    play(test)


def kept(yard: Yard, number: int) -> list[QueuedRecipient]:
    """So many messages for a customer, as sessions queue them."""
    message = [yard.message() for _ in range(number)]
    later = Instant(yard.clock.now + 432_000)
    return [
        each
        for number, message in enumerate(message)
        for each in yard.recipients(
            f"u{number}@customer.example",
            message=message,
            destination="on-demand:customer.example",
            next_attempt_at=later,
        )
    ]


async def offer_well(job: Job, content: bytes) -> Attempt:
    return taken(job)


def test_a_customer_gets_all_however_much_is_put_off(play: Play) -> None:
    async def test(yard: Yard) -> None:
        destination = "on-demand:customer.example"
        await yard.commit(kept(yard, 250))
        yard.clock.move(60)
        tried: list[int] = []

        async def offer(job: Job, content: bytes) -> Attempt:
            tried.extend(each.recipient_id for each in job.recipients)
            return said(job, LATER if len(tried) <= 150 else OK)

        async with yard.running() as dispatcher:
            assert await dispatcher.serve(destination, offer) == 250
            assert len(set(tried)) == 250
            left = await yard.queued()
            assert [(each.holder, each.attempts) for each in left] == [(None, 1)] * 150
            await yard.until_idle(dispatcher)

    play(test)


def test_a_customer_who_goes_leaves_the_rest_for_his_next_call(play: Play) -> None:
    async def test(yard: Yard) -> None:
        destination = "on-demand:customer.example"
        await yard.commit(kept(yard, 5))
        calls = 0

        async def offer(job: Job, content: bytes) -> Attempt:
            nonlocal calls
            calls += 1
            return taken(job) if calls < 3 else replace(said(job, LATER), is_dead=True)

        async with yard.running() as dispatcher:
            assert await dispatcher.serve(destination, offer) == 3
            left = await yard.queued()
            assert sorted(each.attempts for each in left) == [0, 0, 1]
            assert not await yard.blocked()

    play(test)


@pytest.mark.parametrize("turns", range(12))
def test_a_customer_who_is_cut_off_at_any_time_loses_nothing(play: Play, turns: int) -> None:
    async def test(yard: Yard) -> None:
        destination = "on-demand:customer.example"
        await yard.commit(kept(yard, 3))
        async with yard.running() as dispatcher:
            gate = Gate()

            async def offer(job: Job, content: bytes) -> Attempt:
                return await gate(job)

            serving = asyncio.create_task(dispatcher.serve(destination, offer))
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns == 11:
                await gate.has_begun.wait()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await yard.until_idle(dispatcher)
            assert [(each.holder, each.attempts) for each in await yard.queued()] == [(None, 0)] * 3

    play(test)


def test_a_host_that_asks_gets_what_was_put_off_at_once(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = dead
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example")
            await yard.until_idle(dispatcher)
            del yard.hosts.does["one.example"]
            assert await dispatcher.flush("one.example") == 1
            await yard.until_empty()

    play(test)


def test_nobody_is_served_by_a_process_that_has_ended(play: Play) -> None:
    async def test(yard: Yard) -> None:
        dispatcher: Dispatcher = yard.dispatcher()
        await dispatcher.start()
        await dispatcher.stop(0.0)
        await yard.commit(kept(yard, 1))
        assert await dispatcher.serve("on-demand:customer.example", offer_well) == 0
        assert len(await yard.queued()) == 1

    play(test)
