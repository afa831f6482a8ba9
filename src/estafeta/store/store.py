"""The store's face: `write` makes a change durable, `read` asks on a snapshot, `open_store` opens it all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw

from estafeta.store.changes import Changes
from estafeta.store.content import SPOOL_THRESHOLD, ContentStore
from estafeta.store.engine import Engine, Row, Transaction
from estafeta.store.errors import Damaged, StoreError, os_error
from estafeta.store.files import make_folder, open_private, sync_folder
from estafeta.store.groupcommit import GroupCommit
from estafeta.store.ids import IdSource
from estafeta.store.locks import Presence, WorkerSlot, WriteLock
from estafeta.store.machinery import Machinery, Reader, Writer
from estafeta.store.migrations import Migration, known_migrations, migrate
from estafeta.store.rewriting import rewrite_log
from estafeta.store.soundness import refuse_damaged
from estafeta.store.sqlite import DATABASE, SqliteEngine, connect, translated
from estafeta.store.statements import Statement, Statements
from estafeta.store.tally import CommitTally

__all__ = ["DATABASE", "Row", "Statement", "Store", "Transaction", "open_store"]

T = TypeVar("T")

_sql = Statements("store")


class Store:
    """Everything durable. Made by `open_store`; the methods are for the tasks of an event loop."""

    def __init__(
        self,
        engine: Engine,
        writer: Writer,
        readers: Reader,
        content: ContentStore,
        ids: IdSource,
        changes: Changes,
        locks: list[_Closable],
        commits: CommitTally,
    ) -> None:
        self.content = content
        """The folder of large contents."""
        self.ids = ids
        """Where new ids come from."""
        self.changes = changes
        """Who watches learns of commits."""
        self.commits = commits
        """What is counted of them."""
        self._engine = engine
        self._writer = writer
        self._readers = readers
        self._locks = locks
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Changes that wait for the next commit."""
        return self._writer.waiting

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """Commit a change together with others that wait; resolves when it is durable.

        An exception of the change rolls back this change only, and is raised here. A change acts on its
        transaction only, for it may be run twice. Raises StoreError (such as DiskFull) when the commit failed:
        nothing of the change was done then.
        """
        return await self._writer.write(change)

    def write_later(self, change: Callable[[Transaction], object]) -> None:
        """Have a change committed without waiting for it; a failure is logged. For records of what was."""
        self._writer.write_later(change)

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """Run a query on a snapshot that contains every write that resolved before. Raises StoreError."""
        return await self._readers.read(query)

    def close(self) -> None:
        """Finish the writes and reads that wait, then close; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._writer.close()
        self._readers.close()
        self._engine.close()
        for lock in self._locks:
            lock.close()


_Closable = WriteLock | WorkerSlot | Presence


def open_store(
    data_directory: Path,
    *,
    clock: Callable[[], float],
    large_content: int = SPOOL_THRESHOLD,
    migrations: list[Migration] | None = None,
    machinery: Machinery | None = None,
) -> Store:
    """Open the store of a data directory, making or migrating it when needed (blocks; seconds at most).

    `clock` gives seconds since 1970; content of more than `large_content` octets is kept as a file. Several
    processes may have one store open. `migrations` and `machinery` are other than the usual only where faults and
    other versions are tried out.
    Raises NewerSchema, Damaged, StoreError.
    """
    machinery = machinery or Machinery()
    vfs = machinery.vfs
    try:
        path = _make_files(data_directory)
        locks = data_directory / "lock"
        presence = Presence(locks)
        write_lock = WriteLock(locks)
        worker = WorkerSlot(locks)
    except OSError as error:
        raise StoreError(f"cannot open {data_directory}: {os_error(error)}") from error
    held: list[_Closable] = [write_lock, worker, presence]
    try:
        if presence.is_alone:
            refuse_damaged(data_directory, vfs)
            rewrite_log(path.with_name(f"{DATABASE}-wal"), vfs)
        largest = _prepare(path, write_lock, migrations or known_migrations(), vfs, is_alone=presence.is_alone)
        ids = IdSource(clock, worker=worker.number, above=largest)
        content = ContentStore(data_directory, ids, threshold=large_content, files=machinery.files)
        changes = Changes(data_directory, ids.text(ids.next_id()))
        engine = SqliteEngine(
            path,
            write_lock,
            ids,
            remove_file=content.remove,
            tell=changes.tell,
            begin_doubt=content.begin_doubt,
            end_doubt=content.end_doubt,
            vfs=vfs,
        )
        if presence.is_alone:
            _sweep(path, content, vfs)
        presence.admit_others()
        readers = machinery.reader(path, ids, vfs)
    except (apsw.Error, OSError, StoreError) as error:
        for lock in held:
            lock.close()
        if isinstance(error, apsw.Error):
            error = translated(error)
        if isinstance(error, Damaged):
            raise Damaged(f"cannot open {data_directory}: {error}") from error
        if isinstance(error, OSError):
            raise StoreError(f"cannot open {data_directory}: {os_error(error)}") from error
        raise error
    group_commit = GroupCommit(engine, monotonic=machinery.monotonic)
    writer = machinery.writer(group_commit)
    return Store(engine, writer, readers, content, ids, changes, held, group_commit.tally)


def _make_files(data_directory: Path) -> Path:
    if not data_directory.is_dir():
        make_folder(data_directory)
        sync_folder(data_directory.parent)
    make_folder(data_directory)
    make_folder(data_directory / "lock")
    path = data_directory / DATABASE
    # SQLite gives its WAL the mode of the database, so making this file makes them all private.
    os.close(open_private(path))
    return path


def _prepare(path: Path, lock: WriteLock, migrations: list[Migration], vfs: str | None, *, is_alone: bool) -> int:
    """Bring the schema up to date; gives the largest id in the database."""
    lock.acquire()
    try:
        connection = connect(path, vfs=vfs)
        try:
            migrate(connection, path.parent, migrations)
            if is_alone and migrations[-1].number >= 2:
                # Who relayed before is dead: what was claimed can be claimed anew at once.
                connection.execute(_sql.forget_holders.text).fetchall()
            return int(connection.execute(_sql.largest_id.text).fetchall()[0][0] or 0)
        finally:
            connection.close(True)
    finally:
        lock.release()


def _sweep(path: Path, content: ContentStore, vfs: str | None) -> None:
    connection = connect(path, read_only=True, vfs=vfs)
    try:
        named = {name for (name,) in connection.execute(_sql.content_files.text)}
        asked: set[str] = set()

        def is_named(name: str) -> bool:
            # A damaged index may leave a name out: before a file goes the table itself is read.
            if name not in named and not asked:
                asked.update(name for (name,) in connection.execute(_sql.all_content_files.text))
                asked.add("")
            return name in named or name in asked

        content.sweep(is_named)
    finally:
        connection.close(True)
