"""A ring is heard by who serves, and by nobody who is gone."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from estafeta.app import new_event_loop
from estafeta.net.bell import Bell, ring

LOOPS = pytest.mark.parametrize("loop", [new_event_loop, asyncio.new_event_loop])


@LOOPS
def test_all_who_serve_hear_a_ring(tmp_path: Path, loop: object) -> None:
    async def main() -> None:
        heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        bells = [
            Bell(tmp_path / "bells", name, lambda text, name=name: heard.put_nowait((name, text)))  # type: ignore[misc]
            for name in ("one", "two")
        ]
        for bell in bells:
            bell.open()
        assert ring(tmp_path / "bells", "drop 1 2") == 2
        async with asyncio.timeout(10):
            assert sorted([await heard.get(), await heard.get()]) == [("one", "drop 1 2"), ("two", "drop 1 2")]
        for bell in bells:
            bell.close()
            bell.close()
        assert ring(tmp_path / "bells", "look") == 0

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        runner.run(main())


def test_nobody_else_reaches_a_bell(tmp_path: Path) -> None:
    async def main() -> None:
        bell = Bell(tmp_path / "bells", "one", lambda text: None)
        bell.open()
        try:
            assert stat.S_IMODE((tmp_path / "bells").stat().st_mode) == 0o700
            assert stat.S_IMODE((tmp_path / "bells" / "one.bell").stat().st_mode) == 0o600
        finally:
            bell.close()

    asyncio.run(main())


def test_the_bell_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "bells"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(folder / "dead.bell"))
    assert ring(folder, "look") == 0
    assert list(folder.iterdir()) == []


def test_without_a_server_nobody_hears(tmp_path: Path) -> None:
    assert ring(tmp_path / "bells", "look") == 0
