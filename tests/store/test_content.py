"""Large contents on the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from estafeta.store.content import ContentStore, Spool
from estafeta.store.errors import DiskFull, NotFound
from estafeta.store.ids import IdSource

FULL = Path("/dev/full")


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path, IdSource(lambda: 1.0, worker=0), threshold=10)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_content_up_to_the_threshold_stays_in_memory(content: ContentStore, tmp_path: Path) -> None:
    spool = content.spool()
    spool.write(b"12345")
    spool.write(b"67890")
    kept = asyncio.run(spool.finish())
    assert (kept.size, kept.octets, kept.file) == (10, b"1234567890", None)
    assert files(tmp_path) == []


def test_larger_content_is_in_a_file_that_can_be_read_and_removed(content: ContentStore, tmp_path: Path) -> None:
    spool = content.spool()
    for octets in (b"12345", b"678901", b"2" * 100):
        spool.write(octets)
    kept = asyncio.run(spool.finish())
    assert kept.octets is None and kept.file is not None
    assert asyncio.run(spool.finish()) is kept
    assert content.read(kept.file) == b"12345678901" + b"2" * 100
    assert kept.size == spool.size == 111
    content.remove(kept.file)
    content.remove(kept.file)
    assert files(tmp_path) == []
    with pytest.raises(NotFound):
        content.read(kept.file)


@pytest.mark.parametrize("finished", [False, True])
def test_discarded_content_leaves_no_file(content: ContentStore, tmp_path: Path, finished: bool) -> None:
    spool = content.spool()
    spool.write(b"x" * 11)
    if finished:
        asyncio.run(spool.finish())
    assert len(files(tmp_path)) == 1
    spool.discard()
    spool.discard()
    assert files(tmp_path) == []


def test_a_sweep_keeps_what_is_named(content: ContentStore, tmp_path: Path) -> None:
    kept, orphan = content.write(b"named"), content.write(b"orphan")
    assert content.sweep(lambda name: name == kept.file) == 1
    assert [path.name for path in files(tmp_path)] == [kept.file]
    assert orphan.file != kept.file


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_so(content: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_temporary() -> tuple[object, Path]:
        return FULL.open("wb", buffering=0), content._incoming / "full"

    monkeypatch.setattr(content, "_make_temporary", make_temporary)
    with pytest.raises(DiskFull):
        content.write(b"octets")
    spool = Spool(content, 10)
    with pytest.raises(DiskFull):
        spool.write(b"x" * 11)
    spool.discard()
