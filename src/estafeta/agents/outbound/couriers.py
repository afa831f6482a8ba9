"""Couriers: each takes one job of a lane after the other, tries it, and hands on what it found out.

There are so many of them as there may be connections. Where more lanes want one than there are, they take turns.
Destinations that were dead get a few of them only, so that waiting for these never holds up the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

import structlog

from estafeta.agents.outbound.bookkeeper import Bookkeeper, overdue
from estafeta.agents.outbound.desk import Desk
from estafeta.agents.outbound.lane import Job, Lane
from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.record import said
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import is_overdue
from estafeta.agents.outbound.settling import Settled
from estafeta.mail.reply import Reply
from estafeta.net.narrator import speak_of
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import DestinationState, Fate, HolderId

log = structlog.get_logger("estafeta.agents.outbound.couriers")

_PROBING = 4
"""One connection of so many may be used to find out whether dead destinations still are."""
_LEAST_WAIT = 0.01
_NOBODY = HolderId(0)

_LOCAL_ERROR = "local error {incident}, it is tried again"


class Couriers:
    """All couriers of a process, and the lines of lanes that wait for one."""

    def __init__(self, desk: Desk, bookkeeper: Bookkeeper) -> None:
        self._desk = desk
        self._bookkeeper = bookkeeper
        self._line: deque[Lane] = deque()
        self._doubtful: deque[Lane] = deque()
        """The line of destinations that were dead when they were last tried."""
        self._couriers: dict[asyncio.Task[None], tuple[Lane, bool]] = {}
        """Those under way, their lanes, and whether they probe one that was dead."""
        self._probes = 0
        self._waits: dict[str, tuple[float, asyncio.Task[None]]] = {}
        """Lanes whose rate lets nothing pass now, and until when."""

    @property
    def number(self) -> int:
        """Couriers under way."""
        return len(self._couriers)

    # Who goes next.

    def offer(self, lane: Lane) -> None:
        """Let a lane have a courier, now or when it is its turn."""
        if lane.is_ready or not lane.wants_courier or self._desk.is_stopping:
            return
        if lane.waits_until and lane.waits_until > self._desk.tools.monotonic():
            return
        lane.is_ready = True
        (self._doubtful if lane.is_doubtful else self._line).append(lane)
        self._send_some()

    def offer_all(self) -> None:
        """Let all lanes have couriers by the settings of now."""
        for lane in self._desk.lanes:
            self.offer(lane)
        self._send_some()

    @property
    def _has_next(self) -> bool:
        return bool(self._line) or (bool(self._doubtful) and self._probes < self._most_probes)

    @property
    def _most_probes(self) -> int:
        return max(1, self._desk.settings.connections // _PROBING)

    def _send_some(self) -> None:
        while self._has_next and len(self._couriers) < self._desk.settings.connections and not self._desk.is_stopping:
            lane = self._line.popleft() if self._line else self._doubtful.popleft()
            lane.is_ready = False
            if lane.wants_courier:
                self._send(lane)
                if lane.wants_courier:
                    lane.is_ready = True
                    (self._doubtful if lane.is_doubtful else self._line).append(lane)
            else:
                self._desk.lanes.forget(lane)

    def _send(self, lane: Lane) -> None:
        lane.running += 1
        lane.starting += 1
        courier = asyncio.get_running_loop().create_task(self._go(lane))
        self._couriers[courier] = lane, lane.is_doubtful
        self._probes += lane.is_doubtful
        courier.add_done_callback(self._is_back)

    def _is_back(self, courier: asyncio.Task[None]) -> None:
        lane, is_probe = self._couriers.pop(courier)
        self._probes -= is_probe
        lane.running -= 1
        if not courier.cancelled() and (error := courier.exception()) is not None:
            log.error("a courier failed", destination=str(lane.destination), exc_info=error)
        self.offer(lane)
        self._send_some()
        self._desk.lanes.forget(lane)

    async def _go(self, lane: Lane) -> None:
        """Take one job after the other, until there is none or others wait for their turn."""
        speak_of(None)  # it may have been sent by a session
        desk = self._desk
        job = None if desk.is_stopping else desk.lanes.take(lane)
        lane.starting -= 1
        hand = _Hand()
        try:
            while job is not None:
                self.offer(lane)
                job.take_next = partial(self._take_along, lane, hand)
                try:
                    await self._carry(lane, job)
                finally:
                    if job.begun is not None:  # it ended before it was gone on with
                        job.begun.drop()
                    lane.count -= len(job.recipients)
                    desk.lanes.let_go(job)
                await desk.settler.room()
                self._look_for_more(lane)
                if hand.job is not None and hand.job.begun is None and desk.is_stopping:
                    return
                job, hand.job = hand.job, None
                if job is None:
                    if self._is_wanted_elsewhere or desk.is_stopping:
                        return
                    job = desk.lanes.take(lane)
            if lane.has_waiting and lane.waits_until:
                self._offer_later(lane)
        finally:
            if hand.job is not None:
                self._give_up(lane, hand.job)

    @property
    def _is_wanted_elsewhere(self) -> bool:
        return self._has_next and len(self._couriers) >= self._desk.settings.connections

    def _take_along(self, lane: Lane, hand: _Hand) -> Job | None:
        """The job that a courier carries next, taken while the one before is under way."""
        desk = self._desk
        is_others = lane.wants_courier or self._is_wanted_elsewhere
        if hand.job is None and not (is_others or desk.is_stopping or desk.settler.is_full):
            hand.job = desk.lanes.take(lane)
        return hand.job

    def _give_up(self, lane: Lane, job: Job) -> None:
        """A courier is cut while he has a job in hand that was not tried."""
        lane.count -= len(job.recipients)
        if job.begun is not None:
            job.begun.drop()
        self._bookkeeper.put_back([job])

    def _offer_later(self, lane: Lane) -> None:
        name, until = str(lane.destination), lane.waits_until
        known = self._waits.get(name)
        if self._desk.is_stopping or (known is not None and known[0] <= until):
            return
        if known is not None:
            known[1].cancel()
        self._waits[name] = until, asyncio.get_running_loop().create_task(self._wait(name, until))

    async def _wait(self, name: str, until: float) -> None:
        await self._desk.tools.sleep(max(_LEAST_WAIT, until - self._desk.tools.monotonic()))
        del self._waits[name]
        lane = self._desk.lanes.find(name)
        if lane is not None:
            self.offer(lane)

    def _look_for_more(self, lane: Lane) -> None:
        lanes = self._desk.lanes
        if lane.has_more and lane.count < lanes.room_at(str(lane.destination)):
            lane.has_more = False
            self._desk.look.set()
        if lanes.has_more and lanes.room * 4 > self._desk.settings.in_memory:
            lanes.has_more = False
            self._desk.look.set()

    # One job.

    async def _carry(self, lane: Lane, job: Job) -> None:
        speak_of(job)
        tools, deaths = self._desk.tools, lane.deaths
        began = tools.monotonic()
        content = job.content
        try:
            if is_overdue(job.message, tools.clock()):
                attempt = overdue(job)
            else:
                if content is None:
                    content = await self._bookkeeper.read(job.message)
                attempt = await tools.deliver(lane.destination, job, content)
        except NotFound:
            self._bookkeeper.lacking(job)
            return
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self._bookkeeper.put_back([job])
                raise
            attempt = _failed(lane, job, "cancelled")  # something that the attempt waited for was
        except Exception as error:
            attempt = _failed(lane, job, "local error" if isinstance(error, StoreError) else type(error).__name__)
        self._judge(lane, attempt, deaths)
        await self._bookkeeper.attempted(job, content or b"", attempt, tools.monotonic() - began)

    def _judge(self, lane: Lane, attempt: Attempt, deaths: int) -> None:
        """Let the window grow or fall, and leave a destination alone that is dead; `deaths` when the attempt began."""
        if attempt.tells_nothing:
            return
        if not attempt.is_dead:
            name = str(lane.destination)
            if self._desk.lanes.unblock(name) or lane.is_doubtful:
                self._desk.settler.add(Settled(_NOBODY, clear=name))
                self._desk.look.set()
            lane.succeeded()
        elif deaths == lane.deaths and lane.failed():
            self._block(lane, said(attempt.outcomes[-1]))

    def _block(self, lane: Lane, reply: str) -> None:
        """Leave a destination alone for a while, with all that waits for it."""
        desk, name = self._desk, str(lane.destination)
        until = desk.tools.schedule.block(lane.failures, desk.tools.clock())
        desk.lanes.block(name, until, lane.failures)
        desk.settler.add(Settled(_NOBODY, block=DestinationState(name, until, lane.failures, reply)))
        self._bookkeeper.put_back(desk.lanes.clear(lane))

    # The end.

    async def stop(self, seconds: float) -> None:
        """Let those under way end within so many seconds; the others are cut, and put back what they had."""
        waits = [wait for _, wait in self._waits.values()]
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        self._waits.clear()
        self._line.clear()
        self._doubtful.clear()
        if not self._couriers:
            return
        _, late = await asyncio.wait(tuple(self._couriers), timeout=seconds)
        for courier in late:
            courier.cancel()
        await asyncio.gather(*late, return_exceptions=True)


@dataclass(slots=True)
class _Hand:
    """What a courier has in hand beside the job that is under way."""

    job: Job | None = None


def _failed(lane: Lane, job: Job, what: str) -> Attempt:
    """An attempt that ended for a reason of ours; what it was is in the log, under the id that the journal tells."""
    incident = token_hex(4)
    log.error("an attempt failed", incident=incident, destination=str(lane.destination), exc_info=True)
    reply = Reply.of(451, _LOCAL_ERROR.format(incident=incident), "4.3.0")
    outcomes = [Outcome(each, Fate.DEFERRED, reply, False, what) for each in job.recipients]
    return Attempt(outcomes, tells_nothing=True)
