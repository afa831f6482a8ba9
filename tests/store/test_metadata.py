"""Annotations: private ones are one account's, shared ones are everybody's (RFC 5464 §3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.store import mailboxes, metadata
from estafeta.store.records import Account
from estafeta.store.store import Store, Transaction

AddAccount = Callable[..., Account]


@pytest.mark.rfc("5464 §3.2", "Private values are one user's own, shared ones have one value; names have no case.")
def test_private_and_shared(store: Store, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        ann, bob = add_account(tx, "ann@example.org"), add_account(tx, "bob@example.org")
        inbox = mailboxes.inbox(tx, ann.account_id).mailbox_id
        assert metadata.set_(tx, inbox, ann.account_id, "/private/Comment", b"mine")
        assert metadata.set_(tx, inbox, bob.account_id, "/private/comment", b"his\0own")
        assert metadata.set_(tx, inbox, bob.account_id, "/shared/comment", b"ours")
        assert metadata.of(tx, inbox, ann.account_id) == {"/private/comment": b"mine", "/shared/comment": b"ours"}
        assert metadata.of(tx, inbox, bob.account_id)["/private/comment"] == b"his\0own"
        assert not metadata.set_(tx, inbox, ann.account_id, "/shared/comment", b"ours")
        assert metadata.set_(tx, inbox, ann.account_id, "/shared/comment", None)
        assert not metadata.set_(tx, inbox, ann.account_id, "/shared/comment", None)
        assert metadata.of(tx, inbox, ann.account_id) == {"/private/comment": b"mine"}
        metadata.set_(tx, metadata.SERVER, ann.account_id, "/private/vendor/x/y", b"1")
        assert metadata.of(tx, metadata.SERVER, bob.account_id) == {}
        assert metadata.of_mailboxes(tx, ann.account_id, ann.account_id) == {inbox: {"/private/comment": b"mine"}}

    asyncio.run(store.write(change))


def test_there_is_an_end(store: Store, add_account: AddAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MOST_ENTRIES", 10)

    def change(tx: Transaction) -> None:
        ann = add_account(tx, "ann@example.org")
        inbox = mailboxes.inbox(tx, ann.account_id).mailbox_id
        for number in range(10):
            metadata.set_(tx, inbox, ann.account_id, f"/private/vendor/x/{number}", b"")
        with pytest.raises(metadata.TooManyEntries):
            metadata.set_(tx, inbox, ann.account_id, "/private/comment", b"")
        metadata.set_(tx, inbox, ann.account_id, "/private/vendor/x/3", b"another")
        metadata.set_(tx, inbox, ann.account_id, "/shared/comment", b"")

    asyncio.run(store.write(change))


@pytest.mark.rfc("5464 §4.1", "Annotations go with their mailbox, and another one of its name does not inherit them.")
def test_they_go_with_their_mailbox(store: Store, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        ann = add_account(tx, "ann@example.org")
        junk = mailboxes.find(tx, ann.account_id, "Junk")
        assert junk is not None
        metadata.set_(tx, junk.mailbox_id, ann.account_id, "/shared/comment", b"old")
        mailboxes.rename(tx, junk, "Spam", now=ann.created_at)
        assert metadata.of(tx, junk.mailbox_id, ann.account_id) == {"/shared/comment": b"old"}
        mailboxes.remove(tx, junk)
        assert metadata.of(tx, junk.mailbox_id, ann.account_id) == {}

    asyncio.run(store.write(change))
