"""Reader threads: queries on connections of their own, each on a consistent snapshot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import apsw

from estafeta.store.engine import Transaction
from estafeta.store.errors import StoreClosed
from estafeta.store.groupcommit import Submission, resolve
from estafeta.store.ids import IdSource
from estafeta.store.sqlite import SqliteTransaction, connect, translated

T = TypeVar("T")

_READERS = 2
"""A slow query, such as a trace, leaves another thread for quick ones; more would wait for one another."""
_TOGETHER = 16
"""Queries that waited together share one snapshot and one wake-up of the loop; few, so that none is late."""


class Readers:
    """A small pool of reader threads."""

    def __init__(self, path: Path, ids: IdSource, vfs: str | None = None) -> None:
        self._inbox: SimpleQueue[Submission | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._connections = [connect(path, read_only=True, vfs=vfs) for _ in range(_READERS)]
        self._threads = [
            threading.Thread(target=self._run, args=(one, ids), name=f"store-reader-{number}", daemon=True)
            for number, one in enumerate(self._connections)
        ]
        for thread in self._threads:
            thread.start()

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """Run the query on a snapshot; raises what the query raised."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._gate:
            if self._closed:
                raise StoreClosed("the store is closed")
            self._inbox.put(Submission(query, future))
        return await future

    def close(self) -> None:
        """Finish what waits, and end the threads."""
        with self._gate:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._inbox.put(None)
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            connection.close(True)

    def _run(self, connection: apsw.Connection, ids: IdSource) -> None:
        transaction = SqliteTransaction(connection, ids)
        inbox = self._inbox
        while (first := inbox.get()) is not None:
            group = [first]
            # Leave something for the other thread: it may be idle, and a query of this group slow.
            for _ in range(min(inbox.qsize() // _READERS, _TOGETHER - 1)):
                submission = inbox.get()
                if submission is None:
                    inbox.put(None)  # ends this thread, or the other, after this group
                    break
                group.append(submission)
            run_queries(connection, transaction, group)
            resolve(group)


def run_queries(connection: apsw.Connection, transaction: SqliteTransaction, group: list[Submission]) -> None:
    """Run them on one snapshot; each has its value or its error then."""
    try:
        connection.execute("BEGIN")
        for submission in group:
            try:
                submission.value = submission.change(transaction)
            except BaseException as error:
                submission.error = error
        if connection.in_transaction:  # an I/O error may have ended it
            connection.execute("COMMIT")
    except apsw.Error as error:
        for submission in group:
            submission.error = submission.error or translated(error)
