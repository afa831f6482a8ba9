"""What became of recipients is written down: together, at last, and with its notifications or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.agents.outbound.conftest import Play
from tests.agents.outbound.yard import NOW, Yard

from estafeta.agents.outbound import settling
from estafeta.agents.outbound.settling import MOST_WAITING, Settled, Settler
from estafeta.store import acceptance, destinations, directory, journal, queue
from estafeta.store.errors import StoreError
from estafeta.store.records import (
    Acceptance,
    Content,
    DestinationState,
    EntryKind,
    Fate,
    HolderId,
    Instant,
    JournalEntry,
    MessageId,
    QueuedRecipient,
    RecipientId,
    Settlement,
)

ME, OTHER = HolderId(1), HolderId(2)


def settler(yard: Yard, settled: Callable[[Settled], None] = lambda _: None) -> Settler:
    return Settler(yard.store, first_review_after=14_400.0, settled=settled, sleep=yard.clock.sleep)


def relayed(*rows: QueuedRecipient) -> tuple[Settlement, ...]:
    return tuple(Settlement(each.recipient_id, Fate.RELAYED) for each in rows)


def failed(*rows: QueuedRecipient) -> tuple[Settlement, ...]:
    return tuple(Settlement(each.recipient_id, Fate.FAILED) for each in rows)


def ids(rows: Sequence[QueuedRecipient]) -> tuple[RecipientId, ...]:
    return tuple(each.recipient_id for each in rows)


def entry(row: QueuedRecipient, **facts: object) -> JournalEntry:
    return JournalEntry(EntryKind.ATTEMPT, Instant(NOW), None, MessageId(row.message.content_id), dict(facts))


async def claimed(yard: Yard, *addresses: str, holder: HolderId = ME) -> list[QueuedRecipient]:
    rows = yard.recipients(*addresses, holder=holder)
    await yard.commit(rows)
    return rows


def test_what_is_found_out_meanwhile_is_written_together(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(yard: Yard) -> None:
        rows = [await claimed(yard, f"u{number}@one.example") for number in range(15)]
        writes = 0
        settle = queue.settle

        def counts(*arguments: Any) -> Any:
            nonlocal writes
            writes += 1
            return settle(*arguments)

        monkeypatch.setattr(queue, "settle", counts)
        written: list[Settled] = []
        made = settler(yard, written.append)
        for row in rows:
            made.add(Settled(ME, relayed(*row), entry(row[0])))
        await made.flush()
        assert not await yard.queued()
        assert len(written) == 15
        assert writes <= 2

    play(test)


def test_each_is_settled_under_the_name_of_who_had_claimed_it(play: Play) -> None:
    async def test(yard: Yard) -> None:
        mine, others = await claimed(yard, "a@one.example"), await claimed(yard, "b@one.example", holder=OTHER)
        made = settler(yard)
        made.add(Settled(ME, relayed(*mine)))
        made.add(Settled(OTHER, relayed(*others)))
        made.add(Settled(ME, relayed(*others)))
        await made.flush()
        assert not await yard.queued()

    play(test)


def test_the_journal_says_of_whom_an_attempt_decided_nothing(play: Play) -> None:
    async def test(yard: Yard) -> None:
        [mine] = await claimed(yard, "a@one.example")
        [others] = yard.recipients("b@one.example", message=mine.message, holder=OTHER)
        await yard.store.write(lambda tx: queue.add_released(tx, mine.message, [others], now=Instant(NOW)))
        made = settler(yard)
        made.add(Settled(ME, relayed(mine, others), entry(mine, by="me")))
        made.add(Settled(OTHER, relayed(others), entry(mine, by="other")))
        await made.flush()
        assert not await yard.queued()
        assert await yard.attempts(mine) == [
            {"by": "me", "not_ours": [yard.store.ids.text(others.recipient_id)]},
            {"by": "other"},
        ]

    play(test)


def test_the_journal_tells_of_who_waits_where_he_is_sent_already(play: Play) -> None:
    async def test(yard: Yard) -> None:
        [moved] = await claimed(yard, "a@one.example")
        [there] = yard.recipients("a@one.example", message=moved.message, destination="other.example")
        await yard.store.write(lambda tx: queue.add_released(tx, moved.message, [there], now=Instant(NOW)))
        made = settler(yard)
        made.add(Settled(ME, moved=(("other.example", ids([moved])),), moved_at=Instant(NOW + 5)))
        await made.flush()
        assert ids(await yard.queued()) == (there.recipient_id,)
        [told] = await yard.attempts(moved)
        assert (told["ended"], told["destination"]) == ("merged", "other.example")
        [recipient] = told["recipients"]
        assert recipient["recipient_id"] == yard.store.ids.text(moved.recipient_id)

    play(test)


def test_all_kinds_of_news_are_written(play: Play) -> None:
    async def test(yard: Yard) -> None:
        back, moved = await claimed(yard, "a@one.example"), await claimed(yard, "b@one.example")
        made = settler(yard)
        made.add(Settled(ME, put_back=ids(back)))
        made.add(Settled(ME, moved=(("gateway:office", ids(moved)),)))
        made.add(Settled(ME, block=DestinationState("one.example", Instant(NOW + 9), 1, "451 no")))
        await made.flush()
        assert {(str(each.forward_path), each.destination, each.holder) for each in await yard.queued()} == {
            ("a@one.example", "one.example", None),
            ("b@one.example", "gateway:office", None),
        }
        assert await yard.blocked() == ["one.example"]
        made.add(Settled(ME, clear="one.example"))
        await made.flush()
        assert await yard.blocked() == []

    play(test)


def test_couriers_wait_where_much_waits_for_the_disk(play: Play) -> None:
    async def test(yard: Yard) -> None:
        made = settler(yard)
        await made.room()
        made.add(Settled(ME, put_back=tuple(map(RecipientId, range(MOST_WAITING + 1)))))
        waiting = asyncio.create_task(made.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await made.flush()
        await waiting

    play(test)


def test_one_thing_that_cannot_be_written_keeps_no_other_from_it(play: Play) -> None:
    async def test(yard: Yard) -> None:
        first, second, third = [await claimed(yard, f"{name}@one.example") for name in "abc"]
        written: list[Settled] = []
        made = settler(yard, written.append)
        made.add(Settled(ME, relayed(*first), entry(first[0], number=1)))
        # No JSON can be made of this entry, and no row of this block.
        made.add(Settled(ME, relayed(*second), entry(second[0], number={1, 2})))
        made.add(Settled(ME, block=DestinationState("one.example", Instant(NOW), 0, "")))
        made.add(Settled(ME, relayed(*third), entry(third[0], number=3)))
        await made.flush()
        assert not await yard.queued()
        assert len(written) == 4
        assert [await yard.attempts(each[0]) for each in (first, second, third)] == [
            [{"number": 1}],
            [],
            [{"number": 3}],
        ]

    play(test)


def test_waiting_until_all_is_written_ends_though_more_comes(play: Play) -> None:
    async def test(yard: Yard) -> None:
        made = settler(yard)

        async def more_and_more() -> None:
            while True:
                made.add(Settled(ME, clear="one.example"))
                await asyncio.sleep(0)

        adding = asyncio.create_task(more_and_more())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await made.flush()
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        await made.flush()

    play(test)


def test_given_up_nothing_is_left_in_memory(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(yard: Yard) -> None:
        def fails(*arguments: Any) -> None:
            raise StoreError("the disk is gone")

        monkeypatch.setattr(destinations, "clear", fails)
        written: list[Settled] = []
        made = settler(yard, written.append)
        made.add(Settled(ME, clear="one.example"))
        flushing = asyncio.create_task(made.flush())
        await asyncio.sleep(0.01)
        made.add(Settled(ME, clear="two.example"))
        await made.give_up()
        await flushing
        assert len(written) == 2

    play(test)


# With notifications.


def notice(yard: Yard, version: int = 1) -> Acceptance:
    """One that goes to nobody: only the journal tells of it."""
    message_id = MessageId(yard.store.ids.next_id())
    told = JournalEntry(EntryKind.TRANSACTION, Instant(NOW), None, message_id, {"is": "notice"}, ("notice",))
    return Acceptance(message_id, Instant(NOW), Content(1, b"x"), (), (), version, told)


class Composer:
    """Makes notices, and remembers about whom, and which were for nothing."""

    def __init__(self, yard: Yard, *versions: int) -> None:
        self.yard = yard
        self.versions = list(versions)
        self.asked: list[frozenset[RecipientId]] = []
        self.discarded: list[Acceptance] = []
        self.failing = 0

    async def compose(self, due: frozenset[RecipientId]) -> Sequence[Acceptance]:
        self.asked.append(due)
        if self.failing:
            self.failing -= 1
            raise StoreError("the disk is gone")
        return (notice(self.yard, self.versions.pop(0)),)

    def discard(self, notices: Sequence[Acceptance]) -> None:
        self.discarded += notices


async def notices_of(yard: Yard) -> int:
    return len(await yard.store.read(lambda tx: journal.by_key(tx, "notice", limit=9)))


async def version_of(yard: Yard) -> int:
    return await yard.store.read(directory.version)


def test_a_notification_is_accepted_in_the_commit_that_makes_it_due(play: Play) -> None:
    async def test(yard: Yard) -> None:
        rows = await claimed(yard, "a@one.example", "b@one.example")
        composer = Composer(yard, await version_of(yard))
        written: list[Settled] = []
        made = settler(yard, written.append)
        due = frozenset({rows[0].recipient_id})
        await made.tell(Settled(ME, failed(rows[0]) + relayed(rows[1])), due, composer.compose, composer.discard)
        assert not await yard.queued()
        assert await notices_of(yard) == 1
        assert len(written) == 1
        assert not composer.discarded

    play(test)


def test_a_notification_is_made_anew_when_the_directory_has_changed(play: Play) -> None:
    async def test(yard: Yard) -> None:
        rows = await claimed(yard, "a@one.example")
        version = await version_of(yard)
        composer = Composer(yard, version - 1, version - 1, version)
        made = settler(yard)
        await made.tell(Settled(ME, failed(*rows)), frozenset(ids(rows)), composer.compose, composer.discard)
        assert len(composer.asked) == 3
        assert len(composer.discarded) == 2
        assert await notices_of(yard) == 1

    play(test)


def test_a_directory_that_changes_all_the_time_is_given_time(play: Play) -> None:
    async def test(yard: Yard) -> None:
        rows = await claimed(yard, "a@one.example")
        version = await version_of(yard)
        composer = Composer(yard, *[version - 1] * 5, version)
        made = settler(yard)
        telling = asyncio.create_task(
            made.tell(Settled(ME, failed(*rows)), frozenset(ids(rows)), composer.compose, composer.discard)
        )
        await yard.until(lambda: len(composer.asked) == 4)
        await asyncio.sleep(0.01)
        assert len(composer.asked) == 4
        while not telling.done():
            yard.clock.move(1.0)
            await asyncio.sleep(0.001)
        assert await notices_of(yard) == 1

    play(test)


def test_nobody_is_told_of_what_others_have_or_what_was_removed(play: Play) -> None:
    async def test(yard: Yard) -> None:
        rows = await claimed(yard, "a@one.example", "b@one.example", "c@one.example")
        await yard.store.write(lambda tx: queue.remove(tx, rows[0].recipient_id))
        version = await version_of(yard)
        composer = Composer(yard, version, version)
        made = settler(yard)
        due = frozenset(ids(rows[:2]))
        await made.tell(Settled(ME, failed(*rows), entry(rows[0])), due, composer.compose, composer.discard)
        assert composer.asked == [due, frozenset(ids(rows[1:2]))]
        assert len(composer.discarded) == 1
        assert await notices_of(yard) == 1
        assert not await yard.queued()
        assert len(await yard.attempts(rows[0])) == 1

    play(test)


def test_where_all_claims_were_lost_nobody_is_told(play: Play) -> None:
    async def test(yard: Yard) -> None:
        rows = await claimed(yard, "a@one.example", holder=OTHER)
        composer = Composer(yard, await version_of(yard))
        made = settler(yard)
        await made.tell(Settled(ME, failed(*rows)), frozenset(ids(rows)), composer.compose, composer.discard)
        assert await notices_of(yard) == 0
        assert [each.holder for each in await yard.queued()] == [OTHER]

    play(test)


def test_a_notification_is_written_though_nobody_waits_for_it_any_more(play: Play) -> None:
    async def test(yard: Yard) -> None:
        rows = await claimed(yard, "a@one.example")
        composer = Composer(yard, await version_of(yard))
        composer.failing = 1
        made = settler(yard)
        telling = asyncio.create_task(
            made.tell(Settled(ME, failed(*rows)), frozenset(ids(rows)), composer.compose, composer.discard)
        )
        await yard.until(lambda: bool(composer.asked))
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        flushing = asyncio.create_task(made.flush())
        await asyncio.sleep(0)
        assert not flushing.done()
        yard.clock.move(settling.RETRY_AFTER)
        await flushing
        assert await notices_of(yard) == 1
        assert not await yard.queued()

    play(test)


def test_a_notification_that_cannot_be_written_does_not_keep_the_outcome_from_it(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(yard: Yard) -> None:
        rows = await claimed(yard, "a@one.example")

        def breaks(*arguments: Any) -> None:
            raise ValueError("a fault")

        monkeypatch.setattr(acceptance, "accept", breaks)
        composer = Composer(yard, 1)
        written: list[Settled] = []
        made = settler(yard, written.append)
        await made.tell(Settled(ME, failed(*rows)), frozenset(ids(rows)), composer.compose, composer.discard)
        assert not await yard.queued()
        assert len(composer.discarded) == len(written) == 1

    play(test)
