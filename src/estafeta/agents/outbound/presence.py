"""Signs of life: a process that relays registers, renews that, and gives back what dead ones have left behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from estafeta.agents.outbound.desk import STEP, Desk
from estafeta.store import destinations, holders
from estafeta.store.errors import StoreError
from estafeta.store.records import DestinationState, HolderId, Instant
from estafeta.store.store import Transaction

log = structlog.get_logger("estafeta.agents.outbound.presence")

ALIVE_FOR = 60.0
"""Seconds after its last sign of life when a process counts as dead and its claims are taken over."""
RENEW_AFTER = 15.0
_MOST_BLOCKED = 10_000


class Presence:
    """Keeps this process alive in the store; `lost` is called when others have taken it for dead."""

    def __init__(self, desk: Desk, lost: Callable[[], None]) -> None:
        self._desk = desk
        self._lost = lost

    async def register(self) -> None:
        """Begin to relay. Raises StoreError."""
        tools = self._desk.tools

        def change(tx: Transaction) -> tuple[HolderId, list[DestinationState]]:
            now = Instant(tools.clock())
            return holders.register(tx, now, ALIVE_FOR), destinations.blocked(tx, now=now, limit=_MOST_BLOCKED)

        self._desk.holder, blocked = await tools.store.write(change)
        for each in blocked:
            self._desk.lanes.block(each.destination, each.blocked_until, each.failures, is_written=True)

    async def run(self) -> None:
        """Give signs of life, until cancelled."""
        while True:
            try:
                await self.renew()
            except StoreError as error:
                log.error("cannot renew the claims on queued mail", reason=str(error))
            except Exception:
                log.exception("cannot renew the claims on queued mail")
            await self._desk.tools.sleep(RENEW_AFTER)

    async def renew(self) -> None:
        """Give a sign of life, and give back what dead processes had claimed. Raises StoreError."""
        desk = self._desk
        released: int | None = 1
        while released:
            holder = desk.holder
            if holder is not None:
                released = await desk.tools.store.write(partial(self._renewed, holder=holder))
                if released:
                    desk.look.set()
                if released is not None:
                    continue
                # This process stood still for so long that others took it for dead: what it had is theirs now.
                log.warning("claims on queued mail were lost, this process stood still for too long")
                desk.holder = None
                self._lost()
            await self.register()
            desk.look.set()
            released = 1

    def _renewed(self, tx: Transaction, holder: HolderId) -> int | None:
        """How many claims of dead processes were given back; None where this one counts as dead.

        In one change, by one reading of the clock: however long this process stands still, it never does that itself.
        """
        now = Instant(self._desk.tools.clock())
        if not holders.renew(tx, holder, Instant(now + ALIVE_FOR)):
            return None
        review_after = self._desk.tools.schedule.first_review_after
        return holders.release_dead(tx, now, STEP * 5, review_after)

    async def leave(self) -> None:
        """End to relay: what is still claimed is anybody's. Raises StoreError."""
        holder, self._desk.holder = self._desk.holder, None
        if holder is not None:
            review_after = self._desk.tools.schedule.first_review_after
            await self._desk.tools.store.write(partial(holders.leave, holder=holder, review_after=review_after))
