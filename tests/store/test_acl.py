"""Rights of others in a mailbox (RFC 4314): what is given, without what is taken; the owner has all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.store import acl, mailboxes
from estafeta.store.errors import NotFound
from estafeta.store.records import Account, Mailbox
from estafeta.store.store import Store, Transaction

AddAccount = Callable[..., Account]


def _people(tx: Transaction, add_account: AddAccount) -> tuple[Account, Account, Mailbox]:
    ann, bob = add_account(tx, "ann@example.org"), add_account(tx, "bob@example.org")
    inbox = mailboxes.inbox(tx, ann.account_id)
    return ann, bob, inbox


def _bobs(tx: Transaction, inbox: Mailbox, bob: Account) -> str:
    return acl.rights_of(tx, inbox, bob.account_id, "bob@example.org")


@pytest.mark.rfc("4314 §2", "A user has the rights of his own entry and of anyone, without those taken from him.")
def test_rights_are_given_and_taken(store: Store, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        ann, bob, inbox = _people(tx, add_account)
        assert acl.rights_of(tx, inbox, ann.account_id, "ann@example.org") == "lrswipkxtea"
        assert _bobs(tx, inbox, bob) == ""
        acl.set_(tx, inbox, "Bob@Example.org", "rl")
        acl.set_(tx, inbox, "anyone", "swi")
        assert _bobs(tx, inbox, bob) == "lrswi"
        acl.set_(tx, inbox, "-bob@example.org", "w")
        assert _bobs(tx, inbox, bob) == "lrsi"
        acl.set_(tx, inbox, "-anyone", "s")
        assert _bobs(tx, inbox, bob) == "lri"
        assert acl.entries(tx, inbox.mailbox_id) == [
            ("-anyone", "s"),
            ("-bob@example.org", "w"),
            ("anyone", "swi"),
            ("bob@example.org", "lr"),
        ]

    asyncio.run(store.write(change))


@pytest.mark.rfc("4314 §3.1", "With + or - rights are added to those of the identifier, or removed from them.")
def test_an_entry_is_changed_and_goes_when_it_is_empty(store: Store, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        _, bob, inbox = _people(tx, add_account)
        acl.set_(tx, inbox, "bob@example.org", "lr")
        acl.set_(tx, inbox, "bob@example.org", "ts", "+")
        assert _bobs(tx, inbox, bob) == "lrst"
        acl.set_(tx, inbox, "bob@example.org", "rt", "-")
        assert _bobs(tx, inbox, bob) == "ls"
        acl.set_(tx, inbox, "bob@example.org", "ls", "-")
        assert acl.entries(tx, inbox.mailbox_id) == []
        acl.set_(tx, inbox, "bob@example.org", "l")
        assert acl.delete(tx, inbox, "BOB@example.org")
        assert not acl.delete(tx, inbox, "bob@example.org")
        assert _bobs(tx, inbox, bob) == ""

    asyncio.run(store.write(change))


def test_who_can_be_on_a_list(store: Store, add_account: AddAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acl, "MOST_ENTRIES", 1)

    def change(tx: Transaction) -> None:
        _, _, inbox = _people(tx, add_account)
        with pytest.raises(NotFound):
            acl.set_(tx, inbox, "nobody@example.org", "l")
        with pytest.raises(acl.OwnerKeepsRights):
            acl.set_(tx, inbox, "-ann@example.org", "a")
        acl.set_(tx, inbox, "anyone", "l")
        with pytest.raises(acl.TooManyEntries):
            acl.set_(tx, inbox, "bob@example.org", "l")

    asyncio.run(store.write(change))


def test_shared_mailboxes_are_found_by_who_sees_them(store: Store, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        ann, bob, inbox = _people(tx, add_account)
        work = mailboxes.add(tx, ann.account_id, "Work", now=ann.created_at)
        acl.set_(tx, work, "bob@example.org", "lr")
        below = mailboxes.add(tx, ann.account_id, "Work/Plans", now=ann.created_at)
        acl.inherit(tx, work.mailbox_id, below.mailbox_id)
        acl.set_(tx, inbox, "anyone", "l")
        acl.set_(tx, inbox, "-bob@example.org", "l")
        assert acl.shared_with(tx, bob.account_id, "bob@example.org") == {
            "ann@example.org": {work.mailbox_id: "lr", below.mailbox_id: "lr"}
        }
        assert acl.shared_with(tx, ann.account_id, "ann@example.org") == {}
        assert acl.rights_in_account(tx, ann.account_id, "bob@example.org") == {
            work.mailbox_id: "lr",
            below.mailbox_id: "lr",
        }
        mailboxes.remove(tx, work)
        assert acl.shared_with(tx, bob.account_id, "bob@example.org") == {"ann@example.org": {below.mailbox_id: "lr"}}

    asyncio.run(store.write(change))


def test_both_sides_are_told(store: Store, add_account: AddAccount) -> None:
    async def run() -> None:
        ann, bob, inbox = await store.write(lambda tx: _people(tx, add_account))
        told: set[int] = set()
        whole = asyncio.Event()
        wanted = {ann.account_id, bob.account_id, inbox.mailbox_id, acl.EVERYONE}

        def tell(touched: int) -> None:
            told.add(touched)
            if told == wanted:
                whole.set()

        ends = [store.changes.watch(each, tell) for each in wanted]
        await store.write(lambda tx: acl.set_(tx, inbox, "bob@example.org", "lr"))
        await store.write(lambda tx: acl.set_(tx, inbox, "anyone", "l"))
        await asyncio.wait_for(whole.wait(), 5)
        for end in ends:
            end()

    asyncio.run(run())
