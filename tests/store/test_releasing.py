"""Held mail leaves the queue for mailboxes and other destinations in one change, once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.store.queueing import LEFT, ME, NOW, OTHER, Accept, AddAccount, write

from estafeta.mail.address import Address
from estafeta.routing.destinations import LATER
from estafeta.store import accounts, destinations, directory, journal, mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import DirectoryChanged, OverQuota
from estafeta.store.records import Acceptance, EntryKind, Instant, JournalEntry, QueuedRecipient, RecipientId
from estafeta.store.releasing import ClaimsLost, release
from estafeta.store.store import Store, Transaction

THEN = Instant(NOW + 3600)


def hold(tx: Transaction, acceptance: Accept, *addresses: str) -> tuple[Acceptance, list[QueuedRecipient]]:
    """Mail that is held for these until THEN, claimed by ME; and what releases it to ana and to x@example.com."""
    made = acceptance(tx, to=("ana@example.org",), relay=("x@example.com",))
    message = replace(made.queued[0].message, hold="for;3600", release_at=THEN)
    rows = [
        replace(
            made.queued[0],
            recipient_id=RecipientId(tx.ids.next_id()),
            message=message,
            forward_path=replace(made.queued[0].forward_path, address=Address.parse(each)),
            destination=LATER,
            next_attempt_at=THEN,
        )
        for each in addresses
    ]
    accept(tx, replace(made, deliveries=(), queued=tuple(rows)))
    claimed = queue.claim(tx, LATER, ME, now=THEN, limit=9)
    assert len(claimed) == len(addresses)
    onward = replace(made.queued[0], message=replace(message, release_at=THEN))
    entry = JournalEntry(EntryKind.ATTEMPT, THEN, None, made.message_id, {"ended": "released"})
    return replace(made, accepted_at=THEN, queued=(onward,), entry=entry), claimed


def inbox(tx: Transaction) -> list[float]:
    account = accounts.find(tx, Address.parse("ana@example.org"))
    assert account is not None
    return [each.internal_at for each in messages.list_of(tx, mailboxes.inbox(tx, account.account_id).mailbox_id)]


def test_it_is_in_the_mailbox_and_goes_on(store: Store, acceptance: Accept, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        add_account(tx, "ana@example.org")
        released, claimed = hold(tx, acceptance, "ana@example.org", "x@example.com")
        assert inbox(tx) == []
        assert queue.claim(tx, LATER, OTHER, now=THEN, limit=9) == []
        ids = [each.recipient_id for each in claimed]
        release(tx, released, claimed[0].message, holder=ME, recipient_ids=ids)
        assert inbox(tx) == [THEN]
        [onward] = queue.list_all(tx, limit=9)
        assert (onward.destination, onward.message.release_at) == ("example.com", THEN)
        assert tx.one(LEFT) == (1, 1, 1)
        [entry] = [each for each in journal.by_message(tx, released.message_id) if each.kind is EntryKind.ATTEMPT]
        assert entry.facts == {
            "ended": "released",
            "delivered": [[tx.ids.text(released.deliveries[0].mailbox_id), 1]],
            "queued": [tx.ids.text(onward.recipient_id)],
        }
        queue.remove(tx, onward.recipient_id)
        assert tx.one(LEFT) == (0, 0, 1)  # the mailbox has the content still
        assert destinations.find(tx, LATER) is None

    write(store, change)


def test_recipients_that_lead_to_the_same_ends_bring_it_there_once(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    def change(tx: Transaction) -> None:
        add_account(tx, "ana@example.org")
        released, claimed = hold(tx, acceptance, "ana@example.org", "team@example.org")
        for each in claimed:
            release(tx, released, each.message, holder=ME, recipient_ids=[each.recipient_id])
        assert inbox(tx) == [THEN]
        assert len(queue.list_all(tx, limit=9)) == 1

    write(store, change)


@pytest.mark.parametrize("how", ["removed", "another's", "again"])
def test_what_is_not_ours_any_more_is_not_released(
    store: Store, acceptance: Accept, add_account: AddAccount, how: str
) -> None:
    def change(tx: Transaction) -> None:
        add_account(tx, "ana@example.org")
        released, (first, second) = hold(tx, acceptance, "ana@example.org", "x@example.com")
        ids = [first.recipient_id, second.recipient_id]
        if how == "removed":
            queue.remove(tx, second.recipient_id)
        elif how == "another's":
            queue.put_back(tx, ME, [second.recipient_id], review_after=1.0)
            queue.claim(tx, LATER, OTHER, now=THEN, limit=9)
        else:
            release(tx, released, first.message, holder=ME, recipient_ids=[second.recipient_id])
        before = inbox(tx)
        with pytest.raises(ClaimsLost) as lost:
            release(tx, released, first.message, holder=ME, recipient_ids=ids)
        assert lost.value.kept == {first.recipient_id}
        assert inbox(tx) == before

    write(store, change)


def test_nothing_is_done_where_it_cannot_be_done_whole(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    made: list[tuple[Acceptance, list[QueuedRecipient]]] = []

    def prepare(tx: Transaction) -> None:
        add_account(tx, "ana@example.org")
        made[:] = [hold(tx, acceptance, "ana@example.org")]

    write(store, prepare)
    released, [claimed] = made[0]

    def let_go(tx: Transaction) -> None:
        fresh = replace(released, directory_version=directory.version(tx))
        release(tx, fresh, claimed.message, holder=ME, recipient_ids=[claimed.recipient_id])

    def outdated(tx: Transaction) -> None:
        stale = replace(released, directory_version=released.directory_version - 1)
        release(tx, stale, claimed.message, holder=ME, recipient_ids=[claimed.recipient_id])

    with pytest.raises(DirectoryChanged):
        write(store, outdated)
    fill = Address.parse("ana@example.org")
    write(store, lambda tx: accounts.set_quota(tx, fill, quota_octets=1, quota_messages=None))
    with pytest.raises(OverQuota):
        write(store, let_go)

    def look(tx: Transaction) -> None:
        assert inbox(tx) == []
        [one] = queue.list_all(tx, limit=9)
        assert (one.destination, one.holder) == (LATER, ME)

    write(store, look)
    write(store, lambda tx: accounts.set_quota(tx, fill, quota_octets=None, quota_messages=None), let_go)
    write(store, lambda tx: inbox(tx) == [THEN] or pytest.fail("not delivered"))
