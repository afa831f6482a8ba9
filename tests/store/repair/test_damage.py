"""Whatever is done to its files, a store is saved: what lay elsewhere is there, and nothing is there that was not.

`ESTAFETA_REPAIR_RUNS=500` tries that many seeds; the usual run a few.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from estafeta.store import accounts, mailboxes, messages
from estafeta.store.records import Content
from estafeta.store.repair.repairing import repair
from estafeta.store.repair.report import Report, State
from estafeta.store.sqlite import DATABASE
from estafeta.store.store import Transaction

from .conftest import NOW, PAGE, PREFIX, Known, open_here, read_all

RUNS = int(os.environ.get("ESTAFETA_REPAIR_RUNS", "10"))


@dataclass
class Harm:
    """What was done."""

    pages: set[int] = field(default_factory=set)
    """Pages of which an octet is another."""
    files: set[str] = field(default_factory=set)
    """Content files that are gone or changed."""


def overwrite_pages(folder: Path, chance: random.Random) -> Harm:
    """Whole pages, with zeros or noise."""
    path = folder / DATABASE
    octets = bytearray(path.read_bytes())
    count = len(octets) // PAGE
    hit = set(chance.sample(range(1, count + 1), chance.choice((1, 2, 5, 30, 100))))
    # Those at the beginning are roots, mostly.
    hit.update(chance.sample(range(1, 60), chance.choice((0, 0, 1, 3))))
    for number in hit:
        octets[(number - 1) * PAGE : number * PAGE] = chance.choice((bytes(PAGE), chance.randbytes(PAGE)))
    path.write_bytes(octets)
    return Harm(hit)


def overwrite_ranges(folder: Path, chance: random.Random) -> Harm:
    """Octets anywhere, over the bounds of pages."""
    path = folder / DATABASE
    octets = bytearray(path.read_bytes())
    harm = Harm()
    for _ in range(chance.choice((1, 3, 10))):
        length = chance.choice((16, 64, 512, 5000, 20_000))
        at = chance.randrange(len(octets) - length)
        octets[at : at + length] = chance.choice((bytes(length), chance.randbytes(length)))
        harm.pages.update(range(at // PAGE + 1, (at + length - 1) // PAGE + 2))
    path.write_bytes(octets)
    return harm


def truncate(folder: Path, chance: random.Random) -> Harm:
    """The end is gone, and some files."""
    path = folder / DATABASE
    size = path.stat().st_size
    keep = chance.randrange(size // 3, size)
    os.truncate(path, keep)
    harm = Harm(set(range(keep // PAGE + 1, size // PAGE + 1)))
    return Harm(harm.pages, _lose_files(folder, chance))


def lose_files(folder: Path, chance: random.Random) -> Harm:
    """Content files are gone or cut off."""
    return Harm(files=_lose_files(folder, chance))


def _lose_files(folder: Path, chance: random.Random) -> set[str]:
    files = sorted(path for path in (folder / "content").glob("*/*"))
    hit = chance.sample(files, 5)
    for path in hit[:3]:
        path.unlink()
    for path in hit[3:]:
        os.truncate(path, chance.randrange(path.stat().st_size))
    return {path.name for path in hit}


def lose_header(folder: Path, chance: random.Random) -> Harm:
    """The first page is gone, and perhaps a few others."""
    path = folder / DATABASE
    octets = bytearray(path.read_bytes())
    hit = {1, *chance.sample(range(2, len(octets) // PAGE), chance.choice((0, 3)))}
    for number in hit:
        octets[(number - 1) * PAGE : number * PAGE] = bytes(PAGE)
    path.write_bytes(octets)
    return Harm(hit)


WAYS: list[Callable[[Path, random.Random], Harm]] = [
    overwrite_pages,
    overwrite_ranges,
    truncate,
    lose_files,
    lose_header,
]


def check_saved(model: Known, folder: Path, harm: Harm, report: Report) -> None:
    """Nothing is invented, nothing is lost that was not hit, and the store works."""
    check_sound(folder)
    store = open_here(folder)
    try:
        now = read_all(store)
        asyncio.run(store.write(_deliver_to_all))
    finally:
        store.close()
    of_account: dict[str, set[bytes]] = {}
    for (address, _, _), octets in model.octets.items():
        of_account.setdefault(address, set()).add(octets)
    for where, octets in now.octets.items():
        if where in model.octets:
            assert octets == model.octets[where], where
        else:
            # In a mailbox, or of an account, whose name is lost.
            assert octets in (of_account.get(where[0]) or set(model.octets.values())), where
    for recipient, path in now.queued.items():
        assert model.queued[recipient] == path
    check_nothing_else_lost(model, folder, harm, now, report)


def check_sound(folder: Path) -> None:
    """SQLite finds nothing wrong."""
    connection = apsw.Connection(str(folder / DATABASE))
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        counted = connection.execute(
            "SELECT b.name FROM mailboxes AS b WHERE b.messages <> (SELECT count(*) FROM messages AS m"
            " WHERE m.mailbox_id = b.mailbox_id) OR b.octets <> (SELECT coalesce(sum(size), 0) FROM messages AS m"
            " WHERE m.mailbox_id = b.mailbox_id) OR b.uid_next <= (SELECT coalesce(max(uid), 0) FROM messages AS m"
            " WHERE m.mailbox_id = b.mailbox_id)"
        ).fetchall()
        assert counted == []
    finally:
        connection.close()


def _deliver_to_all(tx: Transaction) -> None:
    """New mail comes to every account that is there, under UIDs that nobody had."""
    for account in accounts.list_all(tx):
        inbox = mailboxes.inbox(tx, account.account_id)
        draft = messages.Draft(Content(2, b"\r\n"), (), NOW)
        [uid] = messages.append(tx, inbox.mailbox_id, [draft], now=NOW).uids
        assert uid == inbox.uid_next


def check_nothing_else_lost(model: Known, folder: Path, harm: Harm, now: Known, report: Report) -> None:
    quarantined = {path.read_bytes() for path in (folder / "quarantine").glob("*.eml")}
    everywhere = {octets.removeprefix(PREFIX) for octets in now.octets.values()} | quarantined
    directory = _pages(model, "mailboxes", "accounts", "addresses", "domains")
    for where, content_id in model.content_of.items():
        if not _is_hit(model, content_id, harm):
            content = model.contents[content_id]
            assert content in everywhere, f"{where} is lost"
            is_row_hit = model.pages["messages", where] & harm.pages
            if not is_row_hit and not directory & harm.pages:
                assert now.octets.get(where) == model.octets[where], f"{where} is not where it was"
    queue = _pages(model, "queued_messages", "queued_recipients")
    for recipient, path in model.queued.items():
        is_row_hit = model.pages["queued_recipients", recipient] & harm.pages
        if not is_row_hit and not queue & harm.pages:
            assert recipient in now.queued, f"{path} does not wait any more"


def _pages(model: Known, *tables: str) -> set[int]:
    return {page for (table, _), pages in model.pages.items() if table in tables for page in pages}


def _is_hit(model: Known, content_id: int, harm: Harm) -> bool:
    if model.pages["contents", content_id] & harm.pages:
        return True
    return model.file_of.get(content_id) in harm.files


@pytest.mark.parametrize("seed", range(RUNS))
def test_what_was_not_hit_is_saved(model: Known, data: Path, seed: int) -> None:
    chance = random.Random(seed)
    harm = WAYS[seed % len(WAYS)](data, chance)
    before = sorted(path.name for path in data.iterdir())
    report = repair(data, clock=lambda: NOW)
    if report.state is State.WHOLE:
        # Pages that are free may be anything.
        used = {page for pages in model.pages.values() for page in pages}
        assert not (used & harm.pages) and not harm.files
        assert sorted(path.name for path in data.iterdir()) == before
        return
    check_saved(model, data, harm, report)
    assert repair(data, clock=lambda: NOW).state is State.WHOLE
