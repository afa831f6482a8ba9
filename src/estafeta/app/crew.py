"""The other processes of a server: further workers, and the indexer.

The first process serves as well as they do; besides it starts them, starts them again when they die, passes signals
on, and ends them. Each has a pipe from it as standard input, and ends when that is closed: so none outlives it. The
indexer ends by itself when it has had nothing to do for long, and is started again at the next change.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from estafeta.app.patience import Patience
from estafeta.app.privileges import HeldKey
from estafeta.config.settings import ProcessSettings
from estafeta.mail.value import value
from estafeta.net.inherited import OWN_VARIABLE, ListeningSockets

_log = structlog.get_logger("estafeta.app.crew")

RESTART_AFTER = (1.0, 60.0)
"""Seconds before a process that died is started again: at first, and at most; doubled each time."""
STEADY_AFTER = 60.0
"""Seconds after which a process is no longer taken for one that dies at once."""
INDEXER_AFTER = 5.0
"""Seconds after which the indexer is started: it would take half of the processor on which the server starts."""
ENDING_TAKES = 5.0
"""Seconds from a process's decision that there is nothing to do to its end; less than it waits before it decides."""
NOT_BEGUN = 127
"""The exit code of a command that cannot be run, as shells have it."""
STANDARD_INPUT = 0

Watch = Callable[[Callable[[int], None]], Callable[[], None]]
"""Has a callback called after each change of a mailbox; gives what ends that."""


@value
class Commands:
    """What the other processes are started by."""

    worker: Sequence[str]
    indexer: Sequence[str]


class Crew:
    """The other processes; `fit` starts and ends them, `stop` ends them all.

    Workers get their share of the `sockets`, and the `key`, so that they can serve without the rights of root. `watch`
    tells when the indexer is to be started again after it has ended by itself.
    """

    def __init__(
        self,
        commands: Commands,
        *,
        restart_after: tuple[float, float] = RESTART_AFTER,
        indexer_after: float = INDEXER_AFTER,
        sockets: ListeningSockets | None = None,
        key: HeldKey | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._commands = commands
        self._watch = watch
        self._sockets = sockets
        self._key = key
        self._restart_after = restart_after
        self._indexer_after = indexer_after
        self._members: dict[str, _Member] = {}

    async def fit(self, settings: ProcessSettings, seconds: float) -> None:
        """Have as many as the settings say; those that are too many get `seconds` to end."""
        wanted = {
            f"worker {number}": _Start(self._commands.worker, self._key, self._sockets, number)
            for number in range(2, settings.workers + 1)
        }
        if settings.indexer:
            wanted["indexer"] = _Start(self._commands.indexer, after=self._indexer_after, watch=self._watch)
        surplus = [self._members.pop(name) for name in [*self._members] if name not in wanted]
        for name, start in wanted.items():
            if name not in self._members:
                self._members[name] = _Member(name, start, self._restart_after)
        await asyncio.gather(*(member.stop(seconds) for member in surplus))

    def reload(self) -> None:
        """Have them read the settings again."""
        for member in self._members.values():
            member.send(signal.SIGHUP)

    async def stop(self, seconds: float) -> None:
        """End them all; who has not ended after so many seconds is killed."""
        members = [*self._members.values()]
        self._members.clear()
        await asyncio.gather(*(member.stop(seconds) for member in members))


@value
class _Start:
    """How a process is started, and what it is handed."""

    command: Sequence[str]
    key: HeldKey | None = None
    sockets: ListeningSockets | None = None
    number: int = 0
    """Which of the processes that serve it is."""
    after: float = 0.0
    """Seconds before it is started first."""
    watch: Watch | None = None
    """It may end when it has nothing to do, until what this tells of."""

    async def begin(self) -> asyncio.subprocess.Process:
        """Start it. Raises OSError."""
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        descriptors: list[int] = []
        if self.sockets is not None:
            descriptors += await self.sockets.share(self.number)
            environment[OWN_VARIABLE] = ",".join(map(str, descriptors))
        if self.key is not None:
            descriptors.append(self.key.descriptor)
            environment |= self.key.variable
        return await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, env=environment, pass_fds=descriptors
        )

    def give_up(self) -> None:
        """It dies again and again: others accept what comes to its ports meanwhile."""
        if self.sockets is not None:
            self.sockets.give_up(self.number)


