"""A real store in a folder of its own, and what the tests of this room put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.store import accounts, directory, domains, mailboxes
from estafeta.store.records import (
    Acceptance,
    Account,
    Content,
    Delivery,
    EntryKind,
    Instant,
    JournalEntry,
    MessageId,
    Relaying,
    SessionId,
)
from estafeta.store.store import Store, Transaction, open_store

NOW = Instant(1_700_000_000.0)

Accept = Callable[..., Acceptance]
AddAccount = Callable[..., Account]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    store = open_store(data, clock=lambda: NOW)
    yield store
    store.close()


@pytest.fixture
def add_account() -> AddAccount:
    """`add_account(tx, "ann@example.org", ...)`, with its domain where that is missing."""

    def add(tx: Transaction, text: str, octets: int | None = None, messages: int | None = None) -> Account:
        address = Address.parse(text)
        if domains.find(tx, address.domain) is None:
            domains.add(tx, address.domain, now=NOW)
        return accounts.add(tx, address, password=None, quota_octets=octets, quota_messages=messages, now=NOW)

    return add


@pytest.fixture
def acceptance() -> Accept:
    """`acceptance(tx, to=[addresses], relay=[addresses], content=...)`: a mail object for accounts and others."""

    def make(
        tx: Transaction,
        *,
        to: tuple[str, ...] = (),
        relay: tuple[str, ...] = (),
        content: Content | bytes = b"Subject: x\r\n\r\nhello\r\n",
        message_id: int | None = None,
    ) -> Acceptance:
        number = MessageId(tx.ids.next_id() if message_id is None else message_id)
        deliveries = []
        for text in to:
            account = accounts.find(tx, Address.parse(text))
            assert account is not None
            inbox = mailboxes.inbox(tx, account.account_id)
            deliveries.append(Delivery(inbox.mailbox_id, ForwardPath(account.address)))
        relayings = [Relaying(Address.parse(text).domain, ForwardPath(Address.parse(text))) for text in relay]
        return Acceptance(
            message_id=number,
            accepted_at=NOW,
            reverse_path=ReversePath(Address.parse("Sender@example.net")),
            smtputf8=False,
            body="8BITMIME",
            prefix=b"Return-Path: <Sender@example.net>\r\n",
            content=Content(len(content), octets=content) if isinstance(content, bytes) else content,
            deliveries=tuple(deliveries),
            relayings=tuple(relayings),
            directory_version=directory.version(tx),
            entry=JournalEntry(
                EntryKind.TRANSACTION,
                NOW,
                SessionId(7),
                number,
                {"reverse_path": "Sender@example.net", "reply": "250 2.0.0 ok"},
                ("sender@example.net", *(text.lower() for text in to)),
            ),
        )

    return make
