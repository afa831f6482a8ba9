"""Group commit: many changes, one sync of the disk.

A group takes all changes that wait, runs them, commits once and then resolves all. While a commit syncs, the
next group forms, so there is no timer. `GroupCommit` knows no thread and no loop: a driver calls it.
`ThreadDriver` does so on the one writer thread; a simulator calls `run_group` on its virtual clock.
Savepoints cost a fifth of a small change, so a group runs without; when a change fails after it had written, or
rows that waited cannot be written, the group starts again with one for each change. So a change may run twice:
it acts on its transaction only.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, TypeVar

import structlog

from estafeta.store.engine import Engine, Transaction
from estafeta.store.errors import StoreClosed, StoreError
from estafeta.store.tally import CommitTally

T = TypeVar("T")

_log = structlog.get_logger("estafeta.store.groupcommit")

GROUP_SECONDS = 0.05
"""No new change is begun in a group after this long: a person does not notice 50 ms, and another process that
waits for its turn, or a session whose change came just too late, waits no longer than this and one sync."""


class Submission:
    """One change that waits, and after its group what became of it: a value or an error."""

    __slots__ = ("change", "error", "ticket", "value")

    def __init__(self, change: Callable[[Transaction], Any], ticket: Any = None) -> None:
        self.change = change
        self.ticket = ticket
        self.value: Any = None
        self.error: BaseException | None = None


class GroupCommit:
    """The changes that wait, and how a group of them is committed."""

    def __init__(self, engine: Engine, *, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._waiting: deque[Submission] = deque()
        self.tally = CommitTally()
        """What is counted of the groups."""

    @property
    def has_waiting(self) -> bool:
        """Whether a group can be run."""
        return bool(self._waiting)

    @property
    def waiting(self) -> int:
        """Changes that wait."""
        return len(self._waiting)

    def submit(self, submission: Submission) -> None:
        """Let a change wait for the next group; changes are run in the order in which they came."""
        self._waiting.append(submission)

    def run_group(self) -> list[Submission]:
        """Run and commit what waits; gives the submissions that now have a value or error. Never raises."""
        self.tally.begin(self._monotonic())
        try:
            self._engine.begin()
        except Exception as error:
            self.tally.fail(str(error))
            return self.give_up(error)
        group: list[Submission] = []
        try:
            if not (self._run_changes(group) and self._engine.settle()):
                self._engine.restart()
                self._waiting.extendleft(reversed(group))
                group.clear()
                self._run_changes(group)
            self._engine.commit()
        except Exception as error:
            self._engine.rollback()
            _fail(group, error)
            self.tally.fail(str(error))
        else:
            self.tally.succeed(self._monotonic(), len(group))
        return group

    def give_up(self, error: Exception) -> list[Submission]:
        """Fail all that waits; gives it."""
        group = list(self._waiting)
        self._waiting.clear()
        _fail(group, error)
        return group

    def _run_changes(self, group: list[Submission]) -> bool:
        """Take what waits into the group and run it; False when the group must start again."""
        engine, waiting = self._engine, self._waiting
        transaction = engine.transaction
        end = self._monotonic() + GROUP_SECONDS
        while waiting:
            submission = waiting.popleft()
            group.append(submission)
            engine.mark()
            submission.error = None
            try:
                submission.value = submission.change(transaction)
            except BaseException as error:
                submission.error = error
                if not engine.undo():
                    return False
            else:
                if not engine.keep():
                    return False
            if self._monotonic() > end:
                break
        return True


def _fail(group: Iterable[Submission], error: Exception) -> None:
    """Give each change of a lost group an error of its own, for a shared one would gather their tracebacks.

    A change that had failed for its own reason keeps that.
    """
    kind = type(error) if isinstance(error, StoreError) else StoreError
    for submission in group:
        submission.value = None
        if submission.error is None:
            submission.error = kind(str(error))
            submission.error.__cause__ = error


class ThreadDriver:
    """Runs a group commit on its own thread for the tasks of any number of event loops."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self._inbox: deque[Submission] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        """Rung with True when there is something in the inbox, with False at the end."""
        self._ringing: asyncio.AbstractEventLoop | None = None
        """The event loop that is about to ring the bell."""
        self._closed = False
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """Have the change committed in a group; resolves when it is durable, raises what the change raised.

        A task that is cancelled meanwhile does not stop its change.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._submit(Submission(change, future))
        return await future

    def write_later(self, change: Callable[[Transaction], object]) -> None:
        """Have the change committed in a group for which nobody waits; a failure is only logged."""
        self._submit(Submission(change))

    def _submit(self, submission: Submission) -> None:
        loop = asyncio.get_running_loop()
        with self._gate:
            if self._closed:
                raise StoreClosed("the store is closed")
            self._inbox.append(submission)
        # The thread is woken once for all that the tasks of this turn of the loop hand in: woken for the first of
        # them, it would commit that alone, and take the interpreter's lock from the others.
        if self._ringing is not loop:
            self._ringing = loop
            loop.call_soon(self._ring)

    def _ring(self) -> None:
        self._ringing = None
        self._bell.put(True)

    @property
    def waiting(self) -> int:
        """Changes that wait for the next group."""
        return len(self._inbox) + self._commit.waiting

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._bell.put(False)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._run_groups()
        except BaseException:
            self._die()
            _log.critical("the store's writer has failed", exc_info=True)

    def _die(self) -> None:
        with self._gate:
            self._closed = True
        self._commit.tally.is_dead = True
        while self._inbox:
            self._commit.submit(self._inbox.popleft())
        resolve(self._commit.give_up(StoreClosed("the store's writer has failed")))

    def _run_groups(self) -> None:
        commit, inbox = self._commit, self._inbox
        is_open = True
        while is_open or inbox or commit.has_waiting:
            if is_open and not inbox and not commit.has_waiting:
                is_open = self._bell.get()
            while inbox:
                commit.submit(inbox.popleft())
            if commit.has_waiting:
                resolve(commit.run_group())


def resolve(group: list[Submission]) -> None:
    """Wake the tasks that wait for these submissions: one call into each event loop for all of its tasks."""
    loops: dict[asyncio.AbstractEventLoop, list[Submission]] = {}
    for submission in group:
        if submission.ticket is not None:
            loops.setdefault(submission.ticket.get_loop(), []).append(submission)
        elif submission.error is not None:
            _log.error("a change that nobody waits for failed", reason=str(submission.error))
    for loop, submissions in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve_here, submissions)
        except RuntimeError:  # the loop was closed: nobody waits any more
            continue


def _resolve_here(submissions: list[Submission]) -> None:
    for submission in submissions:
        future = submission.ticket
        if future.done():  # cancelled
            continue
        if submission.error is None:
            future.set_result(submission.value)
        else:
            future.set_exception(submission.error)
