"""Mail that is held until its time (RFC 4865): never before it, once, and where it goes by the accounts of the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from tests.agents.outbound.conftest import Play
from tests.agents.outbound.test_deliver_by import pass_to, told
from tests.agents.outbound.yard import CONTENT, NEVER, NOW, Yard, said
from tests.agents.outbound.yard import LATER as PUT_OFF

from estafeta.agents.envelopes import Addressing, Outward
from estafeta.agents.outbound.dispatcher import Dispatcher
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.releasing import Releaser
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import ByMode, DeliverBy, Hold, Notify, Recipient, Sender
from estafeta.routing.destinations import LATER, Destination, DestinationKind
from estafeta.routing.directory import Directory
from estafeta.routing.local import LocalRules
from estafeta.store import acceptance, accounts, aliases, directory, journal, lists, mailboxes, messages, queue
from estafeta.store.errors import StoreError
from estafeta.store.records import (
    Acceptance,
    Content,
    EntryKind,
    Instant,
    JournalEntry,
    MessageId,
    QueuedRecipient,
    QueueStatus,
)
from estafeta.store.store import Transaction

FROM = ReversePath(Address.parse("ana@example.org"))
HOUR = 3600


class Post:
    """A yard whose dispatcher releases what was held, and submissions to it."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.directory = Directory(yard.store, LocalRules(), yard.clock)
        self.dispatcher: Dispatcher
        self.lifetime = 432_000.0

    def outward(self) -> Outward:
        tools = self.dispatcher.tools
        return Outward(
            forward=lambda path, alias: ReversePath(Address.parse(f"srs-{int(self.yard.clock.now)}@{alias.domain}")),
            dispatcher=self.dispatcher,
            notifier=tools.notifier,
            first_review_after=tools.schedule.first_review_after,
            lifetime=self.lifetime,
        )

    async def submit(self, *to: str, hold: Hold | None = None, **more: Any) -> list[QueuedRecipient]:
        """Ana hands a message in, for an hour later unless told otherwise."""
        notify = more.pop("notify", None)
        sender = Sender(FROM, hold=hold or Hold(seconds=HOUR), **more)
        store, now = self.yard.store, self.yard.clock.now
        message_id = MessageId(store.ids.next_id())
        addressing = Addressing(
            self.outward(),
            store.ids,
            sender,
            message_id=message_id,
            account=FROM.address,
            size=len(CONTENT),
            head=CONTENT,
            is_ours=True,
            at=now,
            priority=sender.priority or 0,
        )
        for text in to:
            path = ForwardPath(Address.parse(text))
            addressing.add(Recipient(path, notify), await self.directory.resolve(path))
        ends = addressing.ends()
        entry = JournalEntry(EntryKind.TRANSACTION, Instant(now), None, message_id, {})
        made = Acceptance(
            message_id, Instant(now), Content(len(CONTENT), CONTENT), ends.deliveries, ends.queued, 0, entry
        )

        def change(tx: Transaction) -> None:
            acceptance.accept(tx, replace(made, directory_version=directory.version(tx)))

        await store.write(change)
        self.dispatcher.accepted(ends.queued, CONTENT)
        return list(ends.queued)

    async def inbox(self, address: str = "luis@example.org") -> list[bytes]:
        """What is in a mailbox."""

        def read(tx: Transaction) -> list[bytes]:
            account = accounts.find(tx, Address.parse(address))
            assert account is not None
            box = mailboxes.inbox(tx, account.account_id)
            found = messages.list_of(tx, box.mailbox_id)
            return [messages.read_content(tx, self.yard.store.content, box.mailbox_id, each.uid) for each in found]

        return await self.yard.store.read(read)

    async def change(self, change: Any) -> None:
        """What the operator does."""
        await self.yard.store.write(change)


@asynccontextmanager
async def post(yard: Yard, **settings: Any) -> AsyncIterator[Post]:
    """One that works; luis has a mailbox too."""
    made = Post(yard)
    releaser = Releaser(yard.store, lambda: made.directory, made.outward, yard.clock)

    async def deliver(destination: Destination, job: Job, content: bytes) -> Attempt:
        if destination.kind is DestinationKind.LATER:
            return await releaser.release(job, content)
        return await yard.hosts.deliver(destination, job, content)

    relay = yard.settings(**{"poll_after": 1.0, **settings})
    made.lifetime = relay.lifetime
    made.dispatcher = Dispatcher(yard.tools(relay, deliver=deliver), relay)
    await made.dispatcher.start()
    try:
        yield made
    finally:
        await made.dispatcher.stop(1.0)


def add_luis(tx: Transaction) -> None:
    accounts.add(tx, Address.parse("luis@example.org"), password=None, now=Instant(NOW))


