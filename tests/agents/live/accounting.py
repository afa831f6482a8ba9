"""A terminal of a user of this machine: a real pty, and an accounting file that says who is logged in there."""

from __future__ import annotations

import os
import pty
import struct
import termios
from pathlib import Path

from estafeta.agents.live.terminals import ENTRY_SIZE, Terminals

USER_PROCESS, DEAD_PROCESS = 7, 8
IUTF8 = 0o40000


def entry(user: str, line: str, kind: int = USER_PROCESS) -> bytes:
    """One entry as login(1) writes it, zeros for what nobody asks for."""
    head = struct.pack("=h2xi32s4s32s", kind, 4711, line.encode(), b"p3", user.encode())
    return head.ljust(ENTRY_SIZE, b"\0")


class LoggedIn:
    """A user who is logged in on a terminal."""

    def __init__(self, folder: Path, user: str = "ana", *, is_utf8: bool = True) -> None:
        self.folder = folder
        self.user = user
        self._screen, self._terminal = pty.openpty()
        self.path = Path(os.ttyname(self._terminal))
        self.line = str(self.path.relative_to("/dev"))
        os.set_blocking(self._screen, False)
        modes = termios.tcgetattr(self._terminal)
        modes[0] = modes[0] | IUTF8 if is_utf8 else modes[0] & ~IUTF8
        modes[1] &= ~termios.OPOST
        termios.tcsetattr(self._terminal, termios.TCSANOW, modes)
        self.accept(True)
        self.write_accounts(entry(user, self.line))

    @property
    def utmp(self) -> Path:
        """The accounting file."""
        return self.folder / "utmp"

    def write_accounts(self, *entries: bytes) -> None:
        """Write the accounting file anew."""
        self.utmp.write_bytes(b"".join(entries))

    def accept(self, yes: bool) -> None:
        """mesg(1)."""
        self.path.chmod(0o620 if yes else 0o600)

    def terminals(self, **users: int) -> Terminals:
        """As the server sees them; the tester is the user, unless others are named."""
        known = users or {self.user: os.getuid()}
        return Terminals(utmp=self.utmp, user_id=known.get)

    def seen(self) -> bytes:
        """What has come on the screen since."""
        octets = b""
        while True:
            try:
                more = os.read(self._screen, 65_536)
            except BlockingIOError:
                return octets
            octets += more

    def stop_output(self) -> None:
        """Ctrl-S."""
        termios.tcflow(self._terminal, termios.TCOOFF)

    def hang_up(self) -> None:
        """The terminal is gone."""
        for descriptor in (self._terminal, self._screen):
            os.close(descriptor)
