"""All mail in memory: the lanes of its destinations, how much there is of it, which destinations are left alone.

What came in is counted until it is written down what became of it. No destination gets more than a part of the
room that is left, so that there is always some for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from estafeta.agents.outbound.lane import Job, Lane
from estafeta.agents.outbound.rates import Account, Meter
from estafeta.agents.outbound.settings import DestinationLimit, RelaySettings
from estafeta.routing.destinations import Destination
from estafeta.store.records import QueuedMessage, QueuedRecipient

LEAST_SHARE = 10
"""Recipients that a destination gets into memory even when it is nearly full, and one that was dead at most."""
_PART = 4
"""A destination gets one part of so many of the room that is left."""
_TIDY_AFTER = 60.0
_REMEMBERED_FOR = 3600.0
"""Seconds for which it is remembered that a destination was dead; the store knows for longer."""


@dataclass(slots=True)
class _Block:
    """A destination that is left alone."""

    until: float
    failures: int
    is_written: bool
    """The store knows it too."""


class Lanes:
    """What is in memory. `clock` gives seconds since 1970."""

    def __init__(
        self,
        settings: RelaySettings,
        limits: Sequence[DestinationLimit],
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.recipients = 0
        """In memory, those included of which it is being written down what became of them."""
        self.octets = 0
        """Of the contents in memory."""
        self.has_more = False
        """There was no room for all that could have come in."""
        self.accounts: dict[str, Account] = {}
        """Those whose rate is limited, and that have sent lately."""
        self._settings = settings
        self._limits = tuple(limits)
        self._clock = clock
        self._monotonic = monotonic
        self._lanes: dict[str, Lane] = {}
        self._blocks: dict[str, _Block] = {}
        self._tidied_at = monotonic()

    def __iter__(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def __len__(self) -> int:
        return len(self._lanes)

    def replace(self, settings: RelaySettings, limits: Sequence[DestinationLimit]) -> None:
        """New settings: the limits and rates of now hold for what waits, too."""
        is_other_rate = settings.account_messages_per_hour != self._settings.account_messages_per_hour
        self._settings, self._limits = settings, tuple(limits)
        if is_other_rate:
            self.accounts.clear()
        for name, lane in self._lanes.items():
            limit = self._limit(name)
            if limit.recipients_per_minute != lane.limit.recipients_per_minute:
                lane.meter = self._meter(limit)
            lane.limit = limit
            lane.waits_until = 0.0
            for job in lane.jobs() if is_other_rate else ():
                if (account := self.account_of(job.message)) is not None:
                    account.waiting += len(job.recipients)

    # Room.

    @property
    def room(self) -> int:
        """How many recipients may come in."""
        return max(0, self._settings.in_memory - self.recipients)

    def room_at(self, destination: str) -> int:
        """How many may come in for one destination: the fewer, the fuller it is."""
        room = self.room
        lane = self._lanes.get(destination)
        limit = lane.limit if lane is not None else self._limit(destination)
        share = max(LEAST_SHARE, room // _PART)
        if limit.recipients_per_minute:  # no more than passes in a minute
            share = min(share, max(LEAST_SHARE, limit.recipients_per_minute))
        return min(room, share - (lane.count if lane is not None else 0))

    def has_room_for(self, destination: str, message: QueuedMessage) -> bool:
        """Whether a message that is being accepted may come in: while its source has little there in any case."""
        if self.is_blocked(destination):
            return False
        lane = self._lanes.get(destination)
        if self.room_at(destination) > 0:
            return True
        if lane is None or not self.room:
            self.has_more = True
            return False
        lane.has_more = True
        return lane.waiting_of(message) < LEAST_SHARE

    def account_of(self, message: QueuedMessage) -> Account | None:
        """The account of a message, where the rate of accounts is limited."""
        number = self._settings.account_messages_per_hour
        if not number or message.account is None:
            return None
        account = self.accounts.get(message.account)
        if account is None:
            account = self.accounts[message.account] = Account(number, self._monotonic())
        return account

    # Lanes.

    def find(self, destination: str) -> Lane | None:
        """The lane of a destination that has one."""
        return self._lanes.get(destination)

    def lane(self, destination: str) -> Lane:
        """The lane of a destination."""
        lane = self._lanes.get(destination)
        if lane is None:
            limit = self._limit(destination)
            window = min(self._settings.first_concurrency, limit.concurrency)
            lane = Lane(Destination.parse(destination), limit, float(window), self._meter(limit))
            block = self._blocks.get(destination)
            if block is not None:
                lane.doubt(block.failures)
            self._lanes[destination] = lane
        return lane

    def _limit(self, destination: str) -> DestinationLimit:
        for limit in self._limits:
            if limit.fits(destination):
                return limit
        return DestinationLimit("*", self._settings.concurrency)

    def _meter(self, limit: DestinationLimit) -> Meter | None:
        number = limit.recipients_per_minute
        return Meter(number, 60.0, self._monotonic()) if number else None

    def put(self, recipients: Sequence[QueuedRecipient], content: bytes | None = None) -> Lane:
        """Recipients of one message and destination come in, in jobs of one transaction each.

        `content` is kept while there is room for it.
        """
        message = recipients[0].message
        lane = self.lane(recipients[0].destination)
        most = self._settings.recipients_per_message
        if content is not None and self.octets + len(content) > self._settings.content_in_memory:
            content = None
        for start in range(0, len(recipients), most):
            job = Job(message, list(recipients[start : start + most]), content)
            if content is not None:
                self.octets += len(content)
            lane.add(job)
        self.recipients += len(recipients)
        if (account := self.account_of(message)) is not None:
            account.waiting += len(recipients)
        return lane

    def take(self, lane: Lane) -> Job | None:
        """The next job of a lane, if one may go now."""
        job = lane.take(self.accounts, self._monotonic())
        if job is not None and self.accounts:
            self._waits_no_more(job)
        return job

    def take_out(self, is_wanted: Callable[[QueuedRecipient], bool]) -> list[Job]:
        """Those waiting recipients that are wanted, out of all lanes."""
        taken = [job for lane in self for job in lane.take_out(is_wanted)]
        for job in taken:
            self._waits_no_more(job)
        return taken

    def clear(self, lane: Lane) -> list[Job]:
        """All that waits in a lane."""
        jobs = lane.clear()
        for job in jobs:
            self._waits_no_more(job)
        return jobs

    def _waits_no_more(self, job: Job) -> None:
        account = self.accounts.get(job.message.account or "")
        if account is not None:
            account.waiting -= len(job.recipients)

    def let_go(self, job: Job) -> None:
        """The content of a job is not needed any more."""
        if job.content is not None:
            self.octets -= len(job.content)
            job.content = None

    # Destinations that are left alone.

    def is_blocked(self, destination: str) -> bool:
        """Whether a destination is left alone now."""
        block = self._blocks.get(destination)
        return block is not None and block.until > self._clock()

    def is_blocked_for_us(self, destination: str) -> bool:
        """Whether it is left alone, and the store does not know that yet."""
        return self.is_blocked(destination) and not self._blocks[destination].is_written

    def block(self, destination: str, until: float, failures: int, *, is_written: bool = False) -> None:
        """Leave a destination alone until a time."""
        self._blocks[destination] = _Block(until, failures, is_written)

    def block_is_written(self, destination: str) -> None:
        """The store knows that the destination is left alone."""
        block = self._blocks.get(destination)
        if block is not None:
            block.is_written = True

    def unblock(self, destination: str) -> bool:
        """The destination takes mail again, or is to be tried; gives whether it was left alone."""
        return self._blocks.pop(destination, None) is not None

    # Forgetting.

    def tidy(self) -> None:
        """Forget what there is no need to remember, once in a while."""
        now = self._monotonic()
        if now - self._tidied_at < _TIDY_AFTER:
            return
        self._tidied_at = now
        for lane in self:
            self.forget(lane)
        for name in [name for name, account in self.accounts.items() if account.is_idle(now)]:
            del self.accounts[name]
        before = self._clock() - _REMEMBERED_FOR
        for name in [name for name, block in self._blocks.items() if block.until < before]:
            del self._blocks[name]

    def forget(self, lane: Lane) -> None:
        """Forget a lane in which nothing is, and whose rate need not be remembered."""
        if lane.count or lane.running or lane.is_ready:
            return
        if lane.meter is not None and not lane.meter.is_full(self._monotonic()):
            return
        name = str(lane.destination)
        if self._lanes.get(name) is lane:
            del self._lanes[name]
