"""A machine of its own for tests: network, file systems and processes apart, gone when nobody holds it any more.

Its network is one loopback interface with the addresses of documentation (RFC 5737, RFC 3849), so port 25 and names
such as example.org can be used as in the world, and nothing leaves. Its `/etc`, `/usr` and `/var` are those of the
machine with a layer over them that vanishes; mail servers that cannot be installed side by side are put in there.
The first process reads a pipe that the test holds: when the test ends, however it ends, the kernel kills all others.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar

from tests.peers.running import wait_for

T = TypeVar("T")

OWN_ADDRESS = "192.0.2.1"
"""The source of connections to every other address."""
HOST_NAME = "laboratory.example"
RESOLVER = "127.0.0.1"
SILENT_ADDRESS = "198.51.100.1"
"""Connections to it are never answered."""
UNREACHABLE_ADDRESS = "203.0.113.1"
"""Connections to it fail at once: no route."""
MAIL_USER = "labmail"
MAIL_UID = 64010

_CLONE_NEWNET = 0x4000_0000
_USERS = {"Debian-exim": 64001, "opensmtpd": 64002, "opensmtpq": 64003, MAIL_USER: MAIL_UID}
# Where the layers come to lie; `peers` are the folders of unpacked packages.
_SETUP = """
ip link set lo up
ip address add 192.0.2.1/24 dev lo
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind
ip -6 address add 2001:db8::1/128 dev lo nodad
ip -6 route add local 2001:db8::/32 dev lo src 2001:db8::1
ip route add 198.51.100.0/24 dev lo
ip route add unreachable 203.0.113.0/24
mount -t tmpfs -o mode=755 layers /run
for folder in etc usr var/lib var/spool; do
    mkdir -p "/run/layers/$folder/upper" "/run/layers/$folder/work"
    lower="/$folder"
    for peer in "$@"; do
        if [ -d "$peer/$folder" ]; then lower="$lower:$peer/$folder"; fi
    done
    mount -t overlay -o "lowerdir=$lower,upperdir=/run/layers/$folder/upper,workdir=/run/layers/$folder/work" \\
        overlay "/$folder"
