"""A ring is heard by who serves, and by nobody who is gone."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from estafeta.app import new_event_loop
from estafeta.net.bell import MAX_NAMES, MAX_RING, Bell, ring, ring_for

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


def hearing(folder: Path, count: int, rings: Callable[[], object]) -> list[str]:
    """What a bell hears until it was rung so often."""
    heard: list[str] = []

    async def main() -> None:
        bell = Bell(folder, "one", heard.append)
        bell.open()
        try:
            rings()
            async with asyncio.timeout(10):
                while len(heard) < count:
                    await asyncio.sleep(0.001)
        finally:
            bell.close()

    asyncio.run(main())
    return heard


def test_many_names_come_in_as_many_rings_as_it_takes(tmp_path: Path) -> None:
    names = [f"{number:019}" for number in range(2500)]
    heard = hearing(tmp_path / "bells", 7, lambda: ring_for(tmp_path / "bells", "drop", names))
    assert all(len(each.encode()) <= MAX_RING for each in heard)
    assert all(len(each.split()) <= MAX_NAMES + 1 for each in heard)
    assert {each.split()[0] for each in heard} == {"drop"}
    assert [name for each in heard for name in each.split()[1:]] == names


def test_no_names_are_no_ring(tmp_path: Path) -> None:
    def rings() -> None:
        ring_for(tmp_path / "bells", "drop", [])
        ring(tmp_path / "bells", "look")

    assert hearing(tmp_path / "bells", 1, rings) == ["look"]


def test_what_is_no_text_is_heard_as_something(tmp_path: Path) -> None:
    def rings() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"\xff", str(tmp_path / "bells" / "one.bell"))

    assert hearing(tmp_path / "bells", 1, rings) == ["\ufffd"]


def test_a_bell_that_nobody_answers_holds_up_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "bells"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(folder / "deaf.bell"))
        heard = [ring(folder, "look") for _ in range(2000)]
    assert heard[0] == 1
    assert heard[-1] == 0
    assert (folder / "deaf.bell").exists()


@pytest.mark.parametrize(("rings", "is_full"), [(3000, True), (1, False)])
def test_rings_that_found_it_full_are_noticed(tmp_path: Path, rings: int, is_full: bool) -> None:
    folder = tmp_path / "bells"
    told: list[str] = []

    async def main() -> None:
        bell = Bell(folder, "one", told.append, overflowed=lambda: told.append("overflowed"))
        bell.open()
        try:
            heard = sum(ring(folder, "look") for _ in range(rings))  # the loop does not run meanwhile
            assert (heard < rings) is is_full
            async with asyncio.timeout(10):
                while len(told) < heard + is_full:
                    await asyncio.sleep(0.001)
        finally:
            bell.close()
        assert told == ["look"] * heard + ["overflowed"] * is_full

    asyncio.run(main())


def test_a_path_too_long_for_a_socket_is_told_of(tmp_path: Path) -> None:
    async def main() -> None:
        bell = Bell(tmp_path / ("x" * 120), "one", lambda text: None)
        with pytest.raises(OSError, match="too long"):
            bell.open()
        bell.close()

    asyncio.run(main())
