"""A store with everything in it, what its owners must find again, and ways to damage it."""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.store import acceptance, accounts, aliases, directory, domains, flags, mailboxes, messages, queue
from estafeta.store.migrations import known_migrations
from estafeta.store.records import (
    Acceptance,
    Content,
    ContentId,
    Delivery,
    EntryKind,
    HashedPassword,
    Instant,
    JournalEntry,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
    SessionId,
    content_digest,
)
from estafeta.store.repair.pages import Pages
from estafeta.store.repair.salvage import Salvage
from estafeta.store.sqlite import DATABASE
from estafeta.store.store import Store, Transaction, open_store
from estafeta.wire.sasl import ScramKeys

NOW = Instant(1_790_000_000.0)
PREFIX = b"Return-Path: <sender@example.net>\r\n"
PAGE = 4096
LARGE = 40_000
"""Octets beyond which these stores keep contents as files."""
NAMES = ("ana", "luis", "eva")
PASSWORD = HashedPassword(
    "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA", ScramKeys(b"salt" * 4, 4096, b"s" * 32, b"k" * 32)
)

Where = tuple[str, str, int]
"""An address, a mailbox, a UID."""


@dataclass
class Known:
    """What is in a store."""

    folder: Path
    octets: dict[Where, bytes] = field(default_factory=dict)
    """Messages as their readers get them."""
    contents: dict[int, bytes] = field(default_factory=dict)
    """By id."""
    content_of: dict[Where, int] = field(default_factory=dict)
    file_of: dict[int, str] = field(default_factory=dict)
    """Names of files by content."""
    queued: dict[int, str] = field(default_factory=dict)
    """Forward-paths by recipient; each content's id is that of its message."""
    pages: dict[tuple[str, object], set[int]] = field(default_factory=dict)
    """Pages on which rows lie: `contents` by id, `messages` by where, `mailboxes` and others by nothing."""


def open_here(folder: Path) -> Store:
    return open_store(folder, clock=lambda: NOW, large_content=LARGE)


async def _fill(store: Store, count: int, seed: int) -> None:
    chance = random.Random(seed)

    def people(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=NOW)
        domains.add(tx, "example.com", now=NOW)
        for name in NAMES:
            accounts.add(
                tx, Address(name, "example.org"), password=PASSWORD, quota_octets=None, quota_messages=None, now=NOW
            )
        aliases.add(tx, Address("all", "example.org"), [Address(name, "example.org") for name in NAMES])

    await store.write(people)
    drawn = [chance.choice((120, 700, 2000, 3900, 4100, 9000, 30_000, 50_000)) for _ in range(count)]
    made = []
    for number, size in enumerate(drawn):
        body = b"Subject: %d\r\nMessage-ID: <%d@example.net>\r\n\r\n" % (number, number) + chance.randbytes(size)
        spool = store.content.spool()
        spool.write(body)
        made.append(await spool.finish())
    for start in range(0, count, 20):
        chunk = made[start : start + 20]
        await store.write(partial(_accept_all, contents=chunk, chance=chance))
    await store.write(_care)


def _accept_all(tx: Transaction, *, contents: list[Content], chance: random.Random) -> None:
    for content in contents:
        _accept(tx, content, chance)


def _accept(tx: Transaction, content: Content, chance: random.Random) -> None:
    number = MessageId(tx.ids.next_id())
    to = chance.sample(NAMES, chance.choice((1, 1, 1, 2)))
    relay = ["friend@example.net"] if chance.random() < 0.2 else []
    deliveries = []
    for name in to:
        account = accounts.find(tx, Address(name, "example.org"))
        assert account is not None
        deliveries.append(
            Delivery(mailboxes.inbox(tx, account.account_id).mailbox_id, ForwardPath(account.address), PREFIX)
        )
    message = QueuedMessage(number, ContentId(number), ReversePath(Address("sender", "example.net")), NOW, content.size)
    queued = [
        QueuedRecipient(
            RecipientId(tx.ids.next_id()),
            message,
            ForwardPath(Address.parse(path)),
            "example.net",
            QueueStatus.ACTIVE,
            NOW,
            Instant(NOW + 14_400),
        )
        for path in relay
    ]
    paths = [f"{name}@example.org" for name in to] + relay
    facts: dict[str, object] = {
        "reverse_path": "sender@example.net",
        "recipients": [{"forward_path": path} for path in paths],
        "ended": "accepted",
    }
    entry = JournalEntry(EntryKind.TRANSACTION, NOW, SessionId(7), number, facts, ("sender@example.net", *paths))
    acceptance.accept(
        tx, Acceptance(number, NOW, content, tuple(deliveries), tuple(queued), directory.version(tx), entry)
    )


