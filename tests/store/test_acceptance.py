"""What one 250 promises."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from estafeta.mail.address import Address, ForwardPath
from estafeta.store import accounts, aliases, directory, journal, mailboxes, messages, queue
from estafeta.store.acceptance import accept, deliver
from estafeta.store.errors import DirectoryChanged, OverQuota
from estafeta.store.records import Acceptance, Account, Delivery, Instant, MailboxId, QueueStatus
from estafeta.store.statements import Statement
from estafeta.store.store import Store, Transaction, open_store

Accept = Callable[..., Acceptance]
AddAccount = Callable[..., Account]
NOW = Instant(1_700_000_000.0)
OCTETS = b"Subject: x\r\n\r\nhello\r\n"
COUNT_CONTENTS = Statement("count_contents", "how many contents there are", "SELECT count(*) FROM contents")
PREFIX = b"Return-Path: <Sender@example.net>\r\n"


def test_an_accepted_message_is_in_the_mailbox_the_queue_and_the_journal(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    def change(tx: Transaction) -> tuple[Account, Acceptance]:
        account = add_account(tx, "ann@example.org")
        made = acceptance(tx, to=("ann@example.org",), relay=("Bob@example.com",))
        accept(tx, made)
        return account, made

    async def scenario() -> None:
        account, made = await store.write(change)

        def look(tx: Transaction) -> None:
            inbox = mailboxes.inbox(tx, account.account_id)
            (message,) = messages.list_of(tx, inbox.mailbox_id)
            assert (message.uid, message.message_id, message.flags) == (1, made.message_id, 0)
            assert message.size == len(PREFIX + OCTETS) == inbox.octets
            octets = messages.read_content(tx, store.content, inbox.mailbox_id, message.uid)
            assert octets == PREFIX + OCTETS
            (recipient,) = queue.find(tx, made.message_id)
            assert str(recipient.forward_path) == "Bob@example.com"
            assert recipient.destination == "example.com"
            assert recipient.status is QueueStatus.ACTIVE
            assert str(recipient.message.reverse_path) == "Sender@example.net"
            assert queue.read_content(tx, store.content, made.message_id) == OCTETS
            text = tx.ids.text
            ends = {"delivered": [[text(inbox.mailbox_id), 1]], "queued": [text(recipient.recipient_id)]}
            assert journal.by_message(tx, made.message_id) == [replace(made.entry, facts=made.entry.facts | ends)]
            found = accounts.find(tx, account.address)
            assert found is not None and (found.used_messages, found.used_octets) == (1, message.size)

        await store.read(look)

    asyncio.run(scenario())


@pytest.mark.rfc("5321 §6.1", "A message that is accepted again is there once.")
def test_accepting_again_does_nothing(store: Store, acceptance: Accept, add_account: AddAccount) -> None:
    async def scenario() -> None:
        account = await store.write(lambda tx: add_account(tx, "ann@example.org"))
        made = await store.read(lambda tx: acceptance(tx, to=("ann@example.org",), relay=("bob@example.com",)))
        for _ in range(3):
            await store.write(lambda tx: accept(tx, made))

        def look(tx: Transaction) -> tuple[int, int, int]:
            inbox = mailboxes.inbox(tx, account.account_id)
            return inbox.messages, len(queue.find(tx, made.message_id)), int(inbox.uid_next)

        assert await store.read(look) == (1, 1, 2)

    asyncio.run(scenario())


def test_a_mailbox_reached_by_two_ways_gets_the_message_once(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    def change(tx: Transaction) -> int:
        account = add_account(tx, "ann@example.org")
        made = acceptance(tx, to=("ann@example.org",), relay=("bob@example.com", "bob@example.com"))
        other = Delivery(made.deliveries[0].mailbox_id, ForwardPath(Address("other", "example.org")), PREFIX)
        accept(tx, replace(made, deliveries=(*made.deliveries, other)))
        assert len(queue.find(tx, made.message_id)) == 1
        return mailboxes.inbox(tx, account.account_id).messages

    assert asyncio.run(store.write(change)) == 1


def test_routes_of_an_older_directory_are_refused_and_nothing_is_done(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    async def scenario() -> None:
        await store.write(lambda tx: add_account(tx, "ann@example.org"))
        made = await store.read(lambda tx: acceptance(tx, to=("ann@example.org",)))
        await store.write(lambda tx: aliases.add(tx, Address("x", "example.org"), [Address("y", "a.example")]))
        with pytest.raises(DirectoryChanged):
            await store.write(lambda tx: accept(tx, made))
        assert await store.read(lambda tx: journal.by_message(tx, made.message_id)) == []
        version = await store.read(directory.version)
        await store.write(lambda tx: accept(tx, replace(made, directory_version=version)))
        assert len(await store.read(lambda tx: journal.by_message(tx, made.message_id))) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("quota", [{"messages": 2}, {"octets": 2 * len(PREFIX + OCTETS)}])
def test_a_delivery_over_a_quota_fails_with_the_address_and_leaves_nothing(
    store: Store, acceptance: Accept, add_account: AddAccount, quota: dict[str, int]
) -> None:
    async def scenario() -> None:
        await store.write(lambda tx: add_account(tx, "ann@example.org", **quota))
        await store.write(lambda tx: add_account(tx, "bob@example.org"))
        for _ in range(2):
            await store.write(lambda tx: accept(tx, acceptance(tx, to=("ann@example.org",))))
        made = await store.read(lambda tx: acceptance(tx, to=("bob@example.org", "ann@example.org")))
        with pytest.raises(OverQuota) as caught:
            await store.write(lambda tx: accept(tx, made))
        assert caught.value.address == "ann@example.org"

        def look(tx: Transaction) -> list[int]:
            return [account.used_messages for account in accounts.list_all(tx)]

        assert await store.read(look) == [2, 0]
        await store.write(
            lambda tx: accounts.set_quota(tx, Address.parse("ann@example.org"), quota_octets=None, quota_messages=3)
        )
        version = await store.read(directory.version)
        await store.write(lambda tx: accept(tx, replace(made, directory_version=version)))
        assert await store.read(look) == [3, 1]

    asyncio.run(scenario())


def test_large_content_is_kept_in_a_file_until_its_last_use(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    octets = os.urandom(600_000)

    async def scenario() -> None:
        spool = store.content.spool()
        for start in range(0, len(octets), 10_000):
            spool.write(octets[start : start + 10_000])
        content = await spool.finish()
        assert content.octets is None and content.file is not None and content.size == len(octets)
        file = content.file

        def change(tx: Transaction) -> list[int]:
            boxes = [
                mailboxes.inbox(tx, add_account(tx, f"{name}@example.org").account_id).mailbox_id
                for name in ("ann", "bob")
            ]
            accept(tx, acceptance(tx, to=("ann@example.org", "bob@example.org"), content=content))
            return list(boxes)

        ann, bob = await store.write(change)

        def read(tx: Transaction) -> bytes:
            return messages.read_content(tx, store.content, MailboxId(bob), 1)

        await store.write(lambda tx: messages.expunge(tx, MailboxId(ann), [1]))
        assert await store.read(read) == PREFIX + octets
        await store.write(lambda tx: messages.expunge(tx, MailboxId(bob), [1]))
        await store.write(lambda tx: None)  # the file goes after the commit, so before the next
        assert not store.content._path(file).exists()

    asyncio.run(scenario())


def test_messages_of_one_group_count_on_from_one_another(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    async def scenario() -> None:
        ann = await store.write(lambda tx: add_account(tx, "ann@example.org", messages=5))
        bob = await store.write(lambda tx: add_account(tx, "bob@example.org"))
        to = ("bob@example.org", "ann@example.org")
        made = await store.read(lambda tx: [acceptance(tx, to=to) for _ in range(8)])
        writes = [store.write(partial(accept, acceptance=one)) for one in made]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(one) for one in results] == [type(None)] * 5 + [OverQuota] * 3

        def look(tx: Transaction, account: Account) -> None:
            inbox = mailboxes.inbox(tx, account.account_id)
            found = messages.list_of(tx, inbox.mailbox_id)
            assert [(one.uid, one.modseq, one.message_id) for one in found] == [
                (number, number + 1, one.message_id) for number, one in enumerate(made[:5], 1)
            ]
            assert (inbox.messages, inbox.uid_next, inbox.highest_modseq) == (5, 6, 6)
            assert inbox.octets == sum(one.size for one in found)

        for account in (ann, bob):
            await store.read(partial(look, account=account))

    asyncio.run(scenario())


def test_what_other_processes_write_between_two_groups_is_seen(
    store: Store, data: Path, acceptance: Accept, add_account: AddAccount
) -> None:
    other = open_store(data, clock=lambda: NOW)

    async def scenario() -> None:
        ann = await store.write(lambda tx: add_account(tx, "ann@example.org", messages=6))
        made = await store.read(lambda tx: [acceptance(tx, to=("ann@example.org",)) for _ in range(9)])
        inbox_id = made[0].deliveries[0].mailbox_id

        async def offer(to: Store, number: int) -> None:
            await to.write(partial(accept, acceptance=made[number]))

        for number, to in enumerate((store, store, other, store, other, other)):
            await offer(to, number)
        with pytest.raises(OverQuota):
            await offer(store, 6)
        await other.write(lambda tx: messages.expunge(tx, inbox_id, [2, 3]))
        await offer(store, 7)

        def look(tx: Transaction) -> None:
            inbox = mailboxes.inbox(tx, ann.account_id)
            found = messages.list_of(tx, inbox.mailbox_id)
            assert [(one.uid, one.message_id) for one in found] == [
                (uid, made[number].message_id) for uid, number in ((1, 0), (4, 3), (5, 4), (6, 5), (7, 7))
            ]
            assert (inbox.messages, inbox.uid_next) == (5, 8)
            assert len({one.modseq for one in found}) == 5
            assert max(one.modseq for one in found) == inbox.highest_modseq

        await store.read(look)
        await other.write(lambda tx: aliases.add(tx, Address("x", "example.org"), [Address("y", "a.example")]))
        with pytest.raises(DirectoryChanged):
            await offer(store, 8)

    try:
        asyncio.run(scenario())
    finally:
        other.close()


def test_a_delivery_that_was_refused_takes_no_room(store: Store, acceptance: Accept, add_account: AddAccount) -> None:
    async def scenario() -> None:
        await store.write(lambda tx: add_account(tx, "ann@example.org", octets=200))
        large = await store.read(lambda tx: acceptance(tx, to=("ann@example.org",), content=bytes(300)))
        small = await store.read(lambda tx: acceptance(tx, to=("ann@example.org",), content=bytes(100)))

        def only_deliver(tx: Transaction) -> None:
            deliver(tx, large, large.deliveries[0])

        with pytest.raises(OverQuota):
            await store.write(only_deliver)
        await store.write(partial(accept, acceptance=small))

    asyncio.run(scenario())


def test_a_group_notices_a_directory_that_changes_within_it(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    async def scenario() -> None:
        await store.write(lambda tx: add_account(tx, "ann@example.org"))
        first, stale, second = await store.read(lambda tx: [acceptance(tx, to=("ann@example.org",)) for _ in range(3)])
        results = await asyncio.gather(
            store.write(partial(accept, acceptance=replace(stale, directory_version=0))),
            store.write(partial(accept, acceptance=first)),
            store.write(lambda tx: add_account(tx, "bob@example.org")),
            store.write(partial(accept, acceptance=second)),
            return_exceptions=True,
        )
        assert [type(one) for one in results] == [DirectoryChanged, type(None), Account, DirectoryChanged]

    asyncio.run(scenario())


def test_each_delivery_has_its_own_fields_before_the_content(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    def change(tx: Transaction) -> None:
        ann, bob = (add_account(tx, f"{name}@example.org") for name in ("ann", "bob"))
        made = acceptance(tx, to=("ann@example.org", "bob@example.org"))
        first, second = made.deliveries
        accept(tx, replace(made, deliveries=(first, replace(second, prefix=b"List-Id: <x>\r\n"))))
        for account, prefix in ((ann, PREFIX), (bob, b"List-Id: <x>\r\n")):
            inbox = mailboxes.inbox(tx, account.account_id)
            assert messages.read_content(tx, store.content, inbox.mailbox_id, 1) == prefix + OCTETS
            assert inbox.octets == len(prefix + OCTETS)

    asyncio.run(store.write(change))


def test_a_mail_object_without_any_end_leaves_its_entry_only(store: Store, acceptance: Accept) -> None:
    async def scenario() -> None:
        content = store.content.write(b"octets")
        assert content.file is not None
        made = await store.read(lambda tx: acceptance(tx, content=content))
        await store.write(lambda tx: accept(tx, made))
        await store.write(lambda tx: None)  # the file goes after the commit, so before the next
        [entry] = await store.read(lambda tx: journal.by_message(tx, made.message_id))
        assert entry.facts == made.entry.facts | {"delivered": []}
        assert await store.read(lambda tx: tx.one(COUNT_CONTENTS)) == (0,)
        assert not store.content._path(content.file).exists()

    asyncio.run(scenario())
