"""SQLite on a disk that loses power: what was committed is there whole, and a disk that lies is found out."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from estafeta.simulation.disk import Disk, PowerLost
from estafeta.simulation.disk_image import SECTOR, FileImage

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""A connection that is closed without power cannot say that its checkpoint failed."""

MakeDisk = Callable[[int], Disk]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """`make_disk(seed)`: a new disk in a folder of its own."""
    made: list[Disk] = []

    def make(seed: int) -> Disk:
        folder = tmp_path / f"disk-{len(made)}"
        folder.mkdir()
        made.append(Disk(folder, random.Random(seed), f"{tmp_path.name}-{len(made)}"))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


@pytest.fixture
def disk(make_disk: MakeDisk) -> Disk:
    return make_disk(1)


def connect(disk: Disk, *, checkpoint_pages: int = 12) -> apsw.Connection:
    connection = apsw.Connection(str(disk.folder / "db"), vfs=disk.vfs)
    try:
        connection.execute("PRAGMA synchronous = full").fetchall()
        connection.execute("PRAGMA journal_mode = wal").fetchall()
        connection.wal_autocheckpoint(checkpoint_pages)
        connection.execute("CREATE TABLE IF NOT EXISTS line (batch INTEGER, number INTEGER, filler BLOB)").fetchall()
    except apsw.Error:
        end(connection)
        raise
    return connection


def end(*connections: apsw.Connection | None) -> None:
    """Close, as far as that is possible without power."""
    for connection in connections:
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close(True)


def batch_size(batch: int) -> int:
    return 1 + batch % 7


def write_batch(connection: apsw.Connection, batch: int) -> None:
    """One transaction: so many lines of a batch, some of them long."""
    with connection:
        for number in range(batch_size(batch)):
            filler = bytes([batch % 256]) * (3000 if number % 3 == 2 else 40)
            connection.execute("INSERT INTO line VALUES (?, ?, ?)", (batch, number, filler)).fetchall()


def batches(connection: apsw.Connection) -> list[int]:
    """The batches that are there, each of them whole, in a sound database."""
    assert connection.pragma("integrity_check") == "ok"
    found: list[Any] = connection.execute("SELECT batch, count(*) FROM line GROUP BY batch ORDER BY 1").fetchall()
    assert [(batch, count) for batch, count in found if count != batch_size(batch)] == []
    return [batch for batch, _ in found]


def cut(disk: Disk, *connections: apsw.Connection | None) -> None:
    """Power is lost, if it was not yet, and comes back."""
    disk.cut_off()
    end(*connections)
    disk.lose_power()
    disk.power_on()


KEPT = 25
"""Batches that are kept: with each new one an old one goes."""


def replace_batch(connection: apsw.Connection, batch: int) -> None:
    """One transaction: a batch comes and another goes."""
    with connection:
        write_batch(connection, batch)
        connection.execute("DELETE FROM line WHERE batch = ?", (batch - KEPT,)).fetchall()


def losses(disk: Disk, rounds: int) -> Iterator[tuple[set[int], set[int], set[int]]]:
    """Change batch after batch while power is lost again and again.

    Gives after each loss the batches that are there, and those that the last commit left before power was lost and
    that the interrupted one would have left.
    """
    chance = random.Random(99)
    committed: set[int] = set()
    batch = 0
    for _ in range(rounds):
        disk.lose_power_at(chance.randint(1, 60))
        connection = None
        try:
            connection = connect(disk)
            while True:
                batch += 1
                replace_batch(connection, batch)
                committed = (committed | {batch}) - {batch - KEPT}
        except apsw.IOError:
            assert disk.is_off
            cut(disk, connection)
        connection = connect(disk)
        there = set(batches(connection))
        connection.close()
        yield there, committed, (committed | {batch}) - {batch - KEPT}
        committed = there


def test_what_was_committed_is_there_whole_after_any_loss_of_power(disk: Disk) -> None:
    befores = afters = 0
    for there, before, after in losses(disk, 200):
        assert there in (before, after)
        befores += there == before
        afters += there == after
    # A commit whose answer was cut off may have happened: both ends of that were met.
    assert befores + afters == 200 and befores > 30 and afters > 10


def test_a_disk_that_forgets_syncs_is_found_out(disk: Disk) -> None:
    disk.forgets_syncs = True
    with pytest.raises((AssertionError, apsw.CorruptError, apsw.NotADBError)):
        for there, before, after in losses(disk, 100):
            assert there in (before, after)


def test_a_checkpoint_may_be_torn_at_each_of_its_operations(make_disk: MakeDisk) -> None:
    number = 0
    while True:
        number += 1
        disk = make_disk(number)
        connection = connect(disk, checkpoint_pages=0)
        for batch in range(1, 15):
            write_batch(connection, batch)
        disk.lose_power_at(number)
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            is_over = disk.operations and not disk.is_off
        except apsw.IOError:
            is_over = False
        cut(disk, connection)
        connection = connect(disk)
        assert batches(connection) == list(range(1, 15))
        connection.close()
        if is_over:
            break
    assert number > 10


