"""Who watches learns of what was committed, in this process and in others on the same machine.

A change touches ids: those of mailboxes whose messages changed, and those of accounts whose mailboxes, subscriptions
or rights did. After the commit watchers are called in their event loops, and other processes are rung over datagram
sockets in a folder of the data directory. A ring is lost when its hearer is busy for long; it notices that when it
hears again, and supposes that everything has changed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from estafeta.net.bell import MAX_RING, Bell
from estafeta.store.files import make_folder

FOLDER = "changes"
"""Where the sockets are, in the data directory."""
EVERYTHING = 0
"""The id that stands for all of them."""
_EVERYTHING_SAID = "*"
"""A ring after so many changes that they are not named."""
_SETTLED_AFTER = 1_000_000_000
"""Nanoseconds after which the time of the folder tells of a further change: file systems count in ticks."""

Callback = Callable[[int], None]


class Changes:
    """Tells of changes; safe to use from any thread. `watch` needs a running event loop."""

    def __init__(self, data_directory: Path, name: str) -> None:
        self._folder = data_directory / FOLDER
        self._folder_name = str(self._folder)
        make_folder(self._folder)
        self._name = name
        self._gate = threading.Lock()
        self._watchers: dict[int, list[tuple[asyncio.AbstractEventLoop, Callback]]] = {}
        self._bell: Bell | None = None
        self._others: list[Path] = []
        self._others_at = -1
        self._has_missed = False
        """Others were not told of a change."""

    def watch(self, watched_id: int, callback: Callback) -> Callable[[], None]:
        """Have the callback called in this event loop after each change of the id; gives what ends that.

        EVERYTHING watches all ids: its callback is called once for a commit, whatever it changed. That of one id is
        called for it, and also where it is not known what changed.
        """
        loop = asyncio.get_running_loop()
        watcher = (loop, callback)
        with self._gate:
            if self._bell is None:
                # Without a bell (a path too long for a socket) changes of other processes are seen late.
                bell = Bell(self._folder, self._name, self._heard, overflowed=self._overflowed)
                with suppress(OSError):
                    bell.open()
                self._bell = bell
            self._watchers.setdefault(watched_id, []).append(watcher)

        def end() -> None:
            with self._gate:
                left = self._watchers.get(watched_id, [])
                if watcher in left:
                    left.remove(watcher)
                if not left:
                    self._watchers.pop(watched_id, None)
                if not self._watchers and self._bell is not None:
                    self._bell.close()
                    self._bell = None

        return end

    def tell(self, ids: Iterable[int]) -> None:
        """These have changed: call who watches here, and ring the others. Called by the writer's thread.

        Never raises, for the change is durable: who cannot be rung now is told with the next one that all may have
        changed.
        """
        told = frozenset(ids)
        if told:
            self._call(told)
            self._ring(told)

    def _overflowed(self) -> None:
        self._call(frozenset((EVERYTHING,)))

    def _heard(self, text: str) -> None:
        if text == _EVERYTHING_SAID:
            self._overflowed()
        else:
            self._call(frozenset(int(word) for word in text.split() if word.isdecimal()))

    def _call(self, ids: frozenset[int]) -> None:
        calls: list[tuple[asyncio.AbstractEventLoop, Callback, int]] = []
        with self._gate:
            if not self._watchers:
                return
            if EVERYTHING in ids:
                for watched, watchers in self._watchers.items():
                    calls += ((*watcher, watched) for watcher in watchers)
            else:
                for touched in (*ids, EVERYTHING):
                    calls += ((*watcher, touched) for watcher in self._watchers.get(touched, ()))
        for loop, callback, touched in calls:
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(callback, touched)

    def _ring(self, ids: frozenset[int]) -> None:
        others = self._look()
        if not others:
            return
        text = " ".join(map(str, ids)).encode()
        if self._has_missed or len(text) > MAX_RING:
            text = _EVERYTHING_SAID.encode()
        try:
            ringer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError:  # too many open files
            self._has_missed = True
            return
        self._has_missed = False
        with ringer:
            for path in others:
                try:
                    ringer.sendto(text, str(path))
                except ConnectionRefusedError:
                    with suppress(OSError):
                        path.unlink()  # of a process that died
                except OSError:  # full, which its hearer notices; or gone meanwhile
                    continue

    def _look(self) -> list[Path]:
        """The bells of other processes; the folder is read only when it has changed."""
        try:
            changed_at = os.stat(self._folder_name).st_mtime_ns  # noqa: PTH116 - after each commit
            if changed_at != self._others_at:
                own = f"{self._name}.bell"
                names = os.listdir(self._folder)  # noqa: PTH208
                self._others = [self._folder / name for name in names if name.endswith(".bell") and name != own]
                is_settled = time.time_ns() - changed_at > _SETTLED_AFTER
                self._others_at = changed_at if is_settled else -1
        except OSError:
            self._others, self._others_at, self._has_missed = [], -1, True
        return self._others
