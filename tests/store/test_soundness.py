"""What a store says of itself when it is opened damaged, and that opening it loses nothing then."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from estafeta.mail.address import Address
from estafeta.store import mailboxes, messages
from estafeta.store.errors import Damaged
from estafeta.store.records import Account, Content
from estafeta.store.repair.repairing import repair
from estafeta.store.soundness import FINISHED, WORKSHOP
from estafeta.store.sqlite import DATABASE
from estafeta.store.store import Store, Transaction, open_store

from .conftest import NOW, AddAccount

PAGE = 4096


@pytest.fixture
def filled(store: Store, data: Path, add_account: AddAccount) -> Path:
    """A data directory with an account, a hundred messages and a content file; nobody has it open."""

    def change(tx: Transaction) -> None:
        account: Account = add_account(tx, "ann@example.org")
        inbox = mailboxes.inbox(tx, account.account_id)
        for number in range(100):
            messages.append(tx, inbox.mailbox_id, [messages.Draft(Content(2000, bytes(2000)), (), NOW)], now=NOW)
            assert number < 100
        file = store.content.write(b"large")
        messages.append(tx, inbox.mailbox_id, [messages.Draft(file, (), NOW)], now=NOW)

    asyncio.run(store.write(change))
    store.close()
    return data


def overwrite(folder: Path, page: int, octets: bytes = bytes(PAGE)) -> None:
    with (folder / DATABASE).open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(octets)


def refused(folder: Path) -> str:
    """What is said in place of opening it."""
    with pytest.raises(Damaged) as told:
        open_store(folder, clock=lambda: NOW).close()
    text = str(told.value)
    assert text.endswith(("`estafeta repair`", "`estafeta repair` again"))
    assert "\n" not in text
    return text


def root_of(folder: Path, table: str) -> int:
    connection = apsw.Connection(str(folder / DATABASE))
    try:
        rows = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
        return int(str(rows[0][0]))
    finally:
        connection.close()


def test_a_lost_header_is_named(filled: Path) -> None:
    overwrite(filled, 1)
    assert "the database estafeta.sqlite3 is damaged (file is not a database)" in refused(filled)


def test_a_lost_root_is_named(filled: Path) -> None:
    overwrite(filled, root_of(filled, "contents"))
    assert "the database estafeta.sqlite3 is damaged" in refused(filled)


def test_a_file_that_was_cut_off_is_named(filled: Path) -> None:
    os.truncate(filled / DATABASE, (filled / DATABASE).stat().st_size // 2)
    assert "the database estafeta.sqlite3 is damaged" in refused(filled)


def test_an_empty_database_beside_mail_is_not_taken_for_a_new_store(filled: Path) -> None:
    os.truncate(filled / DATABASE, 0)
    assert "there is mail in the folder content" in refused(filled)
    os.unlink(filled / DATABASE)
    assert "there is mail in the folder content" in refused(filled)
    assert len(list((filled / "content").glob("*/*"))) == 1


def test_a_damaged_index_does_not_have_content_files_removed(filled: Path) -> None:
    index = root_of(filled, "content_in_file")
    octets = bytearray((filled / DATABASE).read_bytes()[(index - 1) * PAGE : index * PAGE])
    octets[3:5] = b"\0\0"  # a page of no entries
    overwrite(filled, index, bytes(octets))
    open_store(filled, clock=lambda: NOW).close()
    assert len(list((filled / "content").glob("*/*"))) == 1


def test_what_is_met_while_it_runs_is_told_as_damage(filled: Path) -> None:
    store = open_store(filled, clock=lambda: NOW)
    try:
        connection = apsw.Connection(str(filled / DATABASE))
        connection.execute(
            "PRAGMA writable_schema = on; UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'contents'"
        )
        connection.execute("PRAGMA schema_version = 4711")
        connection.close()
        with pytest.raises(Damaged, match="`estafeta repair`"):
            asyncio.run(store.write(lambda tx: messages.release_content(tx, 4711)))  # type: ignore[arg-type]
        with pytest.raises(Damaged, match="`estafeta repair`"):
            asyncio.run(store.read(lambda tx: messages.content_alone(tx, store.content, 4711)))
    finally:
        store.close()


def test_text_that_is_none_is_told_as_damage(filled: Path) -> None:
    connection = apsw.Connection(str(filled / DATABASE))
    connection.execute("UPDATE mailboxes SET name = CAST(x'ff' AS TEXT) WHERE name = 'Trash'")
    connection.close()
    store = open_store(filled, clock=lambda: NOW)
    try:
        with pytest.raises(Damaged, match="text in it is none"):
            asyncio.run(store.read(lambda tx: _all_mailboxes(tx)))
    finally:
        store.close()


def _all_mailboxes(tx: Transaction) -> None:
    from estafeta.store import accounts

    account = accounts.find(tx, Address.parse("ann@example.org"))
    assert account is not None
    mailboxes.list_of(tx, account.account_id)


def test_a_repair_that_was_cut_off_in_its_last_step_is_finished_first(filled: Path) -> None:
    whole = (filled / DATABASE).read_bytes()
    (filled / WORKSHOP).mkdir()
    (filled / WORKSHOP / FINISHED).write_text("damaged-x")
    (filled / WORKSHOP / "new.sqlite3").write_bytes(whole)
    overwrite(filled, 1)
    assert "a repair was cut off" in refused(filled)
    assert repair(filled, clock=lambda: NOW).saved["messages"] == 101
    open_store(filled, clock=lambda: NOW).close()