def test_the_last_connection_may_lose_power_while_it_closes(make_disk: MakeDisk) -> None:
    for number in range(1, 25):
        disk = make_disk(number)
        connection = connect(disk, checkpoint_pages=0)
        for batch in range(1, 8):
            write_batch(connection, batch)
        disk.lose_power_at(number)
        end(connection)
        cut(disk)
        # The write-ahead log was removed, or not, or came back: the database is the same.
        connection = connect(disk)
        assert batches(connection) == list(range(1, 8))
        write_batch(connection, 8)
        cut(disk, connection)
        connection = connect(disk)
        assert batches(connection) == list(range(1, 9))
        connection.close()


def test_a_killed_process_loses_nothing_and_power_lost_later_still_does(make_disk: MakeDisk) -> None:
    lost = 0
    for seed in range(30):
        disk = make_disk(seed)
        connection = connect(disk)
        connection.execute("PRAGMA synchronous = off").fetchall()
        for batch in range(1, 4):
            write_batch(connection, batch)
        disk.cut_off()
        end(connection)
        disk.power_on()
        connection = connect(disk, checkpoint_pages=0)
        assert batches(connection) == [1, 2, 3]
        cut(disk, connection)
        connection = connect(disk)
        lost += len(batches(connection)) < 3
        connection.close()
    assert lost > 5


def test_a_dead_connection_writes_nothing(disk: Disk) -> None:
    dead = connect(disk, checkpoint_pages=0)
    write_batch(dead, 1)
    disk.cut_off()
    disk.lose_power()
    disk.power_on()
    before = {path.name: path.read_bytes() for path in disk.folder.iterdir()}
    with pytest.raises(apsw.IOError):
        write_batch(dead, 2)
    with pytest.raises(apsw.IOError):
        dead.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    after = {path.name: path.read_bytes() for path in disk.folder.iterdir()}
    assert {name: octets for name, octets in after.items() if not name.endswith("-shm")} == before
    end(dead)
    connection = connect(disk)
    assert batches(connection) == [1]
    connection.close()


def test_nothing_works_without_power(disk: Disk) -> None:
    connection = connect(disk)
    write_batch(connection, 1)
    other = connect(disk)
    disk.cut_off()
    with pytest.raises(apsw.IOError):
        write_batch(connection, 2)
    with pytest.raises(apsw.IOError):
        other.execute("SELECT * FROM line").fetchall()
    with pytest.raises(apsw.Error):
        connect(disk)
    cut(disk, connection, other)


def test_a_writer_and_a_reader_share_the_disk(disk: Disk) -> None:
    for operations in range(10, 200, 19):
        disk.lose_power_at(operations)
        writer = reader = None
        seen: list[int] = []
        try:
            writer, reader = connect(disk), connect(disk)
            reader.execute("PRAGMA query_only = on").fetchall()
            while True:
                with reader:
                    before = batches(reader)
                    write_batch(writer, len(before) + 1)
                    (stands_still,) = reader.execute("SELECT count(DISTINCT batch) FROM line").fetchall()[0]
                    assert stands_still == len(before)
                seen = batches(reader)
                assert seen == [*before, len(before) + 1]
        except apsw.IOError:
            assert disk.is_off
            cut(disk, writer, reader)
        connection = connect(disk)
        there = batches(connection)
        assert not seen or (there[: len(seen)] == seen and len(there) <= len(seen) + 1)
        connection.close()


def test_a_full_disk_refuses_what_is_larger_and_takes_it_when_there_is_room(disk: Disk) -> None:
    connection = connect(disk)
    write_batch(connection, 1)
    disk.is_full = True
    with pytest.raises(apsw.FullError):
        for batch in range(2, 100):
            write_batch(connection, batch)
    kept = batches(connection)
    disk.heal()
    write_batch(connection, 100)
    cut(disk, connection)
    connection = connect(disk)
    assert batches(connection) == [*kept, 100]
    connection.close()


def test_the_room_that_is_left_can_be_used_up(disk: Disk) -> None:
    connection = connect(disk)
    disk.room = 50_000
    with pytest.raises(apsw.FullError):
        for batch in range(1, 100):
            write_batch(connection, batch)
    grown = sum(path.stat().st_size for path in disk.folder.iterdir() if not path.name.endswith("-shm"))
    assert 40_000 < grown < 110_000
    kept = batches(connection)
    assert kept == list(range(1, len(kept) + 1)) and len(kept) > 1
    cut(disk, connection)


