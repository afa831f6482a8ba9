"""One destination's mail in memory: who is next, how many at a time, how fast.

The window of connections grows by one for each window of successes and falls with each failure, as Postfix's
scheduler does it. Senders take turns, so that one huge mailing holds up nobody else at the same destination.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from estafeta.agents.outbound.rates import Meter
from estafeta.agents.outbound.settings import DestinationLimit
from estafeta.routing.destinations import Destination
from estafeta.store.ids import IdSource
from estafeta.store.records import QueuedMessage, QueuedRecipient

_UNTIL_VARIED = re.compile(r"[^0-9+=_-]*")
"""The part of a local-part that is the same in all addresses of one mailing, where each recipient gets his own."""


def source_of(message: QueuedMessage) -> str:
    """Who takes turns with others: the account, or the address that the message came from."""
    if message.account:
        return message.account
    address = message.reverse_path.address
    if address is None:
        return "<>"
    same = _UNTIL_VARIED.match(address.local_part)
    return f"<{same[0] if same else ''}@{address.domain}>"


class Begun(Protocol):
    """The beginning of a job, for whoever carries it."""

    def drop(self) -> None:
        """It is not gone on with."""


@dataclass(slots=True)
class Job:
    """Recipients of one message at one destination, to be tried together."""

    message: QueuedMessage
    recipients: list[QueuedRecipient]
    content: bytes | None = None
    """Prefix and content, while they are in memory."""
    take_next: Callable[[], Job | None] | None = None
    """Takes the job that the same courier carries next, where one waits and no other courier could have it."""
    begun: Begun | None = None
    """What was done of it already while the job before it was carried."""

    def log_facts(self) -> dict[str, object]:
        """Whom lines of the log are about that are written while it is tried."""
        return {"message": IdSource.text(self.message.content_id), "destination": self.recipients[0].destination}


@dataclass(slots=True)
class Lane:
    """A destination with mail in memory."""

    destination: Destination
    limit: DestinationLimit
    window: float
    meter: Meter | None = None
    count: int = 0
    """Recipients in memory, those that are being tried included."""
    waiting: int = 0
    """Jobs that wait."""
    running: int = 0
    """Couriers under way."""
    starting: int = 0
    """Those of them that have not taken a job yet."""
    failures: int = 0
    """Of the whole destination, one after the other."""
    has_succeeded: bool = False
    """It took mail since it was last blocked."""
    is_doubtful: bool = False
    """It was dead when it was last tried: one courier at a time finds out whether it still is."""
    deaths: int = 0
    """How often it was found dead: what an attempt says that began before the last time is nothing new."""
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
        source = source_of(job.message)
        jobs = sources.get(source)
        if jobs is None:
            sources[source] = deque((job,))
            if self.meter is None:
                self.waits_until = 0.0  # the others wait for their own senders' rates
        else:
            jobs.append(job)
        self.waiting += 1
        self.count += len(job.recipients)

    @property
    def has_waiting(self) -> bool:
        """Whether there is a job to take."""
        return bool(self.waiting)

    @property
    def wants_courier(self) -> bool:
        """Whether one more connection would be of use now."""
        return self.waiting > self.starting and self.running < min(int(self.window), self.limit.concurrency)

    def waiting_of(self, message: QueuedMessage) -> int:
        """How many jobs of the message's source and priority wait."""
        sources = self._waiting.get(message.priority)
        jobs = sources.get(source_of(message)) if sources is not None else None
        return 0 if jobs is None else len(jobs)

    def take(self, meters: Mapping[str, Meter], now: float) -> Job | None:
        """The next job by priority and turn; None when none may go now, and `waits_until` says when."""
        if self.meter is not None and (wait := self.meter.wait(now)):
            self.waits_until = now + wait
            return None
        soonest = 0.0
        for priority in sorted(self._waiting, reverse=True) if len(self._waiting) > 1 else self._waiting:
            for source in self._waiting[priority]:
                meter = meters.get(source) if meters else None
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
        self.waiting -= 1
        return job

    def jobs(self) -> Iterator[Job]:
        """All that waits."""
        for sources in self._waiting.values():
            for jobs in sources.values():
                yield from jobs

    def clear(self) -> list[Job]:
        """Give all waiting jobs away."""
        jobs = list(self.jobs())
        self._waiting.clear()
        self.waiting = 0
        self.count -= sum(len(job.recipients) for job in jobs)
        return jobs

    def take_out(self, is_wanted: Callable[[QueuedRecipient], bool]) -> list[Job]:
        """Give away those waiting recipients that are wanted; their contents, unless others need them still."""
        taken: list[Job] = []
        rest: list[Job] = []
        for job in self.jobs():
            gone = [each for each in job.recipients if is_wanted(each)]
            if not gone:
                rest.append(job)
            elif len(gone) == len(job.recipients):
                taken.append(job)
            else:
                taken.append(Job(job.message, gone))
                ids = {each.recipient_id for each in gone}
                job.recipients = [each for each in job.recipients if each.recipient_id not in ids]
                rest.append(job)
        if taken:
            self.count -= sum(len(job.recipients) for job in (*taken, *rest))
            self._waiting.clear()
            self.waiting = 0
            for job in rest:
                self.add(job)
        return taken

    def succeeded(self) -> None:
        """The destination took mail, or answered for it: one window of these makes room for one more."""
        self.has_succeeded = True
        self.is_doubtful = False
        self.failures = 0
        self.window = min(self.window + 1 / self.window, float(self.limit.concurrency))

    def failed(self) -> bool:
        """The destination as a whole did not answer; gives whether it counts as dead now."""
        self.failures += 1
        self.window -= 1
        if self.has_succeeded and self.window >= 1:
            return False
        self.doubt(self.failures)
        return True

    def doubt(self, failures: int) -> None:
        """It is dead, or was so many times when it was tried."""
        self.deaths += 1
        self.failures = failures
        self.window = 1.0
        self.has_succeeded = False
        self.is_doubtful = True
