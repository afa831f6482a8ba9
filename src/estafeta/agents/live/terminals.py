"""The terminals where a user of this machine is logged in, and writing on them as write(1) does.

The accounting file (utmp(5)) names them. It may be stale, so the device has the last word: it must be a terminal,
belong to the user now, and be writable by its group, which is how a user says that messages are welcome (mesg(1)).
"""

from __future__ import annotations

import os
import platform
import pwd
import re
import stat
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

UTMP = Path("/var/run/utmp")
DEVICES = Path("/dev")
MAX_UTMP = 1024 * 1024
"""Octets of the accounting file that are read: more than two thousand logins."""
MAX_TERMINALS = 8
"""Terminals of one user that are written on."""
FIRST_PERSON = 1000
"""User ids below are of the system, and root's terminal is nobody's mail address."""

_USER_PROCESS = 7
# Type, process, line, id, user (utmp(5)). What follows is longer where times have 64 bits there.
_ENTRY = struct.Struct("=h2xi32s4s32s")
_SHORT_TIMES = frozenset({"x86_64", "amd64", "i386", "i686", "ppc64", "ppc64le", "s390x", "mips64", "sparc64"})
ENTRY_SIZE = 384 if platform.machine().lower() in _SHORT_TIMES or struct.calcsize("P") == 4 else 400
_LINE = re.compile(r"pts/[0-9]{1,6}|tty[A-Za-z0-9]{1,12}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_IUTF8 = 0o40000
"""Of the input modes on Linux: the terminal speaks UTF-8."""


def person(name: str) -> int | None:
    """The user id of a person of this machine; None for others."""
    if not _USER.fullmatch(name):
        return None
    try:
        user_id = pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
    return user_id if user_id >= FIRST_PERSON else None


class Terminals:
    """Blocks for a moment: call it in a thread."""

    def __init__(
        self, *, utmp: Path = UTMP, devices: Path = DEVICES, user_id: Callable[[str], int | None] = person
    ) -> None:
        self._utmp = utmp
        self._devices = devices
        self._user_id = user_id

    def of(self, user: str) -> list[str]:
        """Where the user is logged in and accepts messages, as `pts/3`."""
        user_id = self._user_id(user)
        if user_id is None:
            return []
        found = []
        for line in dict.fromkeys(line for name, line in self._logins() if name == user):
            terminal = self._open(line, user_id)
            if terminal is not None:
                os.close(terminal)
                found.append(line)
                if len(found) == MAX_TERMINALS:
                    break
        return found

    def write(self, user: str, text: str) -> list[str]:
        """Write lines on all terminals of the user; gives those that took all of it."""
        user_id = self._user_id(user)
        if user_id is None:
            return []
        return [line for line in self.of(user) if self._write(line, user_id, text)]

    def _logins(self) -> list[tuple[str, str]]:
        """The users and terminals of the accounting file; none where there is no such file."""
        try:
            with self._utmp.open("rb") as file:
                octets = file.read(MAX_UTMP)
        except OSError:
            return []
        found = []
        for start in range(0, len(octets) - ENTRY_SIZE + 1, ENTRY_SIZE):
            kind, _, line, _, user = _ENTRY.unpack_from(octets, start)
            name = line.partition(b"\0")[0].decode("ascii", "replace")
            if kind == _USER_PROCESS and _LINE.fullmatch(name):
                found.append((user.partition(b"\0")[0].decode("ascii", "replace"), name))
        return found

    def _open(self, line: str, user_id: int) -> int | None:
        """A descriptor of the terminal if it is the user's and messages are welcome there."""
        # Without waiting: neither for a modem, nor for who has stopped the output.
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            terminal = os.open(self._devices / line, flags)
        except OSError:
            return None
        found = os.fstat(terminal)
        welcome = stat.S_ISCHR(found.st_mode) and found.st_uid == user_id and bool(found.st_mode & stat.S_IWGRP)
        if welcome and os.isatty(terminal):
            return terminal
        os.close(terminal)
        return None

    def _write(self, line: str, user_id: int, text: str) -> bool:
        terminal = self._open(line, user_id)
        if terminal is None:
            return False
        try:
            octets = _encoded(text, is_utf8=bool(termios.tcgetattr(terminal)[0] & _IUTF8))
            while octets:
                octets = octets[os.write(terminal, octets) :]
        except (OSError, termios.error):  # its output is stopped, or it is gone
            return False
        finally:
            with suppress(OSError):
                os.close(terminal)
        return True


def _encoded(text: str, *, is_utf8: bool) -> bytes:
    """For a terminal that may be in raw mode. One that speaks no UTF-8 would read octets of it as controls."""
    return ("\n" + text).replace("\n", "\r\n").encode("utf-8" if is_utf8 else "ascii", "replace")
