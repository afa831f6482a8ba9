"""Mailboxes keep IMAP's numbers right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.store import mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import AlreadyExists, NotFound
from estafeta.store.records import Acceptance, Account, Instant, Mailbox
from estafeta.store.statements import Statement
from estafeta.store.store import Store, Transaction

NOW = Instant(1_700_000_000.0)
Accept = Callable[..., Acceptance]
AddAccount = Callable[..., Account]
COUNT_CONTENTS = Statement("count_contents", "how many contents there are", "SELECT count(*) FROM contents")


@pytest.fixture
def inbox(store: Store, acceptance: Accept, add_account: AddAccount) -> Mailbox:
    """An INBOX with five messages."""

    def fill(tx: Transaction) -> Mailbox:
        account = add_account(tx, "ann@example.org")
        for number in range(5):
            accept(tx, acceptance(tx, to=("ann@example.org",), content=b"x" * (number + 1)))
        return mailboxes.inbox(tx, account.account_id)

    return asyncio.run(store.write(fill))


def test_messages_come_by_uid_in_parts(store: Store, inbox: Mailbox) -> None:
    def look(tx: Transaction) -> None:
        found = messages.list_of(tx, inbox.mailbox_id)
        assert [message.uid for message in found] == [1, 2, 3, 4, 5]
        assert found == sorted(found, key=lambda message: message.modseq)
        part = messages.list_of(tx, inbox.mailbox_id, after_uid=2, limit=2)
        assert [message.uid for message in part] == [3, 4]

    asyncio.run(store.read(look))


@pytest.mark.rfc("7162 §3.2.7", "An expunge counts as a change.")
def test_an_expunge_counts_and_releases(store: Store, inbox: Mailbox) -> None:
    def look(tx: Transaction) -> None:
        assert messages.expunge(tx, inbox.mailbox_id, [2, 4, 9]) == [2, 4]
        after = mailboxes.inbox(tx, inbox.account_id)
        sizes = sum(message.size for message in messages.list_of(tx, inbox.mailbox_id))
        assert (after.messages, after.octets, after.uid_next) == (3, sizes, inbox.uid_next)
        assert after.highest_modseq == inbox.highest_modseq + 1
        assert tx.run(COUNT_CONTENTS) == [(3,)]
        assert messages.expunge(tx, inbox.mailbox_id, [2, 4]) == []
        assert mailboxes.inbox(tx, inbox.account_id) == after

    asyncio.run(store.write(look))


@pytest.mark.rfc("9051 §2.3.1.1", "A UID is never given again.")
def test_an_expunged_uid_is_never_given_again(store: Store, inbox: Mailbox, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        messages.expunge(tx, inbox.mailbox_id, [5])
        accept(tx, acceptance(tx, to=("ann@example.org",)))
        assert messages.list_of(tx, inbox.mailbox_id)[-1].uid == 6

    asyncio.run(store.write(look))


def test_content_in_the_queue_outlives_the_mailbox(store: Store, acceptance: Accept, add_account: AddAccount) -> None:
    def look(tx: Transaction) -> None:
        account = add_account(tx, "ann@example.org")
        made = acceptance(tx, to=("ann@example.org",), relay=("bob@example.com",), content=b"octets")
        accept(tx, made)
        box = mailboxes.inbox(tx, account.account_id)
        messages.expunge(tx, box.mailbox_id, [1])
        assert queue.read_content(tx, store.content, made.message_id) == b"octets"
        queue.remove(tx, made.message_id)
        assert tx.run(COUNT_CONTENTS) == [(0,)]

    asyncio.run(store.write(look))


@pytest.mark.rfc("7162", "A change of flags raises the MODSEQ.")
def test_flags_are_replaced_and_change_the_modseq(store: Store, inbox: Mailbox) -> None:
    def look(tx: Transaction) -> None:
        flags = messages.flag_mask(tx, inbox.mailbox_id, [r"\seen", "$Forwarded", r"\Seen"])
        change = messages.change_flags(tx, inbox.mailbox_id, [(3, 3), (99, 99)], add=flags, keep=0)
        assert (change.modseq, change.changed) == (inbox.highest_modseq + 1, 1)
        message = messages.list_of(tx, inbox.mailbox_id, after_uid=2, limit=1)[0]
        assert (message.flags, message.modseq) == (flags, change.modseq)
        assert messages.keywords(tx, inbox.mailbox_id).of(flags) == ("\\Seen", "$Forwarded")
        after = mailboxes.inbox(tx, inbox.account_id)
        assert (after.highest_modseq, after.unseen) == (change.modseq, 4)
        again = messages.change_flags(tx, inbox.mailbox_id, [(1, 5)], add=0, keep=flags)
        assert (again.modseq, again.changed) == (None, 0)

    asyncio.run(store.write(look))


@pytest.mark.rfc("9051 §5.1", "INBOX is the same in any case.")
@pytest.mark.rfc("9051 §2.3.1.1", "A mailbox made again has a greater UIDVALIDITY.")
def test_a_mailbox_made_again_has_a_greater_uid_validity(store: Store, inbox: Mailbox) -> None:
    def look(tx: Transaction) -> None:
        first = mailboxes.add(tx, inbox.account_id, "Lists", now=NOW)
        mailboxes.remove(tx, first)
        second = mailboxes.add(tx, inbox.account_id, "Lists", now=Instant(NOW - 1000))
        assert second.uid_validity > first.uid_validity
        with pytest.raises(AlreadyExists):
            mailboxes.add(tx, inbox.account_id, "inbox", now=NOW)

    asyncio.run(store.write(look))


def test_a_missing_message_is_not_found(store: Store, inbox: Mailbox) -> None:
    with pytest.raises(NotFound):
        asyncio.run(store.read(lambda tx: messages.read_content(tx, store.content, inbox.mailbox_id, 99)))
