"""What the store asks of a database: transactions of named statements, and the steps of a group commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from estafeta.store.ids import IdSource
from estafeta.store.statements import Statement

Row = tuple[Any, ...]


class Transaction(Protocol):
    """What a change or a query sees of the database; not to be used after it returned."""

    ids: IdSource
    memory: dict[object, Any]
    """What the changes of one group know of rows that wait (see `later`); emptied when these are written."""
    known: dict[object, Any]
    """What changes know of the database, the rows that wait among it, from one group to the next; emptied where a
    statement other than `peek` and `later` is run, and where another process has written."""

    def run(self, statement: Statement, **values: object) -> list[Row]:
        """Run a statement and give all its rows. Raises StoreError."""

    def one(self, statement: Statement, **values: object) -> Row | None:
        """Run a statement and give its first row, or None."""

    def peek(self, statement: Statement, **values: object) -> Row | None:
        """Like `one`, but blind to rows that wait: for rows that they do not touch."""

    def do(self, statement: Statement, **values: object) -> int:
        """Run a statement that gives no rows; gives how many rows it changed."""

    def execute_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        """Run a statement that gives no rows once for each mapping."""

    def later(self, statement: Statement, values: Mapping[str, object]) -> bool:
        """Insert, or change, one row at the end of the group, together with others, or before a statement that
        could see it; gives whether the row was changed, and supposes so while it waits.

        When the database disagrees (a conflict, a constraint), the group is run again without waiting, so that
        only the change fails which is to blame. Until they are written the values may still be altered.
        """

    def touch(self, touched_id: int) -> None:
        """A mailbox or an account has changed: who watches it is told after the commit (see `changes`)."""

    def remove_file(self, name: str) -> None:
        """Remove a content's file when the change is durable; never when it is rolled back."""


class Engine(Protocol):
    """The writing side of a database, used by one thread; every step raises StoreError."""

    @property
    def transaction(self) -> Transaction:
        """What the changes of the group are run on; asked for anew in each group."""

    def begin(self) -> None:
        """Wait for this process's turn and begin a group."""

    def mark(self) -> None:
        """Begin a change."""

    def keep(self) -> bool:
        """End a change that went well; False when the group must start again (before `restart`)."""

    def undo(self) -> bool:
        """Roll one change back; False when only the whole group can be (before `restart`).

        Raises when the database has given up the whole group.
        """

    def restart(self) -> None:
        """Roll the group back and begin it again, now so that each change can be rolled back alone."""

    def settle(self) -> bool:
        """Write the rows that wait; False when the group must start again (before `restart`)."""

    def commit(self) -> None:
        """Make the group durable, then remove the files that its changes released."""

    def rollback(self) -> None:
        """Give the group up; never raises."""

    def close(self) -> None:
        """Give everything back."""
