"""Subscriptions are names of one account; a mailbox need not be there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.store import mailboxes, subscriptions
from estafeta.store.records import Account
from estafeta.store.store import Store, Transaction

AddAccount = Callable[..., Account]
FIRST = {"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}


def test_an_account_begins_with_its_first_mailboxes_subscribed(store: Store, add_account: AddAccount) -> None:
    async def run() -> None:
        ann = await store.write(lambda tx: add_account(tx, "ann@example.org"))
        assert await store.read(lambda tx: subscriptions.of(tx, ann.account_id)) == FIRST

    asyncio.run(run())


@pytest.mark.rfc("9051 §6.3.7", "A name stays subscribed when its mailbox is gone, until it is unsubscribed.")
def test_a_subscription_outlives_its_mailbox(store: Store, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        ann = add_account(tx, "ann@example.org")
        junk = mailboxes.find(tx, ann.account_id, "Junk")
        assert junk is not None
        mailboxes.remove(tx, junk)
        assert subscriptions.of(tx, ann.account_id) == FIRST
        assert subscriptions.set_(tx, ann.account_id, "Junk", is_subscribed=False)
        assert not subscriptions.set_(tx, ann.account_id, "Junk", is_subscribed=False)
        assert subscriptions.of(tx, ann.account_id) == FIRST - {"Junk"}
        assert subscriptions.set_(tx, ann.account_id, "Nowhere/yet", is_subscribed=True)
        assert not subscriptions.set_(tx, ann.account_id, "Nowhere/yet", is_subscribed=True)

    asyncio.run(store.write(change))


def test_there_is_an_end(store: Store, add_account: AddAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MOST", 7)

    def change(tx: Transaction) -> None:
        ann = add_account(tx, "ann@example.org")
        subscriptions.set_(tx, ann.account_id, "One", is_subscribed=True)
        with pytest.raises(subscriptions.TooManyNames):
            subscriptions.set_(tx, ann.account_id, "Two", is_subscribed=True)

    asyncio.run(store.write(change))


def test_who_watches_the_account_is_told(store: Store, add_account: AddAccount) -> None:
    async def run() -> None:
        ann = await store.write(lambda tx: add_account(tx, "ann@example.org"))
        told = asyncio.Event()
        end = store.changes.watch(ann.account_id, lambda _: told.set())
        await store.write(lambda tx: subscriptions.set_(tx, ann.account_id, "New", is_subscribed=True))
        await asyncio.wait_for(told.wait(), 5)
        end()

    asyncio.run(run())
