"""The dispatcher: queued mail comes into memory, is tried, and what became of it is written down.

Mail just accepted arrives in memory; older mail is claimed from the store, destination by destination, so that
memory stays bounded and neither one huge mailing nor one dead host holds up others. What a process has claimed
is nobody else's until it settles it, puts it back, or is known to be dead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

import structlog

from estafeta.agents.outbound.lane import Job, Lane, Meter
from estafeta.agents.outbound.notifier import Notifier
from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.record import attempt_entry, read_said, said, settlements
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule
from estafeta.agents.outbound.settings import DestinationLimit, RelaySettings
from estafeta.agents.outbound.settling import Settled, Settler
from estafeta.mail.reply import Reply
from estafeta.routing.destinations import Destination
from estafeta.store import destinations, holders, queue
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import (
    Acceptance,
    DestinationState,
    Fate,
    HolderId,
    Instant,
    QueuedMessage,
    QueuedRecipient,
    RecipientId,
)
from estafeta.store.store import Store, Transaction

log = structlog.get_logger("estafeta.agents.outbound.dispatcher")

ALIVE_FOR = 60.0
"""Seconds after its last sign of life when a process counts as dead and its claims are taken over."""
RENEW_AFTER = 15.0
REVIEW_AFTER = 30.0
_STEP = 100
"""Destinations, or recipients, that are asked for at a time: a few milliseconds of a commit."""
_LEAST_SHARE = 10
"""Recipients that a destination gets into memory even when it is nearly full."""

_LOCAL_ERROR = "local error {incident}, it is tried again"
_EXPIRED = Reply.of(451, "it could not be delivered in the time that it may take", "4.4.7")

Deliver = Callable[[Destination, Job, bytes], Awaitable[Attempt]]
"""Tries a job: the relay, or a gateway of this machine."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a dispatcher works with; `deliver` and `reroute` follow the settings of now."""

    store: Store
    deliver: Deliver
    notifier: Notifier
    schedule: Schedule
    limits: tuple[DestinationLimit, ...]
    reroute: Callable[[QueuedRecipient], str | None]
    """Where the rules of now send a recipient; None to leave it as it is."""
    clock: Callable[[], float]
    monotonic: Callable[[], float]


