"""Each user has a key of his own for each mailbox, until he resets it (RFC 4467 §5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from estafeta.store import mailboxes, url_keys
from estafeta.store.records import Account
from estafeta.store.store import Store, Transaction

AddAccount = Callable[..., Account]
FIRST, SECOND, THIRD = b"1" * url_keys.OCTETS, b"2" * url_keys.OCTETS, b"3" * url_keys.OCTETS


def test_a_key_stays_until_it_is_reset(store: Store, add_account: AddAccount) -> None:
    def change(tx: Transaction) -> None:
        ann, bob = add_account(tx, "ann@example.org"), add_account(tx, "bob@example.org")
        inbox, junk = mailboxes.inbox(tx, ann.account_id), mailboxes.find(tx, ann.account_id, "Junk")
        assert junk is not None
        assert url_keys.find(tx, ann.account_id, inbox.mailbox_id) is None
        assert url_keys.ensure(tx, ann.account_id, inbox.mailbox_id, FIRST) == FIRST
        assert url_keys.ensure(tx, ann.account_id, inbox.mailbox_id, SECOND) == FIRST
        assert url_keys.ensure(tx, bob.account_id, inbox.mailbox_id, SECOND) == SECOND
        assert url_keys.ensure(tx, ann.account_id, junk.mailbox_id, THIRD) == THIRD
        url_keys.reset(tx, ann.account_id, inbox.mailbox_id)
        assert url_keys.find(tx, ann.account_id, inbox.mailbox_id) is None
        assert url_keys.find(tx, ann.account_id, junk.mailbox_id) == THIRD
        url_keys.reset(tx, ann.account_id)
        assert url_keys.find(tx, ann.account_id, junk.mailbox_id) is None
        assert url_keys.find(tx, bob.account_id, inbox.mailbox_id) == SECOND

    asyncio.run(store.write(change))