class _Occasion:
    """When a process that has ended by itself is started again: a quiet moment after the next change."""

    def __init__(self, watch: Watch) -> None:
        self._clock = asyncio.get_running_loop().time
        self._heard_at = -ENDING_TAKES
        self._patience = Patience()
        self.close = watch(self._hear)

    def _hear(self, changed: int) -> None:
        self._heard_at = self._clock()
        self._patience.hear(changed)

    async def come(self) -> None:
        """Wait for it; a change that the process may not have heard any more is the next one too."""
        if self._clock() - self._heard_at > ENDING_TAKES:
            self._patience.forget()
        await self._patience.turn()


class _Member:
    """One process, started again whenever it ends by itself."""

    def __init__(self, name: str, start: _Start, restart_after: tuple[float, float]) -> None:
        self._name = name
        self._first_pause, self._longest_pause = restart_after
        self._start = start
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False
        self._is_beginning = False
        self._told: list[signal.Signals] = []
        """What it was sent while it was begun: it may have read the settings of before."""
        self._occasion = None if start.watch is None else _Occasion(start.watch)
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        pause = self._first_pause
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._start.after)
        while not self._is_stopping:
            began = loop.time()
            try:
                code = await (await self._begin()).wait()
            except OSError as error:
                code = NOT_BEGUN
                reason = error.strerror or str(error)
            else:
                reason = f"exit code {code}" if code >= 0 else f"signal {-code}"
            if self._is_stopping:
                return
            if code == -signal.SIGHUP:
                continue  # told to read the settings again before it could listen: now it reads them
            if code == 0 and self._occasion is not None:
                await self._occasion.come()
                continue
            if loop.time() - began > STEADY_AFTER:
                pause = self._first_pause
            elif pause != self._first_pause:
                self._start.give_up()
            _log.error("a process of the server has ended", process=self._name, reason=reason, again_after=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._longest_pause)

    async def _begin(self) -> asyncio.subprocess.Process:
        """Start the process, and send it what came for it meanwhile. Raises OSError."""
        self._told.clear()
        self._is_beginning = True
        try:
            process = self._process = await self._start.begin()
        finally:
            self._is_beginning = False
        for each in self._told:
            self.send(each)
        return process

    def send(self, what: signal.Signals) -> None:
        """Send it a signal, if it runs, or as soon as it has begun."""
        if self._is_beginning:
            self._told.append(what)
        elif self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(what)

    async def stop(self, seconds: float) -> None:
        """End it; kill it when it takes longer."""
        self._is_stopping = True
        if self._occasion is not None:
            self._occasion.close()
        if self._process is None or self._process.returncode is not None:
            self._task.cancel()  # it is between two processes, or begins one
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._ended())
        except TimeoutError:
            _log.warning("a process of the server was killed", process=self._name, after_seconds=seconds)
            self.send(signal.SIGKILL)
            await self._ended()

    async def _ended(self) -> None:
        await asyncio.wait([self._task])
        process = self._process
        if process is None:
            return
        if process.returncode is None:  # the task was cancelled while it began
            self.send(signal.SIGTERM)
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def end_with_parent(end: Callable[[], None]) -> None:
    """Call `end` once when the process that started this one is gone, or wants it to end."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        try:
            if os.read(STANDARD_INPUT, 1024):
                return
        except OSError:
            pass  # as good as closed
        loop.remove_reader(STANDARD_INPUT)
        end()

    loop.add_reader(STANDARD_INPUT, look)
