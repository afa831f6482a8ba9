"""Mailboxes keep IMAP's numbers right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.store import mailboxes, queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import AlreadyExists, NotFound, StoreError
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
        found = mailboxes.messages(tx, inbox.mailbox_id)
        assert [message.uid for message in found] == [1, 2, 3, 4, 5]
        assert found == sorted(found, key=lambda message: message.modseq)
        part = mailboxes.messages(tx, inbox.mailbox_id, after_uid=2, limit=2)
        assert [message.uid for message in part] == [3, 4]

    asyncio.run(store.read(look))


@pytest.mark.rfc("7162 §3.2.7", "An expunge counts as a change.")
def test_an_expunge_counts_and_releases(store: Store, inbox: Mailbox) -> None:
    def look(tx: Transaction) -> None:
        assert mailboxes.expunge(tx, inbox.mailbox_id, [2, 4, 9]) == [2, 4]
        after = mailboxes.inbox(tx, inbox.account_id)
        sizes = sum(message.size for message in mailboxes.messages(tx, inbox.mailbox_id))
        assert (after.messages, after.octets, after.uid_next) == (3, sizes, inbox.uid_next)
        assert after.highest_modseq == inbox.highest_modseq + 1
        assert tx.run(COUNT_CONTENTS) == [(3,)]
        assert mailboxes.expunge(tx, inbox.mailbox_id, [2, 4]) == []
        assert mailboxes.inbox(tx, inbox.account_id) == after

    asyncio.run(store.write(look))


@pytest.mark.rfc("9051 §2.3.1.1", "A UID is never given again.")
def test_an_expunged_uid_is_never_given_again(store: Store, inbox: Mailbox, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        mailboxes.expunge(tx, inbox.mailbox_id, [5])
        accept(tx, acceptance(tx, to=("ann@example.org",)))
        assert mailboxes.messages(tx, inbox.mailbox_id)[-1].uid == 6

    asyncio.run(store.write(look))


def test_content_in_the_queue_outlives_the_mailbox(store: Store, acceptance: Accept, add_account: AddAccount) -> None:
    def look(tx: Transaction) -> None:
        account = add_account(tx, "ann@example.org")
        made = acceptance(tx, to=("ann@example.org",), relay=("bob@example.com",), content=b"octets")
        accept(tx, made)
        box = mailboxes.inbox(tx, account.account_id)
        mailboxes.expunge(tx, box.mailbox_id, [1])
        assert queue.read_content(tx, store.content, made.message_id) == b"octets"
        queue.remove(tx, made.message_id)
        assert tx.run(COUNT_CONTENTS) == [(0,)]

    asyncio.run(store.write(look))


@pytest.mark.rfc("7162", "A change of flags raises the MODSEQ.")
def test_flags_are_replaced_and_change_the_modseq(store: Store, inbox: Mailbox) -> None:
    def look(tx: Transaction) -> None:
        modseq = mailboxes.set_flags(tx, inbox.mailbox_id, 3, [r"\Seen", "$Forwarded", r"\Seen"])
        assert modseq == inbox.highest_modseq + 1
        message = mailboxes.messages(tx, inbox.mailbox_id, after_uid=2, limit=1)[0]
        assert (message.flags, message.modseq) == (frozenset({r"\Seen", "$Forwarded"}), modseq)
        assert mailboxes.inbox(tx, inbox.account_id).highest_modseq == modseq

    asyncio.run(store.write(look))


@pytest.mark.parametrize(("uid", "flags", "error"), [(99, ["x"], NotFound), (1, ["a b"], StoreError)])
def test_a_refused_change_of_flags_changes_nothing(
    store: Store, inbox: Mailbox, uid: int, flags: list[str], error: type[Exception]
) -> None:
    async def scenario() -> None:
        with pytest.raises(error):
            await store.write(lambda tx: mailboxes.set_flags(tx, inbox.mailbox_id, uid, flags))
        assert await store.read(lambda tx: mailboxes.inbox(tx, inbox.account_id)) == inbox

    asyncio.run(scenario())


@pytest.mark.rfc("9051 §5.1", "INBOX is the same in any case.")
@pytest.mark.rfc("9051 §2.3.1.1", "A mailbox made again has a greater UIDVALIDITY.")
def test_a_mailbox_made_again_has_a_greater_uid_validity(store: Store, inbox: Mailbox) -> None:
    def look(tx: Transaction) -> None:
        first = mailboxes.add(tx, inbox.account_id, "Lists", now=NOW)
        mailboxes.remove_empty(tx, first.mailbox_id)
        second = mailboxes.add(tx, inbox.account_id, "Lists", now=Instant(NOW - 1000))
        assert second.uid_validity > first.uid_validity
        with pytest.raises(AlreadyExists):
            mailboxes.add(tx, inbox.account_id, "inbox", now=NOW)

    asyncio.run(store.write(look))


def test_a_missing_message_is_not_found(store: Store, inbox: Mailbox) -> None:
    with pytest.raises(NotFound):
        asyncio.run(store.read(lambda tx: mailboxes.read_content(tx, store.content, inbox.mailbox_id, 99)))