async def until(yard: Yard, at: float, made: Post) -> None:
    """Time passes, and somebody looks."""
    yard.clock.move(max(0.0, at - yard.clock.now))
    await made.dispatcher.filler.fill()
    await yard.until_idle(made.dispatcher)


@pytest.mark.rfc("4865 §4.2", "It is not released before its time: not into a mailbox of ours either, nor elsewhere.")
@pytest.mark.parametrize("hold", [Hold(seconds=HOUR), Hold(until=datetime.fromtimestamp(NOW + HOUR, UTC))])
def test_not_before_its_time(play: Play, hold: Hold) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard) as made:
            await made.submit("luis@example.org", "far@one.example", hold=hold)
            queued = await yard.queued()
            assert {(each.destination, each.next_attempt_at, each.holder) for each in queued} == {
                (LATER, NOW + HOUR, None)
            }
            await until(yard, NOW + HOUR - 1, made)
            assert not await made.inbox() and not yard.hosts.tried
            await until(yard, NOW + HOUR, made)
            await yard.until_empty()
            [delivered] = await made.inbox()
            assert delivered == b"Return-Path: <ana@example.org>\r\n" + CONTENT
            assert yard.hosts.taken_at("one.example") == ["far@one.example"]
            [taken] = yard.hosts.taken
            assert (taken.message.accepted_at, taken.message.release_at) == (NOW, NOW + HOUR)
            [internal] = await yard.store.read(_internal_dates)
            assert internal == NOW + HOUR
        assert not await yard.notices()
        left = await yard.store.read(lambda tx: queue.list_all(tx, limit=9))
        assert not left

    play(test)


def test_it_survives_an_end_and_a_new_beginning(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard) as made:
            await made.submit("luis@example.org", "far@one.example")
        async with post(yard) as made:
            await until(yard, NOW + HOUR - 1, made)
            assert not await made.inbox()
        yard.clock.now = NOW + 2 * HOUR
        async with post(yard) as made:
            await yard.until_empty()
            assert len(await made.inbox()) == 1
            assert yard.hosts.taken_at("one.example") == ["far@one.example"]

    play(test)


def test_where_it_goes_is_found_when_it_is_released(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)

        def populate(tx: Transaction) -> None:
            aliases.add(tx, Address.parse("team@example.org"), [Address.parse("luis@example.org")])
            aliases.add(tx, Address.parse("away@example.org"), [Address.parse("there@two.example")])

        await yard.store.write(populate)
        async with post(yard) as made:
            await made.submit("team@example.org", "away@example.org", "luis@example.org")

            def regroup(tx: Transaction) -> None:
                members = [Address.parse(each) for each in ("ana@example.org", "far@one.example")]
                aliases.remove(tx, Address.parse("team@example.org"))
                aliases.add(tx, Address.parse("team@example.org"), members)

            await made.change(regroup)
            await until(yard, NOW + HOUR, made)
            await yard.until_empty()
            assert (len(await made.inbox()), len(await made.inbox("ana@example.org"))) == (1, 1)
            assert yard.hosts.taken_at("one.example") == ["far@one.example"]
            assert yard.hosts.taken_at("two.example") == ["there@two.example"]

    play(test)


def test_an_account_that_is_gone_by_then(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard) as made:
            await made.submit("luis@example.org", "far@one.example")
            await made.change(lambda tx: accounts.remove(tx, Address.parse("luis@example.org")))
            await until(yard, NOW + HOUR, made)
            await yard.until_empty()
            assert yard.hosts.taken_at("one.example") == ["far@one.example"]
            [notice] = await yard.notices()
            assert told([notice]) == [("failed", "5.1.1")]

    play(test)


@pytest.mark.rfc("4865 §5.1.2", "A notification has Arrival-Date, and Future-Release-Request as MAIL had it.")
def test_what_notifications_say_of_it(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, NEVER)
        async with post(yard) as made:
            await made.submit("far@one.example")
            await until(yard, NOW + HOUR, made)
            await yard.until_empty()
            [notice] = await yard.notices()
            assert told([notice]) == [("failed", "5.1.1")]
            assert "Future-Release-Request: for;3600\r\n" in notice
            assert "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n" in notice

    play(test)


def test_success_is_told_of_when_it_is_delivered(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard) as made:
            await made.submit("luis@example.org", notify=frozenset({Notify.SUCCESS}), envid="one")
            await until(yard, NOW + HOUR - 1, made)
            assert not await yard.notices()
            await until(yard, NOW + HOUR, made)
            await yard.until_empty()
            [notice] = await yard.notices()
            assert told([notice]) == [("delivered", "2.1.5")]
            assert "Original-Envelope-Id: one\r\n" in notice and "Future-Release-Request: for;3600\r\n" in notice
            [entry] = [each for each in await yard.store.read(_attempts) if each["ended"] == "released"]
            assert len(entry["notifications"]) == 1

    play(test)