@pytest.mark.parametrize("kind", ["read", "write", "sync"])
def test_an_operation_fails_when_it_is_ordered_and_only_once(disk: Disk, kind: str) -> None:
    connection = connect(disk)
    for batch in range(1, 6):
        write_batch(connection, batch)
    connection.close()
    connection = connect(disk)
    disk.fail_next(2, kind)
    failed = 0
    there = [1, 2, 3, 4, 5]
    for batch in range(6, 12):
        try:
            connection.execute("SELECT count(*), sum(length(filler)) FROM line").fetchall()
            write_batch(connection, batch)
            there.append(batch)
        except apsw.IOError as error:
            assert not isinstance(error, PowerLost)
            failed += 1
            # As the store does: what a connection thinks after an error is not to be trusted.
            end(connection)
            connection = connect(disk)
    assert failed == 1
    cut(disk, connection)
    connection = connect(disk)
    assert set(there) <= set(batches(connection))
    connection.close()


def test_what_a_failed_sync_left_behind_is_not_brought_back_by_the_next(disk: Disk) -> None:
    images = set()
    for seed in range(40):
        file = FileImage(b"old" * SECTOR, is_named=True)
        file.pending.append((0, b"new" * SECTOR))
        file.fail_sync(random.Random(seed))
        file.pending.append((3 * SECTOR, b"more"))
        file.sync()
        after = file.after_power_loss(random.Random(seed))
        assert after[3 * SECTOR :] == b"more"
        assert after == file.durable, "all that is safe is safe"
        images.add(after)
    assert b"old" * SECTOR + b"more" in images and b"new" * SECTOR + b"more" in images and len(images) > 2


def test_a_write_is_torn_between_sectors_and_never_within_one() -> None:
    images = set()
    for seed in range(300):
        file = FileImage(b"-" * 5 * SECTOR, is_named=True)
        file.pending.append((100, b"x" * 4 * SECTOR))
        image = file.after_power_loss(random.Random(seed))
        assert len(image) == 5 * SECTOR
        assert image[:100] == b"-" * 100 and image[4 * SECTOR + 100 :] == b"-" * (SECTOR - 100)
        middle = [image[at : at + SECTOR] for at in range(SECTOR, 4 * SECTOR, SECTOR)]
        assert all(sector in (b"-" * SECTOR, b"x" * SECTOR) for sector in middle)
        images.add(image)
    assert len(images) > 15


def test_a_file_that_grew_may_be_short_or_hold_nothing() -> None:
    images = set()
    for seed in range(300):
        file = FileImage(b"abc", is_named=True)
        file.pending += [(3, b"d" * 600), (1000, b"e" * 24), (2, None), (2, b"z")]
        image = file.after_power_loss(random.Random(seed))
        assert image[:2] == b"ab" and image[2:3] in (b"", b"c", b"z", b"\0")
        images.add(image)
    assert {b"abc", b"abz"} <= images
    assert any(len(image) == 1024 and not image[3:].strip(b"\0") for image in images)


def test_a_new_file_that_was_never_synced_may_be_gone(make_disk: MakeDisk) -> None:
    found = set()
    for seed in range(30):
        disk = make_disk(seed)
        connection = apsw.Connection(str(disk.folder / "db"), vfs=disk.vfs)
        connection.execute("PRAGMA synchronous = off").fetchall()
        connection.execute("CREATE TABLE a (b)").fetchall()
        cut(disk, connection)
        found.add((disk.folder / "db").exists())
    assert found == {True, False}


def test_shared_memory_is_gone_with_the_power(disk: Disk) -> None:
    connection = connect(disk)
    write_batch(connection, 1)
    assert (disk.folder / "db-shm").exists()
    cut(disk, connection)
    assert not (disk.folder / "db-shm").exists()


def test_who_uses_the_disk_is_told_in_the_midst_of_the_operation(disk: Disk) -> None:
    connection = connect(disk)
    told: list[bool] = []
    disk.on_power_lost = lambda: told.append(disk.is_off)
    disk.lose_power_at(3)
    with pytest.raises(apsw.IOError):
        for batch in range(1, 10):
            write_batch(connection, batch)
    assert told == [True]
    cut(disk, connection)
    assert told == [True]


def test_the_same_seed_leaves_the_same_octets(make_disk: MakeDisk) -> None:
    def run(seed: int) -> tuple[int, list[int], bytes]:
        disk = make_disk(seed)
        disk.forgets_syncs = True
        connection = connect(disk)
        for batch in range(1, 30):
            write_batch(connection, batch)
        cut(disk, connection)
        # The write-ahead log has a random salt of SQLite's own.
        sizes = [path.stat().st_size for path in sorted(disk.folder.iterdir())]
        return disk.operations, sizes, (disk.folder / "db").read_bytes()

    first, second, other = run(5), run(5), run(6)
    assert first[0] > 50 and first == second
    assert first != other
