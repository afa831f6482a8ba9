"""Contents are held to their digests: what was changed on the disk is never read as if it were whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from estafeta.app.upkeep import fill_digests
from estafeta.mail.address import Address
from estafeta.store import accounts, contents, domains, mailboxes, messages
from estafeta.store.errors import Damaged
from estafeta.store.records import Content, Instant, MailboxId, content_digest
from estafeta.store.store import Store, Transaction, open_store

NOW = Instant(1_800_000_000.0)
SMALL = b"Subject: small\r\n\r\n" + b"x" * 100 + b"\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"y" * 5000 + b"\r\n"


async def _fill(store: Store) -> MailboxId:
    def populate(tx: Transaction) -> MailboxId:
        domains.add(tx, "example.org", now=NOW)
        account = accounts.add(tx, Address("ana", "example.org"), password=None, now=NOW)
        return mailboxes.inbox(tx, account.account_id).mailbox_id

    mailbox_id = await store.write(populate)
    for octets in (SMALL, LARGE):
        spool = store.content.spool()
        for at in range(0, len(octets), 700):
            spool.write(octets[at : at + 700])
        draft = messages.Draft(await spool.finish(), (), NOW)
        await store.write(lambda tx, draft=draft: messages.append(tx, mailbox_id, [draft], now=NOW))  # type: ignore[misc]
    return mailbox_id


def _open(data: Path) -> Store:
    return open_store(data, clock=lambda: NOW, large_content=1000)


def _damage(data: Path) -> None:
    """One bit of each content."""
    connection = apsw.Connection(str(data / "estafeta.sqlite3"))
    rows: Any = connection.execute("SELECT content_id, octets FROM contents WHERE file IS NULL").fetchall()
    ((content_id, octets),) = rows
    changed = bytes([octets[0] ^ 1]) + octets[1:]
    connection.execute("UPDATE contents SET octets = ? WHERE content_id = ?", (changed, content_id))
    connection.close()
    (file,) = (path for path in (data / "content").rglob("*") if path.is_file())
    file.write_bytes(LARGE[:-3] + b"z\r\n")


def test_what_was_written_has_its_digest(data: Path) -> None:
    store = _open(data)

    async def scenario() -> list[bytes]:
        await _fill(store)
        return await store.read(
            lambda tx: [row[0] for row in tx._connection.execute("SELECT digest FROM contents ORDER BY content_id")]  # type: ignore[attr-defined]
        )

    try:
        assert asyncio.run(scenario()) == [content_digest(SMALL), content_digest(LARGE)]
    finally:
        store.close()


def test_a_changed_content_is_damaged_and_not_read(data: Path) -> None:
    store = _open(data)
    mailbox_id = asyncio.run(_fill(store))
    store.close()
    _damage(data)
    store = _open(data)

    async def read(uid: int) -> bytes:
        return await store.read(lambda tx: messages.read_content(tx, store.content, mailbox_id, uid))

    try:
        for uid in (1, 2):
            with pytest.raises(Damaged, match=r"is not what was written.*estafeta repair"):
                asyncio.run(read(uid))
    finally:
        store.close()


def test_contents_of_an_earlier_schema_get_their_digests(data: Path) -> None:
    store = _open(data)
    asyncio.run(_fill(store))
    store.close()
    connection = apsw.Connection(str(data / "estafeta.sqlite3"))
    connection.execute("UPDATE contents SET digest = NULL")
    connection.close()
    store = _open(data)

    async def scenario() -> list[tuple[int, bytes]]:
        await fill_digests(store)
        return await store.read(lambda tx: contents.find_digests(tx, store.content, limit=5))

    try:
        assert asyncio.run(scenario()) == []
    finally:
        store.close()
    connection = apsw.Connection(str(data / "estafeta.sqlite3"))
    digests = [digest for (digest,) in connection.execute("SELECT digest FROM contents ORDER BY content_id")]
    connection.close()
    assert digests == [content_digest(SMALL), content_digest(LARGE)]


def test_a_digest_is_found_where_it_was_left_out() -> None:
    assert Content(len(SMALL), SMALL).found_digest() == content_digest(SMALL)
    assert Content(len(LARGE), file="there").found_digest() is None