def test_its_lifetime_and_the_notice_of_delay_count_from_the_release(play: Play) -> None:
    async def test(yard: Yard) -> None:
        yard.hosts.does["one.example"] = lambda job: said(job, PUT_OFF)
        async with post(yard, lifetime=1000.0, delay_notice_after=100.0, retry_after=(5000.0,)) as made:
            await made.submit("far@one.example")
            await until(yard, NOW + HOUR, made)
            assert [each.destination for each in await yard.queued()] == ["one.example"]
            await pass_to(yard, NOW + HOUR + 95)
            assert not await yard.notices()
            await pass_to(yard, NOW + HOUR + 140)
            assert told(await yard.notices()) == [("delayed", "4.3.2")]
            await pass_to(yard, NOW + HOUR + 995)
            assert len(await yard.queued()) == 1
            await pass_to(yard, NOW + HOUR + 1040)
            await yard.until_empty()
            assert told(await yard.notices()) == [("delayed", "4.3.2"), ("failed", "4.4.7")]
            assert "We have tried since 14 November 2023 at 23:13 (UTC)" in " ".join((await yard.notices())[1].split())

    play(test)


def test_a_full_mailbox_is_tried_again_and_holds_up_nobody(play: Play) -> None:
    async def test(yard: Yard) -> None:
        def full(tx: Transaction) -> None:
            add_luis(tx)
            accounts.set_quota(tx, Address.parse("luis@example.org"), quota_octets=1, quota_messages=None)

        def unlimited(tx: Transaction) -> None:
            accounts.set_quota(tx, Address.parse("luis@example.org"), quota_octets=None, quota_messages=None)

        await yard.store.write(full)
        async with post(yard, retry_after=(50.0,)) as made:
            await made.submit("luis@example.org", "ana@example.org", "far@one.example")
            await until(yard, NOW + HOUR, made)
            [left] = await yard.queued()
            assert (str(left.forward_path), left.status, left.last_reply) == (
                "luis@example.org",
                QueueStatus.DEFERRED,
                "release: 452 4.2.2 mailbox full",
            )
            assert len(await made.inbox("ana@example.org")) == 1
            assert yard.hosts.taken_at("one.example") == ["far@one.example"]
            await made.change(unlimited)
            await until(yard, NOW + HOUR + 50, made)
            await yard.until_empty()
            assert len(await made.inbox()) == 1

    play(test)


def test_an_operator_releases_it_earlier(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard) as made:
            [one, _] = await made.submit("luis@example.org", "far@one.example")
            yard.clock.now += 60
            now = Instant(yard.clock.now)
            assert await yard.store.write(lambda tx: queue.release(tx, one.message.message_id, now=now)) == 2
            await until(yard, NOW + 60, made)
            await yard.until_empty()
            assert len(await made.inbox()) == 1
            assert [each.message.release_at for each in yard.hosts.taken] == [NOW + 60]

    play(test)


def test_an_operator_holds_or_removes_it(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard) as made:
            [kept, gone] = await made.submit("luis@example.org", "far@one.example")
            await made.change(lambda tx: queue.hold(tx, kept.recipient_id))
            await made.change(lambda tx: queue.remove(tx, gone.recipient_id))
            await until(yard, NOW + 2 * HOUR, made)
            assert not await made.inbox() and not yard.hosts.tried
            now = Instant(yard.clock.now)
            await made.change(lambda tx: queue.release(tx, kept.recipient_id, now=now))
            await until(yard, NOW + 2 * HOUR, made)
            await yard.until_empty()
            assert len(await made.inbox()) == 1

    play(test)


def test_a_list_is_expanded_then_and_its_times_are_its_own(play: Play) -> None:
    async def test(yard: Yard) -> None:
        def populate(tx: Transaction) -> None:
            aliases.add(tx, Address.parse("all@example.org"), [Address.parse("far@one.example")])
            lists.set_owner(tx, Address.parse("all@example.org"), Address.parse("ana@example.org"))

        await yard.store.write(populate)
        async with post(yard) as made:
            by = DeliverBy(HOUR + 60, ByMode.RETURN)
            await made.submit("all@example.org", deliver_by=by, priority=4)
            await until(yard, NOW + HOUR, made)
            await yard.until_empty()
            [taken] = yard.hosts.taken
            message = taken.message
            assert (message.deliver_by, message.hold, message.release_at) == (None, None, None)
            assert (message.accepted_at, message.priority) == (NOW + HOUR, 4)
            assert str(message.reverse_path) == "ana@example.org"

    play(test)


