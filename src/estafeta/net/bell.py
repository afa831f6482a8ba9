"""Bells: a process that serves is told by others on the same machine that it should look again.

A bell is a Unix datagram socket in a folder that only the owner can enter. A ring that nobody hears is lost, so
nothing may depend on it but speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

BELLS = "bells"
"""The folder of bells in the data directory: commands ring them after they changed the queue."""
MAX_RING = 8192
"""Octets of one ring."""
MAX_NAMES = 1000
"""Names in one ring."""
_QUEUE = Path("/proc/sys/net/unix/max_dgram_qlen")
_USUAL_QUEUE = 10
"""Rings that a bell holds while nobody listens, where the system does not tell (Linux's own default)."""


class Bell:
    """Hears rings, from `open` to `close`; `heard` is called in the event loop with what was rung.

    `overflowed` is called there after rings that may not have been all: the socket was full while nobody listened.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        heard: Callable[[str], None],
        *,
        overflowed: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = folder / f"{name}.bell"
        self._heard = heard
        self._overflowed = overflowed
        self._most = _USUAL_QUEUE
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Make the socket. Raises OSError, also where the path is too long for one."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError, ValueError):
            self._most = int(_QUEUE.read_text())
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            bell.bind(str(self._path))
            self._path.chmod(0o600)
            asyncio.get_running_loop().add_reader(bell.fileno(), self._read)
        except BaseException:
            bell.close()
            raise
        self._socket = bell

    def _read(self) -> None:
        assert self._socket is not None
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self._socket is not None:
                text = self._socket.recv(MAX_RING).decode("utf-8", "replace")
                count += 1
                self._heard(text)
        # A full socket holds more than `_most`, so whoever rang in vain did so before this many were read.
        if count >= self._most:
            self._overflowed()

    def close(self) -> None:
        """Hear nothing any more; a second call does nothing."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._path.unlink(missing_ok=True)


def ring(folder: Path, text: str) -> int:
    """Ring all bells in the folder; gives how many heard. Bells of dead processes are removed."""
    heard = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ringer:
        for path in _bells(folder):
            try:
                ringer.sendto(text.encode()[:MAX_RING], str(path))
                heard += 1
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:  # full, or gone meanwhile
                continue
    return heard


def ring_for(folder: Path, word: str, names: Iterable[str]) -> None:
    """Ring `word NAME NAME...` for all names, in as many rings as it takes."""
    text, count = word, 0
    for name in names:
        if count and (count == MAX_NAMES or len(text.encode()) + len(name.encode()) >= MAX_RING):
            ring(folder, text)
            text, count = word, 0
        text, count = f"{text} {name}", count + 1
    if count:
        ring(folder, text)


def _bells(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if name.endswith(".bell")]  # noqa: PTH208
    except FileNotFoundError:
        return []
