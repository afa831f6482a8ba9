"""What a store stands on in the simulator: groups and queries run in line, at moments of the virtual clock.

A group forms for a moment, is committed at once, and its tasks learn of it after the time of a sync; meanwhile the
next one forms, as with threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import apsw

from estafeta.simulation.loop import PROCESS, VirtualLoop
from estafeta.store.engine import Transaction
from estafeta.store.errors import StoreClosed
from estafeta.store.groupcommit import GroupCommit, Submission, resolve
from estafeta.store.ids import IdSource
from estafeta.store.readers import run_queries
from estafeta.store.sqlite import SqliteTransaction, connect

T = TypeVar("T")

FORM_MOST = 0.001
"""The longest that a group waits for more, in virtual seconds."""
SYNC_MOST = 0.02
"""The longest sync of a disk, in virtual seconds."""
READ_MOST = 0.002
"""The longest query."""


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


class LoopWriter:
    """Takes the place of the writer's thread."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self._loop = _loop()
        self._process = PROCESS.get()
        self._is_scheduled = False
        self._is_closed = False

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """See `ThreadDriver.write`."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit(Submission(change, future))
        return await future

    def write_later(self, change: Callable[[Transaction], object]) -> None:
        """See `ThreadDriver.write_later`."""
        self._submit(Submission(change))

    def _submit(self, submission: Submission) -> None:
        if self._is_closed:
            raise StoreClosed("the store is closed")
        self._commit.submit(submission)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_later(self._loop.random() * FORM_MOST, self._run)

    def _run(self) -> None:
        group = self._commit.run_group()
        self._loop.call_later(self._loop.random() ** 2 * SYNC_MOST, self._end, group)

    def _end(self, group: list[Submission]) -> None:
        self._is_scheduled = False
        resolve(group)
        if self._commit.has_waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    @property
    def waiting(self) -> int:
        """See `ThreadDriver.waiting`."""
        return self._commit.waiting

    def close(self) -> None:
        """Finish what waits, as long as the process is alive."""
        self._is_closed = True
        while self._commit.has_waiting and (self._process is None or self._process.is_alive):
            resolve(self._commit.run_group())


class LoopReader:
    """Takes the place of the readers' threads."""

    def __init__(self, path: Path, ids: IdSource, vfs: str | None) -> None:
        self._connection: apsw.Connection = connect(path, read_only=True, vfs=vfs)
        self._transaction = SqliteTransaction(self._connection, ids)
        self._loop = _loop()
        self._process = PROCESS.get()
        self._waiting: list[Submission] = []
        self._is_scheduled = False
        self._is_closed = False

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """See `Readers.read`."""
        if self._is_closed:
            raise StoreClosed("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(Submission(query, future))
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_later(self._loop.random() * READ_MOST, self._run)
        return await future

    def _run(self) -> None:
        self._is_scheduled = False
        if not self._is_closed:
            group, self._waiting = self._waiting, []
            run_queries(self._connection, self._transaction, group)
            resolve(group)

    def close(self) -> None:
        """Finish what waits, as long as the process is alive."""
        if self._process is None or self._process.is_alive:
            self._run()
        self._is_closed = True
        with suppress(apsw.Error):
            self._connection.close(True)
