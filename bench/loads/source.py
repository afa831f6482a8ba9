"""Postfix's `smtp-source`: the field's own load for SMTP."""

from __future__ import annotations

import subprocess
from typing import Literal

from bench.peers.peer import ENVIRONMENT
from bench.peers.postfix import tool

Mode = Literal["kept", "each"]
"""Kept connections, or a connection for each message."""


class LoadFailed(Exception):
    """The server did not take what was sent."""


class Stalled(LoadFailed):
    """What it took does not come out: what is measured next would be mixed with it."""


def send(
    port: int, recipient: str, *, messages: int, sessions: int, size: int, mode: Mode, is_numbered: bool = False,
    recipients: int = 1, seconds: float = 600,
) -> None:  # fmt: skip
    """Send messages of `size` octets and wait for the last reply; numbered recipients have a number in front."""
    command = [
        *tool("smtp-source"), "-s", str(min(sessions, messages)), "-m", str(messages), "-l", str(size),
        "-f", "bench@sender.test",
        "-t", recipient, "-r", str(recipients), *(["-d"] if mode == "kept" else []), *(["-N"] if is_numbered else []),
        f"127.0.0.1:{port}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"not taken within {seconds:.0f} seconds") from None
    if done.returncode != 0:
        raise LoadFailed((done.stderr or done.stdout).strip()[-200:])
