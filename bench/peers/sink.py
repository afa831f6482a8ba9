"""Postfix's `smtp-sink`, which takes all and stores nothing: the ceiling, and where relayed mail goes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bench.peers.peer import ENVIRONMENT, Ground, Peer, Purpose, Running
from bench.peers.postfix import tool

_COUNTED = re.compile(rb"mesg=(\d+)")
_OTHERS: dict[Purpose, str] = {each: "stores nothing" for each in Purpose if each is not Purpose.ACCEPT}


class Sink(Peer):
    """As the ceiling."""

    name = "smtp-sink"
    is_durable = False
    cannot = _OTHERS

    def start(self, ground: Ground) -> Running:
        """With room for all sessions."""
        return self.launch(ground, [*tool("smtp-sink"), "-u", "nobody", f"127.0.0.1:{ground.port}", "1000"])


class NextHost:
    """Where a server relays to, and how many messages it has taken."""

    def __init__(self, port: int, folder: Path, address: str = "127.0.0.1") -> None:
        self._path = folder / f"sink-{address}-{port}"
        with self._path.open("wb") as file:
            self._process = subprocess.Popen(
                [*tool("smtp-sink"), "-u", "nobody", "-c", f"{address}:{port}", "1000"],
                stdout=file,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                env=ENVIRONMENT,
            )

    def taken(self) -> int:
        """Messages so far, by the running counter."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._path.stat().st_size - 200))
            counts = _COUNTED.findall(file.read())
        return int(counts[-1]) if counts else 0

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()
