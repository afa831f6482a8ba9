"""Each recipient that was accepted comes to exactly one end, whatever hosts, store and operator do meanwhile."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs
from tests.agents.outbound.yard import CONTENT, HOST, LATER, NEVER, OK, Yard, assert_empty, dead, said

from estafeta.agents.outbound import presence
from estafeta.agents.outbound.dispatcher import Dispatcher
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.relay import Attempt
from estafeta.store import destinations, queue
from estafeta.store.audit import audit_now
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import Fate, Instant, QueuedRecipient
from estafeta.store.store import Store, Transaction

DOMAINS = [f"d{number}.example" for number in range(6)]


class FlakyStore:
    """A store that fails now and then, before it does anything."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self._store = store
        self._chance = chance
        self.failing = 0.05
        self.ids = store.ids
        self.content = store.content

    def _stumble(self) -> None:
        if self._chance.random() < self.failing:
            raise StoreError("stumbled")

    async def write(self, change: Callable[[Transaction], Any]) -> Any:
        self._stumble()
        return await self._store.write(change)

    async def read(self, query: Callable[[Transaction], Any]) -> Any:
        self._stumble()
        return await self._store.read(query)


class Trial:
    """One run: two dispatchers, senders, an operator, time."""

    def __init__(self, yard: Yard, seed: int) -> None:
        self.yard = yard
        self.chance = random.Random(seed)
        self.store = FlakyStore(yard.store, self.chance)
        self.settings = yard.settings(
            in_memory=30,
            connections=8,
            first_concurrency=2,
            recipients_per_message=3,
            lifetime=40_000.0,
            account_messages_per_hour=self.chance.choice((0, 500)),
        )
        self.is_kind = False
        self.dispatchers: list[Dispatcher] = []
        self.removed: set[int] = set()
        self.number = 0
        for domain in (*DOMAINS, "other.example"):
            yard.hosts.does[domain] = self.attempt

    async def start(self) -> Dispatcher:
        tools = self.yard.tools(self.settings, store=cast(Store, self.store))
        dispatcher = Dispatcher(tools, self.settings)
        while True:
            try:
                await dispatcher.start()
            except StoreError:
                continue
            self.dispatchers.append(dispatcher)
            return dispatcher

    # Hosts.

    async def attempt(self, job: Job) -> Attempt:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        if self.is_kind:
            return said(job, OK)
        what = self.chance.random()
        if what < 0.1:
            raise RuntimeError("a fault")
        if what < 0.2:
            return dead(job)
        outcomes = []
        for each in job.recipients:
            reply, fate = self.chance.choice(
                ((OK, Fate.RELAYED), (OK, Fate.RELAYED), (LATER, Fate.DEFERRED), (NEVER, Fate.FAILED))
            )
            outcomes.append(Outcome(each, fate, reply, True, "RCPT", HOST))
        self.chance.shuffle(outcomes)
        return Attempt(outcomes)

    # Senders.

    async def send(self) -> None:
        yard, dispatcher = self.yard, self.chance.choice(self.dispatchers)
        addresses = []
        for _ in range(self.chance.randrange(1, 6)):
            self.number += 1
            addresses.append(f"u{self.number}@{self.chance.choice(DOMAINS)}")
        account = self.chance.choice((None, "ana@example.org"))
        message = yard.message(account=account, accepted_at=Instant(yard.clock.now))
        claimed = self.chance.choice((dispatcher, dispatcher, None))
        recipients = yard.recipients(*addresses, message=message, dispatcher=claimed)
        await yard.commit(recipients)
        if self.chance.random() < 0.2:  # the session was cut
            dispatcher.adopt(recipients)
        else:
            dispatcher.accepted(recipients, CONTENT)

    # The operator.

    async def operate(self) -> None:
        rows = await self.yard.queued()
        if not rows:
            return
        row = self.chance.choice(rows)
        now = Instant(self.yard.clock.now)
        identifier = self.chance.choice((row.recipient_id, row.message.message_id))
        match self.chance.randrange(6):
            case 0:
                await self.change(lambda tx: queue.hold(tx, identifier), f"drop {identifier}")
            case 1:
                removed = await self.change(lambda tx: queue.remove(tx, identifier), f"drop {identifier}")
                self.removed |= {each.recipient_id for each in removed or ()}
            case 2:
                await self.change(lambda tx: queue.retry(tx, identifier, now=now), f"clear {row.destination}")
            case 3:
                await self.change(lambda tx: queue.release(tx, identifier, now=now), "look")
            case 4:
                try:
                    await self.chance.choice(self.dispatchers).flush(row.destination)
                except StoreError:
                    return
            case 5:
                self.yard.reroutes[self.chance.choice(DOMAINS)] = "other.example"
                dispatcher = self.chance.choice(self.dispatchers)
                dispatcher.replace(dispatcher.tools, self.settings)

    async def change(self, change: Callable[[Transaction], Any], ring: str) -> Any:
        try:
            found = await self.yard.store.write(change)
        except NotFound:
            return None
        for dispatcher in self.dispatchers:
            dispatcher.heard(ring)
        return found

    async def restart(self) -> None:
        dispatcher = self.dispatchers.pop(self.chance.randrange(2))
        await self.stop(dispatcher, self.chance.choice((0.0, 1.0)))
        await self.start()

    async def stop(self, dispatcher: Dispatcher, seconds: float) -> None:
        failing, self.store.failing = self.store.failing, 0.0
        stopping = asyncio.create_task(dispatcher.stop(seconds))
        while not stopping.done():
            self.yard.clock.move(1.0)
            await asyncio.sleep(0.001)
        await stopping
        self.store.failing = failing
        assert_empty(dispatcher)

    # All of it.

    async def run(self) -> None:
        await self.start()
        await self.start()
        for _ in range(150):
            what = self.chance.random()
            if what < 0.45:
                await self.send()
            elif what < 0.6:
                await self.operate()
            elif what < 0.63:
                await self.restart()
            elif what < 0.9:
                self.yard.clock.move(self.chance.choice((1.0, 20.0, 400.0)))
            for _ in range(self.chance.randrange(10)):
                await asyncio.sleep(0)

    async def come_to_an_end(self) -> None:
        """Everything becomes easy, so that nothing has a reason to stay."""
        self.is_kind = True
        self.store.failing = 0.0
        while rows := await self.yard.queued():
            now = Instant(self.yard.clock.now)
            for each in rows:
                await self.change(partial(queue.release, identifier=each.recipient_id, now=now), "look")
                await self.change(partial(destinations.clear, destination=each.destination), "look")
            for dispatcher in self.dispatchers:
                dispatcher.heard("clear " + " ".join((*DOMAINS, "other.example")))
            self.yard.clock.move(400.0)
            for _ in range(20):
                await asyncio.sleep(0)
        for dispatcher in self.dispatchers:
            await self.stop(dispatcher, 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_each_recipient_comes_to_one_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    # Time goes by in leaps here, during which no process could give a sign of life.
    monkeypatch.setattr(presence, "ALIVE_FOR", 1e9)
    yard = Yard(tmp_path)

    async def main() -> None:
        await yard.populate()
        trial = Trial(yard, seed)
        async with asyncio.timeout(60):
            await trial.run()
            await trial.come_to_an_end()
        await check(yard, trial.removed)

    try:
        with capture_logs():  # a traceback of each fault would take most of the time
            asyncio.run(main())
    finally:
        yard.store.close()


async def check(yard: Yard, removed: set[int]) -> None:
    taken = Counter(each.recipient_id for each in yard.hosts.taken)
    told: Counter[tuple[str, str]] = Counter()
    for notice in await yard.notices():
        for part in re.findall(r"Final-Recipient: rfc822; ?(\S+)\r\nAction: (\w+)", notice):
            told[part] += 1

    def ends(recipient: QueuedRecipient) -> int:
        return taken[recipient.recipient_id] + told[str(recipient.forward_path), "failed"]

    assert len(yard.accepted) > 100
    kept = [each for each in yard.accepted if each.recipient_id not in removed]
    assert {str(each.forward_path): ends(each) for each in kept if ends(each) != 1} == {}
    assert [each for each in yard.accepted if ends(each) > 1 or told[str(each.forward_path), "delayed"] > 1] == []
    assert sum(ends(each) for each in kept) == len(kept)
    # The store's own ledger says the same; that an operator took recipients out is told by the command.
    gaps = await yard.store.read(lambda tx: audit_now(tx, Instant(yard.clock.now)))
    names = [yard.store.ids.text(each) for each in removed]
    assert [gap for gap in gaps if not any(name in gap.says for name in names)] == []
    # All ways were gone.
    assert len(taken) > 20
    assert sum(number for (_, action), number in told.items() if action == "failed") > 5
