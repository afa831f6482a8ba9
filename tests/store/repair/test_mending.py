"""Rows that are lost with all that is theirs, one table at a time: what is told from elsewhere, and what is not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import apsw

from estafeta.mail.address import Address
from estafeta.store import accounts, aliases, domains, journal, mailboxes, messages
from estafeta.store.ids import IdSource
from estafeta.store.migrations import Migration, known_migrations
from estafeta.store.records import Mailbox
from estafeta.store.repair.repairing import repair
from estafeta.store.repair.report import Report, State
from estafeta.store.sqlite import DATABASE
from estafeta.store.store import Transaction, open_store

from .conftest import NAMES, NOW, PAGE, PASSWORD, Known, open_here, read_all
from .test_damage import check_sound


def lose(folder: Path, *names: str) -> Report:
    """Overwrite the roots of tables and indexes, which in small ones are all of them; then repair."""
    connection = apsw.Connection(str(folder / DATABASE))
    found = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    connection.close()
    with (folder / DATABASE).open("r+b") as file:
        for name in names:
            file.seek((int(str(found[name])) - 1) * PAGE)
            file.write(bytes(PAGE))
    report = repair(folder, clock=lambda: NOW)
    check_sound(folder)
    return report


def now_in(folder: Path) -> Known:
    store = open_here(folder)
    try:
        return read_all(store)
    finally:
        store.close()


def test_domains_are_told_by_their_index(model: Known, data: Path) -> None:
    report = lose(data, "domains")
    assert any("the domain example.org" in line for line in report.remade)
    assert now_in(data).octets == model.octets


def test_domains_are_told_by_addresses(model: Known, data: Path) -> None:
    lose(data, "domains", "sqlite_autoindex_domains_1")
    assert now_in(data).octets == model.octets


def test_addresses_are_told_by_their_indexes(model: Known, data: Path) -> None:
    lose(data, "addresses")
    assert now_in(data).octets == model.octets
    store = open_here(data)
    try:
        found = asyncio.run(store.read(lambda tx: aliases.find(tx, Address("all", "example.org"))))
        assert found is not None and len(found.members) == len(NAMES)
    finally:
        store.close()


def test_the_addresses_of_accounts_are_told_by_their_mail(model: Known, data: Path) -> None:
    indexes = ("sqlite_autoindex_addresses_1", "sqlite_autoindex_addresses_2", "addresses_of_domain")
    report = lose(data, "addresses", *indexes)
    assert "the address of an account, ana@example.org, by the mail in its INBOX" in report.remade
    assert now_in(data).octets == model.octets


def test_accounts_are_told_by_their_addresses(model: Known, data: Path) -> None:
    report = lose(data, "accounts")
    assert "the account eva@example.org, enabled and without quotas" in report.remade
    assert now_in(data).octets == model.octets


def test_accounts_of_which_nothing_tells_have_their_mail_quarantined(model: Known, data: Path) -> None:
    indexes = ("sqlite_autoindex_addresses_1", "sqlite_autoindex_addresses_2", "addresses_of_domain")
    report = lose(data, "accounts", "addresses", *indexes)
    assert report.state is State.SAVED
    assert now_in(data).octets == {}
    kept = {path.read_bytes() for path in (data / "quarantine").glob("*.eml")}
    assert kept >= {model.contents[content_id] for content_id in model.content_of.values()} - queued_contents(data)
    [described, *_] = (data / "quarantine").glob("*.json")
    assert json.loads(described.read_text())["reverse_path"] == "sender@example.net"


def queued_contents(folder: Path) -> set[bytes]:
    """Contents that are in the queue still."""
    return set(now_in(folder).contents.values())


def test_mailboxes_are_told_by_their_index(model: Known, data: Path) -> None:
    before = validities(data)
    lose(data, "mailboxes")
    assert now_in(data).octets == model.octets
    # What clients know of them is worth nothing.
    after = validities(data)
    assert after.keys() == before.keys()
    assert all(after[name] > max(before.values()) for name in before)


def validities(folder: Path) -> dict[tuple[str, str], int]:
    store = open_here(folder)

    def query(tx: Transaction) -> dict[tuple[str, str], int]:
        return {
            (str(account.address), box.name): box.uid_validity
            for account in accounts.list_all(tx)
            for box in mailboxes.list_of(tx, account.account_id)
        }

    try:
        return asyncio.run(store.read(query))
    finally:
        store.close()


def test_mailboxes_of_which_nothing_tells_are_given_to_whom_their_mail_was_sent(model: Known, data: Path) -> None:
    lose(data, "mailboxes", "sqlite_autoindex_mailboxes_1", "mailbox_for_special_use")
    found = now_in(data).octets
    for name in NAMES:
        address = f"{name}@example.org"
        mine = sorted(octets for (owner, box, _), octets in found.items() if owner == address)
        assert mine == sorted(octets for (owner, _, _), octets in model.octets.items() if owner == address)
        assert all(box.startswith("Recovered ") for owner, box, _ in found if owner == address)
    # Every account has an INBOX again.
    assert all((f"{name}@example.org", "INBOX") in validities(data) for name in NAMES)


def test_passwords_are_kept(data: Path) -> None:
    lose(data, "accounts", "domains")
    store = open_here(data)
    try:
        known = asyncio.run(store.read(lambda tx: accounts.credentials(tx, Address("ana", "example.org"))))
        assert known is not None and known.hashed == PASSWORD
    finally:
        store.close()


def test_what_was_expunged_does_not_come_back(model: Known, data: Path) -> None:
    # Nothing tells any more which pages are free.
    path = data / DATABASE
    octets = bytearray(path.read_bytes())
    octets[32:40] = b"\0\0\0\1\0\0\0\1"
    path.write_bytes(octets)
    lose(data, "messages")
    assert now_in(data).octets.keys() <= model.octets.keys()


def test_the_journal_is_found_by_its_keys_again(data: Path) -> None:
    lose(data, "journal_keys", "holders")
    store = open_here(data)
    try:
        entries = asyncio.run(store.read(lambda tx: journal.by_key(tx, "ana@example.org", limit=1000)))
        assert len(entries) > 100
    finally:
        store.close()


def test_a_lost_envelope_is_told_by_the_journal_and_held(model: Known, data: Path) -> None:
    with (data / DATABASE).open("r+b") as file:
        for page in {page for (table, _), pages in model.pages.items() if table == "queued_messages" for page in pages}:
            file.seek((page - 1) * PAGE)
            file.write(bytes(PAGE))
    report = lose(data, "queued_messages")
    assert {one.content_id for one in report.held} == {IdSource.text(content_id) for content_id in queued_ids(model)}
    assert now_in(data).queued == model.queued


def queued_ids(model: Known) -> set[int]:
    return {int(str(key)) for table, key in model.pages if table == "queued_messages"}


def behind(folder: Path, *statements: str) -> None:
    """What no sane hand does."""
    connection = apsw.Connection(str(folder / DATABASE))
    try:
        connection.execute("PRAGMA writable_schema = on")
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def test_indexes_alone_are_made_anew(model: Known, data: Path) -> None:
    index = "'addresses_of_domain'"
    behind(data, f"UPDATE sqlite_schema SET type = 'table', sql = 'CREATE TABLE x (y)' WHERE name = {index}")
    behind(data, "UPDATE addresses SET domain_id = (SELECT max(domain_id) FROM domains) WHERE account_id IS NULL")
    text = "CREATE INDEX addresses_of_domain ON addresses (domain_id)"
    behind(data, f"UPDATE sqlite_schema SET type = 'index', sql = '{text}' WHERE name = {index}")
    report = repair(data, clock=lambda: NOW)
    assert report.state is State.MENDED
    assert report.remade == ["the indexes, from their tables"]
    check_sound(data)
    assert now_in(data).octets == model.octets


def test_schema_that_was_lost_is_made_anew(model: Known, data: Path) -> None:
    behind(data, "DELETE FROM sqlite_schema WHERE name IN ('messages_of_content', 'counters')")
    repair(data, clock=lambda: NOW)
    check_sound(data)
    assert now_in(data).octets == model.octets


def test_mail_whose_recipient_may_be_another_is_held(model: Known, data: Path) -> None:
    octets = bytearray((data / DATABASE).read_bytes())
    recipient = sorted(model.queued)[7]
    [page] = model.pages["queued_recipients", recipient]
    at = octets.index(b"friend@example.net", (page - 1) * PAGE)
    octets[at + 1] ^= 1
    (data / DATABASE).write_bytes(octets)
    report = repair(data, clock=lambda: NOW)
    assert len(report.held) == 1
    assert report.held[0].recipients == ("fsiend@example.net",)
    assert now_in(data).octets == model.octets


def test_a_store_of_an_earlier_version_has_the_newest_schema_then(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    earlier: list[Migration] = known_migrations()[:7]
    store = open_store(folder, clock=lambda: NOW, migrations=earlier)

    def change(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=NOW)
        accounts.add(tx, Address("ana", "example.org"), password=None, quota_octets=None, quota_messages=None, now=NOW)

    asyncio.run(store.write(change))
    store.close()
    connection = apsw.Connection(str(folder / DATABASE))
    connection.execute("INSERT INTO contents (content_id, size, octets) VALUES (4711, 3, x'414243')")
    connection.execute(
        "INSERT INTO messages (mailbox_id, uid, delivery_id, message_id, content_id, prefix, modseq, internal_at,"
        " saved_at, size) SELECT mailbox_id, 1, 4711, 4711, 4711, x'', 2, 1.0, 1.0, 3 FROM mailboxes"
        " WHERE name = 'INBOX'"
    )
    connection.close()
    with (folder / DATABASE).open("r+b") as file:
        file.write(bytes(PAGE))
    report = repair(folder, clock=lambda: NOW)
    assert (report.saved["accounts"], report.saved["messages"], report.unverified) == (1, 1, 1)
    store = open_here(folder)
    try:
        box = asyncio.run(store.read(_inbox))
        assert asyncio.run(store.read(lambda tx: messages.read_content(tx, store.content, box.mailbox_id, 1))) == b"ABC"
    finally:
        store.close()


def _inbox(tx: Transaction) -> Mailbox:
    account = accounts.find(tx, Address("ana", "example.org"))
    assert account is not None
    return mailboxes.inbox(tx, account.account_id)
