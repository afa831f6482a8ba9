"""The embedded engine: SQLite through apsw, in WAL mode, synced at each commit.

Writers take turns by the write lock of `locks.py`, so SQLite's own waiting (which polls) is only met by
strangers such as the sqlite3 shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw

from estafeta.store.engine import Row
from estafeta.store.errors import ConstraintViolated, DiskFull, StoreError, damaged
from estafeta.store.ids import IdSource
from estafeta.store.locks import WriteLock
from estafeta.store.statements import Statement

DATABASE = "estafeta.sqlite3"
"""The name of the database file in the data directory."""

_STRANGER_MS = 10_000
"""How long a lock of a stranger is waited for, in milliseconds."""
_CHECKPOINT_PAGES = 4096
"""Pages of 4 KiB in the WAL before a commit copies them into the database: 16 MiB. With four times as many the
slowest commits take about half as long again; neither that nor a quarter gave more commits a second."""
_CACHE_KIB = 8_192
"""Of each connection. A commit that has split pages walks through the whole cache: with 64 MiB the writer used up to
15 % more CPU when it had filled. What is not in it is in the system's."""


_ROWS_TOGETHER = (64, 48, 32, 24, 20, 16, 14, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
"""Rows of one multi-row INSERT: so few numbers that their texts stay prepared, and so many that two of them make up
nearly any group."""
_STATEMENTS = 512
"""Texts that stay prepared."""

_KNOWN = 20_000
"""What may be known from one group to the next: mailboxes, mostly; a few megabytes."""

_ROWS_WAITING = 1000
"""Rows that may wait before a change begins: some milliseconds, so that a group knows how long it has taken."""

_VALUES = re.compile(r"\bVALUES (\([^()]*\))")
_ONE_OF = re.compile(r"\bIN \(:(\w+)\)$")
_PARAMETER = re.compile(r":(\w+)")


@lru_cache(maxsize=256)
def _numbers(count: int) -> tuple[int, ...]:
    """How many rows each statement takes of so many."""
    numbers: list[int] = []
    for together in _ROWS_TOGETHER:
        times, count = divmod(count, together)
        numbers += [together] * times
    return tuple(numbers)


@lru_cache(maxsize=64)
def _insert(statement: Statement) -> tuple[Callable[[Mapping[str, object]], tuple[object, ...]], dict[int, str]] | None:
    """How rows are put into one INSERT of many: the values of a row, and the text for a number of rows.

    The same for what is done to the rows of many ids, `... IN (:id)`, with nothing else to say of each. None for
    statements that are neither.
    """
    found = _VALUES.search(statement.text)
    one_of = _ONE_OF.search(statement.text) if found is None else None
    if one_of is not None and _PARAMETER.findall(statement.text) == [one_of[1]]:
        return _of_ids(statement.text[: one_of.start()], one_of[1])
    names = list(dict.fromkeys(_PARAMETER.findall(found[1]))) if found is not None else []
    if found is None or len(names) < 2:
        return None
    row, before, behind = found[1], statement.text[: found.start()], statement.text[found.end() :]
    # A row that fails makes the group start again, so SQLite need not be able to undo the statement alone: that saves
    # a copy of each page that it changes.
    before = before.replace("INSERT INTO", "INSERT OR FAIL INTO", 1)

    def numbered(number: int) -> str:
        first = number * len(names) + 1
        return _PARAMETER.sub(lambda name: f"?{first + names.index(name[1])}", row)

    texts = {count: f"{before}VALUES {', '.join(map(numbered, range(count)))}{behind}" for count in _ROWS_TOGETHER}
    return itemgetter(*names), texts


def _of_ids(before: str, name: str) -> tuple[Callable[[Mapping[str, object]], tuple[object, ...]], dict[int, str]]:
    texts = {
        count: f"{before}IN ({', '.join(f'?{number}' for number in range(1, count + 1))})" for count in _ROWS_TOGETHER
    }
    return lambda row: (row[name],), texts


_FAULTS = (apsw.Error, UnicodeDecodeError)
"""What running a statement raises; the second where text in the database is none."""


def translated(error: apsw.Error | UnicodeDecodeError) -> StoreError:
    """The store's word for an error of SQLite."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return damaged(f"the database {DATABASE} is damaged ({_words(error)})")
    if isinstance(error, UnicodeDecodeError):
        return damaged(f"the database {DATABASE} is damaged (text in it is none)")
    if isinstance(error, apsw.ConstraintError):
        return ConstraintViolated(str(error))
    if isinstance(error, apsw.FullError):
        return DiskFull("no space is left on the disk of the data directory")
    return StoreError(f"database: {error}")


def _words(error: apsw.Error) -> str:
    """What SQLite says, without apsw's name for it."""
    return str(error).partition(": ")[2] or str(error)


def connect(path: Path, *, read_only: bool = False, vfs: str | None = None) -> apsw.Connection:
    """Open the database file, which must exist, with the settings that every connection has."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    # One connection is used by one thread at a time, so SQLite need not guard it (NOMUTEX).
    connection = apsw.Connection(
        str(path), flags=flags | apsw.SQLITE_OPEN_NOMUTEX, vfs=vfs, statementcachesize=_STATEMENTS
    )
    connection.set_busy_timeout(_STRANGER_MS)
    # Plans do not depend on values (nothing is analysed). Without this a look at a mailbox is prepared anew each time,
    # because of the partial index there: a tenth of what a group of one message cost.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}").fetchall()
    connection.execute("PRAGMA temp_store = memory").fetchall()
    if read_only:
        connection.execute("PRAGMA query_only = on").fetchall()
        return connection
    connection.execute("PRAGMA foreign_keys = on").fetchall()
    connection.execute("PRAGMA synchronous = full").fetchall()
    connection.execute("PRAGMA journal_mode = wal").fetchall()
    connection.wal_autocheckpoint(_CHECKPOINT_PAGES)
    return connection


class SqliteTransaction:
    """Statements on one connection; see `engine.Transaction`."""

    def __init__(self, connection: apsw.Connection, ids: IdSource) -> None:
        self.ids = ids
        self.memory: dict[object, Any] = {}
        self.known: dict[object, Any] = {}
        self._connection = connection
        # One cursor for all statements, each of which is run to its end: to make one for each would cost 0.6 us.
        self._execute = connection.cursor().execute
        self.released: list[str] = []
        self.touched: set[int] = set()
        self.is_direct = False
        """Nothing waits: each row is written at once."""
        self._waiting: dict[Statement, list[Mapping[str, object]]] = {}
        self.added = 0
        """Rows of this group that waited."""
        self.flushed = 0
        """Those of them that are written."""
        self.is_spoilt = False
        """Rows that waited could not be written as was supposed: the group must start again."""

    def begin(self, *, is_direct: bool, is_unchanged: bool = False) -> None:
        """Forget what is left of the last group; `is_unchanged`: the database is as that group left it."""
        if not is_unchanged or len(self.known) > _KNOWN:
            self.known.clear()
        self.released.clear()
        self.touched.clear()
        self.memory.clear()
        self._waiting.clear()
        self.added = self.flushed = 0
        self.is_direct = is_direct
        self.is_spoilt = False

    def flush(self) -> None:
        """Write the rows that wait; raises StoreError, and the group must start again then."""
        # As many rows a statement as can be: each step of one gives the interpreter's lock to the other threads and
        # takes it back, which costs several times what the row itself does.
        connection = self._connection
        before = connection.total_changes()
        count = 0
        try:
            for statement, rows in self._waiting.items():
                count += len(rows)
                insert = _insert(statement)
                if insert is None:
                    for row in rows:
                        self._execute(statement.text, row)
                    continue
                values, texts = insert
                at = 0
                for together in _numbers(len(rows)):
                    chunk = map(values, rows[at : at + together])
                    self._execute(texts[together], tuple(chain.from_iterable(chunk)))
                    at += together
        except apsw.Error as error:
            self.is_spoilt = True
            raise translated(error) from error
        finally:
            self._waiting.clear()
            self.memory.clear()
        if connection.total_changes() - before != count:
            self.is_spoilt = True
            raise ConstraintViolated("a row that waited was there already, or is gone")
        self.flushed += count

    def _attend(self) -> None:
        """Before a statement that could see the rows that wait, and could change what is known."""
        self.known.clear()
        if self.memory or self.added > self.flushed:
            self.flush()

    def run(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of the statement."""
        self._attend()
        try:
            return self._execute(statement.text, values).fetchall()
        except _FAULTS as error:
            raise translated(error) from error

    def one(self, statement: Statement, **values: object) -> Row | None:
        """The first row of the statement, or None."""
        self._attend()
        return self.peek(statement, **values)

    def peek(self, statement: Statement, **values: object) -> Row | None:
        """The first row of the statement, or None, as if no rows waited."""
        try:
            rows = self._execute(statement.text, values).fetchall()
        except _FAULTS as error:
            raise translated(error) from error
        return rows[0] if rows else None

    def do(self, statement: Statement, **values: object) -> int:
        """How many rows the statement changed."""
        self._attend()
        try:
            self._execute(statement.text, values)
        except _FAULTS as error:
            raise translated(error) from error
        return self._connection.changes()

    def execute_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        """The statement, once for each mapping."""
        self._attend()
        try:
            self._connection.executemany(statement.text, rows)
        except apsw.Error as error:
            raise translated(error) from error

    def later(self, statement: Statement, values: Mapping[str, object]) -> bool:
        """The statement with others like it, at the end of the group or when something could see its row."""
        if self.is_direct:
            self.memory.clear()
            return bool(self.do(statement, **values))
        self.added += 1
        rows = self._waiting.get(statement)
        if rows is None:
            self._waiting[statement] = [values]
        else:
            rows.append(values)
        return True

    def touch(self, touched_id: int) -> None:
        """Have who watches it told after the commit."""
        self.touched.add(touched_id)

    def remove_file(self, name: str) -> None:
        """Remove a content's file when the change is durable."""
        self.released.append(name)


class SqliteEngine:
    """The one writing connection of a process; see `engine.Engine`. `remove_file` must not raise."""

    def __init__(
        self,
        path: Path,
        lock: WriteLock,
        ids: IdSource,
        *,
        remove_file: Callable[[str], None],
        tell: Callable[[Iterable[int]], None],
        begin_doubt: Callable[[], None] = lambda: None,
        end_doubt: Callable[[], None] = lambda: None,
        vfs: str | None = None,
    ) -> None:
        self._path = path
        self._lock = lock
        self._ids = ids
        self._remove_file = remove_file
        self._tell = tell
        self._begin_doubt = begin_doubt
        self._end_doubt = end_doubt
        self._vfs = vfs
        self._is_broken = False
        self._is_in_doubt = False
        """A commit failed, and none that wrote something has succeeded since."""
        self._changes_before = 0
        self._version: int | None = None
        """What the database was when the last group was committed; None when that is not known."""
        self._kept = 0
        self._mark = (0, 0)
        self._has_savepoints = False
        self._open()

    def _open(self) -> None:
        self._connection = connect(self._path, vfs=self._vfs)
        self._pages = 0
        # In the place of SQLite's own checkpoints, whose errors could be taken for those of the commit before them.
        self._connection.set_wal_hook(self._count_pages)
        self._execute = self._connection.cursor().execute
        self.transaction = SqliteTransaction(self._connection, self._ids)

    def _count_pages(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def begin(self) -> None:
        """Wait for this process's turn and begin a group."""
        try:
            self._lock.acquire()
        except OSError as error:
            raise StoreError(f"write lock: {error.strerror}") from error
        try:
            if self._is_broken:
                self._reopen()
            self._execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            self._lock.release()
            raise translated(error) from error
        is_unchanged = self._version is not None and self._data_version() == self._version
        self._version = None
        self.transaction.begin(is_direct=False, is_unchanged=is_unchanged)
        self._changes_before = self._connection.total_changes()
        self._kept = 0
        self._has_savepoints = False

    def _data_version(self) -> int | None:
        """A number that each commit changes, here and elsewhere; within a group that of its snapshot."""
        try:
            return self._connection.data_version()
        except apsw.Error:
            return None

    def _reopen(self) -> None:
        # After a failed write or sync a connection's view of the file cannot be trusted; a new one's can.
        self._connection.close(True)
        self._open()
        self._is_broken = False

    def mark(self) -> None:
        """Begin a change."""
        if self._has_savepoints:
            self._step("SAVEPOINT change")
        else:
            self._mark = self._written()

    def _written(self) -> tuple[int, int]:
        """Rows written at once, and rows that wait or have waited; these may be written in a later change."""
        transaction = self.transaction
        return self._connection.total_changes() - transaction.flushed, transaction.added

    def keep(self) -> bool:
        """End a change that went well; False when what it was built on failed and it overlooked that."""
        if self._has_savepoints:
            self._step("RELEASE change")
        elif not self._connection.in_transaction:  # and the change overlooked it
            raise StoreError("the database gave the group up")
        elif self.transaction.is_spoilt:
            return False
        self._kept = len(self.transaction.released)
        return self.transaction.added - self.transaction.flushed < _ROWS_WAITING or self.settle()

    def undo(self) -> bool:
        """Roll one change back; without savepoints that is possible when it changed nothing."""
        if self._has_savepoints:
            self._step("ROLLBACK TO change")
            self._step("RELEASE change")
            self.transaction.memory.clear()
            self.transaction.known.clear()
        elif not self._connection.in_transaction:
            raise StoreError("the database gave the group up")
        elif self.transaction.is_spoilt or self._written() != self._mark:
            return False
        del self.transaction.released[self._kept :]
        return True

    def restart(self) -> None:
        """Roll the group back and begin it again with savepoints."""
        self._step("ROLLBACK")
        self._step("BEGIN IMMEDIATE")
        self.transaction.begin(is_direct=True)
        self._kept = 0
        self._has_savepoints = True

    def settle(self) -> bool:
        """Write the rows that wait."""
        try:
            self.transaction.flush()
        except StoreError:
            if not self._connection.in_transaction:
                raise
            return False
        return True

    def _step(self, text: str) -> None:
        try:
            self._execute(text)
        except apsw.Error as error:
            raise translated(error) from error

    def commit(self) -> None:
        """Make the group durable."""
        try:
            self._execute("COMMIT")
        except apsw.Error as error:
            if isinstance(error, apsw.IOError):
                # What a failed sync leaves in the WAL counts for who recovers it, until another commit is written over
                # it: this group may yet have happened when the machine has crashed.
                self._is_in_doubt = True
                self._begin_doubt()
            raise translated(error) from error
        self._version = self._data_version()
        if self._pages >= _CHECKPOINT_PAGES:
            with suppress(apsw.Error):  # the next commit tries again
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._lock.release()
        if self._is_in_doubt and self._connection.total_changes() > self._changes_before:
            self._is_in_doubt = False
            self._end_doubt()
        for name in self.transaction.released:
            self._remove_file(name)
        if self.transaction.touched:
            self._tell(self.transaction.touched)

    def rollback(self) -> None:
        """Give the group up."""
        self._is_broken = True
        try:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except apsw.Error:
            pass  # the connection is replaced before the next group
        finally:
            self._lock.release()

    def close(self) -> None:
        """Copy the WAL into the database and close."""
        try:
            self._lock.acquire()
            try:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                self._lock.release()
        except (apsw.Error, OSError):
            pass  # the next process that opens the store reads the WAL
        with suppress(apsw.Error):  # of the last look at the WAL that closing takes
            self._connection.close(True)