done
"""

# The last lines of the first process. Ended children of others are its own, and it does not care for them.
_STAY = """
echo ready
exec >/dev/null
trap '' CHLD
exec cat
"""


class Inside:
    """A process in the laboratory that goes on running; its output is in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log
        # The process that was started only enters, and waits for another.
        wait_for(lambda: bool(_children(process.pid)), f"{process.args!r} to start", seconds=20)
        self.pid = _children(process.pid)[0]
        """Its number as seen from outside."""

    def assert_runs(self) -> None:
        """Fails with what it wrote when it has ended."""
        assert self._process.poll() is None, f"{self._process.args!r} has ended:\n{self.output[-3000:]}"

    @property
    def output(self) -> str:
        """What it wrote."""
        return self.log.read_text("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self, seconds: float = 20) -> None:
        """End it in order, by force when it does not end."""
        if self._process.poll() is None:
            try:
                self.signal(signal.SIGTERM)
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Laboratory:
    """The machine; it exists from `start` to `stop`."""

    def __init__(self, folder: Path, peers: tuple[Path, ...] = ()) -> None:
        """`folder` is for all that the servers in it write; `peers` hold packages that were unpacked there."""
        folder.chmod(0o755)  # processes inside run as other users, who must get here
        hidden = [layer for layer in ("/etc", "/usr", "/var/lib", "/var/spool", "/run") if folder.is_relative_to(layer)]
        assert not hidden, f"{folder} would not be seen inside: set TMPDIR to a folder that is not below {hidden[0]}"
        self.folder = folder
        self._peers = peers
        self._numbers = count(10)
        self._running: list[Inside] = []

    def start(self) -> None:
        """Make it; fails where the system does not let us."""
        self._init = subprocess.Popen(
            [
                *("unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("--propagation", "private", "/bin/sh", "-e", "-c", f"{_SETUP}{_files()}{_STAY}", "sh"),
                *map(str, self._peers),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._init.stdout is not None and self._init.stderr is not None
        if self._init.stdout.readline() != b"ready\n":
            told = self._init.stderr.read().decode()
            self.stop()
            raise AssertionError(f"the laboratory cannot be made: {told}")
        (self._pid,) = _children(self._init.pid)
        self._threads = ThreadPoolExecutor(1, "inside", self.enter)

    def stop(self) -> None:
        """End everything in it."""
        for inside in reversed(self._running):
            inside.stop()
        if hasattr(self, "_threads"):
            self._threads.shutdown()
        self._init.communicate(timeout=20)

    # What happens inside.

    def command(self, *command: str | Path, own_processes: bool = True) -> list[str]:
        """What to run outside for a command to run inside; it begins in the folder `/`.

        Without `own_processes` the command is not killed with the laboratory, but it is the very process that was
        started: its number and signals are its own.
        """
        entered = [
            "nsenter",
            f"--target={self._pid}",
            "--net",
            "--mount",
            "--uts",
            *(["--pid"] if own_processes else []),
        ]
        return [*entered, "--", *map(str, command)]

    def run(self, *command: str | Path, stdin: bytes = b"", seconds: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside to its end; gives exit code and output."""
        return subprocess.run(
            self.command(*command), input=stdin, capture_output=True, timeout=seconds, env=_environment()
        )

    def check(self, *command: str | Path, stdin: bytes = b"") -> str:
        """Run a command that must succeed; gives its output."""
        done = self.run(*command, stdin=stdin)
        assert done.returncode == 0, f"{command!r}: {(done.stdout + done.stderr).decode('utf-8', 'replace')}"
        return done.stdout.decode()

    def launch(self, *command: str | Path, log: Path) -> Inside:
        """Start a server inside that stays in the foreground; it ends with the laboratory at the latest."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                self.command(*command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=_environment(),
                start_new_session=True,
            )
        inside = Inside(process, log)
        self._running.append(inside)
        return inside

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the test with the network of the laboratory; sockets that it makes stay there."""
        return self._threads.submit(function).result()

    def enter(self) -> None:
        """Give the calling thread the network of the laboratory, for as long as the thread lives."""
        with Path(f"/proc/{self._pid}/ns/net").open() as network:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(network.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    # Folders and addresses.

    def make_folder(self, name: str) -> Path:
        """A new folder of this name and a number, which every user may enter."""
        folder = self.folder / f"{name}{next(self._numbers)}"
        folder.mkdir()
        folder.chmod(0o755)
        return folder

    def address(self) -> str:
        """An IPv4 address that nobody has yet; nothing listens there, so connections are refused."""
        return f"192.0.2.{next(self._numbers)}"

    def address6(self) -> str:
        """The same for IPv6."""
        return f"2001:db8::{next(self._numbers)}"

    def wait_for_port(self, address: str, port: int, server: Inside) -> None:
        """Wait until somebody listens there."""

        def is_open() -> bool:
            server.assert_runs()
            return self.call(lambda: _connects(address, port))

        wait_for(is_open, f"{address} port {port}; see {server.log}", seconds=30)


def _files() -> str:
    users = "".join(f"{name}:x:{uid}:{uid}::/run/home/{name}:/bin/sh\\n" for name, uid in _USERS.items())
    groups = "".join(f"{name}:x:{uid}:\\n" for name, uid in _USERS.items())
    return (
        f"printf '{users}' >>/etc/passwd\n"
        f"printf '{groups}' >>/etc/group\n"
        f"rm -f /etc/resolv.conf\n"
        f"printf 'nameserver {RESOLVER}\\noptions trust-ad\\n' >/etc/resolv.conf\n"
        f"printf '127.0.0.1 localhost {HOST_NAME}\\n::1 localhost\\n' >/etc/hosts\n"
        f"printf '{HOST_NAME}\\n' >/etc/mailname\n"
        f"hostname {HOST_NAME}\n"
    )


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False
