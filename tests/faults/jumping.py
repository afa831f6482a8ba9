"""A server whose clock can be set, by Debian's libfaketime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.peers.running import RunningServer, wait_for

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


class JumpingServer(RunningServer):
    """A server whose clock is set by a file; its monotonic clock is not touched, as when an operator sets the time."""

    def set_clock(self, ahead: int) -> None:
        part = self.folder / "clock.part"
        part.write_text(f"{ahead:+d}s")
        part.rename(self.folder / "clock")

    def start(self) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_RESET": "1",
        }
        self.set_clock(0)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "estafeta.cli.main", "serve", "--config", str(self.folder / "estafeta.toml")],
                stdout=log,
                stderr=log,
                env=environment,
            )
        wait_for(self._is_up, f"the greeting; its log: {self.log}", seconds=60)
