"""The real store, with its threads, on a disk that loses power at each of its operations.

After each loss the store is as the last change that returned had left it, or as the interrupted one would have; every
content that it names is there whole, and no other file is.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.simulation.disk import Disk
from estafeta.simulation.loop import VirtualLoop
from estafeta.simulation.machinery import LoopReader, LoopWriter
from estafeta.store import accounts, directory, domains, journal, mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import DiskFull, StoreError
from estafeta.store.machinery import Machinery
from estafeta.store.records import (
    Acceptance,
    Account,
    Content,
    ContentId,
    Delivery,
    EntryKind,
    Fate,
    HolderId,
    Instant,
    JournalEntry,
    MailboxId,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
    SessionId,
    Settlement,
)
from estafeta.store.sqlite import DATABASE, connect
from estafeta.store.statements import Statement
from estafeta.store.store import Store, Transaction, open_store

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""A connection that is closed without power cannot say that its checkpoint failed."""

NOW = Instant(1_700_000_000.0)
LATER = Instant(NOW + 900)
ANA = Address("ana", "example.org")
OTHER = "example.com"
HOLDER = HolderId(1)
COUNT_CONTENTS = Statement("count_contents", "how many contents there are", "SELECT count(*) FROM contents")
LARGE = 2000
"""Octets from which a content is a file."""


@dataclass(frozen=True, slots=True)
class State:
    """What a store holds, without its ids."""

    messages: tuple[tuple[int, bytes], ...] = ()
    """UIDs and octets in the mailbox."""
    queued: tuple[tuple[str, str | None, bytes], ...] = ()
    """Forward-paths, the last replies, and octets."""
    entries: int = 0
    """Entries of the journal about messages."""
    contents: int = 0
    files: int = 0
    """Contents that are files."""


def octets_of(number: int) -> bytes:
    """A content, short or long."""
    return random.Random(number).randbytes(5000 if number % 2 else 300)


Step = Callable[[Store], Coroutine[None, None, None]]


def accepting(number: int, *, local: bool = True, relay: tuple[str, ...] = ()) -> Step:
    """A mail object arrives, in pieces as from the wire."""

    async def step(store: Store) -> None:
        spool = store.content.spool()
        try:
            octets = octets_of(number)
            for at in range(0, len(octets), 1500):
                spool.write(octets[at : at + 1500])
            content = await spool.finish()
            await store.write(lambda tx: accept(tx, acceptance(tx, content, local, relay)))
        except BaseException:
            spool.discard()
            raise

    return step


def acceptance(tx: Transaction, content: Content, is_local: bool, relay: tuple[str, ...]) -> Acceptance:
    message_id = MessageId(tx.ids.next_id())
    account = accounts.find(tx, ANA)
    assert account is not None
    inbox = mailboxes.inbox(tx, account.account_id)
    message = QueuedMessage(
        message_id=message_id,
        content_id=ContentId(message_id),
        reverse_path=ReversePath(Address("sender", "example.net")),
        accepted_at=NOW,
        size=content.size,
        body="8BITMIME",
    )
    queued = [
        QueuedRecipient(
            recipient_id=RecipientId(tx.ids.next_id()),
            message=message,
            forward_path=ForwardPath(Address(name, OTHER)),
            destination=OTHER,
            status=QueueStatus.DEFERRED,
            next_attempt_at=NOW,
            review_at=LATER,
        )
        for name in relay
    ]
    facts: dict[str, object] = {"reply": "250 2.0.0 ok"}
    return Acceptance(
        message_id=message_id,
        accepted_at=NOW,
        content=content,
        deliveries=(Delivery(inbox.mailbox_id, ForwardPath(ANA), b"Return-Path: <>\r\n"),) if is_local else (),
        queued=tuple(queued),
        directory_version=directory.version(tx),
        entry=JournalEntry(EntryKind.TRANSACTION, NOW, SessionId(7), message_id, facts, ("sender@example.net",)),
    )


def expunging(*uids: int) -> Step:
    """A user removes messages."""

    async def step(store: Store) -> None:
        await store.write(lambda tx: messages.expunge(tx, inbox_of(tx), uids))

    return step


