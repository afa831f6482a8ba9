"""Whether the server does its work, for load balancers and people: each part looked at, and why it is not well.

The store is asked by a commit of its own: only that shows that mail can be answered with 250.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import UTC, datetime
from enum import StrEnum

from estafeta.app.monitoring.tallies import Served
from estafeta.mail.value import value
from estafeta.store import stored
from estafeta.store.errors import StoreError
from estafeta.store.store import Store

PROBE_AFTER = 5.0
"""Seconds that a commit may take; then the store counts as standing still."""
PROBE_AGAIN_AFTER = 1.0
"""Seconds for which the answer of a commit is kept, so that who asks often does not load the disk."""


class State(StrEnum):
    """Where the server stands in its life."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


@value
class Check:
    """One part: whether it is well, why not, and its figures."""

    name: str
    reason: str = ""
    """Why it is not well; empty where it is."""
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Whether it does its work."""
        return not self.reason


def report(checks: Sequence[Check]) -> tuple[int, bytes]:
    """The status (RFC 9110 §15.6.4: 503 where something is not well) and the JSON of all checks."""
    reasons = [each.reason for each in checks if not each.is_well]
    told = {
        "status": "failing" if reasons else "ok",
        "reasons": reasons,
        "checks": {each.name: {"ok": each.is_well, **each.facts} for each in checks},
    }
    return 503 if reasons else 200, json.dumps(told, indent=1).encode() + b"\n"


def of_state(state: State) -> Check:
    """Whether it takes connections."""
    reason = "" if state is State.SERVING else f"the server is {state.value}"
    return Check("state", reason, {"state": state.value})


def of_listeners(listeners: Sequence[Served]) -> Check:
    """Whether every port of the settings accepts."""
    closed = [each.name for each in listeners if not each.listener.is_accepting]
    reason = f"not accepting: {', '.join(closed)}" if closed else ""
    return Check("listeners", reason, {"open": len(listeners) - len(closed), "all": len(listeners)})


def of_disk(free: int | None, least: int) -> Check:
    """Whether there is room."""
    if free is None:
        return Check("disk", "the disk does not tell how much room it has")
    reason = f"{free} octets are free, fewer than {least}" if free < least else ""
    return Check("disk", reason, {"free_octets": free})


def of_certificate(expires_at: float | None, now: float, least_days: float) -> Check:
    """Whether the certificate is valid, and for at least so many days."""
    if expires_at is None:
        return Check("certificate", facts={"days": None})
    days = (expires_at - now) / 86_400
    reason = ""
    if days <= 0:
        reason = f"the certificate ended on {datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d}"
    elif days < least_days:
        reason = f"the certificate ends in {days:.1f} days"
    return Check("certificate", reason, {"days": round(days, 2)})


def of_queue(oldest_at: float | None, now: float, longest: float | None) -> Check:
    """Whether mail waits for too long, where the operator says what that is."""
    age = 0.0 if oldest_at is None else max(0.0, now - oldest_at)
    reason = f"the oldest message has waited for {age:.0f} seconds" if longest is not None and age > longest else ""
    return Check("queue", reason, {"oldest_seconds": round(age, 1)})


def of_processes(living: int, silent: Sequence[str]) -> Check:
    """Whether the other processes give signs of life."""
    reason = f"standing still: process {', '.join(silent)}" if silent else ""
    return Check("processes", reason, {"all": living + 1, "silent": len(silent)})


class Probe:
    """Asks the store for a commit; whoever asks meanwhile gets the same answer."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._under_way: asyncio.Task[str] | None = None
        self._asked_at: float | None = None
        self._ended_at: float | None = None
        self._succeeded_at: float | None = None
        self._seconds = 0.0
        self._reason = ""

    async def check(self, store: Store | None, timeout: float = PROBE_AFTER) -> Check:
        """Whether it commits within so many seconds, and when it did last."""
        if store is None:
            return Check("store", "the store is not open")
        now = self._monotonic()
        is_known = self._ended_at is not None and now - self._ended_at < PROBE_AGAIN_AFTER
        if self._under_way is None and not is_known:
            self._asked_at = now
            self._under_way = asyncio.get_running_loop().create_task(self._ask(store))
            self._under_way.add_done_callback(self._answered)
        if self._under_way is not None:
            asked_at = now if self._asked_at is None else self._asked_at
            await asyncio.wait((self._under_way,), timeout=max(0.0, asked_at + timeout - now))
        reason = self._reason
        if self._under_way is not None and not self._under_way.done():
            reason = f"no commit within {timeout:g} seconds"
        facts: dict[str, object] = {"last_commit_seconds": round(self._seconds, 4)}
        if self._succeeded_at is not None:
            facts["committed_seconds_ago"] = round(self._monotonic() - self._succeeded_at, 1)
        return Check("store", reason, facts)

    async def _ask(self, store: Store) -> str:
        began = self._monotonic()
        try:
            await store.write(stored.probe)
        except StoreError as error:
            return f"the store takes no changes: {error}"
        self._succeeded_at = self._monotonic()
        self._seconds = self._succeeded_at - began
        return ""

    def _answered(self, task: asyncio.Task[str]) -> None:
        self._under_way, self._ended_at = None, self._monotonic()
        if task.cancelled():
            self._reason = "the store is not open"
        else:
            error = task.exception()
            self._reason = task.result() if error is None else f"the store failed: {type(error).__name__}"

    async def close(self) -> None:
        """Ask no more."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait((self._under_way,))
