"""What stands still is told of: an event loop that is held up, and a commit that does not end, with where they stand.

The loop gives a sign of life some times a second, and a thread looks whether it did. The service manager is told that
the server is alive by the loop itself, so that one that is dead is started again by it; a further process that is dead
ends itself, and is started again by the first.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

import structlog

from estafeta.app import notify
from estafeta.app.monitoring.tallies import LoopTally
from estafeta.mail.value import value
from estafeta.store.tally import CommitTally

_log = structlog.get_logger("estafeta.app.watchdog")

_LOOKS = 4
"""Looks of the thread, and signs of life, in the shortest time that is told of."""
_LONGEST_LOOK = 1.0
_WRITER = "store-writer"
"""The thread of the store's changes."""


@value
class Patience:
    """After how many seconds something stands still."""

    loop: float
    """An event loop that did nothing else meanwhile: it is told of."""
    commit: float
    """A group of changes: it is told of."""
    death: float | None = None
    """An event loop of a further process: the process is ended. None where nobody would start it again."""


class Watchdog:
    """Watches one event loop and one store; `start` it in that loop, `stop` it there."""

    def __init__(
        self,
        patience: Patience,
        tally: LoopTally,
        commits: Callable[[], CommitTally | None],
        *,
        monotonic: Callable[[], float],
        sign_after: float | None = None,
        end: Callable[[], None] | None = None,
    ) -> None:
        """`sign_after`: seconds within which the service manager wants a sign of life. `end` ends a dead process."""
        self.patience = patience
        self._tally = tally
        self._commits = commits
        self._monotonic = monotonic
        self._sign_after = sign_after
        self._end = end or _kill
        self._look_after = min(_LONGEST_LOOK, min(patience.loop, patience.commit) / _LOOKS)
        self._beat_at = 0.0
        self._signed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._told_loop: float | None = None
        self._told_commit: float | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._loop_thread = threading.get_ident()
        self._beat_at = self._monotonic()
        self._beat()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # In the loop.

    def _beat(self) -> None:
        loop, now = asyncio.get_running_loop(), self._monotonic()
        after = self._look_after
        if self._timer is not None:
            self._tally.lag.add(max(0.0, now - self._beat_at - after))
        self._beat_at = now
        if self._sign_after is not None and now - self._signed_at >= self._sign_after / 3:
            self._signed_at = now
            notify.alive()
        self._timer = loop.call_later(after, self._beat)

    # In the thread.

    def _watch(self) -> None:
        looked_at = self._monotonic()
        while not self._stopped.wait(self._look_after):
            now = self._monotonic()
            if now - looked_at > self._look_after + max(1.0, self.patience.loop):
                # This thread stood still too: the machine, or the whole process, was stopped. That is nobody's fault.
                self._beat_at = now
            looked_at = now
            self._look_at_loop(now)
            self._look_at_commit(now)

    def _look_at_loop(self, now: float) -> None:
        beat_at = self._beat_at
        held = now - beat_at - self._look_after
        if self._told_loop is not None and beat_at != self._told_loop:
            _log.warning("the event loop goes on", seconds=round(beat_at - self._told_loop, 3))
            self._told_loop = None
        if held < self.patience.loop:
            return
        if self._told_loop is None:
            self._told_loop = beat_at
            self._tally.held += 1
            _log.error("the event loop is held up", seconds=round(held, 3), stack=_stack(self._loop_thread))
        if self.patience.death is not None and held >= self.patience.death:
            _log.critical("the event loop is dead, the process ends", seconds=round(held, 3))
            self._end()

    def _look_at_commit(self, now: float) -> None:
        commits = self._commits()
        if commits is not None and commits.is_dead:
            _log.critical("the store's writer is dead, the process ends")
            self._end()
        began_at = None if commits is None else commits.began_at
        if self._told_commit is not None and began_at != self._told_commit:
            _log.warning("the store goes on")
            self._told_commit = None
        if began_at is not None and self._told_commit is None and now - began_at >= self.patience.commit:
            self._told_commit = began_at
            writer = next((each.ident for each in threading.enumerate() if each.name == _WRITER), None)
            _log.error(
                "a commit does not end", seconds=round(now - began_at, 3), stack=_stack(writer) if writer else "unknown"
            )


def _stack(thread: int) -> str:
    """Where a thread stands, the outermost call first; without the values of its variables."""
    frame = sys._current_frames().get(thread)
    return "unknown" if frame is None else "".join(traceback.format_stack(frame))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
