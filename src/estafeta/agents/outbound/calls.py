"""Mail on demand: a host asks for what waits for it, or a customer takes it on the connection on which he called."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from estafeta.agents.outbound.bookkeeper import Bookkeeper
from estafeta.agents.outbound.desk import STEP, Desk
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.relay import Attempt
from estafeta.store import destinations, queue
from estafeta.store.errors import NotFound
from estafeta.store.records import HolderId, Instant, QueuedRecipient

Offer = Callable[[Job, bytes], Awaitable[Attempt]]


class Calls:
    """Serves who calls."""

    def __init__(self, desk: Desk, bookkeeper: Bookkeeper) -> None:
        self._desk = desk
        self._bookkeeper = bookkeeper

    async def flush(self, destination: str) -> int:
        """Try all that is queued for a destination now, as its host asks for (RFC 1985); gives how many were not due.

        Raises StoreError.
        """
        store, number = self._desk.tools.store, 0
        while True:
            now = Instant(self._desk.tools.clock())
            made_due = await store.write(partial(queue.make_destination_due, destination=destination, now=now))
            number += made_due
            if not made_due:
                break
        await store.write(partial(destinations.clear, destination=destination))
        self._desk.lanes.unblock(destination)
        self._desk.look.set()
        return number

    async def serve(self, destination: str, attempt: Offer) -> int:
        """Try all that waits for a customer by `attempt`; gives how many were tried. Raises StoreError.

        Ends after the first attempt that breaks; what was not tried goes back and waits on.
        """
        number = 0
        seen: set[int] = set()
        while (holder := self._desk.holder) is not None and not self._desk.is_stopping:
            claimed = await self._claimed(destination, holder)
            fresh = [each for each in claimed if each.recipient_id not in seen]
            self._bookkeeper.give_back(each for each in claimed if each.recipient_id in seen)
            seen.update(each.recipient_id for each in fresh)
            jobs = self._jobs(fresh)
            try:
                while jobs and not self._desk.is_stopping:
                    job = jobs.popleft()
                    number += len(job.recipients)
                    if not await self._serve_one(job, attempt):
                        return number
            finally:
                self._bookkeeper.put_back(jobs)
                # What was put off is unclaimed then, and seen again at the end of all that waits.
                await self._desk.settler.flush()
            if not fresh:
                break
        return number

    async def _claimed(self, destination: str, holder: HolderId) -> list[QueuedRecipient]:
        """All claims of a customer's mail that are made come into memory, or go back if the customer goes."""
        claim = partial(queue.claim_all, destination=destination, holder=holder, limit=STEP)
        claiming = asyncio.ensure_future(self._desk.tools.store.write(claim))
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(self._nobody_waits)
            raise
        self._desk.lanes.recipients += len(claimed)
        return claimed

    def _nobody_waits(self, claiming: asyncio.Future[list[QueuedRecipient]]) -> None:
        if not claiming.cancelled() and claiming.exception() is None:
            self._bookkeeper.give_back(claiming.result(), is_counted=False)

    def _jobs(self, recipients: list[QueuedRecipient]) -> deque[Job]:
        """Recipients by message, in jobs of one transaction each."""
        most = self._desk.settings.recipients_per_message
        groups: dict[int, list[QueuedRecipient]] = {}
        for each in recipients:
            groups.setdefault(each.message.message_id, []).append(each)
        return deque(
            Job(group[0].message, group[start : start + most])
            for group in groups.values()
            for start in range(0, len(group), most)
        )

    async def _serve_one(self, job: Job, attempt: Offer) -> bool:
        """Whether the connection is still good after it."""
        began = self._desk.tools.monotonic()
        try:
            content = await self._bookkeeper.read(job.message)
            made = await attempt(job, content)
        except NotFound:
            self._bookkeeper.lacking(job)
            return True
        except BaseException:
            self._bookkeeper.put_back([job])
            raise
        is_good = not made.is_dead
        await self._bookkeeper.attempted(job, content, made, self._desk.tools.monotonic() - began)
        return is_good
