"""Opening, migrating, sharing and losing the store."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

import estafeta
from estafeta.store import domains
from estafeta.store.errors import NewerSchema, StoreError
from estafeta.store.locks import LockFile, WriteLock
from estafeta.store.migrations import Migration, known_migrations
from estafeta.store.records import Instant
from estafeta.store.statements import Statement
from estafeta.store.store import DATABASE, Store, Transaction, open_store

NOW = Instant(1_700_000_000.0)
SOURCE = Path(estafeta.__file__).parents[1]

# A process that writes domains until it is killed, and says each name only once its write has resolved.
WRITER = """
import asyncio, sys, time
from pathlib import Path
from estafeta.store import domains
from estafeta.store.store import open_store

async def main(data, name, count):
    store = open_store(Path(data), clock=time.time)
    async def work(worker):
        for number in range(worker, count, 8):
            domain = await store.write(
                lambda tx: domains.add(tx, f"{name}{number}.example", now=time.time())
            )
            print(domain.domain_id, domain.name, flush=True)
    await asyncio.gather(*[work(worker) for worker in range(8)])
    store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start_writer(data: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data), name, str(count)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )


def names(tx: Transaction) -> set[str]:
    return {domain.name for domain in domains.list_all(tx)}


def look(data: Path) -> set[str]:
    store = open_store(data, clock=lambda: NOW)
    try:
        return asyncio.run(store.read(names))
    finally:
        store.close()


def test_nothing_in_the_data_directory_is_for_others_whatever_the_umask(data: Path) -> None:
    before = os.umask(0)
    try:
        store = open_store(data, clock=lambda: NOW)
        asyncio.run(store.write(lambda tx: domains.add(tx, "example.org", now=NOW)))
        spool = store.content.spool()
        spool.write(bytes(300_000))
        store.content.write(b"large")
        paths = [data, *data.rglob("*")]
        assert {path.name for path in paths} >= {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "content"}
        for path in paths:
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path
        spool.discard()
        store.close()
    finally:
        os.umask(before)


def test_a_restrictive_umask_does_not_lock_us_out(data: Path) -> None:
    before = os.umask(0o777)
    try:
        store = open_store(data, clock=lambda: NOW)
        store.content.write(b"large")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in data.rglob("*")}
        store.close()
        assert modes == {0o700, 0o600}
    finally:
        os.umask(before)


def test_a_closed_store_is_one_file_with_everything(data: Path) -> None:
    store = open_store(data, clock=lambda: NOW)
    asyncio.run(store.write(lambda tx: domains.add(tx, "example.org", now=NOW)))
    store.close()
    store.close()
    assert not (data / f"{DATABASE}-wal").exists()
    assert look(data) == {"example.org"}


def test_a_read_does_not_see_what_was_not_committed_and_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError):
        asyncio.run(store.read(lambda tx: domains.add(tx, "example.org", now=NOW)))
    assert asyncio.run(store.read(names)) == set()


def test_an_older_schema_is_copied_and_migrated(data: Path) -> None:
    store = open_store(data, clock=lambda: NOW)
    asyncio.run(store.write(lambda tx: domains.add(tx, "example.org", now=NOW)))
    store.close()
    number = len(known_migrations()) + 1
    note = Migration(number, "ALTER TABLE domains ADD COLUMN note TEXT; UPDATE domains SET note = 'old';")

    migrated = open_store(data, clock=lambda: NOW, migrations=[*known_migrations(), note])
    query = Statement("notes", "the new column", "SELECT name, note FROM domains")
    assert asyncio.run(migrated.read(lambda tx: tx.run(query))) == [("example.org", "old")]
    migrated.close()

    copy = data / f"before-schema-{number}.sqlite3"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    old = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
    assert old.execute("SELECT name FROM domains").fetchall() == [("example.org",)]
    assert old.execute("PRAGMA user_version").fetchall() == [(number - 1,)]
    old.close()


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE domains ADD COLUMN note TEXT; INSERT INTO nowhere VALUES (1);",
        "PRAGMA defer_foreign_keys = on; INSERT INTO addresses VALUES ('a@b.example', 99, NULL);",
    ],
)
def test_a_migration_that_fails_changes_nothing(data: Path, script: str) -> None:
    open_store(data, clock=lambda: NOW).close()
    broken = Migration(len(known_migrations()) + 1, script)
    with pytest.raises(StoreError, match="migration to schema"):
        open_store(data, clock=lambda: NOW, migrations=[*known_migrations(), broken])
    assert look(data) == set()


