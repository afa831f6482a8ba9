"""Mailboxes keep IMAP's numbers right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.mail.address import Address
from estafeta.store import accounts, mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import AlreadyExists, NotFound, OverQuota
from estafeta.store.flags import ALL_FLAGS, ANSWERED, DELETED, FIRST_KEYWORD, FLAGGED, LAST_KEYWORD, SEEN
from estafeta.store.records import Acceptance, Account, Content, Instant, Mailbox, Uid
from estafeta.store.statements import Statement
from estafeta.store.store import Store, Transaction

NOW = Instant(1_700_000_000.0)
Accept = Callable[..., Acceptance]
AddAccount = Callable[..., Account]
COUNT_CONTENTS = Statement("count_contents", "how many contents there are", "SELECT count(*) FROM contents")


def draft(octets: bytes = b"x") -> messages.Draft:
    return messages.Draft(Content(len(octets), octets), (), NOW)


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


@pytest.mark.parametrize(
    "flags", [(), (r"\Seen",), (r"\Flagged",), (r"\Deleted",), (r"\Seen", r"\Deleted"), ("$x", r"\Seen")]
)
def test_counters_follow_each_change_of_flags(store: Store, inbox: Mailbox, flags: tuple[str, ...]) -> None:
    def look(tx: Transaction) -> None:
        box = inbox.mailbox_id
        mask = messages.flag_mask(tx, box, flags)
        messages.change_flags(tx, box, [(2, 2)], add=SEEN | DELETED)
        messages.change_flags(tx, box, [(3, 3)], add=ANSWERED)
        changes = ({"add": mask}, {"keep": ALL_FLAGS & ~mask}, {"add": mask, "keep": 0}, {"keep": SEEN | DELETED})
        for change in changes:
            messages.change_flags(tx, box, [(1, 4)], **change)
            found = messages.list_of(tx, box)
            now = mailboxes.inbox(tx, inbox.account_id)
            assert now.unseen == sum(not each.flags & SEEN for each in found)
            deleted = [each.size for each in found if each.flags & DELETED]
            assert (now.deleted, now.deleted_octets) == (len(deleted), sum(deleted))

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


def test_a_large_mailbox_is_gone_at_once_and_its_messages_go_in_steps(
    store: Store, inbox: Mailbox, add_account: AddAccount
) -> None:
    def fill(tx: Transaction) -> Mailbox:
        account = add_account(tx, "bob@example.org", messages=1500)
        box = mailboxes.add(tx, account.account_id, "Large", now=NOW)
        messages.append(tx, box.mailbox_id, [draft()] * 1200, now=NOW)
        return box

    def look(tx: Transaction, box: Mailbox) -> int:
        account = accounts.find(tx, Address.parse("bob@example.org"))
        assert account is not None
        assert mailboxes.find(tx, box.account_id, "Large") is None
        with pytest.raises(NotFound):
            messages.load(tx, box.mailbox_id)
        assert account.used_messages == 0
        again = mailboxes.add(tx, account.account_id, "Large", now=NOW)
        messages.append(tx, again.mailbox_id, [draft()] * 1500, now=NOW)
        mailboxes.remove(tx, again)
        return int(tx.run(COUNT_CONTENTS)[0][0])

    box = asyncio.run(store.write(fill))
    asyncio.run(store.write(lambda tx: mailboxes.remove(tx, box)))
    left = asyncio.run(store.write(lambda tx: look(tx, box)))
    assert left > 5
    steps = 0
    while asyncio.run(store.write(mailboxes.clear_removed)):
        steps += 1
    assert steps > 1
    assert asyncio.run(store.read(lambda tx: tx.run(COUNT_CONTENTS))) == [(5,)]


@pytest.mark.rfc("7162 §3.2.7", "What is not remembered any more is known not to be.")
def test_a_bounded_number_of_expunges_is_remembered(
    store: Store, inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "KEPT_NOTES", 10)
    monkeypatch.setattr(messages, "_NOTES_OVER", 5)

    def change(tx: Transaction) -> None:
        added = messages.append(tx, inbox.mailbox_id, [draft()] * 60, now=NOW).uids
        for uid in added[::2]:
            before = mailboxes.get(tx, inbox.mailbox_id)
            messages.expunge(tx, inbox.mailbox_id, [uid])
            after = mailboxes.get(tx, inbox.mailbox_id)
            noted = messages.expunged_since(tx, inbox.mailbox_id, 0)
            assert len(noted) < 15
            assert messages.expunged_since(tx, inbox.mailbox_id, before.highest_modseq) == [(uid, uid)]
            if after.expunged_after:
                # All since then is known.
                known = messages.expunged_since(tx, inbox.mailbox_id, after.expunged_after)
                assert known == noted and len(known) >= 10
        assert after.expunged_after > inbox.highest_modseq

    asyncio.run(store.write(change))


def test_the_bit_of_a_keyword_that_no_message_has_is_used_again(store: Store, inbox: Mailbox) -> None:
    box = inbox.mailbox_id

    def change(tx: Transaction) -> None:
        many = [f"word{number}" for number in range(LAST_KEYWORD - FIRST_KEYWORD + 1)]
        mask = messages.flag_mask(tx, box, many)
        messages.change_flags(tx, box, [(1, 1)], add=mask)
        with pytest.raises(messages.TooManyKeywords):
            messages.flag_mask(tx, box, ["another"])
        messages.change_flags(tx, box, [(1, 1)], keep=~messages.flag_mask(tx, box, ["WORD7"]))
        messages.change_flags(tx, box, [(2, 2)], add=messages.flag_mask(tx, box, ["another"]))
        known = messages.keywords(tx, box)
        first, second = messages.list_of(tx, box, limit=2)
        assert sorted(known.of(first.flags)) == sorted(set(many) - {"word7"})
        assert known.of(second.flags) == ("another",)
        assert known.bit("word7") == 0

    asyncio.run(store.write(change))


@pytest.mark.rfc("7162 §3.1.3", "With UNCHANGEDSINCE what others changed meanwhile stays as it is, and is told.")
def test_what_others_changed_meanwhile_stays(store: Store, inbox: Mailbox) -> None:
    def change(tx: Transaction) -> None:
        messages.change_flags(tx, inbox.mailbox_id, [(2, 2)], add=FLAGGED)
        since = inbox.highest_modseq
        done = messages.change_flags(tx, inbox.mailbox_id, [(1, 2), (4, 9)], add=SEEN, unchanged_since=since)
        assert (done.changed, done.failed) == (3, [2])
        assert [one.flags for one in messages.list_of(tx, inbox.mailbox_id)] == [SEEN, FLAGGED, 0, SEEN, SEEN]
        # RFC 7162 §3.1.3: 0 fails for every message.
        none = messages.change_flags(tx, inbox.mailbox_id, [(1, 5)], add=SEEN, unchanged_since=0)
        assert (none.modseq, none.failed) == (None, [1, 2, 3, 4, 5])

    asyncio.run(store.write(change))


def test_an_account_without_room_keeps_what_it_has(store: Store, add_account: AddAccount) -> None:
    def fill(tx: Transaction) -> Mailbox:
        account = add_account(tx, "bob@example.org", octets=30)
        box = mailboxes.inbox(tx, account.account_id)
        messages.append(tx, box.mailbox_id, [draft(b"x" * 20)], now=NOW)
        return mailboxes.inbox(tx, account.account_id)

    box = asyncio.run(store.write(fill))
    for change in (
        lambda tx: messages.append(tx, box.mailbox_id, [draft(b"y" * 5), draft(b"y" * 6)], now=NOW),
        lambda tx: messages.copy(tx, box.mailbox_id, [1], box.mailbox_id, now=NOW),
        lambda tx: messages.append(tx, box.mailbox_id, [draft(b"y" * 31)], now=NOW, replaces=Uid(1)),
    ):
        with pytest.raises(OverQuota, match=r"bob@example\.org"):
            asyncio.run(store.write(change))
    assert asyncio.run(store.read(lambda tx: mailboxes.get(tx, box.mailbox_id))) == box
    # What is moved, or takes the place of another, needs no more room than it has.
    asyncio.run(
        store.write(lambda tx: messages.append(tx, box.mailbox_id, [draft(b"z" * 30)], now=NOW, replaces=Uid(1)))
    )
    asyncio.run(store.write(lambda tx: messages.move(tx, box.mailbox_id, [2], box.mailbox_id, now=NOW)))
    found = asyncio.run(store.read(lambda tx: messages.list_of(tx, box.mailbox_id)))
    assert [(one.uid, one.size) for one in found] == [(3, 30)]


@pytest.mark.rfc("8474 §5.1", "A copy has the EMAILID of the original.")
def test_a_copy_has_the_email_id_of_the_original(store: Store, inbox: Mailbox) -> None:
    def change(tx: Transaction) -> None:
        other = mailboxes.add(tx, inbox.account_id, "Other", now=NOW)
        messages.copy(tx, inbox.mailbox_id, [2], other.mailbox_id, now=NOW)
        [copied] = messages.list_of(tx, other.mailbox_id)
        named = {
            messages.email_id(one.content_id, one.prefix): one.uid for one in messages.list_of(tx, inbox.mailbox_id)
        }
        assert len(named) == 5
        assert named[messages.email_id(copied.content_id, copied.prefix)] == 2

    asyncio.run(store.write(change))
