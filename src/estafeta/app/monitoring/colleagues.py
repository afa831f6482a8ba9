"""Readings of the other processes of a server, so that one answer tells of all of them.

Each of them sends what it has counted, once a second and at its end, as one datagram to a Unix socket below the data
directory that the first process hears. What a process had counted when it ended, or died, still counts: sums do not
fall when a worker is started again, and at most its last second is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import structlog

from estafeta.app.monitoring.readings import Readings, ReadingsFault
from estafeta.app.monitoring.tallies import ProcessFacts, put_process
from estafeta.store.files import make_folder

_log = structlog.get_logger("estafeta.app.monitoring")

FOLDER = "monitoring"
"""Where the socket is, in the data directory."""
TELL_AFTER = 1.0
"""Seconds between two tellings."""
SILENT_AFTER = 10.0
"""Seconds after which a process that says nothing stands still."""
_NAME = "first.sock"
_MOST = 200 * 1024
"""Octets of one telling; what Linux lets a socket send by default."""


@dataclass(slots=True)
class _Colleague:
    """Another process, by what it said last."""

    name: str
    process: int
    facts: ProcessFacts
    readings: Readings
    heard_at: float

    def is_gone(self) -> bool:
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


class Hearing:
    """The first process hears the others, from `open` to `close`."""

    def __init__(self, data: Path, monotonic: Callable[[], float]) -> None:
        self._path = data / FOLDER / _NAME
        self._monotonic = monotonic
        self._socket: socket.socket | None = None
        self._colleagues: dict[tuple[int, float], _Colleague] = {}
        """By process id and the time of its begin."""
        self._departed = Readings()

    def open(self) -> None:
        """Make the socket. Raises OSError, also where the path is too long for one."""
        make_folder(self._path.parent.parent)
        make_folder(self._path.parent)
        self._path.unlink(missing_ok=True)
        hearer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            hearer.bind(str(self._path))
            self._path.chmod(0o600)
            asyncio.get_running_loop().add_reader(hearer.fileno(), self._read)
        except BaseException:
            hearer.close()
            raise
        self._socket = hearer

    def close(self) -> None:
        """Hear nothing any more; a second call does nothing."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._path.unlink(missing_ok=True)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._socket is not None:
                octets = self._socket.recv(_MOST)
                try:
                    self._hear(octets)
                except (ReadingsFault, ValueError, TypeError, KeyError) as error:
                    _log.warning("what another process tells of itself cannot be read", reason=str(error))

    def _hear(self, octets: bytes) -> None:
        head, _, rest = octets.partition(b"\n")
        told = json.loads(head)
        facts, readings = ProcessFacts(*map(float, told["facts"])), Readings.decode(rest)  # type: ignore[arg-type]
        life = int(told["process"]), facts.started_at
        known = self._colleagues.get(life)
        name = known.name if known is not None else self._free_name(life[0])
        self._colleagues[life] = _Colleague(name, life[0], facts, readings, self._monotonic())
        if told["is_last"]:
            self._depart(life)

    def _free_name(self, process: int) -> str:
        """The lowest number that no living process has; who has the same process id is dead."""
        for life, each in tuple(self._colleagues.items()):
            if each.process == process or each.is_gone():
                self._depart(life)
        taken = {each.name for each in self._colleagues.values()}
        return next(name for name in map(str, range(2, len(taken) + 3)) if name not in taken)

    def _depart(self, life: tuple[int, float]) -> None:
        gone = self._colleagues.pop(life)
        put_process(gone.readings, gone.name, gone.facts)
        self._departed.add(gone.readings, only_grown=True)

    def put(self, readings: Readings) -> None:
        """Add what all others have counted, those that have ended included."""
        for life, each in tuple(self._colleagues.items()):
            if each.is_gone():
                self._depart(life)
        readings.add(self._departed)
        for each in self._colleagues.values():
            readings.add(each.readings)
            put_process(readings, each.name, each.facts)

    @property
    def living(self) -> int:
        """Other processes that are known to run."""
        return sum(not each.is_gone() for each in self._colleagues.values())

    def silent(self) -> list[str]:
        """Processes that run and have said nothing for long."""
        late = self._monotonic() - SILENT_AFTER
        return sorted(each.name for each in self._colleagues.values() if each.heard_at < late and not each.is_gone())


class Telling:
    """Another process tells the first, once a second."""

    def __init__(
        self, data: Path, gather: Callable[[], Readings], facts: Callable[[], ProcessFacts], after: float = TELL_AFTER
    ) -> None:
        self._path = data / FOLDER / _NAME
        self._gather = gather
        self._facts = facts
        self._after = after
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tell."""
        self._tell_again()

    def _tell_again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._after, self._tell_again)
        self.tell()

    def tell(self, *, is_last: bool = False) -> bool:
        """Tell once; gives whether it was heard."""
        head = {"process": os.getpid(), "is_last": is_last, "facts": astuple(self._facts())}
        octets = json.dumps(head).encode() + b"\n" + self._gather().encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as teller:
            try:
                teller.sendto(octets, str(self._path))
            except OSError:  # the first process does not hear, or not now: the next time will do
                return False
        return True

    def stop(self) -> None:
        """Tell for the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.tell(is_last=True)