def settling(fate: Fate, limit: int) -> Step:
    """Recipients are claimed, tried, and settled: one change, so that a step is one."""

    def change(tx: Transaction) -> None:
        claimed = queue.claim_all(tx, OTHER, HOLDER, limit=limit)
        assert len(claimed) == limit
        reply = "250 2.0.0 ok" if fate.is_final else "451 4.3.0 later"
        review_at = None if fate.is_final else LATER
        queue.settle(tx, HOLDER, [Settlement(one.recipient_id, fate, reply, LATER, review_at) for one in claimed])

    async def step(store: Store) -> None:
        await store.write(change)

    return step


STORY: list[Step] = [
    accepting(1),
    accepting(2),
    accepting(3, relay=("x", "y")),
    accepting(5, local=False, relay=("z",)),
    expunging(1),
    settling(Fate.DEFERRED, 1),
    accepting(7),
    settling(Fate.RELAYED, 2),
    expunging(2, 3),
    settling(Fate.RELAYED, 1),
    accepting(9),
    expunging(4),
]


def journal_entry(tx: Transaction) -> None:
    journal.record(tx, JournalEntry(EntryKind.TRANSACTION, NOW, SessionId(7), None, {}, ()))


def inbox_of(tx: Transaction) -> MailboxId:
    account = accounts.find(tx, ANA)
    assert account is not None
    return mailboxes.inbox(tx, account.account_id).mailbox_id


async def create(store: Store) -> None:
    def change(tx: Transaction) -> Account:
        domains.add(tx, ANA.domain, now=NOW)
        return accounts.add(tx, ANA, password=None, now=NOW)

    await store.write(change)


async def state_of(store: Store, folder: Path) -> State:
    """What is there, each content read to its end and held to its digest; files are counted on the disk."""

    def query(tx: Transaction) -> State:
        waiting = [
            (str(one.forward_path), one.last_reply, queue.read_content(tx, store.content, one.message.message_id))
            for one in queue.list_all(tx, limit=1000)
        ]
        entries = journal.by_key(tx, "sender@example.net", limit=1000)
        return State(
            messages=tuple(messages.read_contents(tx, store.content, inbox_of(tx), 1, 1000)),
            queued=tuple(sorted(waiting)),
            entries=len(entries),
            contents=int(tx.run(COUNT_CONTENTS)[0][0]),
            files=sum(path.is_file() for name in ("content", "incoming") for path in (folder / name).rglob("*")),
        )

    return await store.read(query)


async def tell(store: Store, first: int = 0) -> int:
    """The story from a step on, as far as it comes; gives how many steps have returned."""
    for number, step in enumerate(STORY[first:], first):
        try:
            await step(store)
        except StoreError:
            return number
    return len(STORY)


class Machine:
    """A data directory on a disk of its own. The store is run in line on a virtual loop, and in threads on others."""

    def __init__(self, folder: Path, seed: int = 0, *, data: Path | None = None) -> None:
        folder.mkdir()
        if data is not None:
            shutil.copytree(data, folder / "data")
        self.data = folder / "data"
        self.disk = Disk(folder, random.Random(seed), f"{folder.parent.name}-{folder.name}")
        self.store: Store | None = None

    def open(self) -> Store:
        """Open the store, or start the machine again after power was lost."""
        machinery = Machinery(vfs=self.disk.vfs, files=self.disk.files)
        if isinstance(asyncio.get_running_loop(), VirtualLoop):
            machinery = replace(machinery, writer=LoopWriter, reader=LoopReader)
        self.store = open_store(self.data, clock=lambda: NOW, large_content=LARGE, machinery=machinery)
        return self.store

    def restart(self, *, is_power: bool = True) -> Store:
        """Power is lost, if it was not yet, and comes back; or the process is killed, and another is started."""
        self.disk.cut_off()
        if self.store is not None:
            self.store.close()
            self.store = None
        if is_power:
            self.disk.lose_power()
        self.disk.power_on()
        return self.open()

    def end(self) -> None:
        """It is not needed any more."""
        if self.store is not None:
            self.store.close()
        self.disk.close()

    async def state(self) -> State:
        """What the store holds, in a sound database."""
        assert self.store is not None
        connection = connect(self.data / DATABASE, read_only=True, vfs=self.disk.vfs)
        assert connection.pragma("integrity_check") == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
        return await state_of(self.store, self.data)


