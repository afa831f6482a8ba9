"""A yard for dispatchers: a real store, a clock that is moved by hand, and hosts that do as they are told."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from estafeta.agents.outbound.dispatcher import Dispatcher, Tools
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.notifier import NotificationSettings, Notifier
from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule
from estafeta.agents.outbound.settings import DestinationLimit, RelaySettings
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.reply import Reply
from estafeta.routing.destinations import Destination
from estafeta.routing.directory import Directory
from estafeta.routing.local import LocalRules
from estafeta.store import acceptance, accounts, destinations, directory, domains, journal, mailboxes, messages, queue
from estafeta.store.records import (
    Acceptance,
    Content,
    ContentId,
    EntryKind,
    Fate,
    Instant,
    JournalEntry,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)
from estafeta.store.store import Store, Transaction, open_store

NOW = 1_700_000_000.0
CONTENT = b"From: ana@example.org\r\nSubject: x\r\n\r\nhello\r\n"
HOST = HostFacts("mx.example.net", "192.0.2.1:25")
OK = Reply.of(250, "taken", "2.0.0")
LATER = Reply.of(451, "not now", "4.3.2")
NEVER = Reply.of(550, "nobody of that name", "5.1.1")
SILENT = Reply.of(451, "nobody answers", "4.4.1")


class Clock:
    """Moved by hand; wakes who sleeps by it."""

    def __init__(self) -> None:
        self.now = NOW
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Until it was moved so far."""
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), future))
        await future

    def move(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)


def taken(job: Job) -> Attempt:
    return said(job, OK)


def said(job: Job, reply: Reply) -> Attempt:
    """The host gives all recipients the same reply."""
    fate = Fate.RELAYED if reply.is_positive else Fate.FAILED if reply.is_permanent else Fate.DEFERRED
    return Attempt([Outcome(each, fate, reply, True, "RCPT", HOST) for each in job.recipients])


def dead(job: Job) -> Attempt:
    """Nobody answers."""
    return Attempt([Outcome(each, Fate.DEFERRED, SILENT, False, "connect", HOST) for each in job.recipients], [], True)


Does: TypeAlias = Callable[[Job], Attempt | Awaitable[Attempt]]


class Hosts:
    """All other hosts: they take everything unless `does` says otherwise for the destination."""

    def __init__(self) -> None:
        self.does: dict[str, Does] = {}
        self.tried: list[tuple[str, tuple[int, ...]]] = []
        """Destination and recipients of each attempt, in their order."""
        self.taken: list[QueuedRecipient] = []
        """Those that a host took, in their order."""
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """Attempts at a time, at most."""

    async def deliver(self, destination: Destination, job: Job, content: bytes) -> Attempt:
        """What a dispatcher calls."""
        name = str(destination)
        self.tried.append((name, tuple(each.recipient_id for each in job.recipients)))
        self.running[name] += 1
        self.most[name] = max(self.most[name], self.running[name])
        try:
            made = self.does.get(name, taken)(job)
            attempt = made if isinstance(made, Attempt) else await made
        finally:
            self.running[name] -= 1
        self.taken += [each.recipient for each in attempt.outcomes if each.fate is Fate.RELAYED]
        return attempt

    def taken_at(self, destination: str) -> list[str]:
        """The forward-paths that were taken at a destination, in their order."""
        return [str(each.forward_path) for each in self.taken if each.destination == destination]

    def tries_at(self, destination: str) -> int:
        """Attempts at a destination."""
        return sum(name == destination for name, _ in self.tried)


class Gate:
    """A host that takes its time: attempts wait until `open`."""

    def __init__(self, reply: Reply = OK) -> None:
        self.reply = reply
        self.event = asyncio.Event()
        self.has_begun = asyncio.Event()

    async def __call__(self, job: Job) -> Attempt:
        self.has_begun.set()
        await self.event.wait()
        return said(job, self.reply)


