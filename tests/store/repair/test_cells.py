"""Pages read by ourselves are what SQLite wrote, and whatever stands in a page, reading it comes to an end."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest

from estafeta.store.repair.cells import Malformed, Value, read_page, read_record, varint
from estafeta.store.repair.pages import Pages

VALUES: list[Value] = [
    None,
    *(0, 1, 2, -1, 127, 128, -128, 32767, 32768, 2**23, -(2**23), 2**31, 2**47, -(2**47), 2**63 - 1, -(2**63)),
    *(0.0, 0.5, -1e300),
    *("", "text", "ñandú" * 300, "x" * 10_000),
    *(b"", b"\0", bytes(range(256)), b"\xff" * 5000, bytes(70_000)),
]


@pytest.mark.parametrize("page_size", [512, 4096, 65_536])
def test_rows_are_read_as_they_were_written(tmp_path: Path, page_size: int) -> None:
    path = tmp_path / "x.sqlite3"
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA page_size = {page_size}; CREATE TABLE t (a, b)")
    chance = random.Random(page_size)
    rows = [(chance.choice(VALUES), chance.choice(VALUES)) for _ in range(200)]
    with connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    root = int(str(connection.execute("SELECT rootpage FROM sqlite_schema").fetchall()[0][0]))
    connection.close()
    found: dict[int | None, list[Value]] = {}
    with Pages.opened(path, tmp_path / "none") as pages:
        assert pages.page_size == page_size
        waiting = [root]
        while waiting:
            octets = pages.get(waiting.pop())
            assert octets is not None
            page = read_page(octets, pages.usable, pages.get)
            waiting += page.children
            if not page.children:
                found |= {cell.rowid: read_record(cell.payload) for cell in page.cells}
    assert found == {number + 1: list(row) for number, row in enumerate(rows)}


def test_varints_are_read_as_they_are_defined() -> None:
    assert varint(b"\x00", 0) == (0, 1)
    assert varint(b"\x81\x00", 0) == (128, 2)
    assert varint(b"\xff" * 9, 0) == (-1, 9)
    assert varint(b"\x80" * 8 + b"\x01", 0) == (1, 9)
    for octets in (b"", b"\x80", b"\xff" * 8):
        with pytest.raises(Malformed):
            varint(octets, 0)


@pytest.mark.parametrize("kind", [2, 5, 10, 13])
def test_noise_is_read_to_its_end(kind: int) -> None:
    chance = random.Random(kind)
    for _ in range(300):
        count = chance.choice((1, 5, 100))
        octets = bytes((kind, 0, 0, 0, count)) + chance.randbytes(4091)
        try:
            page = read_page(octets, 4096, lambda number: chance.randbytes(4096) if number % 3 else None)
        except Malformed:
            continue
        for cell in page.cells:
            try:
                read_record(cell.payload, is_whole=cell.is_whole)
            except Malformed:
                continue


def test_overflow_pages_that_go_round_come_to_an_end() -> None:
    # A row of 60 MB whose pages name one another.
    head = bytes((13, 0, 0, 0, 1, 0x0E, 0, 0)) + b"\x0e\x00"
    octets = head + bytes(0xE00 - len(head)) + b"\x9c\xa7\x86\x00\x01" + bytes(4096 - 0xE00 - 5)
    asked: list[int] = []

    def fetch(number: int) -> bytes:
        asked.append(number)
        return (5 - number).to_bytes(4, "big") + bytes(4092)

    page = read_page(octets, 4096, fetch)
    assert len(page.cells) <= 1 and len(asked) < 20_000
