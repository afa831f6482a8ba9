"""What the processes of a server use: a control group counts their CPU, of ended ones too, and their memory.

Groups of version 1 and of version 2 are understood. Memory is what is the processes' own (anonymous pages, counted
once where they share it); the cache of files, which the system takes back when it likes, is not.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
LOOK_AFTER = 0.1
"""Seconds between two looks at the memory."""
QUIET = 0.05
"""The part of a core that a server uses which has nothing to do, and more."""


class ControlGroup:
    """One server's."""

    def __init__(self, name: str) -> None:
        self._folders = [root / f"estafeta_bench_{name}_{os.getpid()}" for root in _hierarchies()]
        for folder in self._folders:
            folder.mkdir(exist_ok=True)

    def entering(self, command: Sequence[str]) -> list[str]:
        """The command that runs another one in it."""
        script = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
        return ["sh", "-ec", script, "sh", *map(str, self._folders), "--", *command]

    def seconds(self) -> float:
        """CPU used so far."""
        for folder in self._folders:
            if (usage := folder / "cpuacct.usage").exists():
                return int(usage.read_text()) / 1e9
            if (stat := folder / "cpu.stat").exists():
                return _number(r"usage_usec (\d+)", stat.read_text()) / 1e6
        raise SystemExit("no control group counts CPU here")

    def memory(self) -> int:
        """Octets of now."""
        for folder in self._folders:
            if (stat := folder / "memory.stat").exists():
                return _number(r"^(?:total_rss|anon) (\d+)", stat.read_text())
        raise SystemExit("no control group counts memory here")

    def rest(self, most: float, quiet_for: float = LOOK_AFTER) -> None:
        """Wait until the processes have had hardly anything to do for a while, for so many seconds at most."""
        until = time.monotonic() + most
        quiet_since = time.monotonic()
        while (now := time.monotonic()) < min(until, quiet_since + quiet_for):
            before = self.seconds()
            time.sleep(LOOK_AFTER)
            if self.seconds() - before >= QUIET * LOOK_AFTER:
                quiet_since = now + LOOK_AFTER

    def pids(self) -> list[int]:
        """Its processes."""
        return [int(each) for each in (self._folders[0] / "cgroup.procs").read_text().split()]

    def end(self) -> None:
        """Stop what is left in it."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                try:
                    os.kill(pid, sent)
                except ProcessLookupError:
                    continue
            until = time.monotonic() + 10
            while self.pids() and time.monotonic() < until:
                time.sleep(0.05)
        for folder in self._folders:
            try:
                folder.rmdir()
            except OSError as error:
                print(f"left behind: {error}", file=sys.stderr)


class Usage:
    """CPU and peak memory of a group while a block runs."""

    def __init__(self, group: ControlGroup) -> None:
        self._group = group
        self.cpu = 0.0
        """Seconds."""
        self.peak = 0
        """Octets."""
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Usage:
        self._before = self._group.seconds()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = self._group.seconds() - self._before
        self._is_over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._group.memory())
            if self._is_over.wait(LOOK_AFTER):
                return


def _hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [ROOT / "cpuacct", ROOT / "memory"]


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found is not None else 0
