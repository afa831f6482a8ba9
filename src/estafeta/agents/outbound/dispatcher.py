"""The dispatcher: queued mail comes into memory, is tried, and what became of it is written down.

Mail just accepted arrives in memory; older mail is claimed from the store, destination by destination, so that
memory stays bounded and neither one huge mailing nor one dead host holds up others. What a process has claimed
is nobody else's until it settles it, puts it back, or is known to be dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from estafeta.agents.outbound.alarm import Alarm
from estafeta.agents.outbound.bookkeeper import Bookkeeper
from estafeta.agents.outbound.calls import Calls, Offer
from estafeta.agents.outbound.couriers import Couriers
from estafeta.agents.outbound.desk import Deliver as Deliver
from estafeta.agents.outbound.desk import Desk
from estafeta.agents.outbound.desk import Tools as Tools
from estafeta.agents.outbound.filling import Filler
from estafeta.agents.outbound.lanes import Lanes
from estafeta.agents.outbound.presence import Presence
from estafeta.agents.outbound.reviewing import Reviewer
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.agents.outbound.settling import Settled, Settler
from estafeta.store.errors import StoreError
from estafeta.store.records import HolderId, QueuedMessage, QueuedRecipient

log = structlog.get_logger("estafeta.agents.outbound.dispatcher")

_ID_DIGITS = 20
"""More than an id has."""
_LAST_WRITES = 5.0
"""Seconds, at least, for which a process that ends tries to write down what became of its mail."""


class Dispatcher:
    """One for a process. `start` it inside a running event loop, `stop` it at the end."""

    def __init__(self, tools: Tools, settings: RelaySettings) -> None:
        lanes = Lanes(settings, tools.limits, clock=tools.clock, monotonic=tools.monotonic)
        settler = Settler(
            tools.store,
            first_review_after=tools.schedule.first_review_after,
            settled=self._is_settled,
            sleep=tools.sleep,
        )
        self.lanes = lanes
        self._desk = Desk(tools, settings, lanes, settler, Alarm(tools.clock, tools.sleep))
        self._bookkeeper = Bookkeeper(self._desk)
        self._couriers = Couriers(self._desk, self._bookkeeper)
        self.presence = Presence(self._desk, self._forget)
        self._calls = Calls(self._desk, self._bookkeeper)
        self.filler = Filler(self._desk, self._bookkeeper, self._couriers)
        self.reviewer = Reviewer(self._desk, self._bookkeeper)
        self._tasks: list[asyncio.Task[None]] = []
        self._alive: asyncio.Task[None] | None = None

    @property
    def tools(self) -> Tools:
        """Those of now."""
        return self._desk.tools

    @property
    def in_memory(self) -> int:
        """Recipients in memory."""
        return self.lanes.recipients

    @property
    def is_busy(self) -> bool:
        """Whether attempts are under way."""
        return self._couriers.number > 0

    # Life.

    async def start(self) -> None:
        """Register this process and begin to work. Raises StoreError."""
        await self.presence.register()
        self._alive = asyncio.create_task(self.presence.run())
        self._tasks += [asyncio.create_task(self.filler.run()), asyncio.create_task(self.reviewer.run())]

    async def stop(self, seconds: float) -> None:
        """Begin nothing new, let attempts under way end within so many seconds, give back what was claimed."""
        desk = self._desk
        desk.is_stopping = True
        await _end(self._tasks)
        for lane in desk.lanes:
            self._bookkeeper.put_back(desk.lanes.clear(lane))
        await self._couriers.stop(seconds)
        try:
            async with asyncio.timeout(max(seconds, _LAST_WRITES)):
                await desk.settler.flush()
                await _end([self._alive] if self._alive is not None else [])
                await self.presence.leave()
        except TimeoutError:
            log.error("the store did not take what became of queued mail; it is tried again when this process is dead")
        except StoreError as error:
            log.error("cannot give back queued mail", reason=str(error))
        await _end([self._alive] if self._alive is not None else [])
        await desk.settler.give_up()
        desk.holder = None

    def replace(self, tools: Tools, settings: RelaySettings) -> None:
        """New settings: for what is tried from now on, and for where it waits."""
        desk = self._desk
        desk.tools, desk.settings = tools, settings
        desk.lanes.replace(settings, tools.limits)
        desk.settler.first_review_after = tools.schedule.first_review_after
        for job in desk.lanes.take_out(self._bookkeeper.is_elsewhere):
            desk.lanes.let_go(job)
            self._bookkeeper.move(job.recipients, is_counted=True)
        self._couriers.offer_all()
        desk.look.set()

    def _is_settled(self, settled: Settled) -> None:
        """It is durable: what left memory, and which destination all processes leave alone."""
        self._desk.lanes.recipients -= settled.leaving
        if settled.review_at is not None:
            self._desk.alarm.set(settled.review_at)
        if settled.block is not None:
            self._desk.lanes.block_is_written(settled.block.destination)

    def _forget(self) -> None:
        """What waits here is others' now."""
        lanes = self._desk.lanes
        for lane in lanes:
            for job in lanes.clear(lane):
                lanes.let_go(job)
                lanes.recipients -= len(job.recipients)

    # Mail just accepted.

    def room_for(self, destination: str, message: QueuedMessage) -> HolderId | None:
        """Whether a message for the destination comes into memory when it is accepted: it is claimed for us then."""
        desk = self._desk
        if desk.holder is None or desk.is_stopping or not desk.lanes.has_room_for(destination, message):
            return None
        return desk.holder

    def accepted(self, recipients: Sequence[QueuedRecipient], content: bytes | None) -> None:
        """Take recipients that a commit has just queued: those that are claimed for us. Without waiting."""
        desk, lanes = self._desk, self._desk.lanes
        holder = None if desk.is_stopping else desk.holder
        groups: dict[tuple[int, str], list[QueuedRecipient]] = {}
        for each in recipients:
            if each.review_at is not None and each.message.deliver_by is not None:
                desk.alarm.set(each.review_at)
            if each.holder is None:
                if not lanes.is_blocked(each.destination):
                    desk.look.set()
            elif each.holder != holder or lanes.is_blocked(each.destination):
                self.adopt((each,))
            else:
                groups.setdefault((each.message.message_id, each.destination), []).append(each)
        for (_, destination), group in groups.items():
            if len(group) > lanes.room:  # many may have been told at once that there was some
                self.adopt(group[lanes.room :])
                group = group[: lanes.room]
                lanes.has_more = True
            if group:
                prefix = group[0].message.prefix
                self._bookkeeper.admit(group, prefix + content if prefix and content is not None else content)
                if (lane := lanes.find(destination)) is not None:
                    self._couriers.offer(lane)

    def adopt(self, recipients: Iterable[QueuedRecipient]) -> None:
        """Give back recipients that may have been queued for us by a commit whose end nobody saw."""
        if self._desk.is_stopping and self._desk.holder is None:
            return  # this process has left, and with it all its claims
        self._bookkeeper.give_back(recipients, is_counted=False)

    # What others tell.

    def look(self) -> None:
        """There may be something due in the store."""
        self._desk.look.set()

    def heard(self, text: str) -> None:
        """What a bell says: `drop ID ID...` takes waiting recipients out of memory, `clear DESTINATION...` lets them
        be tried, anything else is to look.

        The command that rang has changed the rows before; dropped ones are given back as they are now.
        """
        word, *names = text.split() or ("",)
        if word == "drop":
            wanted = {int(name) for name in names if name.isdecimal() and len(name) < _ID_DIGITS}
            self._bookkeeper.put_back(
                self._desk.lanes.take_out(
                    lambda each: (
                        each.recipient_id in wanted
                        or each.message.message_id in wanted
                        or each.message.content_id in wanted
                    )
                )
            )
        elif word == "clear":
            for name in names:
                self._desk.lanes.unblock(name)
        self._desk.look.set()

    # On demand.

    async def flush(self, destination: str) -> int:
        """Try all that is queued for a destination now, as its host asks for (RFC 1985); gives how many were not due.

        Raises StoreError.
        """
        return await self._calls.flush(destination)

    async def serve(self, destination: str, attempt: Offer) -> int:
        """Try all that waits for a customer by `attempt`, on the connection on which he called; gives how many.

        Ends after the first attempt that breaks; what was not tried goes back and waits on. Raises StoreError.
        """
        return await self._calls.serve(destination, attempt)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()
