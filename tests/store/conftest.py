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
    ContentId,
    Delivery,
    EntryKind,
    HolderId,
    Instant,
    JournalEntry,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
    SessionId,
)
from estafeta.store.store import Store, Transaction, open_store

NOW = Instant(1_700_000_000.0)
PREFIX = b"Return-Path: <Sender@example.net>\r\n"

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
        holder: HolderId | None = None,
        priority: int = 0,
        prefix: bytes = b"",
    ) -> Acceptance:
        number = MessageId(tx.ids.next_id() if message_id is None else message_id)
        deliveries = []
        for text in to:
            account = accounts.find(tx, Address.parse(text))
            assert account is not None
            inbox = mailboxes.inbox(tx, account.account_id)
            deliveries.append(Delivery(inbox.mailbox_id, ForwardPath(account.address), PREFIX))
        made = Content(len(content), octets=content) if isinstance(content, bytes) else content
        message = QueuedMessage(
            message_id=number,
            content_id=ContentId(number),
            reverse_path=ReversePath(Address.parse("Sender@example.net")),
            accepted_at=NOW,
            size=made.size + len(prefix),
            body="8BITMIME",
            priority=priority,
            prefix=prefix,
        )
        queued = [
            QueuedRecipient(
                recipient_id=RecipientId(tx.ids.next_id()),
                message=message,
                forward_path=ForwardPath(Address.parse(text)),
                destination=Address.parse(text).domain,
                status=QueueStatus.ACTIVE,
                next_attempt_at=NOW,
                review_at=Instant(NOW + 14_400) if holder is None else None,
                holder=holder,
            )
            for text in relay
        ]
        return Acceptance(
            message_id=number,
            accepted_at=NOW,
            content=made,
            deliveries=tuple(deliveries),
            queued=tuple(queued),
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
