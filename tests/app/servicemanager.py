"""What systemd is to the server: it hands sockets over, keeps those that it is given, and is told things."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
_ROOT = Path(__file__).parents[2]
# As systemd does between fork and exec: the descriptors from 3 on, and the number of the process itself.
_EXEC = """
import os, sys
count = int(sys.argv[1])
held = [os.dup(int(number)) for number in sys.argv[2:2 + count]]
for place, number in enumerate(held):
    os.dup2(number, 200 + place, inheritable=False)
for place in range(count):
    os.dup2(200 + place, 3 + place, inheritable=True)
if count:
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-c", "from estafeta.cli.main import main; main()", *sys.argv[2 + count:]])
"""


def listening() -> socket.socket:
    """A socket of a socket unit, on a free port of loopback."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((LOOPBACK, 0))
    one.listen(1024)
    return one


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])


class ServiceManager:
    """Starts and ends `estafeta serve` with one settings file; keeps what it is given."""

    def __init__(self, folder: Path, sockets: Sequence[socket.socket] = ()) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.sockets = [*sockets]
        self.stored: dict[str, int] = {}
        self.told: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(str(folder / "notify"))
        (folder / "notify").chmod(0o666)

    def start(self, **more: str) -> None:
        """Start the server and wait until it says that it is ready."""
        handed = [("unit", one.fileno()) for one in self.sockets] + [*self.stored.items()]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT / "src"), "NOTIFY_SOCKET": str(self.folder / "notify")}
        if handed:
            environment["LISTEN_FDS"] = str(len(handed))
            environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in handed)
        descriptors = [number for _, number in handed]
        arguments = [str(len(handed)), *map(str, descriptors), "serve", "--config", str(self.folder / "estafeta.toml")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _EXEC, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment | more,
                pass_fds=descriptors,
            )
        self.until("READY=1")

    def stop(self) -> int:
        """End it in order; gives the exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(60)
        self._read()
        return code

    def until(self, word: str) -> None:
        """Wait until the server has said this once more."""
        self.until_true(lambda: word in self.told, word)
        self.told.remove(word)

    def until_true(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that the server does."""
        end = time.monotonic() + 60
        while not is_so():
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the server has ended before {what}: {self.log.read_text()[-3000:]}")
            if time.monotonic() > end:
                raise AssertionError(f"no {what}: {self.log.read_text()[-3000:]}")
            select.select([self._inbox], [], [], 0.02)
            self._read()

    def close(self) -> None:
        """End everything."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._read()
        self._inbox.close()
        for one in self.sockets:
            one.close()
        for number in self.stored.values():
            os.close(number)

    def _read(self) -> None:
        while select.select([self._inbox], [], [], 0)[0]:
            octets, descriptors, _, _ = socket.recv_fds(self._inbox, 65_536, 16)
            lines = octets.decode().splitlines()
            values = dict(line.partition("=")[::2] for line in lines)
            self.told += [line for line in lines if not line.startswith("MONOTONIC")]
            if "FDSTORE" in values:
                (number,) = descriptors
                assert values["FDNAME"] not in self.stored
                self.stored[values["FDNAME"]] = number
            elif "FDSTOREREMOVE" in values:
                os.close(self.stored.pop(values["FDNAME"]))
