"""What is handed in at a door was taken, or is known to be left."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from estafeta.app import new_event_loop
from estafeta.net.doors import MAX_PARCEL, Door, doors, hand_in, is_open

LOOPS = pytest.mark.parametrize("loop", [new_event_loop, asyncio.new_event_loop])


@LOOPS
def test_who_takes_a_parcel_says_so(tmp_path: Path, loop: object) -> None:
    async def main() -> None:
        taken: list[bytes] = []

        def take(octets: bytes) -> bool:
            taken.append(octets)
            return True

        open_door = Door(tmp_path / "doors", "a.1", take)
        wary = Door(tmp_path / "doors", "a.2", lambda octets: False)
        for door in (open_door, wary, Door(tmp_path / "doors", "b.1", lambda octets: True)):
            await door.open()
            if door is not open_door and door is not wary:
                await door.close()
                await door.close()
        found = doors(tmp_path / "doors", "a.")
        assert [path.name for path in found] == ["a.1.door", "a.2.door"]
        assert [is_open(path) for path in found] == [True, True]
        large = b"x" * MAX_PARCEL
        assert [await hand_in(path, large, within=10) for path in found] == [True, False]
        assert not await hand_in(found[0], large + b"x", within=10)
        assert taken == [large]
        await open_door.close()
        await wary.close()
        assert doors(tmp_path / "doors", "") == [] and not is_open(found[0])
        assert not await hand_in(found[0], b"x", within=10)

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        runner.run(main())


def test_nobody_else_comes_to_a_door(tmp_path: Path) -> None:
    async def main() -> None:
        door = Door(tmp_path / "doors", "a", lambda octets: True)
        await door.open()
        try:
            assert stat.S_IMODE((tmp_path / "doors").stat().st_mode) == 0o700
            assert stat.S_IMODE((tmp_path / "doors" / "a.door").stat().st_mode) == 0o600
        finally:
            await door.close()

    asyncio.run(main())


def test_the_door_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "a.door"))
        dead.listen()
    assert not is_open(tmp_path / "a.door")
    assert doors(tmp_path, "a") == []


def test_a_door_that_nobody_answers_is_left_after_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
            deaf.bind(str(tmp_path / "a.door"))
            deaf.listen()
            assert is_open(tmp_path / "a.door")
            assert not await hand_in(tmp_path / "a.door", b"x" * MAX_PARCEL, within=0.05)

    asyncio.run(main())


def test_without_a_folder_there_are_no_doors(tmp_path: Path) -> None:
    assert doors(tmp_path / "none", "") == []
    (tmp_path / "file").write_bytes(b"")
    assert doors(tmp_path / "file", "") == []


def test_a_path_too_long_for_a_socket_is_told_of(tmp_path: Path) -> None:
    async def main() -> None:
        door = Door(tmp_path / ("x" * 120), "a", lambda octets: True)
        with pytest.raises(OSError, match="too long"):
            await door.open()
        await door.close()

    asyncio.run(main())
