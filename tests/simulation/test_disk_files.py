"""Large contents on a disk that loses power: what was kept is there whole, and nothing half is ever named."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from estafeta.simulation.disk import Disk
from estafeta.store.content import ContentStore
from estafeta.store.errors import DiskFull, NotFound, StoreError
from estafeta.store.ids import IdSource
from estafeta.store.records import Content

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


def open_contents(disk: Disk, started_at: float = 1.0) -> ContentStore:
    """A content store as a process has it that starts then; ids are never given twice."""
    return ContentStore(disk.folder, IdSource(lambda: started_at, worker=0), threshold=10, files=disk.files)


def cut(disk: Disk) -> None:
    disk.lose_power()
    disk.power_on()


def octets_of(number: int) -> bytes:
    return random.Random(number).randbytes(700 * (1 + number % 5))


def files(disk: Disk) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(disk.folder.rglob("*")) if path.is_file()}


def name_of(content: Content) -> str:
    assert content.file is not None
    return content.file


def gather(contents: ContentStore, octets: bytes) -> Content:
    """Keep octets that come little by little, at first."""
    spool = contents.spool()
    try:
        for octet in octets[:30]:
            spool.write(bytes([octet]))
        spool.write(octets[30:])
        return asyncio.run(spool.finish())
    except StoreError:
        spool.discard()
        raise


def test_what_was_kept_is_there_whole_whenever_power_is_lost(disk: Disk) -> None:
    chance = random.Random(7)
    kept: dict[str, bytes] = {}
    number = interrupted = 0
    for life in range(150):
        disk.lose_power_at(chance.randint(1, 25))
        try:
            contents = open_contents(disk, life + 1.0)
            while True:
                number += 1
                if number % 2:
                    kept[name_of(contents.write(octets_of(number)))] = octets_of(number)
                    continue
                kept[name_of(gather(contents, octets_of(number)))] = octets_of(number)
        except (StoreError, OSError):
            assert disk.is_off
            interrupted += 1
        cut(disk)
        there = files(disk)
        assert {name: there.get(name) for name in kept} == kept
    assert interrupted == 150 and len(kept) > 50


def test_what_nobody_names_is_swept_and_what_is_named_stays(disk: Disk) -> None:
    chance = random.Random(3)
    kept: dict[str, bytes] = {}
    swept = 0
    for life in range(60):
        try:
            contents = open_contents(disk, life + 1.0)
            swept += contents.sweep(kept.__contains__)
            assert files(disk) == kept
            disk.lose_power_at(chance.randint(1, 25))
            while True:
                content = contents.write(octets_of(life))
                if chance.random() < 0.5:
                    kept[name_of(content)] = octets_of(life)
        except (StoreError, OSError):
            assert disk.is_off
        cut(disk)
    assert swept > 30


def test_a_disk_that_forgets_the_names_in_folders_is_found_out(make_disk: MakeDisk) -> None:
    missing = 0
    for seed in range(20):
        disk = make_disk(seed)
        disk.forgets_folder_syncs = True
        name = name_of(open_contents(disk).write(b"octets"))
        cut(disk)
        missing += name not in files(disk)
    assert 0 < missing < 20


def test_a_disk_that_forgets_syncs_is_found_out(make_disk: MakeDisk) -> None:
    found = set()
    for seed in range(40):
        disk = make_disk(seed)
        disk.forgets_syncs = True
        name = name_of(open_contents(disk).write(octets_of(4)))
        cut(disk)
        octets = files(disk).get(name)
        found.add("missing" if octets is None else "whole" if octets == octets_of(4) else "torn")
    assert found == {"whole", "torn"}


def test_a_folder_that_a_killed_process_made_is_made_durable_by_the_next(make_disk: MakeDisk) -> None:
    name = IdSource.text(IdSource(lambda: 1.0, worker=0).next_id())
    for seed in range(12):
        disk = make_disk(seed)
        open_contents(disk)
        disk.files.make_folder(disk.folder / "content" / name[-2:])
        disk.cut_off()
        disk.power_on()
        assert name_of(open_contents(disk).write(octets_of(seed))) == name
        cut(disk)
        assert files(disk).get(name) == octets_of(seed)


def test_a_folder_whose_sync_failed_is_not_relied_upon(make_disk: MakeDisk) -> None:
    for seed in range(12):
        disk = make_disk(seed)
        contents = open_contents(disk)
        disk.fail_next(2, "sync")  # the first is that of the octets
        with pytest.raises(StoreError):
            contents.write(b"the first octets")
        contents._ids = IdSource(lambda: 1.0, worker=0)  # so that the next has the same folder
        name = name_of(contents.write(b"others"))
        cut(disk)
        assert files(disk).get(name) == b"others"


def test_a_folder_that_somebody_removed_is_made_again(disk: Disk) -> None:
    contents = open_contents(disk)
    name = name_of(contents.write(b"octets"))
    contents.remove(name)
    (disk.folder / "content" / name[-2:]).rmdir()
    contents._ids = IdSource(lambda: 1.0, worker=0)  # so that the next has the same folder
    assert name_of(contents.write(b"others")) == name
    cut(disk)
    assert files(disk) == {name: b"others"}


def test_a_disk_with_little_room_never_keeps_a_part_of_a_content(disk: Disk) -> None:
    contents = open_contents(disk)
    disk.room = 5000
    kept = {}
    refused = 0
    for number in range(10):
        try:
            kept[name_of(contents.write(octets_of(number)))] = octets_of(number)
        except DiskFull:
            refused += 1
    assert refused and kept
    assert {name: contents.read(name) for name in kept} == kept
    assert set(files(disk)) == set(kept)
    disk.heal()
    name = name_of(contents.write(octets_of(4)))
    cut(disk)
    there = files(disk)
    assert there[name] == octets_of(4) and all(there[kept_name] == octets for kept_name, octets in kept.items())


def test_a_full_disk_takes_no_content(disk: Disk) -> None:
    contents = open_contents(disk)
    disk.is_full = True
    with pytest.raises(DiskFull):
        contents.write(b"octets")
    spool = contents.spool()
    with pytest.raises(DiskFull):
        spool.write(b"x" * 11)
    spool.discard()
    assert files(disk) == {}


@pytest.mark.parametrize("kind", ["write", "sync"])
def test_a_content_whose_operation_fails_is_refused_and_leaves_nothing(make_disk: MakeDisk, kind: str) -> None:
    number = refused = 0
    while refused == number:
        number += 1
        disk = make_disk(number)
        contents = open_contents(disk)
        kept = name_of(contents.write(b"before"))
        disk.fail_next(number, kind)
        try:
            contents.write(octets_of(number))
        except StoreError:
            refused += 1
            assert files(disk) == {kept: b"before"}
        disk.heal()
        after = name_of(contents.write(b"after"))
        cut(disk)
        there = files(disk)
        assert there[kept] == b"before" and there[after] == b"after"
    assert refused >= 2


def test_a_read_may_fail_once(disk: Disk) -> None:
    contents = open_contents(disk)
    name = name_of(contents.write(b"octets"))
    disk.fail_next(1, "read")
    with pytest.raises(StoreError):
        contents.read(name)
    assert contents.read(name) == b"octets"
    with pytest.raises(NotFound):
        contents.read("00000000000zz")


def test_a_removed_content_may_come_back_and_then_it_is_whole(make_disk: MakeDisk) -> None:
    found = set()
    for seed in range(20):
        disk = make_disk(seed)
        contents = open_contents(disk)
        name = name_of(contents.write(octets_of(3)))
        contents.remove(name)
        assert files(disk) == {}
        cut(disk)
        assert files(disk) in ({}, {name: octets_of(3)})
        found.add(name in files(disk))
        open_contents(disk).sweep(lambda _: False)
        assert files(disk) == {}
    assert found == {True, False}


def test_who_is_dead_changes_nothing(disk: Disk) -> None:
    dead = open_contents(disk)
    name = name_of(dead.write(b"octets"))
    spool = dead.spool()
    spool.write(b"half of a cont")
    disk.cut_off()
    disk.lose_power()
    disk.power_on()
    before = files(disk)
    with pytest.raises(StoreError):
        dead.write(b"more")
    with pytest.raises(StoreError):
        spool.write(b"ent")
    with pytest.raises(StoreError):
        dead.read(name)
    dead.remove(name)
    spool.discard()
    assert files(disk) == before
    assert open_contents(disk).read(name) == b"octets"


def test_the_same_seed_leaves_the_same_octets(make_disk: MakeDisk) -> None:
    def run(seed: int) -> tuple[int, dict[str, bytes]]:
        disk = make_disk(seed)
        disk.forgets_syncs = disk.forgets_folder_syncs = True
        contents = open_contents(disk)
        names = [name_of(contents.write(octets_of(number))) for number in range(20)]
        for name in names[::3]:
            contents.remove(name)
        cut(disk)
        return disk.operations, files(disk)

    assert run(5) == run(5)
    assert run(5) != run(6)
