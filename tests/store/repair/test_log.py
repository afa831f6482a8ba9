"""Damage to the write-ahead log: a server does not go on from it, and a repair loses no more than was hit."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import apsw
import pytest

from estafeta.store.errors import Damaged
from estafeta.store.repair.repairing import repair
from estafeta.store.repair.report import State
from estafeta.store.sqlite import DATABASE
from estafeta.store.writeahead import Log, read_log

from .conftest import NOW, PAGE, Known, make_unclosed, open_here, read_all
from .test_damage import Harm, check_saved

FRAME = 24 + PAGE


@pytest.fixture(scope="session")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """A store whose process was killed."""
    return make_unclosed(tmp_path_factory.mktemp("crashed") / "data", 150, 2)


@pytest.fixture
def folder(crashed: Known, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "data"
    shutil.copytree(crashed.folder, copy)
    (copy / f"{DATABASE}-shm").unlink(missing_ok=True)
    return copy


def log_of(folder: Path) -> Path:
    return folder / f"{DATABASE}-wal"


def read(path: Path) -> Log:
    octets = path.read_bytes()
    found = read_log(lambda at, count: octets[at : at + count], len(octets))
    assert found is not None
    return found


def opens(folder: Path) -> Known:
    store = open_here(folder)
    try:
        return read_all(store)
    finally:
        store.close()


def test_a_crash_is_no_damage(crashed: Known, folder: Path) -> None:
    assert not read(log_of(folder)).is_damaged
    assert opens(folder).octets == crashed.octets


@pytest.mark.parametrize("seed", range(4))
def test_a_transaction_that_did_not_reach_the_disk_whole_is_no_damage(crashed: Known, folder: Path, seed: int) -> None:
    # Of the last one, which nobody was told of, any of the pages may be there.
    frames = read(log_of(folder)).frames
    commits = [number for number, frame in enumerate(frames) if frame.commit]
    path, chance = log_of(folder), random.Random(seed)
    octets = bytearray(path.read_bytes())
    first = commits[-2] + 1
    if seed == 0:
        del octets[32 + first * FRAME + 700 :]
    else:
        for number in chance.sample(range(first, commits[-1] + 1), min(seed, commits[-1] + 1 - first)):
            octets[32 + number * FRAME : 32 + (number + 1) * FRAME] = bytes(FRAME)
    path.write_bytes(octets)
    assert opens(folder).octets == crashed.octets


def test_a_log_without_its_header_is_not_thrown_away(crashed: Known, folder: Path) -> None:
    path = log_of(folder)
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    with pytest.raises(Damaged, match=r"estafeta.sqlite3-wal has lost its header.*`estafeta repair`"):
        open_here(folder)
    report = repair(folder, clock=lambda: NOW)
    assert report.state is State.MENDED
    assert opens(folder).octets == crashed.octets


def test_an_old_log_without_its_header_is_no_damage(crashed: Known, folder: Path) -> None:
    # All of it is in the database: it was about to be begun anew.
    log = log_of(folder).read_bytes()
    opens(folder)
    log_of(folder).write_bytes(bytes(32) + log[32:])
    assert opens(folder).octets == crashed.octets


@pytest.mark.parametrize("seed", range(6))
def test_pages_in_the_middle_of_the_log_are_damaged(crashed: Known, folder: Path, seed: int) -> None:
    path, chance = log_of(folder), random.Random(seed)
    frames = read(path).frames
    commits = [number for number, frame in enumerate(frames) if frame.commit]
    hit = set(chance.sample(range(commits[0], commits[-3]), chance.choice((1, 2, 20))))
    octets = bytearray(path.read_bytes())
    for number in hit:
        at = 32 + number * FRAME + chance.choice((0, 24, 24, 24))
        octets[at : 32 + (number + 1) * FRAME] = chance.randbytes(32 + (number + 1) * FRAME - at)
    path.write_bytes(octets)
    with pytest.raises(Damaged, match=r"estafeta.sqlite3-wal is damaged"):
        open_here(folder)
    report = repair(folder, clock=lambda: NOW)
    assert report.state in (State.SAVED, State.MENDED)
    # A frame behind one whose own header is damaged cannot be held to its checksum.
    doubtful = hit | {number + 1 for number in hit}
    last = {frame.page: number for number, frame in enumerate(frames)}
    check_saved(crashed, folder, Harm({page for page, number in last.items() if number in doubtful}), report)


def test_uids_that_clients_may_have_seen_are_not_given_again(crashed: Known, folder: Path) -> None:
    path = log_of(folder)
    frames = read(path).frames
    octets = bytearray(path.read_bytes())
    # The newest state of every page but a few is lost.
    commits = [number for number, frame in enumerate(frames) if frame.commit]
    for number in range(len(frames) // 3, commits[-3] + 1):
        octets[32 + number * FRAME : 32 + (number + 1) * FRAME] = bytes(FRAME)
    path.write_bytes(octets)
    repair(folder, clock=lambda: NOW)
    store = open_here(folder)
    store.close()
    connection = apsw.Connection(str(folder / DATABASE))
    try:
        found = connection.execute("SELECT min(uid_next) FROM mailboxes WHERE name = 'INBOX'").fetchall()
    finally:
        connection.close()
    assert found and int(str(found[0][0])) > max(uid for _, _, uid in crashed.octets)


def test_a_log_alone_holds_the_mail_too(crashed: Known, folder: Path) -> None:
    (folder / DATABASE).unlink()
    with pytest.raises(Damaged, match="missing or empty, but it has a write-ahead log"):
        open_here(folder)
    os.remove(folder / DATABASE)  # made empty by the attempt
    report = repair(folder, clock=lambda: NOW)
    assert report.saved["messages"] > 0
    check_saved(crashed, folder, Harm({1}), report)
