"""Mail that the house writes comes to its recipients as any other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.agents.outbound.conftest import Play
from tests.agents.outbound.yard import NOW, Yard

from estafeta.agents.envelopes import Outward
from estafeta.agents.outbound.dispatcher import Dispatcher
from estafeta.agents.outbound.house import HouseMail
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.routing.directory import Directory
from estafeta.routing.local import LocalRules
from estafeta.store import accounts, journal
from estafeta.store.errors import DirectoryChanged, OverQuota, StoreError
from estafeta.store.records import Instant
from estafeta.store.store import Transaction

LETTER = b"From: postmaster@mx.example.org\r\nSubject: a report\r\n\r\nAll is well.\r\n"
SENDER = Sender(ReversePath(Address.parse("postmaster@mx.example.org")))


def to(*addresses: str) -> list[Recipient]:
    return [Recipient(ForwardPath(Address.parse(each))) for each in addresses]


class House:
    """House mail of a yard's dispatcher."""

    def __init__(self, yard: Yard, dispatcher: Dispatcher) -> None:
        self.directory = Directory(yard.store, LocalRules(), yard.clock)
        outward = Outward(lambda path, _: path, dispatcher, dispatcher.tools.notifier, 14_400.0, 432_000.0)
        self.mail = HouseMail(yard.store, self.directory, lambda: outward, yard.clock)


@contextmanager
def meanwhile(directory: Directory, yard: Yard, *changes: object) -> Iterator[None]:
    """Changes of the directory, each after a route was found."""
    resolve, left = directory.resolve, list(changes)

    async def resolve_and_change(*arguments: object) -> object:
        found = await resolve(*arguments)  # type: ignore[arg-type]
        if left:
            await yard.store.write(left.pop(0))  # type: ignore[arg-type]
        return found

    directory.resolve = resolve_and_change  # type: ignore[method-assign, assignment]
    yield
    assert not left


def add(name: str):  # type: ignore[no-untyped-def]
    def change(tx: Transaction) -> None:
        accounts.add(tx, Address(name, "example.org"), password=None, now=Instant(NOW))

    return change


def test_it_is_in_the_mailbox_and_on_its_way_and_the_journal_tells_of_it(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            house = House(yard, dispatcher)
            await house.mail.submit(SENDER, to("ana@example.org", "tls@one.example"), LETTER)
            [delivered] = await yard.notices()
            assert delivered.encode() == b"Return-Path: <postmaster@mx.example.org>\r\n" + LETTER
            await yard.until_empty()
        assert yard.hosts.taken_at("one.example") == ["tls@one.example"]
        [entry, *_] = await yard.store.read(lambda tx: journal.by_key(tx, "tls@one.example", limit=9))
        assert entry.facts["protocol"] == "local"

    play(test)


def test_recipients_that_are_refused_are_left_out(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            house = House(yard, dispatcher)
            await house.mail.submit(Sender(NULL_REVERSE_PATH), to("nobody@example.org", "ana@example.org"), LETTER)
            assert len(await yard.notices()) == 1
            await house.mail.submit(SENDER, to("nobody@example.org"), LETTER)
            assert not await yard.queued()

    play(test)


def test_routes_are_found_anew_when_the_directory_changes_meanwhile(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            house = House(yard, dispatcher)
            # One between the two routes, so that they would be of two versions, one before the commit.
            with meanwhile(house.directory, yard, add("b"), add("c"), add("d")):
                await house.mail.submit(SENDER, to("b@example.org", "ana@example.org"), LETTER)
            assert len(await yard.notices()) == 1
            sizes = await yard.store.read(
                lambda tx: [accounts.find(tx, Address(name, "example.org")).used_messages for name in ("b", "ana")]  # type: ignore[union-attr]
            )
            assert sizes == [1, 1]

    play(test)


def test_a_directory_that_changes_all_the_time_is_told_of(play: Play) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            house = House(yard, dispatcher)
            with (
                meanwhile(house.directory, yard, *(add(f"u{number}") for number in range(5))),
                pytest.raises(DirectoryChanged),
            ):
                await house.mail.submit(SENDER, to("ana@example.org"), LETTER)
            assert not await yard.notices()

    play(test)


def test_a_full_mailbox_is_told_of_and_nothing_stays(play: Play) -> None:
    async def test(yard: Yard) -> None:
        def small(tx: Transaction) -> None:
            accounts.add(tx, Address("small", "example.org"), password=None, quota_octets=10, now=Instant(NOW))

        await yard.store.write(small)
        async with yard.running() as dispatcher:
            house = House(yard, dispatcher)
            with pytest.raises(OverQuota):
                await house.mail.submit(SENDER, to("small@example.org", "a@one.example"), LETTER * 10_000)
            assert not await yard.queued()
            files = [each for each in (yard.folder / "data" / "content").rglob("*") if each.is_file()]
            assert not files

    play(test)


@pytest.mark.parametrize("turns", [1, 2, 4, 8, 16])
def test_whoever_is_cancelled_meanwhile_leaves_nothing_claimed(play: Play, turns: int) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            house = House(yard, dispatcher)
            submitting = asyncio.create_task(house.mail.submit(SENDER, to("a@one.example"), LETTER))
            for _ in range(turns):
                await asyncio.sleep(0)
            submitting.cancel()
            await asyncio.gather(submitting, return_exceptions=True)
            await yard.store.write(lambda tx: None)
            await yard.until_empty()
        assert yard.hosts.tries_at("one.example") <= 1

    play(test)


def test_a_store_that_fails_is_told_of(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(yard: Yard) -> None:
        async with yard.running() as dispatcher:
            house = House(yard, dispatcher)

            def fails(*_: object) -> None:
                raise StoreError("the disk is gone")

            monkeypatch.setattr("estafeta.store.acceptance.accept", fails)
            with pytest.raises(StoreError, match="the disk is gone"):
                await house.mail.submit(SENDER, to("a@one.example"), LETTER)

    play(test)
