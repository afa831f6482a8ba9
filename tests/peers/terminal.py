"""A program that reads and draws on a terminal, run in one until it ends."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.peers.running import wait_for


def run_in_terminal(command: Sequence[str | Path], home: Path, *, seconds: float = 20) -> bytes:
    """Run it in a home of its own; it must end by itself and well. Gives what it showed."""
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm"},
    )
    os.close(terminal)
    shown = bytearray()
    try:
        os.set_blocking(master, False)

        def has_ended() -> bool:
            with suppress(OSError):  # nothing to read, or nobody left who writes
                shown.extend(os.read(master, 65536))
            return process.poll() is not None

        try:
            wait_for(has_ended, f"the end of {command[0]}", seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {shown[-3000:].decode(errors='replace')}") from None
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert process.returncode == 0, shown[-3000:]
    return bytes(shown)
