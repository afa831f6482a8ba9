"""Who watches learns of what was committed, whoever has committed it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import estafeta
from estafeta.net.bell import MAX_RING
from estafeta.store import accounts, mailboxes, messages
from estafeta.store.acceptance import accept
from estafeta.store.changes import EVERYTHING, FOLDER, Changes
from estafeta.store.records import Acceptance, Account, Content, Instant, MailboxId
from estafeta.store.store import Store, Transaction

NOW = Instant(1_700_000_000.0)
Accept = Callable[..., Acceptance]
AddAccount = Callable[..., Account]

# Another process with the same store: each line is the id of a mailbox that a message is put into.
OTHER = """
import asyncio, sys
from pathlib import Path
from estafeta.store import messages
from estafeta.store.records import Content, Instant
from estafeta.store.store import open_store

def main():
    store = open_store(Path(sys.argv[1]), clock=lambda: 1_700_000_000.0)
    print("open", flush=True)
    for line in sys.stdin:
        draft = messages.Draft(Content(1, b"x"), (), Instant(0.0))
        asyncio.run(store.write(lambda tx: messages.append(tx, int(line), [draft], now=Instant(0.0))))
        print("done", flush=True)
    store.close()

main()
"""


class Watcher:
    """Notes what it is called with."""

    def __init__(self, changes: Changes, *watched: int) -> None:
        self.called: asyncio.Queue[int] = asyncio.Queue()
        self._ends = [changes.watch(each, self.called.put_nowait) for each in watched]

    async def next(self) -> int:
        async with asyncio.timeout(10):
            return await self.called.get()

    def end(self) -> None:
        for end in self._ends:
            end()


@asynccontextmanager
async def watching(changes: Changes, *watched: int) -> AsyncIterator[Watcher]:
    watcher = Watcher(changes, *watched)
    try:
        yield watcher
    finally:
        watcher.end()


@contextmanager
def other_process(data: Path) -> Iterator[Callable[[int], None]]:
    """Gives what has the other process put a message into a mailbox."""
    environment = {**os.environ, "PYTHONPATH": str(Path(estafeta.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None and process.stdout is not None
    with process, process.stdin, process.stdout:
        assert process.stdout.readline() == "open\n"

        def put(mailbox_id: int) -> None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{mailbox_id}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        yield put


@pytest.fixture
def account(store: Store, add_account: AddAccount) -> Account:
    return asyncio.run(store.write(lambda tx: add_account(tx, "ann@example.org")))


@pytest.fixture
def inbox(store: Store, account: Account) -> MailboxId:
    return asyncio.run(store.read(lambda tx: mailboxes.inbox(tx, account.account_id).mailbox_id))


def draft() -> messages.Draft:
    return messages.Draft(Content(1, b"x"), (), NOW)


def test_who_watches_a_mailbox_learns_of_each_way_that_changes_it(
    store: Store, inbox: MailboxId, account: Account, acceptance: Accept
) -> None:
    ways: list[Callable[[Transaction], object]] = [
        lambda tx: accept(tx, acceptance(tx, to=("ann@example.org",))),
        lambda tx: messages.append(tx, inbox, [draft()], now=NOW),
        lambda tx: messages.copy(tx, inbox, [1], inbox, now=NOW),
        lambda tx: messages.change_flags(tx, inbox, [(1, 9)], add=1),
        lambda tx: messages.expunge(tx, inbox, [1]),
    ]

    async def main() -> None:
        async with watching(store.changes, inbox) as watcher:
            for way in ways:
                await store.write(way)
                assert await watcher.next() == inbox
            await store.write(lambda tx: messages.expunge(tx, inbox, [1]))  # there is none
            await store.write(lambda tx: mailboxes.add(tx, account.account_id, "Other", now=NOW))
            assert watcher.called.empty()

    asyncio.run(main())


def test_who_watches_an_account_learns_of_its_mailboxes(store: Store, account: Account) -> None:
    async def main() -> None:
        async with watching(store.changes, account.account_id) as watcher:
            made = await store.write(lambda tx: mailboxes.add(tx, account.account_id, "A", now=NOW))
            assert await watcher.next() == account.account_id
            await store.write(lambda tx: mailboxes.rename(tx, made, "B", now=NOW))
            assert await watcher.next() == account.account_id
            await store.write(lambda tx: mailboxes.remove(tx, mailboxes.get(tx, made.mailbox_id)))
            assert await watcher.next() == account.account_id
            await store.write(lambda tx: accounts.set_enabled(tx, account.address, False))
            assert await watcher.next() == account.account_id

    asyncio.run(main())


def test_who_ends_watching_is_called_no_more(store: Store, inbox: MailboxId) -> None:
    async def main() -> None:
        async with watching(store.changes, inbox) as stays:
            async with watching(store.changes, inbox) as goes:
                pass
            await store.write(lambda tx: messages.append(tx, inbox, [draft()], now=NOW))
            assert await stays.next() == inbox
            assert goes.called.empty()

    asyncio.run(main())


def test_another_process_is_heard(store: Store, data: Path, inbox: MailboxId) -> None:
    async def main() -> None:
        with other_process(data) as put:
            async with watching(store.changes, inbox, EVERYTHING) as watcher:
                for uid in (1, 2, 3):
                    await asyncio.to_thread(put, inbox)
                    assert {await watcher.next(), await watcher.next()} == {inbox, EVERYTHING}
                    found = await store.read(lambda tx: messages.list_of(tx, inbox))
                    assert found[-1].uid == uid

    asyncio.run(main())


def test_who_watches_everything_is_called_once_for_a_commit(store: Store, account: Account, inbox: MailboxId) -> None:
    async def main() -> None:
        async with watching(store.changes, EVERYTHING) as watcher:
            other = await store.write(lambda tx: mailboxes.add(tx, account.account_id, "Other", now=NOW))
            assert await watcher.next() == EVERYTHING
            both = (inbox, other.mailbox_id)
            await store.write(lambda tx: [messages.append(tx, each, [draft()], now=NOW) for each in both])
            assert await watcher.next() == EVERYTHING
            assert watcher.called.empty()

    asyncio.run(main())


def test_a_bell_is_there_only_while_somebody_watches(store: Store, data: Path, inbox: MailboxId) -> None:
    async def main() -> None:
        async with watching(store.changes, inbox):
            assert len(list((data / FOLDER).iterdir())) == 1
        assert list((data / FOLDER).iterdir()) == []

    asyncio.run(main())


def test_bells_that_come_at_the_same_moment_are_all_found(tmp_path: Path) -> None:
    # The folder's time counts in ticks of some milliseconds: all these are often within one.
    async def main() -> None:
        teller = Changes(tmp_path, "teller")
        hubs = [Changes(tmp_path, f"hub{number}") for number in range(8)]
        watchers = []
        try:
            for number, hub in enumerate(hubs):
                watchers.append(Watcher(hub, 7))
                teller.tell([7])
                for watcher in watchers:
                    assert await watcher.next() == 7, number
        finally:
            for watcher in watchers:
                watcher.end()

    asyncio.run(main())


def test_a_hearer_that_was_busy_supposes_that_everything_has_changed(tmp_path: Path) -> None:
    async def main() -> None:
        teller, hub = Changes(tmp_path, "teller"), Changes(tmp_path, "hub")
        async with watching(hub, 5) as watcher:
            for number in range(3000):  # more than a socket holds, and its loop does not run meanwhile
                teller.tell([1000 + number])
            teller.tell([5])
            assert await watcher.next() == 5

    asyncio.run(main())


def test_more_ids_than_a_ring_can_name_stand_for_everything(tmp_path: Path) -> None:
    async def main() -> None:
        teller, hub = Changes(tmp_path, "teller"), Changes(tmp_path, "hub")
        async with watching(hub, 5) as watcher:
            teller.tell(range(10**18, 10**18 + MAX_RING))
            assert await watcher.next() == 5

    asyncio.run(main())


def test_the_bell_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    teller = Changes(tmp_path, "teller")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / FOLDER / "dead.bell"))
    teller.tell([7])
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_without_room_for_a_socket_this_process_still_hears_itself(tmp_path: Path) -> None:
    async def main() -> None:
        hub = Changes(tmp_path / ("x" * 120), "hub")
        async with watching(hub, 7) as watcher:
            hub.tell([7])
            assert await watcher.next() == 7

    with contextlib.suppress(OSError):
        (tmp_path / ("x" * 120)).mkdir()
    asyncio.run(main())


def test_who_could_not_be_rung_is_told_later_that_all_may_have_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        ours, theirs = Changes(tmp_path, "1"), Changes(tmp_path, "2")
        async with watching(theirs, 7) as watcher:
            ours.tell([1])  # it has looked for the others
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                ours.tell([7])
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            ours.tell([1])
            assert await watcher.next() == 7

    asyncio.run(scenario())
