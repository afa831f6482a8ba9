"""What the service manager is told (sd_notify of systemd): that the server is ready, reads its settings again, ends.

Plain datagrams to the socket that NOTIFY_SOCKET names, a path or an abstract name; without it nothing is sent. A
manager that does not listen changes nothing: every function says only whether it was told.
"""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Mapping, Sequence

_MICROSECONDS = 1_000_000


def notify(*lines: str, files: Sequence[int] = (), environ: Mapping[str, str] = os.environ) -> bool:
    """Tell the manager `NAME=value` lines, with open files where it is to keep some (FDSTORE=1).

    Gives whether it was told; never raises.
    """
    path = environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return False
    # The manager writes an abstract name with "@" for its leading NUL.
    address = "\0" + path[1:] if path[0] == "@" else path
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendmsg(["\n".join(lines).encode()], ancillary, 0, address)
    except OSError:
        return False
    return True


def ready(status: str = "", *, environ: Mapping[str, str] = os.environ) -> bool:
    """The server serves; also said when the settings were read again."""
    return notify("READY=1", *_status(status), environ=environ)


def reloading(*, environ: Mapping[str, str] = os.environ) -> bool:
    """The settings are being read again; `ready` says when that is over (Type=notify-reload needs the clock)."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    return notify("RELOADING=1", f"MONOTONIC_USEC={now}", environ=environ)


def stopping(status: str = "", *, environ: Mapping[str, str] = os.environ) -> bool:
    """The server takes nothing new and ends."""
    return notify("STOPPING=1", *_status(status), environ=environ)


def status(text: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """One line for `systemctl status`."""
    return notify(*_status(text), environ=environ)


def alive(*, environ: Mapping[str, str] = os.environ) -> bool:
    """A sign of life; without one for the time of `watchdog_after` the manager ends the server and starts it again."""
    return notify("WATCHDOG=1", environ=environ)


def extend_timeout(seconds: float, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Starting or ending takes so much longer: the manager is to wait (EXTEND_TIMEOUT_USEC)."""
    return notify(f"EXTEND_TIMEOUT_USEC={round(seconds * _MICROSECONDS)}", environ=environ)


def watchdog_after(*, environ: Mapping[str, str] = os.environ, process: int | None = None) -> float | None:
    """Seconds within which the manager wants signs of life (WatchdogSec=); None where it wants none of this process."""
    wanted_of = environ.get("WATCHDOG_PID", "")
    if wanted_of and wanted_of != str(process if process is not None else os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    if not text.isascii() or not text.isdecimal() or not int(text):
        return None
    return int(text) / _MICROSECONDS


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()