def test_a_newer_schema_is_refused_in_clear_words_and_left_alone(data: Path) -> None:
    newer = Migration(len(known_migrations()) + 1, "CREATE TABLE later (number INTEGER);")
    open_store(data, clock=lambda: NOW, migrations=[*known_migrations(), newer]).close()
    with pytest.raises(NewerSchema, match=f"has schema {newer.number}, but this version .* up to"):
        open_store(data, clock=lambda: NOW)


def test_what_is_not_a_database_is_refused(data: Path) -> None:
    data.mkdir()
    (data / DATABASE).write_bytes(b"something else, and long enough to be looked at" * 30)
    with pytest.raises(StoreError, match="cannot open"):
        open_store(data, clock=lambda: NOW)


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot open"):
        open_store(tmp_path / "file", clock=lambda: NOW)


def test_two_processes_write_at_once_and_never_give_one_id_twice(data: Path) -> None:
    writers = [start_writer(data, name, 150) for name in ("a", "b")]
    said = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    ids = said[0][::2] + said[1][::2]
    assert len(ids) == len(set(ids)) == 300
    assert look(data) == {f"{name}{number}.example" for name in "ab" for number in range(150)}


def test_what_was_acknowledged_survives_the_death_of_its_process(data: Path) -> None:
    writer = start_writer(data, "a", 1_000_000)
    assert writer.stdout is not None
    acknowledged = {writer.stdout.readline().split()[1] for _ in range(200)}
    writer.kill()
    acknowledged |= {line.split()[1] for line in writer.stdout.read().splitlines() if line.endswith("example")}
    writer.stdout.close()
    writer.wait()
    assert look(data) >= acknowledged
    assert len(acknowledged) >= 200


def test_ids_stay_above_those_of_the_database_when_the_clock_goes_back(data: Path) -> None:
    store = open_store(data, clock=lambda: NOW)
    domain = asyncio.run(store.write(lambda tx: domains.add(tx, "example.org", now=NOW)))
    store.close()
    again = open_store(data, clock=lambda: NOW - 1_000_000)
    assert again.ids.next_id() > domain.domain_id
    again.close()


def test_contents_that_no_row_names_are_swept_at_opening(data: Path) -> None:
    store = open_store(data, clock=lambda: NOW)
    orphan = store.content.write(b"written, and then the power failed")
    unfinished = store.content.spool()
    unfinished.write(b"x" * 300_000)
    assert orphan.file is not None
    store.close()
    open_store(data, clock=lambda: NOW).close()
    unfinished.discard()
    assert [path for path in (data / "content").rglob("*") if path.is_file()] == []
    assert list((data / "incoming").iterdir()) == []


def test_a_second_process_does_not_sweep_what_the_first_is_about_to_commit(data: Path) -> None:
    first = open_store(data, clock=lambda: NOW)
    content = first.content.write(b"not committed yet")
    assert content.file is not None
    open_store(data, clock=lambda: NOW).close()
    assert first.content.read(content.file) == b"not committed yet"
    first.close()


def test_two_open_stores_never_give_one_id_twice_in_the_same_millisecond(data: Path) -> None:
    stores = [open_store(data, clock=lambda: NOW) for _ in range(3)]
    ids = [store.ids.next_id() for _ in range(100) for store in stores]
    assert len(set(ids)) == 300
    for store in stores:
        store.close()


def test_who_stands_in_the_turnstile_writes_before_a_busy_process_does_again(tmp_path: Path) -> None:
    busy = WriteLock(tmp_path)
    turnstile, writing = LockFile(tmp_path / "turnstile"), LockFile(tmp_path / "write")
    busy.acquire()
    turnstile.lock()  # another process stands there, not yet woken when the busy one lets go
    busy.release()
    again = threading.Thread(target=busy.acquire)
    again.start()
    again.join(0.1)
    assert again.is_alive()
    assert writing.try_lock()
    turnstile.unlock()
    again.join(0.1)
    assert again.is_alive()  # for it is the other's turn
    writing.unlock()
    again.join()
    assert not writing.try_lock()
    for lock in (busy, turnstile, writing):
        lock.close()