def test_time_for_delivery_counts_while_it_is_held(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        yard.hosts.does["one.example"] = lambda job: said(job, PUT_OFF)
        async with post(yard, retry_after=(5000.0,)) as made:
            by = DeliverBy(HOUR + 60, ByMode.RETURN)
            await made.submit("luis@example.org", "far@one.example", deliver_by=by)
            await until(yard, NOW + HOUR, made)
            assert len(await made.inbox()) == 1
            await pass_to(yard, NOW + HOUR + 62)
            await yard.until_empty()
            [notice] = await yard.notices()
            assert told([notice]) == [("failed", "5.4.7")]

    play(test)


def test_what_could_not_be_released_in_time_is_not_delivered(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard) as made:
            await made.submit("luis@example.org", deliver_by=DeliverBy(HOUR + 60, ByMode.RETURN))
        yard.clock.now = NOW + 2 * HOUR  # the server stood still
        async with post(yard) as made:
            await yard.until_empty()
            assert not await made.inbox()
        assert told(await yard.notices()) == [("failed", "5.4.7")]

    play(test)


def test_a_store_that_fails_releases_nothing_twice(play: Play) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        async with post(yard, retry_after=(10.0,)) as made:
            await made.submit("luis@example.org", "far@one.example")
            write, failures = yard.store.write, 3

            async def failing(change: Any) -> Any:
                nonlocal failures
                if failures and "release" in repr(change):
                    failures -= 1
                    if failures == 1:  # done, and nobody hears of it
                        await write(change)
                    raise StoreError("no disk")
                return await write(change)

            yard.store.write = failing  # type: ignore[method-assign]
            for step in range(12):
                await until(yard, NOW + HOUR + step * 12, made)
            yard.store.write = write  # type: ignore[method-assign]
            await yard.until_empty()
            assert len(await made.inbox()) == 1
            assert yard.hosts.taken_at("one.example") == ["far@one.example"]

    play(test)


held = st.fixed_dictionaries(
    {
        "seconds": st.integers(1, 15),
        "to": st.sets(
            st.sampled_from(["luis@example.org", "ana@example.org", "x@one.example", "y@two.example"]), min_size=1
        ),
        "priority": st.integers(-9, 9),
    }
)


@pytest.mark.rfc("4865 §4.2", "Whatever is held, however often the server ends: each once, and never before its time.")
@given(wanted=st.lists(held, min_size=1, max_size=5), ends=st.sets(st.integers(1, 18), max_size=2))
@given_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_model(wanted: list[dict[str, Any]], ends: set[int]) -> None:
    async def test(yard: Yard) -> None:
        await yard.store.write(add_luis)
        arrived: dict[tuple[str, int], float] = {}
        seen: dict[str, int] = {"luis@example.org": 0, "ana@example.org": 0}
        times: dict[int, float] = {}

        async def look(made: Post) -> None:
            for each in yard.hosts.taken:
                arrived.setdefault((str(each.forward_path), each.message.message_id), yard.clock.now)
            for address in seen:
                seen[address] = len(await made.inbox(address))
                due = sum(times[number] <= yard.clock.now for number, each in promises if address in each["to"])
                assert seen[address] <= due

        promises: list[tuple[int, dict[str, Any]]] = []
        steps = iter([*sorted(ends), 20])
        step = 0
        async with post(yard) as made:
            for each in wanted:
                [*rows] = await made.submit(*each["to"], hold=Hold(seconds=each["seconds"]), priority=each["priority"])
                number = int(rows[0].message.message_id)
                promises.append((number, each))
                times[number] = NOW + each["seconds"]
        for end in steps:
            async with post(yard) as made:
                while step < end:
                    step += 1
                    await until(yard, NOW + step, made)
                    await look(made)
                if end == 20:
                    await yard.until_empty()
                    await look(made)
        for address in seen:
            assert seen[address] == sum(address in each["to"] for _, each in promises)
        for number, each in promises:
            for path in each["to"] - seen.keys():
                assert arrived[path, number] >= times[number]
        assert len(yard.hosts.taken) == sum(len(each["to"] - seen.keys()) for _, each in promises)
        assert {each.message.priority for each in yard.hosts.taken} <= {each["priority"] for _, each in promises}

    with TemporaryDirectory() as folder:
        yard = Yard(Path(folder))

        async def main() -> None:
            await yard.populate()
            await test(yard)

        try:
            asyncio.run(main())
        finally:
            yard.store.close()


def _internal_dates(tx: Transaction) -> list[float]:
    account = accounts.find(tx, Address.parse("luis@example.org"))
    assert account is not None
    return [each.internal_at for each in messages.list_of(tx, mailboxes.inbox(tx, account.account_id).mailbox_id)]


def _attempts(tx: Transaction) -> list[dict[str, Any]]:
    account = accounts.find(tx, Address.parse("luis@example.org"))
    assert account is not None
    [message] = messages.list_of(tx, mailboxes.inbox(tx, account.account_id).mailbox_id)
    found = journal.by_message(tx, message.message_id)
    return [each.facts for each in found if each.kind is EntryKind.ATTEMPT]
