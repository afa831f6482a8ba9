"""What the store stands on: how its changes and queries are run, on which file system, by which clock.

`Machinery()` is threads, the system's files and the system's clock. The simulator has its own of all of these; the
store itself is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Protocol, TypeVar

from estafeta.mail.value import value
from estafeta.store.engine import Transaction
from estafeta.store.files import Files, SystemFiles
from estafeta.store.groupcommit import GroupCommit, ThreadDriver
from estafeta.store.ids import IdSource
from estafeta.store.readers import Readers

T = TypeVar("T")


class Writer(Protocol):
    """Runs the groups of a `GroupCommit`; see `ThreadDriver`."""

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """Have the change committed in a group; resolves when it is durable, raises what the change raised."""

    def write_later(self, change: Callable[[Transaction], object]) -> None:
        """Have the change committed in a group for which nobody waits; a failure is only logged."""

    @property
    def waiting(self) -> int:
        """Changes that wait for the next group."""

    def close(self) -> None:
        """Finish what waits."""


class Reader(Protocol):
    """Runs queries; see `Readers`."""

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """Run the query on a snapshot; raises what the query raised."""

    def close(self) -> None:
        """Finish what waits."""


@value
class Machinery:
    """See the module."""

    vfs: str | None = None
    """The SQLite file system; None: the usual one."""
    files: Files = field(default_factory=SystemFiles)
    """Where large contents are."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds, by which a group's length is measured."""
    writer: Callable[[GroupCommit], Writer] = ThreadDriver
    """Makes what runs the changes."""
    reader: Callable[[Path, IdSource, str | None], Reader] = Readers
    """Makes what runs the queries, of the database file, with the ids and on the SQLite file system."""
