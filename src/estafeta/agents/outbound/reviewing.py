"""Recipients that must be looked at though nothing was tried: their sender hears of the delay, or their time is over.

Those that a process has claimed are looked at when they are settled, but for the time of BY, which is kept to the
second also for what waits in memory; what is being tried is settled soon. The time of those that are held stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from estafeta.agents.outbound.bookkeeper import Bookkeeper
from estafeta.agents.outbound.desk import STEP, Desk
from estafeta.agents.outbound.schedule import is_by_due, is_by_over, is_overdue
from estafeta.store import destinations, queue
from estafeta.store.errors import StoreError
from estafeta.store.records import Instant, QueuedRecipient

log = structlog.get_logger("estafeta.agents.outbound.reviewing")

REVIEW_AFTER = 30.0
_TOGETHER = 10
"""Messages whose notifications are made at a time, so that they share commits."""


class Reviewer:
    """Looks at them."""

    def __init__(self, desk: Desk, bookkeeper: Bookkeeper) -> None:
        self._desk = desk
        self._bookkeeper = bookkeeper

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                while await self.review():
                    pass
                await self._take_overdue()
                await self._set_alarm()
            except StoreError as error:
                log.error("cannot review queued mail", reason=str(error))
            except Exception:
                log.exception("cannot review queued mail")
            await self._desk.alarm.wait(REVIEW_AFTER)

    async def review(self) -> bool:
        """Look at some of those that are due for it; gives whether there may be more. Raises StoreError."""
        desk, holder = self._desk, self._desk.holder
        if holder is None or desk.is_stopping:
            return False
        now = Instant(desk.tools.clock())
        found = await desk.tools.store.write(partial(queue.claim_to_review, holder=holder, now=now, limit=STEP))
        desk.lanes.recipients += len(found)
        return await self._look_at_all(found, now) and len(found) == STEP

    async def _take_overdue(self) -> None:
        """Look at what waits in memory and whose time of BY is over."""
        desk = self._desk
        now = Instant(desk.tools.clock())
        if not any(is_by_over(job.message, now) for lane in desk.lanes for job in lane.jobs()):
            return
        jobs = desk.lanes.take_out(lambda each: is_overdue(each.message, now) or is_by_due(each, now))
        for job in jobs:
            desk.lanes.let_go(job)
        await self._look_at_all([each for job in jobs for each in job.recipients], now)
        desk.look.set()

    async def _set_alarm(self) -> None:
        """For what comes next of that, in the store and in memory."""
        desk = self._desk
        review_at = await desk.tools.store.read(queue.next_review)
        if review_at is not None:
            desk.alarm.set(review_at)
        now = desk.tools.clock()
        for by in [job.message.deliver_by for lane in desk.lanes for job in lane.jobs()]:
            if by is not None and by.at > now:
                desk.alarm.set(by.at)

    async def _look_at_all(self, recipients: Sequence[QueuedRecipient], now: Instant) -> bool:
        """Whether it went well for all of them, which are claimed and counted."""
        groups: dict[tuple[int, str], list[QueuedRecipient]] = {}
        for each in recipients:
            groups.setdefault((each.message.message_id, each.destination), []).append(each)
        waiting, is_well = list(groups.values()), True
        try:
            while waiting:
                some, waiting = waiting[:_TOGETHER], waiting[_TOGETHER:]
                is_well = all(await asyncio.gather(*(self._look_at(group, now) for group in some))) and is_well
        finally:
            self._bookkeeper.give_back(each for group in waiting for each in group)
        return is_well

    async def _look_at(self, group: Sequence[QueuedRecipient], now: Instant) -> bool:
        """Whether it went well; what did not is looked at again later."""
        desk = self._desk
        try:
            state = await desk.tools.store.read(partial(destinations.find, destination=group[0].destination))
        except BaseException as error:
            self._bookkeeper.give_back(group)
            if not isinstance(error, StoreError):
                raise
            log.error("cannot review queued mail", reason=str(error))
            return False
        await self._bookkeeper.reviewed(group, state, now)
        return True