def in_line(scenario: Coroutine[None, None, None]) -> None:
    """Run it on a virtual loop: without threads, so that every operation has its number."""
    loop = VirtualLoop(random.Random(1).random)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(scenario)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


RUNNERS: dict[str, Callable[[Coroutine[None, None, None]], None]] = {"in line": in_line, "threads": asyncio.run}
IS_THOROUGH = bool(os.environ.get("ESTAFETA_EVERY_OPERATION"))
OPERATIONS = {
    "in line": range(1, 1000, 1 if IS_THOROUGH else 11),
    "threads": range(5, 1000, 3 if IS_THOROUGH else 47),
}
"""At which operations power is lost, or one fails: at every one where that is wished, at some in an ordinary run."""


@dataclass(frozen=True, slots=True)
class Known:
    """How it goes when nothing happens."""

    data: Path
    """A data directory with an account and no mail."""
    states: list[State]
    """Before the story, and after each step of it."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    folder = tmp_path_factory.mktemp("known")
    states: list[State] = []

    async def scenario() -> None:
        machine = Machine(folder / "template")
        await create(machine.open())
        machine.end()
        told = Machine(folder / "told", data=folder / "template" / "data")
        store = told.open()
        states.append(await told.state())
        for step in STORY:
            await step(store)
            states.append(await told.state())
        told.end()

    asyncio.run(scenario())
    assert len(set(states)) == len(STORY) + 1, "each step is seen"
    assert states[-1].messages and states[-1].files and not states[-1].queued
    return Known(folder / "template" / "data", states)


@pytest.mark.parametrize("how", RUNNERS)
def test_power_may_be_lost_at_any_operation(known: Known, tmp_path: Path, how: str) -> None:
    async def scenario() -> None:
        happened = interrupted = 0
        for operation in OPERATIONS[how]:
            machine = Machine(tmp_path / f"{operation}", operation, data=known.data)
            machine.disk.lose_power_at(operation)
            done = 0
            with suppress(StoreError):
                store = machine.open()
                done = await tell(store)
                store.close()
            is_over = not machine.disk.is_off

            store = machine.restart()
            state = await machine.state()
            assert state in known.states[done : done + 2], operation
            interrupted += not is_over
            happened += state != known.states[done]
            # And life goes on from there.
            assert await tell(store, known.states.index(state)) == len(STORY)
            machine.restart()
            assert await machine.state() == known.states[-1], operation
            machine.end()
            if is_over:
                break
        assert is_over and done == len(STORY)
        assert happened < interrupted
        assert happened or not IS_THOROUGH, "it happened sometimes, although its answer was cut off"

    RUNNERS[how](scenario())


def test_power_may_be_lost_at_any_operation_while_the_store_is_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        for operation in OPERATIONS["in line"]:
            machine = Machine(tmp_path / f"{operation}", operation)
            machine.disk.lose_power_at(operation)
            is_made = False
            with suppress(StoreError):
                await create(machine.open())
                is_made = True
            is_over = not machine.disk.is_off

            store = machine.restart()
            found = await store.read(lambda tx: accounts.find(tx, ANA))
            assert found is not None or not is_made
            if found is None:
                await create(store)
            assert await machine.state() == State()
            machine.end()
            if is_over:
                break
        assert is_over and operation > 20

    in_line(scenario())


@pytest.mark.parametrize("kind", ["write", "sync", "read"])
def test_an_operation_that_fails_spoils_one_change_at_most(known: Known, tmp_path: Path, kind: str) -> None:
    async def scenario() -> None:
        failed = 0
        for number in OPERATIONS["in line"]:
            machine = Machine(tmp_path / f"{number}", number, data=known.data)
            store = machine.open()
            machine.disk.fail_next(number, kind)
            done = await tell(store)
            is_over = machine.disk.has_fault
            if done < len(STORY):
                failed += 1
                # A change that failed was not done; the store takes it when it comes again. Its file may stay so long.
                state = await machine.state()
                assert replace(state, files=0) == replace(known.states[done], files=0)
                assert await tell(store, done) == len(STORY)
            machine.disk.heal()
            machine.restart()
            assert await machine.state() == known.states[-1]
            machine.end()
            if is_over:
                break
        assert is_over and failed

    in_line(scenario())


@pytest.mark.parametrize("is_power", [False, True], ids=["killed", "power"])
def test_a_change_whose_sync_failed_is_whole_or_not_at_all_after_a_crash(
    known: Known, tmp_path: Path, is_power: bool
) -> None:
    async def scenario() -> None:
        happened = 0
        for number in range(1, 1000, 1 if IS_THOROUGH else 2):
            machine = Machine(tmp_path / f"{number}", number, data=known.data)
            store = machine.open()
            machine.disk.fail_next(number, "sync")
            done = await tell(store)
            is_over = machine.disk.has_fault
            machine.disk.heal()
            if number % 3 and done < len(STORY):
                # What changes nothing settles nothing.
                await store.write(lambda tx: None)
            machine.restart(is_power=is_power)
            state = await machine.state()
            assert state in known.states[done : done + 2], number
            happened += state != known.states[done]
            machine.end()
            if is_over:
                break
        assert is_over and (happened or is_power)

    in_line(scenario())


def test_power_may_be_lost_while_the_next_process_takes_what_could_not_be_synced(known: Known, tmp_path: Path) -> None:
    async def scenario() -> None:
        for number in range(2, 300, 1 if IS_THOROUGH else 10):
            machine = Machine(tmp_path / f"{number}", number, data=known.data)
            store = machine.open()
            machine.disk.fail_next(3 + number % 30, "sync")
            done = await tell(store)
            machine.disk.heal()
            machine.disk.cut_off()
            store.close()
            machine.disk.power_on()
            machine.disk.lose_power_at(1 + number // 10)
            machine.store = None
            with suppress(StoreError):
                machine.open()
            store = machine.restart()
            state = await machine.state()
            assert state in known.states[done : done + 2], number
            assert await tell(store, known.states.index(state)) == len(STORY)
            machine.restart()
            assert await machine.state() == known.states[-1], number
            machine.end()

    in_line(scenario())


def test_what_a_failed_sync_kept_back_is_removed_when_another_commit_is_durable(known: Known, tmp_path: Path) -> None:
    async def scenario() -> None:
        machine = Machine(tmp_path / "machine", data=known.data)
        store = machine.open()
        await store.write(journal_entry)
        machine.disk.fail_next(4, "sync")  # those of the octets, of their folder and of its name come first
        with pytest.raises(StoreError):
            await accepting(1)(store)
        assert (await machine.state()).files == 1
        await store.write(journal_entry)
        assert (await machine.state()).files == 0
        machine.end()

    in_line(scenario())


def test_a_full_disk_refuses_changes_and_loses_none(known: Known, tmp_path: Path) -> None:
    async def scenario() -> None:
        refused = set()
        for room in range(0, 200_000, 9000):
            machine = Machine(tmp_path / f"{room}", room, data=known.data)
            store = machine.open()
            machine.disk.room = room
            done = await tell(store)
            if done < len(STORY):
                refused.add(done)
                assert await machine.state() == known.states[done]
                machine.disk.is_full = True
                with pytest.raises(DiskFull):
                    await accepting(1)(store)
            machine.disk.heal()
            assert await tell(store, done) == len(STORY)
            machine.restart()
            assert await machine.state() == known.states[-1]
            machine.end()
        assert len(refused) > 3

    in_line(scenario())


@pytest.mark.parametrize("lie", ["forgets_syncs", "forgets_folder_syncs"])
def test_a_disk_that_lies_is_found_out(known: Known, tmp_path: Path, lie: str) -> None:
    async def scenario() -> None:
        lost = 0
        for seed in range(10):
            machine = Machine(tmp_path / f"{seed}", seed, data=known.data)
            setattr(machine.disk, lie, True)
            assert await tell(machine.open()) == len(STORY)
            try:
                machine.restart()
                lost += await machine.state() != known.states[-1]
            except StoreError:
                lost += 1
            machine.end()
        assert lost > 0

    in_line(scenario())