class Dispatcher:
    """One for a process. `start` it inside a running event loop, `stop` it at the end."""

    def __init__(self, tools: Tools, settings: RelaySettings) -> None:
        self.tools = tools
        self.settings = settings
        self._lanes: dict[str, Lane] = {}
        self._line: deque[Lane] = deque()
        """Lanes that wait for a courier."""
        self._couriers: dict[asyncio.Task[None], Lane] = {}
        self._blocked: dict[str, float] = {}
        self._meters: dict[str, Meter] = {}
        self._in_memory = 0
        self._content_in_memory = 0
        self._settler: Settler | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._look = asyncio.Event()
        self._is_stopping = False

    # Life.

    async def start(self) -> None:
        """Register this process and begin to work. Raises StoreError."""
        await self._register()
        for work in (self._fill_again_and_again, self._renew_again_and_again, self._review_again_and_again):
            self._tasks.append(asyncio.create_task(work()))

    async def _register(self) -> None:
        tools = self.tools

        def change(tx: Transaction) -> tuple[HolderId, list[DestinationState]]:
            now = Instant(tools.clock())
            return holders.register(tx, now, ALIVE_FOR), destinations.blocked(tx, now=now, limit=_STEP * 100)

        holder, blocked = await tools.store.write(change)
        self._blocked = {each.destination: each.blocked_until for each in blocked}
        self._settler = Settler(
            tools.store,
            holder,
            first_review_after=tools.schedule.first_review_after,
            settled=self._is_settled,
        )

    async def stop(self, seconds: float) -> None:
        """Begin nothing new, let attempts under way end within so many seconds, give back what was claimed."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        if self._settler is None:
            return
        for lane in self._lanes.values():
            self._put_back(lane.clear())
        if self._couriers:
            _, late = await asyncio.wait(self._couriers, timeout=seconds)
            for courier in late:
                courier.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._settler.flush()
        holder, review_after = self._settler.holder, self.tools.schedule.first_review_after
        with suppress(StoreError):
            await self.tools.store.write(lambda tx: holders.leave(tx, holder, review_after))
        self._settler = None

    def replace(self, tools: Tools, settings: RelaySettings) -> None:
        """New settings: for what is tried from now on."""
        self.tools, self.settings = tools, settings
        for lane in self._lanes.values():
            lane.limit = self._limit(str(lane.destination))
        self._meters.clear()
        self._look.set()

    # Mail just accepted.

    def room_for(self, destination: str) -> HolderId | None:
        """Whether mail for the destination goes into memory when it is accepted: then it is claimed for us."""
        if self._settler is None or self._is_stopping or destination in self._blocked:
            return None
        lane = self._lanes.get(destination)
        if self._in_memory >= self.settings.in_memory or (lane is not None and lane.count >= self._share()):
            if lane is not None:
                lane.has_more = True
            return None
        return self._settler.holder

    def accepted(self, recipients: Sequence[QueuedRecipient], content: bytes | None) -> None:
        """Take recipients that a commit has just queued: those that are claimed for us. Without waiting."""
        holder = self._settler.holder if self._settler is not None else None
        jobs: dict[tuple[int, str], list[QueuedRecipient]] = {}
        for each in recipients:
            if each.holder is not None and each.holder == holder:
                jobs.setdefault((each.message.message_id, each.destination), []).append(each)
            elif each.holder is not None:
                self.adopt((each,))
            else:
                self._look.set()
        for group in jobs.values():
            message = group[0].message
            kept: bytes | None = None
            if content is not None and self._content_in_memory + message.size <= self.settings.content_in_memory:
                kept = message.prefix + content if message.prefix else content
            self._add(group, kept)

    def adopt(self, recipients: Iterable[QueuedRecipient]) -> None:
        """Give back recipients that may have been queued for us by a commit whose end nobody saw."""
        if self._settler is not None:
            claimed = tuple(each.recipient_id for each in recipients if each.holder is not None)
            if claimed:
                self._settler.add(Settled(put_back=claimed))

    def look(self) -> None:
        """There may be something due in the store."""
        self._look.set()

    def heard(self, text: str) -> None:
        """What a bell says: `drop ID ID...` takes waiting recipients out of memory, anything else is to look.

        The command that rang has changed the rows before; dropped ones are given back as they are now.
        """
        word, *names = text.split()[:2000]
        if word == "drop":
            wanted = frozenset(int(name) for name in names if name.isdecimal())
            for lane in list(self._lanes.values()):
                dropped = lane.drop(wanted)
                self._in_memory -= len(dropped)
                self._give_back(dropped)
        elif word == "clear":
            for name in names:
                self._blocked.pop(name, None)
        self._look.set()

    # On demand.

    async def flush(self, destination: str) -> int:
        """Try all that is queued for a destination now, as its host asks for (RFC 1985); gives how many."""
        store, number = self.tools.store, 0
        while True:
            now = Instant(self.tools.clock())
            made_due = await store.write(partial(queue.make_destination_due, destination=destination, now=now))
            number += made_due
            if not made_due:
                break
        await store.write(lambda tx: destinations.clear(tx, destination))
        self._blocked.pop(destination, None)
        self._look.set()
        return number

    async def serve(self, destination: str, attempt: Callable[[Job, bytes], Awaitable[Attempt]]) -> int:
        """Try all that waits for a customer, on the connection on which he called; gives how many were tried.

        Ends after the first attempt that breaks; what was not tried goes back and waits on.
        """
        assert self._settler is not None
        holder, number = self._settler.holder, 0
        seen: set[int] = set()
        while not self._is_stopping:
            claim = partial(queue.claim_all, destination=destination, holder=holder, limit=_STEP)
            claimed = await self.tools.store.write(claim)
            self._in_memory += len(claimed)
            fresh = [each for each in claimed if each.recipient_id not in seen]
            seen.update(each.recipient_id for each in fresh)
            jobs = _jobs(fresh, self.settings.recipients_per_message)
            again = [each for each in claimed if each not in fresh]
            is_broken = False
            while jobs and not is_broken:
                job = jobs.pop(0)
                is_broken = not await self._serve_one(job, attempt)
                number += len(job.recipients)
            self._put_back(jobs)
            self._in_memory -= len(again)
            self._give_back(again)
            await self._settler.flush()
            if is_broken or not fresh:
                break
        return number

    async def _serve_one(self, job: Job, attempt: Callable[[Job, bytes], Awaitable[Attempt]]) -> bool:
        """Whether the connection is still good after it."""
        began = self.tools.monotonic()
        try:
            made = await attempt(job, await self._read(job))
        except NotFound:
            self._put_back([job])
            return True
        except BaseException:
            self._put_back([job])
            raise
        await self._write_down(job, made, self.tools.monotonic() - began)
        return not made.is_dead

    # Lanes.

    def _share(self) -> int:
        """How many recipients one destination may have in memory: less, the fuller it is."""
        return max(_LEAST_SHARE, (self.settings.in_memory - self._in_memory) // 4)

    def _limit(self, destination: str) -> DestinationLimit:
        for limit in self.tools.limits:
            if limit.fits(destination):
                return limit
        return DestinationLimit("*", self.settings.concurrency)

    def _lane(self, destination: str) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            limit = self._limit(destination)
            window = min(self.settings.first_concurrency, limit.concurrency)
            lane = Lane(Destination.parse(destination), limit, float(window))
            if limit.recipients_per_minute:
                lane.meter = Meter(limit.recipients_per_minute, 60.0, self.tools.monotonic())
            self._lanes[destination] = lane
        return lane

    def _add(self, recipients: list[QueuedRecipient], content: bytes | None = None) -> None:
        """Queue recipients of one message and destination, in groups of one transaction each."""
        lane = self._lane(recipients[0].destination)
        most = self.settings.recipients_per_message
        message = recipients[0].message
        account = message.account
        if account and self.settings.account_messages_per_hour and account not in self._meters:
            self._meters[account] = Meter(self.settings.account_messages_per_hour, 3600.0, self.tools.monotonic())
        for start in range(0, len(recipients), most):
            job = Job(message, recipients[start : start + most], content)
            if content is not None:
                self._content_in_memory += len(content)
            self._in_memory += len(job.recipients)
            lane.add(job)
        self._offer(lane)

    def _offer(self, lane: Lane) -> None:
        """Let a lane have couriers, now or when it is its turn."""
        if lane.is_ready or self._is_stopping or not lane.wants_courier:
            return
        now = self.tools.monotonic()
        if lane.waits_until > now:
            return
        if len(self._couriers) >= self.settings.connections:
            lane.is_ready = True
            self._line.append(lane)
            return
        self._send_courier(lane)

    def _send_courier(self, lane: Lane) -> None:
        lane.running += 1
        courier = asyncio.get_running_loop().create_task(self._courier(lane))
        self._couriers[courier] = lane
        courier.add_done_callback(self._courier_is_back)

    def _courier_is_back(self, courier: asyncio.Task[None]) -> None:
        lane = self._couriers.pop(courier)
        lane.running -= 1
        if not courier.cancelled() and courier.exception() is not None:
            log.error("a courier failed", destination=str(lane.destination), exc_info=courier.exception())
        self._offer(lane)
        while self._line and len(self._couriers) < self.settings.connections and not self._is_stopping:
            waiting = self._line.popleft()
            waiting.is_ready = False
            if waiting.wants_courier:
                self._send_courier(waiting)
                self._offer(waiting)
        self._tidy(lane)

    def _tidy(self, lane: Lane) -> None:
        """Forget a lane in which nothing is left to remember."""
        if lane.count or lane.running or lane.is_ready:
            return
        if lane.meter is not None and not lane.meter.is_full(self.tools.monotonic()):
            return
        if self._lanes.get(str(lane.destination)) is lane and (not lane.failures or len(self._lanes) > _STEP * 100):
            del self._lanes[str(lane.destination)]

    async def _courier(self, lane: Lane) -> None:
        """Take one job after the other, until there is none or others wait for their turn."""
        settler = self._settler
        assert settler is not None
        while not self._is_stopping:
            job = lane.take(self._meters, self.tools.monotonic())
            if job is None:
                if lane.has_waiting:
                    self._offer_later(lane)
                return
            self._offer(lane)
            try:
                await self._try(lane, job)
            except asyncio.CancelledError:
                self._put_back([job])
                raise
            finally:
                lane.count -= len(job.recipients)
            await settler.room()
            if lane.has_more and lane.count < self._share() // 2:
                lane.has_more = False
                self._look.set()
            if self._line and len(self._couriers) >= self.settings.connections:
                return

    def _offer_later(self, lane: Lane) -> None:
        wait = max(0.01, lane.waits_until - self.tools.monotonic())
        asyncio.get_running_loop().call_later(wait, self._offer, lane)

    # One job.

    async def _try(self, lane: Lane, job: Job) -> None:
        began = self.tools.monotonic()
        try:
            content = job.content if job.content is not None else await self._read(job)
            attempt = await self.tools.deliver(lane.destination, job, content)
        except NotFound:  # the operator has removed it
            self._put_back([job])
            return
        except Exception as error:
            incident = token_hex(4)
            log.exception("an attempt failed", incident=incident, destination=str(lane.destination))
            reply = Reply.of(451, _LOCAL_ERROR.format(incident=incident), "4.3.0")
            what = "local error" if isinstance(error, StoreError) else type(error).__name__
            attempt = Attempt([Outcome(each, Fate.DEFERRED, reply, False, what) for each in job.recipients])
        seconds = self.tools.monotonic() - began
        blocked = self._judge(lane, attempt)
        await self._write_down(job, attempt, seconds)
        if blocked is not None:
            self._block(lane, blocked)

    async def _read(self, job: Job) -> bytes:
        store = self.tools.store
        message_id = job.message.message_id
        return await store.read(lambda tx: queue.read_content(tx, store.content, message_id))

    def _judge(self, lane: Lane, attempt: Attempt) -> str | None:
        """Let the window grow or fall; gives the last reply where the destination counts as dead now."""
        assert self._settler is not None
        if not attempt.is_dead:
            if lane.failures:
                self._blocked.pop(str(lane.destination), None)
                self._settler.add(Settled(clear=str(lane.destination)))
            lane.succeeded()
            return None
        return said(attempt.outcomes[-1]) if lane.failed() else None

    def _block(self, lane: Lane, reply: str) -> None:
        """Leave the destination alone for a while, with all that waits for it."""
        assert self._settler is not None
        name = str(lane.destination)
        until = self.tools.schedule.block(lane.failures, self.tools.clock())
        self._blocked[name] = until
        self._settler.add(Settled(block=DestinationState(name, until, lane.failures, reply)))
        self._put_back(lane.clear())

    async def _write_down(self, job: Job, attempt: Attempt, seconds: float) -> None:
        assert self._settler is not None
        tools = self.tools
        now = tools.clock()
        outcomes = [_aged(each, tools.schedule, now) for each in attempt.outcomes]
        rows = settlements(outcomes, tools.schedule, now)
        attempt.outcomes = outcomes
        destination = job.recipients[0].destination
        entry = attempt_entry(destination, job.message, attempt, rows, seconds=seconds, at=now)
        settled = Settled(rows, entry)
        due = [each for each in outcomes if tools.notifier.is_due(each)]
        if job.content is not None:
            self._content_in_memory -= len(job.content)
        if not due:
            self._settler.add(settled)
            return
        await self._notify(job.message, settled, due)

    async def _notify(self, message: QueuedMessage, settled: Settled, due: Sequence[Outcome]) -> None:
        assert self._settler is not None
        tools = self.tools
        content = await self._read(Job(message, []))

        async def compose() -> Sequence[Acceptance]:
            notices = await tools.notifier.notices(due, content)
            if settled.entry is not None:
                told = [tools.store.ids.text(each.message_id) for each in notices.acceptances]
                settled.entry.facts["notifications"] = told + list(notices.undeliverable)
            return notices.acceptances

        await self._settler.with_notices(settled, compose, tools.notifier.discard)
        self._look.set()

    def _is_settled(self, settled: Settled) -> None:
        """It is durable: what left memory."""
        self._in_memory -= len(settled.settlements)

    def _put_back(self, jobs: Iterable[Job]) -> None:
        """Jobs that were taken out of their lanes go back to the store untried."""
        recipients: list[QueuedRecipient] = []
        for job in jobs:
            recipients += job.recipients
            if job.content is not None:
                self._content_in_memory -= len(job.content)
        self._in_memory -= len(recipients)
        self._give_back(recipients)

    def _give_back(self, recipients: Sequence[QueuedRecipient]) -> None:
        assert self._settler is not None
        for start in range(0, len(recipients), _STEP):
            some = recipients[start : start + _STEP]
            self._settler.add(Settled(put_back=tuple(RecipientId(each.recipient_id) for each in some)))

    # Mail from the store.

    async def _fill_again_and_again(self) -> None:
        while True:
            self._look.clear()
            try:
                await self._fill()
            except StoreError as error:
                log.error("cannot look for queued mail", reason=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), self.settings.poll_after)

    async def _fill(self) -> None:
        """Claim what is due, a share for each destination, as far as there is room."""
        tools = self.tools
        now = Instant(tools.clock())
        for name in [name for name, until in self._blocked.items() if until <= now]:
            del self._blocked[name]
        after = ""
        while self._in_memory < self.settings.in_memory:
            ask = partial(queue.due_destinations, after=after, now=now, limit=_STEP)
            names = await tools.store.read(ask)
            for start in range(0, len(names), _LEAST_SHARE):
                await self._claim(names[start : start + _LEAST_SHARE])
            if len(names) < _STEP:
                return
            after = names[-1]

    async def _claim(self, names: Sequence[str]) -> None:
        assert self._settler is not None
        holder, share = self._settler.holder, self._share()
        wanted: list[tuple[str, int]] = []
        for name in names:
            lane = self._lanes.get(name)
            room = min(share - (lane.count if lane is not None else 0), _STEP)
            if room > 0 and name not in self._blocked:
                wanted.append((name, room))
            elif lane is not None:
                lane.has_more = True
        if not wanted:
            return
        now = Instant(self.tools.clock())

        def change(tx: Transaction) -> list[tuple[list[QueuedRecipient], DestinationState | None]]:
            return [
                (queue.claim(tx, name, holder, now=now, limit=room), destinations.find(tx, name))
                for name, room in wanted
            ]

        for (name, room), (claimed, state) in zip(wanted, await self.tools.store.write(change), strict=True):
            if not claimed:
                continue
            lane = self._lane(name)
            lane.has_more = len(claimed) == room
            if state is not None and not lane.failures:  # it was dead: one courier tries first
                lane.failures, lane.window, lane.has_succeeded = state.failures, 1.0, False
            await self._take_in(claimed)

    async def _take_in(self, claimed: Sequence[QueuedRecipient]) -> None:
        """Claimed recipients go into their lanes, or where the rules of now send them."""
        groups: dict[int, list[QueuedRecipient]] = {}
        moved: dict[str, list[RecipientId]] = {}
        for each in claimed:
            other = self.tools.reroute(each)
            if other is not None and other != each.destination:
                moved.setdefault(other, []).append(each.recipient_id)
            else:
                groups.setdefault(each.message.message_id, []).append(each)
        for group in groups.values():
            self._add(group)
        if moved:
            assert self._settler is not None
            holder = self._settler.holder
            for other, ids in moved.items():
                await self.tools.store.write(partial(queue.redirect, holder=holder, recipient_ids=ids, to=other))
            self._look.set()

    # Signs of life.

    async def _renew_again_and_again(self) -> None:
        while True:
            try:
                await self._renew()
            except StoreError as error:
                log.error("cannot renew the claims on queued mail", reason=str(error))
            await asyncio.sleep(RENEW_AFTER)

    async def _renew(self) -> None:
        assert self._settler is not None
        tools, holder = self.tools, self._settler.holder

        def change(tx: Transaction) -> bool:
            return holders.renew(tx, holder, Instant(tools.clock() + ALIVE_FOR))

        if not await tools.store.write(change):
            # This process stood still for so long that others took it for dead: what it had is theirs now.
            log.warning("claims on queued mail were lost, this process stood still for too long")
            for lane in self._lanes.values():
                for job in lane.clear():
                    self._in_memory -= len(job.recipients)
            await self._register()
        review_after = tools.schedule.first_review_after
        while True:
            now = Instant(tools.clock())
            release = partial(holders.release_dead, now=now, limit=_STEP * 5, review_after=review_after)
            if not await tools.store.write(release):
                return
            self._look.set()

    async def _review_again_and_again(self) -> None:
        while True:
            try:
                while await self._review():
                    pass
            except StoreError as error:
                log.error("cannot review queued mail", reason=str(error))
            await asyncio.sleep(REVIEW_AFTER)

    async def _review(self) -> bool:
        """Those whose sender must hear of a delay, or whose time is over; gives whether there may be more."""
        assert self._settler is not None
        tools, holder = self.tools, self._settler.holder
        now = Instant(tools.clock())
        found = await tools.store.write(lambda tx: queue.claim_to_review(tx, holder, now=now, limit=_STEP))
        groups: dict[tuple[int, str], list[QueuedRecipient]] = {}
        for each in found:
            groups.setdefault((each.message.message_id, each.destination), []).append(each)
        for group in groups.values():
            self._in_memory += len(group)
            await self._review_group(group, now)
        return len(found) == _STEP

    async def _review_group(self, group: Sequence[QueuedRecipient], now: Instant) -> None:
        tools = self.tools
        message = group[0].message
        state = await tools.store.read(lambda tx: destinations.find(tx, group[0].destination))
        outcomes = []
        for each in group:
            is_over = tools.schedule.expires_at(each) <= now
            last = each.last_reply or (state.last_reply if state is not None else None)
            reply, stage, is_remote = (_EXPIRED, "", False) if last is None else read_said(last)
            fate = Fate.EXPIRED if is_over else Fate.DEFERRED
            outcomes.append(Outcome(each, fate, reply, is_remote, stage))
        rows = settlements(outcomes, tools.schedule, now, is_review=True)
        attempt = Attempt(outcomes)
        entry = attempt_entry(group[0].destination, message, attempt, rows, seconds=0.0, at=now, is_review=True)
        due = [each for each in outcomes if tools.notifier.is_due(each, is_review=True)]
        settled = Settled(rows, entry)
        if due:
            await self._notify(message, settled, due)
        else:
            assert self._settler is not None
            self._settler.add(settled)


def _jobs(recipients: Sequence[QueuedRecipient], most: int) -> list[Job]:
    """Recipients by message, in groups of one transaction each."""
    groups: dict[int, list[QueuedRecipient]] = {}
    for each in recipients:
        groups.setdefault(each.message.message_id, []).append(each)
    return [
        Job(group[0].message, group[start : start + most])
        for group in groups.values()
        for start in range(0, len(group), most)
    ]


def _aged(outcome: Outcome, schedule: Schedule, now: float) -> Outcome:
    """What is put off once more although its time is over has expired."""
    if outcome.fate is not Fate.DEFERRED or schedule.expires_at(outcome.recipient) > now:
        return outcome
    return outcome.aged()
