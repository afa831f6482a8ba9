"""Doors: a process takes what others on the same machine hand in, and says whether it has taken it.

A door is a Unix stream socket in a folder that only the owner can enter. Unlike a bell it is answered, so what was
handed in and not taken is known to be left. Doors of dead processes are removed by who finds them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MAX_PARCEL = 524_288
"""Octets that are handed in at once."""
TAKEN = b"taken\n"
_BACKLOG = 16
_PARCEL_AFTER = 10.0
"""Seconds until a parcel must have come in whole."""


class Door:
    """Open between `open` and `close`; `take` gets each parcel in the event loop and says whether it was taken."""

    def __init__(self, folder: Path, name: str, take: Callable[[bytes], bool]) -> None:
        self._path = folder / f"{name}.door"
        self._take = take
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Make the socket. Raises OSError, also where the path is too long for one."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        # Until it is listened to it has another name: who found it deaf would remove it.
        unready = self._path.with_suffix(".new")
        unready.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            door.bind(str(unready))
            unready.chmod(0o600)
            self._server = await asyncio.start_unix_server(self._serve, sock=door, backlog=_BACKLOG)
            unready.rename(self._path)
        except BaseException:
            door.close()
            unready.unlink(missing_ok=True)
            raise

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PARCEL_AFTER):
                parcel = await reader.read(MAX_PARCEL + 1)
                while len(parcel) <= MAX_PARCEL and (more := await reader.read(MAX_PARCEL)):
                    parcel += more
                # Without octets somebody only looked whether the door is open.
                if parcel and len(parcel) <= MAX_PARCEL and self._take(parcel):
                    writer.write(TAKEN)
                    await writer.drain()
        except (OSError, TimeoutError):  # who handed it in does not wait any more
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        """Take nothing any more; a second call does nothing."""
        if self._server is None:
            return
        self._path.unlink(missing_ok=True)
        self._server.close()
        await self._server.wait_closed()
        self._server = None


def doors(folder: Path, prefix: str) -> list[Path]:
    """The doors whose names begin so; dead ones may be among them."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:  # none was ever opened, or they are others'
        return []
    return [folder / name for name in sorted(names) if name.startswith(prefix) and name.endswith(".door")]


def is_open(door: Path) -> bool:
    """Whether somebody is behind the door; that of a dead process is removed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as visitor:
        try:
            visitor.connect(str(door))
        except ConnectionRefusedError:
            door.unlink(missing_ok=True)
            return False
        except OSError:  # gone meanwhile, or a queue stands before it
            return False
    return True


async def hand_in(door: Path, parcel: bytes, *, within: float) -> bool:
    """Hand in up to MAX_PARCEL octets; whether they were taken within so many seconds."""
    writer: StreamWriter | None = None
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(str(door))
            writer.write(parcel)
            writer.write_eof()
            return await reader.readexactly(len(TAKEN)) == TAKEN
    except (OSError, TimeoutError, EOFError):
        return False
    finally:
        if writer is not None:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
