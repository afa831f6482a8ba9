"""What changes a store's database behind the back of who has it open, in the same process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from estafeta.store.store import DATABASE


@contextmanager
def behind(data: Path) -> Iterator[apsw.Connection]:
    """A connection of its own; each statement is a transaction.

    It is of the library that the store has: another copy of SQLite in the process would take itself for the first to
    open the database, as POSIX's locks are those of a process, and cut off memory that the store has mapped.
    """
    connection = apsw.Connection(str(data / DATABASE))
    connection.set_busy_timeout(5_000)
    try:
        yield connection
    finally:
        connection.close()
