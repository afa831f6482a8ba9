"""A server that is measured: what it can do, how it is put on this machine, how it is started for a purpose.

Each has its limits raised to the same concurrency, and is else as it is shipped: above all its durability. Nothing of
it is installed beside the system's; what must be unpacked is below `PLACE`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import ClassVar

from bench.measuring import LOOK_AFTER, ControlGroup

PLACE = Path(os.environ.get("ESTAFETA_PEERS", "/var/cache/estafeta-peers"))
_APT = threading.Lock()
DOMAIN = "bench.test"
RECIPIENT = f"foo@{DOMAIN}"
USER, PASSWORD = RECIPIENT, "correct-horse-battery"
MAILBOXES = 100
MOST_SESSIONS = 1200
"""For which all have room."""
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
ENVIRONMENT = {name: said for name, said in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"PATH": PATH}
"""Of the servers. Those in Python keep their bytecode, as where they are installed."""


class Purpose(StrEnum):
    """What a server is started for."""

    ACCEPT = "accept"
    DELIVER = "deliver"
    RELAY = "relay"
    SPREAD = "relay to many hosts"
    SUBMIT = "submit"
    IMAP = "imap"
    POP3 = "pop3"


class LeftOut(Exception):
    """Why a server cannot take part."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a server is given: a folder of its own, its port, and where mail is sent on to."""

    folder: Path
    port: int
    purpose: Purpose
    sink: int = 0
    is_numbered: bool = False
    """Whether numbered addresses lead to a hundred mailboxes."""
    certificate: Path | None = None
    key: Path | None = None
    settings: str = ""
    """Further settings, of Estafeta alone."""


@dataclass
class Running:
    """A server that runs."""

    peer: Peer
    ground: Ground
    group: ControlGroup
    started_at: float
    """When its process was started, of the performance counter."""
    delivered: Callable[[], int] | None = None
    """Messages in mailboxes; None: they are there when they are accepted."""
    recipient: str = RECIPIENT
    closing: list[Callable[[], object]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.ground.port

    def rest(self, most: float, quiet_for: float = LOOK_AFTER) -> None:
        """Wait until it has done what it does behind its answers, so that nothing of it runs beside another server.

        Nobody waits longer than `most` seconds for its processes to be quiet.
        """
        begins_at = self.started_at + self.peer.begins_within - time.perf_counter()
        time.sleep(max(self.peer.works_after, begins_at))
        self.group.rest(most, quiet_for)

    def end(self) -> None:
        """Stop it and all that belongs to it."""
        self.group.end()
        for close in self.closing:
            close()


class Peer(ABC):
    """One kind of server."""

    name: str
    is_durable = True
    """Whether its 250 is given after a sync."""
    works_after = 0.0
    """Seconds after the last message in which it begins with what it does behind its answers."""
    begins_within = 0.0
    """Seconds in which all of its processes have begun."""
    cannot: ClassVar[Mapping[Purpose, str]] = {}
    """Purposes for which it is left out, and why."""

    def prepare(self) -> None:  # noqa: B027 - what is there already needs nothing
        """Put it on this machine; raises LeftOut."""

    @abstractmethod
    def start(self, ground: Ground) -> Running:
        """Start it and wait for its greeting; raises LeftOut."""

    def launch(
        self,
        ground: Ground,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        greeting: bytes = b"220",
    ) -> Running:
        """Start a command in a control group of its own; raises LeftOut where something else has its port."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", ground.port), 5):
            raise LeftOut(f"something else listens on port {ground.port}")
        group = ControlGroup(f"{self.name.lower()}_{ground.port}")
        log = (ground.folder / "output").open("ab")
        started_at = time.perf_counter()
        process = subprocess.Popen(
            group.entering(command),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**ENVIRONMENT, **(environment or {})},
        )
        running = Running(self, ground, group, started_at, closing=[process.wait, log.close])
        try:
            wait_for(ground.port, greeting, self.name)
        except BaseException:
            running.end()
            raise
        return running


def restart(running: Running, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Stop a server and start it again on the same ground, with something done in between."""
    running.group.end()
    meanwhile()
    again = running.peer.start(running.ground)
    running.group, running.started_at = again.group, again.started_at
    running.closing = [*again.closing, *running.closing]


def wait_for(port: int, greeting: bytes, name: str, seconds: float = 30, *, address: str = "127.0.0.1") -> None:
    """Wait until a port greets; raises LeftOut."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with socket.create_connection((address, port), 5) as connection:
                if connection.recv(len(greeting)) == greeting:
                    connection.sendall(b"QUIT\r\n")
                    connection.recv(1000)
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise LeftOut(f"{name} does not answer on port {port}")


def unpacked(*packages: str) -> Path:
    """The folder with the files of Debian's packages, and of those they need that are not installed; raises LeftOut."""
    folder = PLACE / packages[0]
    with _APT:  # it works for one at a time
        if not folder.is_dir():
            _unpack(packages, folder)
    return folder


def _unpack(packages: Sequence[str], folder: Path) -> None:
    part = PLACE / f".{packages[0]}"
    archives = part / "archives"
    shutil.rmtree(part, ignore_errors=True)
    (archives / "partial").mkdir(parents=True)
    _update_lists()
    options = ["-y", "--reinstall", "--no-install-recommends", "-o", f"Dir::Cache::archives={archives}"]
    run(["apt-get", "install", "--download-only", *options, "-o", "APT::Sandbox::User=root", *packages], part)
    for archive in archives.glob("*.deb"):
        run(["dpkg", "-x", str(archive), str(part)], part)
    shutil.rmtree(archives)
    for name in ("bin", "lib", "sbin"):
        # Packages may have files where an installed system has only a link.
        if (part / name).is_dir():
            shutil.copytree(part / name, part / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(part / name)
    part.rename(folder)


@cache
def _update_lists() -> None:
    run(["apt-get", "update", "-q", "-q"], PLACE)


def run(command: list[str], folder: Path) -> None:
    """Run a step of the setup; raises LeftOut."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != 0:
        raise LeftOut(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()[-300:]}")


def program(name: str, package: str) -> str:
    """The path of a program; raises LeftOut."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise LeftOut(f"Debian's package {package} is not installed")
    return found


def folder_of(parent: Path, name: str, owner: str | int | None = None, group: str | None = None) -> Path:
    """Make a folder that everybody can pass."""
    folder = parent / name
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    if owner is not None:
        shutil.chown(folder, owner, group)
    return folder


def files_below(folder: Path) -> Callable[[], int]:
    """Counts messages in Maildirs."""

    def count() -> int:
        total = 0
        with os.scandir(folder) as boxes:
            for box in boxes:
                try:
                    with os.scandir(f"{box.path}/new") as entries:
                        total += sum(1 for _ in entries)
                except FileNotFoundError:
                    continue
        return total

    return count
