"""Mail that is to be delivered within a time (RFC 2852): back, or told of, to the second, wherever it is then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from tests.agents.outbound.conftest import Play
from tests.agents.outbound.yard import HOST, LATER, NEVER, NOW, OK, Gate, Yard, dead, said

from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.relay import Attempt
from estafeta.mail.envelope import ByMode, Notify
from estafeta.mail.report import Relaying
from estafeta.store import destinations, queue
from estafeta.store.records import Deadline, DestinationState, Fate, Instant, QueueStatus

BY = NOW + 100


def by(mode: ByMode, at: float = BY, *, is_traced: bool = False) -> Deadline:
    return Deadline(Instant(at), mode, is_traced)


def told(notices: list[str]) -> list[tuple[str, str]]:
    """Action and status of each recipient of each notice."""
    found = []
    for notice in notices:
        lines = notice.splitlines()
        actions = [line.removeprefix("Action: ") for line in lines if line.startswith("Action: ")]
        statuses = [line.removeprefix("Status: ") for line in lines if line.startswith("Status: ")]
        found += list(zip(actions, statuses, strict=True))
    return found


async def settle(yard: Yard) -> None:
    """Let all go on that can without more time."""
    for _ in range(30):
        await asyncio.sleep(0)
        await yard.store.write(lambda tx: None)


async def pass_to(yard: Yard, at: float) -> None:
    """Time passes in steps, as those who sleep want to be woken."""
    while yard.clock.now < at:
        await settle(yard)
        yard.clock.move(min(1.0, at - yard.clock.now))
    await settle(yard)


@pytest.mark.rfc("2852 §4.1.3", "With R it goes back at its time, with 5.4.7, and is not tried any more.")
@pytest.mark.rfc("2852 §5", "The notification says by when it was to be delivered, and when it came.")
def test_it_goes_back_at_its_time(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        async with yard.running(retry_after=(300.0,)) as dispatcher:
            [row] = await yard.accept(dispatcher, "a@one.example", message=yard.message(deliver_by=by(ByMode.RETURN)))
            await pass_to(yard, BY - 1)
            assert await yard.queued() and not await yard.notices()
            await pass_to(yard, BY + 1)
            await yard.until_empty()
            [notice] = await yard.notices()
            assert told([notice]) == [("failed", "5.4.7")]
            assert "Deliver-By-Date: Tue, 14 Nov 2023 22:15:00 +0000" in notice
            assert "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000" in notice
            assert "You wanted it delivered by 14 November 2023 at 22:15 (UTC), or not at all." in " ".join(
                notice.split()
            )
            tries = yard.hosts.tries_at("one.example")
            await pass_to(yard, BY + 400)
            assert yard.hosts.tries_at("one.example") == tries
        assert [each["ended"] for each in await yard.attempts(row)] == ["deferred", "looked at"]

    play(test)


@pytest.mark.rfc("2852 §4.1.3", "With N its sender is told with 4.4.7 at that time, and it is tried on.")
def test_the_sender_is_told_and_it_goes_on(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        async with yard.running(retry_after=(300.0,)) as dispatcher:
            await yard.accept(dispatcher, "a@one.example", message=yard.message(deliver_by=by(ByMode.NOTIFY)))
            await pass_to(yard, BY + 1)
            await yard.until(_notices(yard, 1))
            assert told(await yard.notices()) == [("delayed", "4.4.7")]
            [left] = await yard.queued()
            assert (left.is_by_told, left.is_delay_told, left.holder) == (True, False, None)
            del yard.hosts.does["one.example"]
            await pass_to(yard, BY + 250)
            await yard.until_empty()
            assert yard.hosts.taken_at("one.example") == ["a@one.example"]
        assert len(await yard.notices()) == 1

    play(test)


def test_the_usual_notice_of_delay_comes_besides(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        async with yard.running(retry_after=(5000.0,), delay_notice_after=50.0) as dispatcher:
            await yard.accept(dispatcher, "a@one.example", message=yard.message(deliver_by=by(ByMode.NOTIFY)))
            await pass_to(yard, BY - 1)
            assert told(await yard.notices()) == [("delayed", "4.3.2")]
            await pass_to(yard, BY + 1)
            await yard.until(_notices(yard, 2))
            assert told(await yard.notices())[1] == ("delayed", "4.4.7")
            await pass_to(yard, BY + 200)
        assert len(await yard.notices()) == 2

    play(test)


@pytest.mark.rfc("2852 §4.1.3", "NOTIFY says who hears of it: FAILURE of what goes back, DELAY of what is late.")
@pytest.mark.parametrize(
    ("mode", "notify", "number"),
    [
        (ByMode.RETURN, {Notify.NEVER}, 0),
        (ByMode.RETURN, {Notify.DELAY}, 0),
        (ByMode.RETURN, {Notify.FAILURE}, 1),
        (ByMode.NOTIFY, {Notify.NEVER}, 0),
        (ByMode.NOTIFY, {Notify.FAILURE}, 0),
        (ByMode.NOTIFY, {Notify.DELAY}, 1),
    ],
)
def test_who_hears_of_it(play: Play, mode: ByMode, notify: set[Notify], number: int) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        async with yard.running(retry_after=(5000.0,)) as dispatcher:
            message = yard.message(deliver_by=by(mode))
            await yard.accept(dispatcher, "a@one.example", message=message, notify=frozenset(notify))
            await pass_to(yard, BY + 2)
            if mode is ByMode.RETURN:
                await yard.until_empty()
            else:
                await yard.until(_looked_at(yard))
        assert len(await yard.notices()) == number

    play(test)


def test_a_notification_comes_back_to_nobody(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, LATER)
        async with yard.running(retry_after=(5000.0,)) as dispatcher:
            message = yard.message("", deliver_by=by(ByMode.RETURN))
            await yard.accept(dispatcher, "a@one.example", message=message)
            await pass_to(yard, BY + 2)
            await yard.until_empty()
        assert await yard.notices() == []

    play(test)


@pytest.mark.parametrize(
    ("reply", "action"), [(OK, []), (LATER, [("failed", "5.4.7")]), (NEVER, [("failed", "5.1.1")])]
)
def test_an_attempt_under_way_at_that_time_decides(play: Play, reply: object, action: list[tuple[str, str]]) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate(reply)  # type: ignore[arg-type]
        yard.hosts.does["one.example"] = gate
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example", message=yard.message(deliver_by=by(ByMode.RETURN)))
            await gate.has_begun.wait()
            await pass_to(yard, BY + 5)
            assert len(await yard.queued()) == 1
            gate.event.set()
            await yard.until_empty()
        assert told(await yard.notices()) == action

    play(test)


def test_an_attempt_that_is_put_off_after_that_time_is_told_of_at_once(play: Play) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate(LATER)
        yard.hosts.does["one.example"] = gate
        async with yard.running() as dispatcher:
            await yard.accept(dispatcher, "a@one.example", message=yard.message(deliver_by=by(ByMode.NOTIFY)))
            await gate.has_begun.wait()
            await pass_to(yard, BY + 5)
            assert not await yard.notices()
            gate.event.set()
            await pass_to(yard, BY + 7)
            await yard.until(_notices(yard, 1))
        assert told(await yard.notices()) == [("delayed", "4.4.7")]

    play(test)


@pytest.mark.parametrize("mode", ByMode)
def test_what_waits_in_memory_behind_others_is_not_forgotten(play: Play, mode: ByMode) -> None:
    async def test(yard: Yard) -> None:
        gate = Gate()
        yard.hosts.does["one.example"] = gate
        async with yard.running(concurrency=1, first_concurrency=1) as dispatcher:
            await yard.accept(dispatcher, "before@one.example")
            await gate.has_begun.wait()
            message = yard.message(deliver_by=by(mode))
            await yard.accept(dispatcher, "a@one.example", message=message)
            assert dispatcher.in_memory == 2
            await pass_to(yard, BY + 2)
            await yard.until(_notices(yard, 1))
            action = ("failed", "5.4.7") if mode is ByMode.RETURN else ("delayed", "4.4.7")
            assert told(await yard.notices()) == [action]
            gate.event.set()
            await yard.until_empty()
            taken = yard.hosts.taken_at("one.example")
            assert ("a@one.example" in taken) is (mode is ByMode.NOTIFY)
        assert len(await yard.notices()) == 1

    play(test)


def test_what_no_host_was_asked_for_comes_back_too(play: Play) -> None:
    async def test(yard: Yard) -> None:
        state = DestinationState("one.example", Instant(NOW + 86_400), 1, "connect: 451 4.4.1 nobody answers there")
        await yard.store.write(lambda tx: destinations.block(tx, state))
        async with yard.running() as dispatcher:
            message = yard.message(deliver_by=by(ByMode.RETURN))
            await yard.accept(dispatcher, "a@one.example", message=message, review_at=Instant(BY))
            await pass_to(yard, BY + 1)
            await yard.until_empty()
        [notice] = await yard.notices()
        assert told([notice]) == [("failed", "5.4.7")]
        assert "nobody answers there" in notice
        assert not yard.hosts.tried

    play(test)


def test_what_came_in_before_the_server_started(play: Play) -> None:
    async def test(yard: Yard) -> None:
        message, late = yard.message(deliver_by=by(ByMode.RETURN)), yard.message(deliver_by=by(ByMode.RETURN, NOW - 1))
        held = yard.recipients("a@one.example", message=message, review_at=Instant(BY))
        await yard.commit(held + yard.recipients("b@one.example", message=late, review_at=Instant(NOW - 1)))
        yard.hosts.does["one.example"] = dead
        async with yard.running():
            await yard.until(_notices(yard, 1))
            [left] = await yard.queued()
            assert str(left.forward_path) == "a@one.example"
            await pass_to(yard, BY + 1)
            await yard.until_empty()
        assert told(await yard.notices()) == [("failed", "5.4.7")] * 2
        assert "b@one.example" not in yard.hosts.taken_at("one.example")

    play(test)


def test_time_stands_still_while_an_operator_holds_it(play: Play) -> None:
    async def test(yard: Yard) -> None:
        message = yard.message(deliver_by=by(ByMode.RETURN))
        await yard.commit(
            yard.recipients("a@one.example", message=message, review_at=Instant(BY), status=QueueStatus.HELD)
        )
        async with yard.running() as dispatcher:
            await pass_to(yard, BY + 100)
            assert len(await yard.queued()) == 1
            now = Instant(yard.clock.now)
            await yard.store.write(lambda tx: queue.release(tx, message.message_id, now=now))
            dispatcher.look()
            await yard.until_empty()
        assert told(await yard.notices()) == [("failed", "5.4.7")]
        assert not yard.hosts.tried

    play(test)


@pytest.mark.rfc("2852 §4.1.4", "Of a traced message each relaying is told to whoever did not say NEVER.")
@pytest.mark.rfc("2852 §4.1.4.2", "So is relaying to a host without DELIVERBY.")
@pytest.mark.parametrize(
    ("relaying", "notify", "words"),
    [
        (Relaying.TRACED, None, "how far it has come"),
        (Relaying.TRACED, frozenset({Notify.FAILURE}), "how far it has come"),
        (Relaying.TRACED, frozenset({Notify.NEVER}), ""),
        (Relaying.UNTIMED, None, "does not know of such times"),
        (Relaying.UNTIMED, frozenset({Notify.NEVER}), ""),
        (Relaying.PLAIN, None, ""),
    ],
)
def test_relaying_is_told_of(play: Play, relaying: Relaying, notify: frozenset[Notify] | None, words: str) -> None:
    async def test(yard: Yard) -> None:
        def take(job: Job) -> Attempt:
            return Attempt(
                [
                    Outcome(each, Fate.RELAYED, OK, True, "content", HOST, True, relaying=relaying)
                    for each in job.recipients
                ]
            )

        yard.hosts.does["one.example"] = take
        async with yard.running() as dispatcher:
            message = yard.message(deliver_by=by(ByMode.NOTIFY, is_traced=True))
            await yard.accept(dispatcher, "a@one.example", message=message, notify=notify)
            await yard.until_empty()
        notices = await yard.notices()
        assert told(notices) == ([("relayed", "2.0.0")] if words else [])
        assert all(words in " ".join(notice.split()) for notice in notices)

    play(test)


def test_without_such_mail_nobody_is_woken(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            reads = 0
            inner = dispatcher.reviewer.review

            async def counted() -> bool:
                nonlocal reads
                reads += 1
                return await inner()

            dispatcher.reviewer.review = counted  # type: ignore[method-assign]
            for number in range(20):
                await yard.accept(dispatcher, f"a{number}@one.example")
            await pass_to(yard, NOW + 25)
            assert reads <= 1

    play(test)


promised = st.fixed_dictionaries(
    {
        "seconds": st.integers(1, 120),
        "mode": st.sampled_from(list(ByMode)),
        "priority": st.integers(-9, 9),
        "takes_after": st.integers(0, 200),
        "notify": st.sampled_from([None, frozenset({Notify.NEVER}), frozenset({Notify.FAILURE, Notify.DELAY})]),
    }
)


@pytest.mark.rfc("2852 §4.1", "Whatever hosts do: in time, or back with a notification; and told of once when late.")
@given(wanted=st.lists(promised, min_size=1, max_size=6))
@given_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_model(wanted: list[dict[str, object]]) -> None:
    async def test(yard: Yard) -> None:
        taken_at: dict[str, float] = {}
        after = {f"u{number}@d{number % 2}.example": each for number, each in enumerate(wanted)}

        def host(job: Job) -> Attempt:
            outcomes = []
            for each in job.recipients:
                path = str(each.forward_path)
                is_taken = yard.clock.now >= NOW + int(str(after[path]["takes_after"]))
                if is_taken:
                    taken_at[path] = yard.clock.now
                fate = Fate.RELAYED if is_taken else Fate.DEFERRED
                outcomes.append(Outcome(each, fate, OK if is_taken else LATER, True, "RCPT", HOST))
            return Attempt(outcomes)

        yard.hosts.does = {"d0.example": host, "d1.example": host}
        async with yard.running(
            retry_after=(7.0,), delay_notice_after=0.0, lifetime=1000.0, poll_after=1.0
        ) as dispatcher:
            for path, each in after.items():
                deadline = by(ByMode(str(each["mode"])), NOW + int(str(each["seconds"])))
                message = yard.message(deliver_by=deadline, priority=each["priority"])
                await yard.accept(dispatcher, path, message=message, notify=each["notify"])
            for _ in range(230):
                await settle(yard)
                yard.clock.move(1.0)
                dispatcher.look()
            await yard.until_empty()
        notices = await yard.notices()
        for path, each in after.items():
            end = NOW + int(str(each["seconds"]))
            about = [told([notice]) for notice in notices if f"Final-Recipient: rfc822; {path}\r\n" in notice]
            hears = each["notify"] != frozenset({Notify.NEVER})
            if each["mode"] is ByMode.RETURN:
                assert taken_at.get(path, end - 1) < end + 1
                assert about == ([[("failed", "5.4.7")]] if path not in taken_at and hears else [])
            else:
                assert path in taken_at
                if taken_at[path] > end + 2:
                    assert about == ([[("delayed", "4.4.7")]] if hears else [])
                elif taken_at[path] < end:
                    assert about == []

    with TemporaryDirectory() as folder:
        yard = Yard(Path(folder))

        async def main() -> None:
            await yard.populate()
            await test(yard)

        try:
            asyncio.run(main())
        finally:
            yard.store.close()


def _notices(yard: Yard, number: int) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return len(await yard.notices()) >= number

    return is_so


def _looked_at(yard: Yard) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return all(each.is_by_told for each in await yard.queued())

    return is_so
