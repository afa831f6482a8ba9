"""One destination's mail in memory: who is next, how many at a time, how fast.

The window of connections grows by one for each window of successes and falls with each failure, as Postfix's
scheduler does it. Senders take turns, so that one huge mailing holds up nobody else at the same destination.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from estafeta.agents.outbound.settings import DestinationLimit
from estafeta.routing.destinations import Destination
from estafeta.store.records import QueuedMessage, QueuedRecipient


@dataclass(slots=True)
class Job:
    """Recipients of one message at one destination, to be tried together."""

    message: QueuedMessage
    recipients: list[QueuedRecipient]
    content: bytes | None = None
    """Prefix and content, while they are in memory."""

    @property
    def source(self) -> str:
        """Who takes turns with others: the account, or the address that the message came from."""
        return self.message.account or str(self.message.reverse_path)


class Meter:
    """Lets so many things pass in a time, in a burst of a tenth of them (a token bucket)."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated_at")

    def __init__(self, number: int, seconds: float, now: float) -> None:
        self._rate = number / seconds
        self._burst = max(1.0, number / 10)
        self._tokens = self._burst
        self._updated_at = now

    def wait(self, now: float) -> float:
        """Seconds until the next may pass; 0 when it may now."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / self._rate

    def take(self, number: int) -> None:
        """So many have passed; a group is let pass whole and paid for afterwards."""
        self._tokens -= number

    def is_full(self, now: float) -> bool:
        """Whether nothing has passed for so long that it need not be remembered."""
        self.wait(now)
        return self._tokens >= self._burst


@dataclass(slots=True)
class Lane:
    """A destination with mail in memory."""

    destination: Destination
    limit: DestinationLimit
    window: float
    meter: Meter | None = None
    count: int = 0
    """Recipients in memory, those that are being tried included."""
    running: int = 0
    """Couriers under way."""
    failures: int = 0
    """Of the whole destination, one after the other."""
    has_succeeded: bool = False
    """It took mail since it was last blocked."""
    has_more: bool = False
    """The store has more than was claimed."""
    is_ready: bool = False
    """Stands in the line for a courier."""
    waits_until: float = 0.0
    """Its rate, or that of all its senders, lets nothing pass before."""
    _waiting: dict[int, dict[str, deque[Job]]] = field(default_factory=dict)
    """By priority, then by source in the order of their turns."""

    def add(self, job: Job) -> None:
        """Put a job behind the others of its source."""
        sources = self._waiting.setdefault(job.message.priority, {})
        sources.setdefault(job.source, deque()).append(job)
        self.count += len(job.recipients)

    @property
    def has_waiting(self) -> bool:
        """Whether there is a job to take."""
        return bool(self._waiting)

    @property
    def wants_courier(self) -> bool:
        """Whether one more connection would be of use now."""
        return bool(self._waiting) and self.running < min(int(self.window), self.limit.concurrency)

    def take(self, meters: dict[str, Meter], now: float) -> Job | None:
        """The next job by priority and turn; None when none may go now, and `waits_until` says when."""
        if self.meter is not None and (wait := self.meter.wait(now)):
            self.waits_until = now + wait
            return None
        soonest = 0.0
        for priority in sorted(self._waiting, reverse=True) if len(self._waiting) > 1 else tuple(self._waiting):
            sources = self._waiting[priority]
            for source in tuple(sources) if meters else (next(iter(sources)),):
                meter = meters.get(source)
                if meter is not None and (wait := meter.wait(now)):
                    soonest = min(soonest or now + wait, now + wait)
                    continue
                return self._take(priority, source, meter)
        self.waits_until = soonest
        return None

    def _take(self, priority: int, source: str, meter: Meter | None) -> Job:
        sources = self._waiting[priority]
        jobs = sources.pop(source)
        job = jobs.popleft()
        if jobs:
            sources[source] = jobs  # behind the other sources
        elif not sources:
            del self._waiting[priority]
        for each in (meter, self.meter):
            if each is not None:
                each.take(len(job.recipients))
        return job

    def clear(self) -> list[Job]:
        """Give all waiting jobs away."""
        jobs = [job for sources in self._waiting.values() for waiting in sources.values() for job in waiting]
        self._waiting.clear()
        self.count -= sum(len(job.recipients) for job in jobs)
        return jobs

    def drop(self, identifiers: frozenset[int]) -> list[QueuedRecipient]:
        """Take out the waiting recipients that have one of these ids, their own or their message's."""
        dropped: list[QueuedRecipient] = []
        for priority, sources in list(self._waiting.items()):
            for source, jobs in list(sources.items()):
                for job in list(jobs):
                    gone = [
                        each
                        for each in job.recipients
                        if not identifiers.isdisjoint(
                            (each.recipient_id, job.message.message_id, job.message.content_id)
                        )
                    ]
                    if gone:
                        dropped += gone
                        job.recipients = [each for each in job.recipients if each not in gone]
                        if not job.recipients:
                            jobs.remove(job)
                if not jobs:
                    del sources[source]
            if not sources:
                del self._waiting[priority]
        self.count -= len(dropped)
        return dropped

    def succeeded(self) -> None:
        """The destination took mail, or answered for it: one window of these makes room for one more."""
        self.has_succeeded = True
        self.failures = 0
        self.window = min(self.window + 1 / self.window, float(self.limit.concurrency))

    def failed(self) -> bool:
        """The destination as a whole did not answer; gives whether it counts as dead now."""
        self.failures += 1
        self.window -= 1
        if self.has_succeeded and self.window >= 1:
            return False
        self.window = 1.0
        self.has_succeeded = False
        return True
