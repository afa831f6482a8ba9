"""Recipients that must be looked at though nothing was tried: their sender hears of the delay, or their time is over.

Those that a process has claimed are looked at when they are settled, and the time of those that are held stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from estafeta.agents.outbound.bookkeeper import Bookkeeper
from estafeta.agents.outbound.desk import STEP, Desk
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
            except StoreError as error:
                log.error("cannot review queued mail", reason=str(error))
            except Exception:
                log.exception("cannot review queued mail")
            await self._desk.tools.sleep(REVIEW_AFTER)

    async def review(self) -> bool:
        """Look at some of those that are due for it; gives whether there may be more. Raises StoreError."""
        desk, holder = self._desk, self._desk.holder
        if holder is None or desk.is_stopping:
            return False
        now = Instant(desk.tools.clock())
        found = await desk.tools.store.write(partial(queue.claim_to_review, holder=holder, now=now, limit=STEP))
        groups: dict[tuple[int, str], list[QueuedRecipient]] = {}
        for each in found:
            groups.setdefault((each.message.message_id, each.destination), []).append(each)
        desk.lanes.recipients += len(found)
        waiting, is_well = list(groups.values()), True
        try:
            while waiting:
                some, waiting = waiting[:_TOGETHER], waiting[_TOGETHER:]
                is_well = all(await asyncio.gather(*(self._look_at(group, now) for group in some))) and is_well
        finally:
            self._bookkeeper.give_back(each for group in waiting for each in group)
        return is_well and len(found) == STEP

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
