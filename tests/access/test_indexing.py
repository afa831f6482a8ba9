"""Messages are described and indexed once, in steps, for whoever asks first; one account does not pay for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from estafeta.access import indexing
from estafeta.access.indexing import Indexer, Indexing
from estafeta.mail.address import Address
from estafeta.mail.mime.text import folded
from estafeta.store import accounts, descriptions, domains, mailboxes, messages
from estafeta.store.messages import Draft
from estafeta.store.records import AccountId, Content, Instant, MailboxId
from estafeta.store.search import Place, SearchIndexes
from estafeta.store.store import Store, Transaction, open_store

NOW = Instant(1_800_000_000.0)
ANN, BOB = Address("ann", "example.org"), Address("bob", "example.org")


@dataclass(frozen=True)
class Inbox:
    """Where the messages of one account come in."""

    account_id: AccountId
    mailbox_id: MailboxId


class Office:
    """A store, and its indexes."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = open_store(folder, clock=lambda: NOW)
        self.indexes = SearchIndexes(folder)
        self.indexing = Indexing(self.store, self.indexes)
        self.indexer = Indexer(self.store, self.indexes)

    async def account(self, address: Address) -> Inbox:
        def change(tx: Transaction) -> Inbox:
            if domains.find(tx, address.domain) is None:
                domains.add(tx, address.domain, now=NOW)
            account = accounts.add(tx, address, password=None, now=NOW)
            return Inbox(account.account_id, mailboxes.inbox(tx, account.account_id).mailbox_id)

        return await self.store.write(change)

    async def put(self, where: Inbox, *subjects: str) -> None:
        contents = [f"Subject: {subject}\r\n\r\nbody\r\n".encode() for subject in subjects]
        drafts = [Draft(Content(len(each), each), (), NOW) for each in contents]
        await self.store.write(lambda tx: messages.append(tx, where.mailbox_id, drafts, now=NOW))

    def found(self, where: Inbox, text: str) -> int:
        ids = self.indexes.of(where.account_id).candidates([Place.SUBJECT], folded(text)).ids
        assert ids is not None
        return len(ids)

    async def undescribed(self, where: Inbox) -> int:
        return len(await self.store.read(lambda tx: descriptions.missing(tx, where.mailbox_id, limit=10_000)))

    async def uid_next(self, where: Inbox) -> int:
        return (await self.store.read(lambda tx: mailboxes.get(tx, where.mailbox_id))).uid_next


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    made = Office(folder)
    try:
        yield made
    finally:
        made.indexes.close()
        made.store.close()


def run(folder: Path, talk: Callable[[Office], Awaitable[None]]) -> None:
    async def conversation() -> None:
        async with office(folder) as made:
            await talk(made)

    asyncio.run(conversation())


def test_all_that_is_new_is_taken(tmp_path: Path) -> None:
    async def talk(made: Office) -> None:
        ann, bob = await made.account(ANN), await made.account(BOB)
        await made.put(ann, "apple", "pear")
        await made.put(bob, "plum")
        assert await made.indexer.run() == 3
        assert (made.found(ann, "apple"), made.found(bob, "apple"), made.found(bob, "plum")) == (1, 0, 1)
        assert await made.undescribed(ann) == await made.undescribed(bob) == 0
        assert await made.indexer.run() == 0
        await made.put(ann, "apple pie")
        assert await made.indexer.run() == 1
        assert made.found(ann, "apple") == 2

    run(tmp_path, talk)


def test_who_asks_first_does_it_in_steps(tmp_path: Path) -> None:
    async def talk(made: Office) -> None:
        ann = await made.account(ANN)
        count = 2 * indexing.STEP + 30
        await made.put(ann, *[f"word{number}" for number in range(count)])
        told: list[tuple[int, int]] = []
        uid_next = await made.uid_next(ann)
        taken = await made.indexing.index(
            ann.account_id, ann.mailbox_id, uid_next, lambda done, goal: told.append((done, goal))
        )
        assert taken == made.found(ann, "word") == count
        assert len(told) == 3
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert await made.undescribed(ann) == 0
        assert await made.indexing.index(ann.account_id, ann.mailbox_id, uid_next) == 0

    run(tmp_path, talk)


def test_descriptions_alone(tmp_path: Path) -> None:
    async def talk(made: Office) -> None:
        ann = await made.account(ANN)
        await made.put(ann, *[f"word{number}" for number in range(indexing.STEP + 5)])
        await made.indexing.describe(ann.mailbox_id, await made.uid_next(ann))
        assert await made.undescribed(ann) == 0
        await made.put(ann, "more")
        await made.indexing.describe(ann.mailbox_id, await made.uid_next(ann))
        assert await made.undescribed(ann) == 0
        assert made.indexes.kept() == []

    run(tmp_path, talk)


def test_a_copy_is_not_read_again(tmp_path: Path) -> None:
    async def talk(made: Office) -> None:
        ann = await made.account(ANN)
        await made.put(ann, "apple")
        await made.indexer.run()

        def copied(tx: Transaction) -> MailboxId:
            junk = mailboxes.find(tx, ann.account_id, "Junk")
            assert junk is not None
            messages.copy(tx, ann.mailbox_id, [1], junk.mailbox_id, now=NOW)
            return junk.mailbox_id

        junk_id = await made.store.write(copied)
        assert await made.indexing.index(ann.account_id, junk_id, 2) == 0
        assert made.found(ann, "apple") == 1

    run(tmp_path, talk)


def test_what_is_gone_goes_from_the_indexes(tmp_path: Path) -> None:
    async def talk(made: Office) -> None:
        ann, bob = await made.account(ANN), await made.account(BOB)
        await made.put(ann, "apple one", "apple two")
        await made.put(bob, "plum")
        await made.indexer.run()
        await made.store.write(lambda tx: messages.expunge(tx, ann.mailbox_id, [1]))
        await made.store.write(lambda tx: accounts.remove(tx, BOB))
        await made.indexer.tidy()
        assert made.found(ann, "apple") == 1
        assert made.indexes.kept() == [ann.account_id]

    run(tmp_path, talk)


def test_one_account_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    async def talk(made: Office) -> None:
        ann, bob = await made.account(ANN), await made.account(BOB)
        await made.put(ann, "apple")
        await made.put(bob, "plum")
        made.indexes.of(ann.account_id)
        # Its file has become something that cannot be read.
        made.indexes.remove(ann.account_id)
        name = made.indexes._path(ann.account_id)
        name.mkdir()
        await made.indexer.run()
        assert made.found(bob, "plum") == 1

    run(tmp_path, talk)


def test_messages_that_nobody_can_read_are_taken_too(tmp_path: Path) -> None:
    async def talk(made: Office) -> None:
        ann = await made.account(ANN)
        octets = [
            b"Subject: =?utf-7?Q?+2AA-?= half a letter\r\n\r\n",
            b"",
            b"\0" * 100,
            b"Subject: half \xff\xfe\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n\x00\xd8",
        ]
        drafts = [Draft(Content(len(each), each), (), NOW) for each in octets]
        await made.store.write(lambda tx: messages.append(tx, ann.mailbox_id, drafts, now=NOW))
        assert await made.indexer.run() == 4
        assert made.found(ann, "half") == 2

    run(tmp_path, talk)
