"""What stands still is told of: where it stands, that it goes on, and what is done about it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from estafeta.app import new_event_loop
from estafeta.app.monitoring.tallies import LoopTally
from estafeta.app.monitoring.watchdog import Patience, Watchdog
from estafeta.store.store import open_store
from estafeta.store.tally import CommitTally

LONG = 1000.0


def play(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await main()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.005)


def hold_the_loop(seconds: float) -> None:
    time.sleep(seconds)


def told(logs: list[Any], event: str) -> list[Any]:
    return [each for each in logs if each["event"] == event]


def test_a_held_loop_is_told_of_with_the_place_that_holds_it() -> None:
    tally = LoopTally()

    async def main() -> None:
        dog = Watchdog(Patience(0.1, LONG), tally, lambda: None, monotonic=time.monotonic)
        dog.start()
        try:
            await until(lambda: tally.lag.number > 1)
            hold_the_loop(0.3)
            await until(lambda: bool(told(logs, "the event loop goes on")))
        finally:
            dog.stop()

    with capture_logs() as logs:
        play(main)
    (held,) = told(logs, "the event loop is held up")
    assert held["log_level"] == "error"
    assert held["seconds"] >= 0.1
    assert "hold_the_loop" in held["stack"] and "time.sleep(seconds)" in held["stack"]
    (over,) = told(logs, "the event loop goes on")
    assert over["seconds"] >= 0.3
    assert tally.held == 1
    assert tally.lag.total >= 0.2


def test_a_loop_that_works_is_not_told_of() -> None:
    tally = LoopTally()

    async def main() -> None:
        dog = Watchdog(Patience(5.0, LONG), tally, lambda: None, monotonic=time.monotonic)
        dog._look_after = 0.005
        dog.start()
        await until(lambda: tally.lag.number >= 20)
        dog.stop()

    with capture_logs() as logs:
        play(main)
    assert logs == [] and tally.held == 0


def test_a_dead_process_is_ended_where_it_would_be_started_again() -> None:
    ended = threading.Event()

    async def main() -> None:
        patience = Patience(0.02, LONG, death=0.1)
        dog = Watchdog(patience, LoopTally(), lambda: None, monotonic=time.monotonic, end=ended.set)
        dog.start()
        assert ended.wait(30)  # the loop does nothing else meanwhile
        dog.stop()

    with capture_logs() as logs:
        play(main)
    assert told(logs, "the event loop is dead, the process ends")


def test_a_process_whose_writer_is_dead_is_ended() -> None:
    ended = threading.Event()
    commits = CommitTally()

    async def main() -> None:
        dog = Watchdog(Patience(LONG, 0.1), LoopTally(), lambda: commits, monotonic=time.monotonic, end=ended.set)
        dog.start()
        commits.is_dead = True
        await until(ended.is_set)
        dog.stop()

    with capture_logs() as logs:
        play(main)
    assert told(logs, "the store's writer is dead, the process ends")


def test_a_commit_that_does_not_end_is_told_of_with_the_place_where_the_writer_stands(tmp_path: Path) -> None:
    go = threading.Event()

    def slow(_tx: object) -> None:
        go.wait(30)

    async def main() -> None:
        store = open_store(tmp_path / "data", clock=time.time)
        dog = Watchdog(Patience(LONG, 0.1), LoopTally(), lambda: store.commits, monotonic=time.monotonic)
        dog.start()
        try:
            writing = asyncio.ensure_future(store.write(slow))
            await until(lambda: bool(told(logs, "a commit does not end")))
            go.set()
            await writing
            await until(lambda: bool(told(logs, "the store goes on")))
        finally:
            go.set()
            dog.stop()
            store.close()

    with capture_logs() as logs:
        play(main)
    (late,) = told(logs, "a commit does not end")
    assert late["seconds"] >= 0.1
    assert "slow" in late["stack"] and "go.wait(30)" in late["stack"]


def test_the_loop_gives_the_signs_of_life_that_the_manager_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "s"))
    manager.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "s"))

    async def main() -> None:
        dog = Watchdog(Patience(LONG, 0.04), LoopTally(), CommitTally, monotonic=time.monotonic, sign_after=0.03)
        dog.start()
        for _ in range(3):
            assert await asyncio.to_thread(manager.recv, 100) == b"WATCHDOG=1"
        dog.stop()

    play(main)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):  # nothing more after its end
        while manager.recv(100):
            pass
    manager.close()