class Yard:
    """One store, any number of dispatchers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.hosts = Hosts()
        self.store: Store = open_store(folder / "data", clock=self.clock)
        self.reroutes: dict[str, str] = {}
        """Where destinations lead by the rules of now."""
        self.accepted: list[QueuedRecipient] = []

    async def populate(self) -> None:
        """One domain of ours, whose only user hears of what fails."""

        def change(tx: Transaction) -> None:
            domains.add(tx, "example.org", now=Instant(self.clock.now))
            accounts.add(tx, Address.parse("ana@example.org"), password=None, now=Instant(self.clock.now))

        await self.store.write(change)

    def settings(self, **settings: Any) -> RelaySettings:
        """Few seconds, and no chance."""
        return RelaySettings(**{"jitter": 0.0, "poll_after": 0.05, **settings})

    def tools(self, settings: RelaySettings, limits: Iterable[DestinationLimit] = (), **tools: Any) -> Tools:
        """What dispatchers work with here."""
        schedule = Schedule(settings, lambda: 0.5)
        notifier = Notifier(
            "mx.example.org",
            self.store,
            Directory(self.store, LocalRules(), self.clock),
            NotificationSettings(),
            clock=self.clock,
            lifetime=settings.lifetime,
            review_after=schedule.first_review_after,
        )
        made = Tools(
            store=self.store,
            deliver=self.hosts.deliver,
            notifier=notifier,
            schedule=schedule,
            limits=tuple(limits),
            reroute=lambda each: self.reroutes.get(each.destination),
            clock=self.clock,
            monotonic=self.clock,
            sleep=self.clock.sleep,
        )
        return replace(made, **tools)

    def dispatcher(self, limits: Iterable[DestinationLimit] = (), **settings: Any) -> Dispatcher:
        """One that is not started."""
        made = self.settings(**settings)
        return Dispatcher(self.tools(made, limits), made)

    @asynccontextmanager
    async def running(self, limits: Iterable[DestinationLimit] = (), **settings: Any) -> AsyncIterator[Dispatcher]:
        """One that works, and has nothing left in memory at the end."""
        dispatcher = self.dispatcher(limits, **settings)
        await dispatcher.start()
        try:
            yield dispatcher
        finally:
            await dispatcher.stop(1.0)
        assert_empty(dispatcher)
        assert not [each for each in await self.queued() if each.holder is not None]

    # Mail.

    def message(self, reverse_path: str = "ana@example.org", **more: Any) -> QueuedMessage:
        """An envelope that was just accepted."""
        path = ReversePath(Address.parse(reverse_path)) if reverse_path else NULL_REVERSE_PATH
        number = MessageId(self.store.ids.next_id())
        made = QueuedMessage(number, ContentId(number), path, Instant(self.clock.now), len(CONTENT))
        return replace(made, **more)

    def recipients(
        self,
        *addresses: str,
        message: QueuedMessage | None = None,
        dispatcher: Dispatcher | None = None,
        **more: Any,
    ) -> list[QueuedRecipient]:
        """Recipients of one message, for the domains of their addresses, claimed where a dispatcher has room."""
        message = message or self.message()
        found = []
        for text in addresses:
            address = Address.parse(text)
            holder = dispatcher.room_for(address.domain, message) if dispatcher is not None else None
            made = QueuedRecipient(
                recipient_id=RecipientId(self.store.ids.next_id()),
                message=message,
                forward_path=ForwardPath(address),
                destination=address.domain,
                status=QueueStatus.ACTIVE,
                next_attempt_at=Instant(self.clock.now),
                review_at=None if holder is not None else Instant(self.clock.now + 14_400),
                holder=holder,
            )
            found.append(replace(made, **more))
        return found

    async def commit(self, recipients: Sequence[QueuedRecipient]) -> None:
        """Accept them durably, and tell nobody."""
        self.accepted += recipients
        contents: dict[int, list[QueuedRecipient]] = {}
        for each in recipients:
            contents.setdefault(each.message.content_id, []).append(each)
        for content_id, some in contents.items():
            accepted = Acceptance(
                MessageId(content_id),
                some[0].message.accepted_at,
                Content(len(CONTENT), CONTENT),
                (),
                tuple(some),
                1,
                JournalEntry(
                    EntryKind.TRANSACTION,
                    Instant(self.clock.now),
                    None,
                    MessageId(content_id),
                    {"reverse_path": str(some[0].message.reverse_path)},
                ),
            )

            def change(tx: Transaction, accepted: Acceptance = accepted) -> None:
                acceptance.accept(tx, replace(accepted, directory_version=directory.version(tx)))

            await self.store.write(change)

    async def accept(self, dispatcher: Dispatcher, *addresses: str, **more: Any) -> list[QueuedRecipient]:
        """A session takes a message in, as sessions do."""
        recipients = self.recipients(*addresses, dispatcher=dispatcher, **more)
        await self.commit(recipients)
        dispatcher.accepted(recipients, CONTENT)
        return recipients

    async def store_many(self, number: int, domain: str, **more: Any) -> list[QueuedRecipient]:
        """So many recipients, each of a message of its own, that wait in the store."""
        found = []
        for each in range(number):
            reverse_path = more.pop("reverse_path", "ana@example.org")
            found += self.recipients(f"u{each}@{domain}", message=self.message(reverse_path), **more)
        await asyncio.gather(*(self.commit([each]) for each in found))
        return found

    # What there is.

    async def queued(self) -> list[QueuedRecipient]:
        """The queue."""
        return await self.store.read(lambda tx: queue.list_all(tx, limit=100_000))

    async def blocked(self) -> list[str]:
        """Destinations that all processes leave alone."""
        now = Instant(self.clock.now)
        found = await self.store.read(lambda tx: destinations.blocked(tx, now=now, limit=100))
        return [each.destination for each in found]

    async def notices(self) -> list[str]:
        """What ana was told, each as its text."""

        def read(tx: Transaction) -> list[bytes]:
            account = accounts.find(tx, Address.parse("ana@example.org"))
            assert account is not None
            inbox = mailboxes.inbox(tx, account.account_id)
            return [
                messages.read_content(tx, self.store.content, inbox.mailbox_id, each.uid)
                for each in messages.list_of(tx, inbox.mailbox_id)
            ]

        return [octets.decode() for octets in await self.store.read(read)]

    async def attempts(self, recipient: QueuedRecipient) -> list[dict[str, Any]]:
        """What the journal tells of the attempts for a message."""
        content_id = recipient.message.content_id
        found = await self.store.read(lambda tx: journal.by_message(tx, content_id))
        return [each.facts for each in found if each.kind is EntryKind.ATTEMPT]

    async def until(self, is_so: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
        """Wait for something that comes about by itself."""
        async with asyncio.timeout(seconds):
            while True:
                found = is_so()
                if found if isinstance(found, bool) else await found:
                    return
                await asyncio.sleep(0.001)

    async def until_empty(self) -> None:
        """Wait until nothing is queued."""

        async def is_empty() -> bool:
            return not await self.queued()

        await self.until(is_empty)

    async def until_idle(self, *dispatchers: Dispatcher) -> None:
        """Wait until nothing is in memory, and nothing comes in."""

        def is_idle() -> bool:
            return not any(each.in_memory or each.is_busy for each in dispatchers)

        for _ in range(3):
            await self.until(is_idle)
            for each in dispatchers:
                await each.filler.fill()
            await self.store.write(lambda tx: None)
        await self.until(is_idle)


def assert_empty(dispatcher: Dispatcher) -> None:
    """Nothing is counted that is not there."""
    lanes = dispatcher.lanes
    assert lanes.recipients == 0
    assert lanes.octets == 0
    assert [(str(lane.destination), lane.count, lane.running, lane.starting, lane.waiting) for lane in lanes] == [
        (str(lane.destination), 0, 0, 0, 0) for lane in lanes
    ]
    assert [account.waiting for account in lanes.accounts.values()] == [0] * len(lanes.accounts)
