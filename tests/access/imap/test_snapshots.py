"""The cache of snapshots, over a real store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.access.imap.post import NOW, message, post

from estafeta.access.imap.snapshots import Snapshots
from estafeta.store import mailboxes, messages
from estafeta.store.errors import NotFound
from estafeta.store.flags import FLAGGED
from estafeta.store.store import open_store


def test_what_is_committed_is_in_the_next_snapshot(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            mailbox_id = await office.mailbox_id()
            await office.put(message(), message("two"))
            first = await office.snapshots.current(mailbox_id)
            assert first.uids.tolist() == [1, 2]
            assert await office.snapshots.current(mailbox_id) is first  # nothing changed, nothing is read
            await office.store.write(lambda tx: messages.change_flags(tx, mailbox_id, [(2, 2)], add=FLAGGED))
            await office.put(message("three"))
            second = await office.snapshots.current(mailbox_id)
            assert second.uids.tolist() == [1, 2, 3]
            assert second.flags.tolist() == [0, FLAGGED, 0]

    asyncio.run(scenario())


def test_those_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            mailbox_id = await office.mailbox_id()
            await office.put(message())
            found = await asyncio.gather(*(office.snapshots.current(mailbox_id, is_fresh=True) for _ in range(20)))
            assert len(set(map(id, found))) == 1

    asyncio.run(scenario())


def test_changes_of_another_process_are_seen(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            mailbox_id = await office.mailbox_id()
            await office.put(message(), message("two"))
            assert len(await office.snapshots.current(mailbox_id)) == 2
            other = open_store(tmp_path, clock=lambda: NOW)
            try:
                await other.write(lambda tx: messages.expunge(tx, mailbox_id, [1]))
            finally:
                other.close()
            assert (await office.snapshots.current(mailbox_id, is_fresh=True)).uids.tolist() == [2]

    asyncio.run(scenario())


def test_a_mailbox_that_is_gone_is_not_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            mailbox_id = await office.mailbox_id("Archive")
            await office.snapshots.current(mailbox_id)
            await office.store.write(lambda tx: mailboxes.remove(tx, mailboxes.get(tx, mailbox_id)))
            for _ in range(2):
                with pytest.raises(NotFound):
                    await office.snapshots.current(mailbox_id)

    asyncio.run(scenario())


def test_mailboxes_that_nobody_has_open_go_when_there_is_no_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            snapshots = Snapshots(office.store, most_messages=150)
            first, second, third = [await office.mailbox_id(name) for name in ("INBOX", "Archive", "Sent")]
            kept = [await snapshots.current(first), await snapshots.current(second)]
            snapshots.hold(first)
            await snapshots.current(third)
            assert await snapshots.current(first) is kept[0]
            assert await snapshots.current(second) is not kept[1]
            snapshots.close()

    asyncio.run(scenario())


def test_one_session_alone_is_told_of_a_message_as_recent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with post(tmp_path) as office:
            mailbox_id = await office.mailbox_id()
            await office.put(message(), message("two"))
            snapshot = await office.snapshots.current(mailbox_id)
            assert await office.snapshots.claim_recent(snapshot) == range(1, 3)
            assert not await office.snapshots.claim_recent(snapshot)
            await office.put(message("three"))
            snapshot = await office.snapshots.current(mailbox_id)
            assert await office.snapshots.claim_recent(snapshot) == range(3, 4)

    asyncio.run(scenario())
