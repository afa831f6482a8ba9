"""Mail from the store: what is due is claimed, a share for each destination, as far as there is room in memory.

It goes round the destinations by their names, and on from where the room ended last time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog

from estafeta.agents.outbound.bookkeeper import Bookkeeper
from estafeta.agents.outbound.couriers import Couriers
from estafeta.agents.outbound.desk import STEP, Desk
from estafeta.agents.outbound.lanes import LEAST_SHARE
from estafeta.store import destinations, queue
from estafeta.store.errors import StoreError
from estafeta.store.records import DestinationState, HolderId, Instant, QueuedRecipient
from estafeta.store.store import Transaction

log = structlog.get_logger("estafeta.agents.outbound.filling")

_MOST_CLAIMED = 200
"""Recipients that one change claims, for one destination or several."""
_DESTINATIONS = 20
"""Destinations of one change."""
_PAUSE = 0.02
"""Seconds between two looks of which the first found nothing, however often somebody says to look."""


class Filler:
    """Fills the lanes."""

    def __init__(self, desk: Desk, bookkeeper: Bookkeeper, couriers: Couriers) -> None:
        self._desk = desk
        self._bookkeeper = bookkeeper
        self._couriers = couriers
        self._after = ""

    async def run(self) -> None:
        """Look whenever there may be something, until cancelled."""
        desk = self._desk
        while True:
            desk.look.clear()
            claimed = 0
            try:
                claimed = await self.fill()
            except StoreError as error:
                log.error("cannot look for queued mail", reason=str(error))
            except Exception:
                log.exception("cannot look for queued mail")
            if not claimed:
                await asyncio.sleep(_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(desk.settings.poll_after):
                    await desk.look.wait()

    async def fill(self) -> int:
        """Claim what is due, once round all destinations; gives how many recipients. Raises StoreError."""
        desk, lanes = self._desk, self._desk.lanes
        lanes.tidy()
        began_after, claimed, has_wrapped = self._after, 0, False
        while lanes.room and not desk.is_stopping:
            now = Instant(desk.tools.clock())
            look = partial(queue.due_destinations, after=self._after, now=now, limit=STEP)
            names = await desk.tools.store.read(look)
            if has_wrapped:
                names = [name for name in names if name <= began_after]
            claimed += await self._claim_of(names)
            if len(names) < STEP and lanes.room:
                self._after = ""
                if has_wrapped or not began_after:
                    return claimed
                has_wrapped = True
        lanes.has_more = True
        return claimed

    async def _claim_of(self, names: Sequence[str]) -> int:
        """Claim at each of the destinations while there is room; `_after` is the last that had its turn."""
        claimed = 0
        wanted: list[tuple[str, int]] = []
        for name in names:
            room = self._room_at(name, sum(room for _, room in wanted))
            if room > 0:
                wanted.append((name, room))
            self._after = name
            if len(wanted) == _DESTINATIONS or sum(room for _, room in wanted) >= _MOST_CLAIMED:
                claimed += await self._claim(wanted)
                wanted = []
            if not self._desk.lanes.room:
                break
        return claimed + await self._claim(wanted) if wanted else claimed

    def _room_at(self, name: str, planned: int) -> int:
        """How many to claim there, so many being about to come in for others."""
        lanes = self._desk.lanes
        if lanes.is_blocked_for_us(name):
            return 0
        room = min(lanes.room_at(name), lanes.room - planned, _MOST_CLAIMED)
        if room <= 0 and (lane := lanes.find(name)) is not None:
            lane.has_more = True
        return room

    async def _claim(self, wanted: Sequence[tuple[str, int]]) -> int:
        desk, holder = self._desk, self._desk.holder
        if holder is None:
            return 0
        now = Instant(desk.tools.clock())
        change = partial(_claimed, wanted=wanted, holder=holder, now=now)
        number = 0
        for (name, room), (state, claimed) in zip(wanted, await desk.tools.store.write(change), strict=True):
            if not claimed:
                continue
            number += len(claimed)
            if desk.lanes.is_blocked_for_us(name):  # meanwhile
                self._bookkeeper.give_back(claimed, is_counted=False)
                continue
            desk.lanes.unblock(name)  # as the store has it
            lane = desk.lanes.lane(name)
            if state is not None and not lane.failures:
                lane.doubt(state.failures)
            lane.has_more = len(claimed) == (room if state is None else min(room, LEAST_SHARE))
            self._take_in(claimed, is_ours=holder == desk.holder)
            self._couriers.offer(lane)
            desk.lanes.forget(lane)
        return number

    def _take_in(self, claimed: Sequence[QueuedRecipient], *, is_ours: bool) -> None:
        """Claimed recipients go into their lane, or where the rules of now send them."""
        desk = self._desk
        if not is_ours or desk.is_stopping:
            self._bookkeeper.give_back(claimed, is_counted=False)
            return
        groups: dict[int, list[QueuedRecipient]] = {}
        for each in self._bookkeeper.move(claimed, is_counted=False):
            groups.setdefault(each.message.message_id, []).append(each)
        for group in groups.values():
            self._bookkeeper.admit(group)


def _claimed(
    tx: Transaction, wanted: Sequence[tuple[str, int]], holder: HolderId, now: Instant
) -> list[tuple[DestinationState | None, list[QueuedRecipient]]]:
    found = []
    for name, room in wanted:
        state = destinations.find(tx, name)
        limit = room if state is None else min(room, LEAST_SHARE)  # it was dead: one courier tries first
        found.append((state, queue.claim(tx, name, holder, now=now, limit=limit)))
    return found
