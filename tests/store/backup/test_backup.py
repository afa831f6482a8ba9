"""Backups of a store that is in use, and what they become."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from estafeta.mail.address import Address
from estafeta.store import accounts, domains, mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.backup import BackupError, Queue, generations, make_backup, restore, verify_backup, verify_store
from estafeta.store.backup.manifest import MANIFEST
from estafeta.store.records import Acceptance, Instant, MailboxId
from estafeta.store.store import Store, Transaction, open_store

NOW = Instant(1_790_000_000.0)
LARGE = 2000


def open_it(data: Path) -> Store:
    return open_store(data, clock=lambda: NOW, large_content=LARGE)


def populate(tx: Transaction) -> MailboxId:
    domains.add(tx, "example.org", now=NOW)
    account = accounts.add(tx, Address("ana", "example.org"), password=None, now=NOW)
    return mailboxes.inbox(tx, account.account_id).mailbox_id


async def append(store: Store, mailbox_id: MailboxId, octets: bytes) -> int:
    spool = store.content.spool()
    spool.write(octets)
    draft = messages.Draft(await spool.finish(), (), NOW)
    appended = await store.write(lambda tx: messages.append(tx, mailbox_id, [draft], now=NOW))
    return int(appended.uids[0])


def letter(number: int, size: int) -> bytes:
    return f"Subject: {number}\r\n\r\n".encode() + random.Random(number).randbytes(size).replace(b"\n", b" ")


def filled(data: Path, number: int = 20) -> MailboxId:
    """A store with small and large messages."""
    store = open_it(data)

    async def fill() -> MailboxId:
        mailbox_id = await store.write(populate)
        for each in range(number):
            await append(store, mailbox_id, letter(each, 3000 if each % 2 else 300))
        return mailbox_id

    try:
        return asyncio.run(fill())
    finally:
        store.close()


def contents_of(data: Path, mailbox_id: MailboxId) -> dict[int, bytes]:
    store = open_it(data)

    async def read() -> dict[int, bytes]:
        return dict(await store.read(lambda tx: messages.read_contents(tx, store.content, mailbox_id, 1, 10**9)))

    try:
        return asyncio.run(read())
    finally:
        store.close()


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_restored_is_what_was_there(data: Path, tmp_path: Path) -> None:
    mailbox_id = filled(data)
    before = contents_of(data, mailbox_id)
    made = make_backup(data, tmp_path / "backups", now=NOW)
    assert made.manifest.messages == 20
    assert made.manifest.contents == 10
    assert list(verify_backup(tmp_path / "backups")) == []
    restore(tmp_path / "backups", tmp_path / "again", now=NOW + 60)
    assert contents_of(tmp_path / "again", mailbox_id) == before
    assert list(verify_store(tmp_path / "again")) == []


def test_nobody_else_can_read_a_backup(data: Path, tmp_path: Path) -> None:
    filled(data, 4)
    (data / "secret").write_bytes(b"s" * 32)
    make_backup(data, tmp_path / "backups", now=NOW)
    for path in [tmp_path / "backups", *(tmp_path / "backups").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_backup_copies_only_what_is_new(data: Path, tmp_path: Path) -> None:
    mailbox_id = filled(data)
    folder = tmp_path / "backups"
    make_backup(data, folder, now=NOW)
    times = {path: path.stat().st_mtime_ns for path in (folder / "contents").rglob("*") if path.is_file()}
    store = open_it(data)
    asyncio.run(append(store, mailbox_id, letter(99, 5000)))
    store.close()
    make_backup(data, folder, now=NOW + 3600)
    after = {path: path.stat().st_mtime_ns for path in (folder / "contents").rglob("*") if path.is_file()}
    assert len(after) == len(times) + 1
    assert {path: after[path] for path in times} == times
    assert [each.manifest.messages for each in generations(folder)] == [20, 21]


def test_old_backups_go_with_the_contents_that_no_other_needs(data: Path, tmp_path: Path) -> None:
    mailbox_id = filled(data)
    folder = tmp_path / "backups"
    make_backup(data, folder, now=NOW)
    store = open_it(data)
    asyncio.run(store.write(lambda tx: messages.expunge(tx, mailbox_id, range(1, 11))))
    store.close()
    make_backup(data, folder, now=NOW + 3600)
    make_backup(data, folder, now=NOW + 7200, keep=2)
    assert len(generations(folder)) == 2
    assert len(files_in(folder / "contents")) == 5
    assert list(verify_backup(folder)) == []


def test_a_backup_under_load_is_of_one_moment(data: Path, tmp_path: Path) -> None:
    """Messages with large contents come and go all the time, each with its pair: a snapshot has both or none."""
    mailbox_id = filled(data, 4)
    store = open_it(data)
    is_over = threading.Event()
    folder = tmp_path / "backups"

    async def change(seed: int) -> None:
        chance, number = random.Random(seed), 1000 * seed
        while not is_over.is_set():
            number += 1
            spools = [store.content.spool() for _ in range(2)]
            for spool in spools:
                spool.write(letter(number, chance.choice((200, 4000))))
            drafts = [messages.Draft(await spool.finish(), (), NOW) for spool in spools]
            appended = await store.write(
                lambda tx, drafts=drafts: messages.append(tx, mailbox_id, drafts, now=NOW)  # type: ignore[misc]
            )
            if chance.random() < 0.9:
                await store.write(
                    lambda tx, appended=appended: messages.expunge(tx, mailbox_id, appended.uids)  # type: ignore[misc]
                )

    async def changing() -> None:
        await asyncio.gather(*(change(seed) for seed in range(1, 4)))

    thread = threading.Thread(target=asyncio.run, args=(changing(),))
    thread.start()
    try:
        for number in range(4):
            make_backup(data, folder, now=NOW + number)
    finally:
        is_over.set()
        thread.join()
        store.close()
    for number, each in enumerate(generations(folder)):
        again = tmp_path / f"again{number}"
        restore(folder, again, now=NOW, name=each.name)
        assert list(verify_store(again)) == []
        subjects = [octets.split(b"\r\n")[0] for octets in contents_of(again, mailbox_id).values()]
        assert all(subjects.count(subject) in (1, 2) for subject in subjects)
        pairs = [subject for subject in subjects if int(subject.split()[1]) > 1000]
        assert all(pairs.count(subject) == 2 for subject in pairs)


@pytest.mark.parametrize("left", ["folder", "database", "manifest"])
def test_one_that_was_cut_off_is_no_backup_and_does_no_harm(data: Path, tmp_path: Path, left: str) -> None:
    filled(data)
    folder = tmp_path / "backups"
    make_backup(data, folder, now=NOW)
    part = folder / "2099-01-01T00-00-00Z.part"
    part.mkdir()
    if left != "folder":
        (part / "estafeta.sqlite3").write_bytes(b"half")
    if left == "manifest":
        (part / MANIFEST).write_text("{}")
    assert len(generations(folder)) == 1
    assert [fault for fault in verify_backup(folder) if "cut off" not in fault] == []
    restore(folder, tmp_path / "again", now=NOW)
    make_backup(data, folder, now=NOW + 60)
    assert not part.exists()


def _flip(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)


def test_damage_of_a_backup_is_found_and_named(data: Path, tmp_path: Path) -> None:
    filled(data)
    folder = tmp_path / "backups"
    made = make_backup(data, folder, now=NOW)
    content = next(path for path in sorted((folder / "contents").rglob("*")) if path.is_file())
    _flip(content)
    (fault,) = verify_backup(folder)
    assert content.name in fault and made.name in fault
    restored = restore(folder, tmp_path / "again", now=NOW)
    assert len(restored.damaged) == 1
    assert len(list(verify_store(tmp_path / "again"))) == 1
    _flip(made.database)
    assert any("database is not what was written" in fault for fault in verify_backup(folder))
    with pytest.raises(BackupError, match="is damaged; try an earlier backup"):
        restore(folder, tmp_path / "third", now=NOW)
    assert not (tmp_path / "third" / "estafeta.sqlite3").exists()


def _remove_file(data: Path) -> None:
    next(path for path in sorted((data / "content").rglob("*")) if path.is_file()).unlink()


def _cut_file(data: Path) -> None:
    path = next(path for path in sorted((data / "content").rglob("*")) if path.is_file())
    path.write_bytes(path.read_bytes()[:-1])


def _change_row(data: Path) -> None:
    connection = apsw.Connection(str(data / "estafeta.sqlite3"))
    connection.execute(
        "UPDATE contents SET octets = CAST(replace(octets, 'Subject', 'subject') AS BLOB) WHERE content_id ="
        " (SELECT min(content_id) FROM contents WHERE file IS NULL)"
    )
    connection.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [(_remove_file, "has no file"), (_cut_file, "octets instead of"), (_change_row, "is not what was written")],
)
def test_verify_finds_what_is_wrong_in_a_store(data: Path, damage: Callable[[Path], Any], words: str) -> None:
    filled(data)
    assert list(verify_store(data)) == []
    damage(data)
    (fault,) = verify_store(data)
    assert words in fault


def test_no_uid_of_a_restored_store_was_ever_another_message(data: Path, tmp_path: Path) -> None:
    mailbox_id = filled(data, 4)
    folder = tmp_path / "backups"
    make_backup(data, folder, now=NOW)
    restore(folder, tmp_path / "again", now=NOW + 86_400)

    def validities(data: Path) -> list[int]:
        connection = apsw.Connection(str(data / "estafeta.sqlite3"))
        rows = connection.execute("SELECT uid_validity FROM mailboxes").fetchall()
        connection.close()
        return [int(str(row[0])) for row in rows]

    before, after = validities(data), validities(tmp_path / "again")
    assert min(after) > max(before)
    assert min(after) > NOW + 86_400 - 1
    assert len(set(after)) == len(after)
    store = open_store(tmp_path / "again", clock=lambda: NOW + 86_400)
    try:
        made = asyncio.run(
            store.write(
                lambda tx: mailboxes.add(tx, mailboxes.get(tx, mailbox_id).account_id, "New", now=Instant(NOW + 86_400))
            )
        )
    finally:
        store.close()
    assert made.uid_validity > max(after)


@pytest.mark.parametrize("wanted", list(Queue))
def test_mail_that_was_queued_waits_for_the_operator(
    data: Path, tmp_path: Path, acceptance: Callable[..., Acceptance], wanted: Queue
) -> None:
    filled(data, 2)
    store = open_it(data)
    asyncio.run(store.write(lambda tx: accept(tx, acceptance(tx, relay=("bob@example.net",)))))
    store.close()
    make_backup(data, tmp_path / "backups", now=NOW)
    restored = restore(tmp_path / "backups", tmp_path / "again", now=NOW, queue=wanted)
    store = open_it(tmp_path / "again")
    (recipient,) = asyncio.run(store.read(lambda tx: queue.list_all(tx, limit=5)))
    store.close()
    assert (restored.held, recipient.status.value) == ((1, "held") if wanted is Queue.HOLD else (0, "active"))


def test_a_store_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    filled(data, 2)
    make_backup(data, tmp_path / "backups", now=NOW)
    with pytest.raises(BackupError, match="is not empty"):
        restore(tmp_path / "backups", data, now=NOW)


def test_a_folder_with_other_things_is_left_alone(data: Path, tmp_path: Path) -> None:
    filled(data, 2)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "sea.jpg").write_bytes(b"jpg")
    with pytest.raises(BackupError, match="has other things in it"):
        make_backup(data, tmp_path / "photos", now=NOW)
    assert files_in(tmp_path / "photos") == {"sea.jpg"}


def test_faults_of_the_folder_are_told(data: Path, tmp_path: Path) -> None:
    filled(data, 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackupError, match="no whole backup"):
        restore(tmp_path / "empty", tmp_path / "again", now=NOW)
    made = make_backup(data, tmp_path / "backups", now=NOW)
    with pytest.raises(BackupError, match="there is no backup 1999"):
        restore(tmp_path / "backups", tmp_path / "again", now=NOW, name="1999")
    facts = json.loads((made.path / MANIFEST).read_text())
    for text, words in ((json.dumps({**facts, "format": 9}), "another version of Estafeta"), ("{", "damaged")):
        (made.path / MANIFEST).write_text(text)
        with pytest.raises(BackupError, match=words):
            restore(tmp_path / "backups", tmp_path / "again", now=NOW, name=made.name)
        (fault,) = verify_backup(tmp_path / "backups")
        assert words in fault
    with pytest.raises(BackupError, match="there is no backup"):
        list(verify_backup(tmp_path / "empty"))


def test_one_that_cannot_be_read_does_not_hide_the_others(data: Path, tmp_path: Path) -> None:
    filled(data, 4)
    folder = tmp_path / "back%ups #1?"
    made = [make_backup(data, folder, now=NOW + number, keep=5) for number in range(3)]
    (made[1].path / MANIFEST).write_text("{")
    assert restore(folder, tmp_path / "again", now=NOW).generation.name == made[2].name
    make_backup(data, folder, now=NOW + 60, keep=1)
    assert [each.name for each in generations(folder)] == [generations(folder)[-1].name]
    assert made[1].path.is_dir()


def test_two_backups_do_not_disturb_one_another(data: Path, tmp_path: Path) -> None:
    filled(data, 4)
    folder = tmp_path / "backups"
    seen = []

    def told(_what: str, _done: int, _all: int) -> None:
        with pytest.raises(BackupError, match=r"another backup into .* is under way"):
            make_backup(data, folder, now=NOW + 60)
        seen.append(True)

    make_backup(data, folder, now=NOW, told=told)
    assert seen
    assert list(verify_backup(folder)) == []


def test_damage_of_the_store_is_told_by_each_backup_until_it_is_mended(data: Path, tmp_path: Path) -> None:
    filled(data)
    folder = tmp_path / "backups"
    content = next(path for path in sorted((data / "content").rglob("*")) if path.is_file())
    _flip(content)
    for number in range(2):
        assert make_backup(data, folder, now=NOW + number).manifest.damaged == (content.name,)
    _flip(content)
    assert make_backup(data, folder, now=NOW + 2).manifest.damaged == ()


def test_what_went_bad_in_the_folder_is_copied_again(data: Path, tmp_path: Path) -> None:
    filled(data)
    folder = tmp_path / "backups"
    make_backup(data, folder, now=NOW)
    _flip(next(path for path in sorted((folder / "contents").rglob("*")) if path.is_file()))
    assert len(list(verify_backup(folder))) == 1
    make_backup(data, folder, now=NOW + 60, checks=True)
    assert list(verify_backup(folder)) == []