def _care(tx: Transaction) -> None:
    """What owners do: folders, flags, expunges."""
    for name in NAMES:
        account = accounts.find(tx, Address(name, "example.org"))
        assert account is not None
        inbox = mailboxes.inbox(tx, account.account_id)
        kept = mailboxes.add(tx, account.account_id, "Kept", special_use=None, now=NOW)
        messages.move(tx, inbox.mailbox_id, range(10, 30), kept.mailbox_id, now=NOW)
        messages.change_flags(tx, inbox.mailbox_id, [(31, 60)], add=flags.SEEN)
        messages.change_flags(
            tx, inbox.mailbox_id, [(40, 45)], add=messages.flag_mask(tx, inbox.mailbox_id, ["$Important"])
        )
        messages.expunge(tx, inbox.mailbox_id, range(61, 80))


def read_all(store: Store) -> Known:
    """Everything, through the doors that the server has."""
    known = Known(Path())

    def query(tx: Transaction) -> None:
        for account in accounts.list_all(tx):
            for box in mailboxes.list_of(tx, account.account_id):
                for message in messages.list_of(tx, box.mailbox_id):
                    where = (str(account.address), box.name, int(message.uid))
                    known.octets[where] = messages.read_content(tx, store.content, box.mailbox_id, message.uid)
                    known.content_of[where] = message.content_id
                    known.contents[message.content_id] = known.octets[where].removeprefix(message.prefix)
        for recipient in queue.list_all(tx, limit=10_000):
            if recipient.status is not QueueStatus.HELD:
                octets = queue.read_content(tx, store.content, recipient.message.message_id)
                known.contents[recipient.message.content_id] = octets
            known.queued[recipient.recipient_id] = str(recipient.forward_path)

    asyncio.run(store.read(query))
    return known


def _add_digests(folder: Path) -> None:
    """Digests for contents that were put in without."""
    connection = apsw.Connection(str(folder / DATABASE))
    try:
        without = "SELECT content_id, octets, file FROM contents WHERE digest IS NULL"
        rows: list[tuple[Any, ...]] = connection.execute(without).fetchall()
        for content_id, octets, file in rows:
            whole = octets if octets is not None else (folder / "content" / file[-2:] / file).read_bytes()
            digest = content_digest(whole)
            connection.execute("UPDATE contents SET digest = ? WHERE content_id = ?", (digest, content_id))
    finally:
        connection.close()


def _find_pages(known: Known) -> None:
    with Pages.opened(known.folder / DATABASE, known.folder / f"{DATABASE}-wal") as pages:
        salvage = Salvage(pages, known_migrations())
        boxes: dict[object, tuple[str, str]] = {}
        owners = {found.row["account_id"]: str(found.row["address"]) for found in salvage.rows("addresses")}
        for found in salvage.rows("mailboxes"):
            boxes[found.row["mailbox_id"]] = (owners[found.row["account_id"]], str(found.row["name"]))
        for table in salvage.shapes:
            tree = salvage.trees[table]
            for number in tree.pages:
                page = salvage._page(number)
                assert page is not None
                for cell in page.cells:
                    row = salvage._row(tree.shape, cell)
                    assert row is not None
                    key: object = None
                    if table == "contents":
                        key = row["content_id"]
                        if row["file"] is not None:
                            known.file_of[int(str(key))] = str(row["file"])
                    elif table == "messages":
                        key = (*boxes[row["mailbox_id"]], row["uid"])
                    elif table == "queued_recipients":
                        key = row["recipient_id"]
                    elif table == "queued_messages":
                        key = row["message_id"]
                    known.pages.setdefault((table, key), set()).update((number, *cell.overflow))


def make(folder: Path, count: int, seed: int) -> Known:
    """A store of so many messages, closed."""
    store = open_here(folder)
    try:
        asyncio.run(_fill(store, count, seed))
        known = read_all(store)
    finally:
        store.close()
    _add_digests(folder)
    known.folder = folder
    _find_pages(known)
    return known


def make_unclosed(folder: Path, count: int, seed: int) -> Known:
    """The same as a crash leaves it: all of it is in the write-ahead log, or nearly so."""
    source = folder.with_name("running")
    store = open_here(source)
    try:
        asyncio.run(_fill(store, count, seed))
        # So that the last transaction takes no files away.
        asyncio.run(store.write(directory.changed))
        known = read_all(store)
        shutil.copytree(source, folder)
    finally:
        store.close()
    known.folder = folder
    _find_pages(known)
    return known


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The store that tests damage copies of."""
    return make(tmp_path_factory.mktemp("model") / "data", 500, 1)


@pytest.fixture
def data(model: Known, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "data"
    shutil.copytree(model.folder, folder)
    return folder
