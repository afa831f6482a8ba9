"""What became of recipients goes into the store: statuses, the journal's entry, and notifications, in one commit.

Most outcomes need no notification. They are gathered while an earlier commit syncs and written together, so
that a courier need not wait for the disk before its next message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from estafeta.store import acceptance, destinations, journal, queue
from estafeta.store.errors import DirectoryChanged, OverQuota, StoreError
from estafeta.store.records import (
    Acceptance,
    DestinationState,
    HolderId,
    JournalEntry,
    RecipientId,
    Settlement,
)
from estafeta.store.store import Store, Transaction

log = structlog.get_logger("estafeta.agents.outbound.settling")

MOST_TOGETHER = 200
"""Settlements in one change: at some 50 µs each, well below what others may be held up for."""
MOST_WAITING = 2000
"""Settlements that may wait for the disk before couriers do."""
RETRY_AFTER = 1.0
LONGEST_RETRY = 60.0


@dataclass(frozen=True, slots=True)
class Settled:
    """One thing to write down."""

    settlements: tuple[Settlement, ...] = ()
    entry: JournalEntry | None = None
    put_back: tuple[RecipientId, ...] = ()
    """Claimed recipients that were not tried."""
    block: DestinationState | None = None
    clear: str | None = None
    """A destination that takes mail again."""

    @property
    def size(self) -> int:
        """Recipients in it."""
        return len(self.settlements) + len(self.put_back)


Compose = Callable[[], Awaitable[Sequence[Acceptance]]]
"""Makes the notifications by the directory of now; called again when it has changed."""


class Settler:
    """Writes down what the couriers found out."""

    def __init__(
        self,
        store: Store,
        holder: HolderId,
        *,
        first_review_after: float,
        settled: Callable[[Settled], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`settled` is called for each thing when it is durable."""
        self.holder = holder
        self._store = store
        self._first_review_after = first_review_after
        self._settled = settled
        self._sleep = sleep
        self._waiting: list[Settled] = []
        self._count = 0
        self._writer: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()

    async def room(self) -> None:
        """Wait while too much waits for the disk."""
        await self._room.wait()

    def add(self, settled: Settled) -> None:
        """Have it written soon, together with others."""
        self._waiting.append(settled)
        self._count += settled.size
        if self._count > MOST_WAITING:
            self._room.clear()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def flush(self) -> None:
        """Wait until all is written."""
        while self._writer is not None:
            await asyncio.shield(self._writer)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                await self._until_written(partial(self._write, batch=batch))
                self._count -= sum(each.size for each in batch)
                if self._count <= MOST_WAITING:
                    self._room.set()
                for each in batch:
                    self._settled(each)
        finally:
            self._writer = None

    def _next_batch(self) -> list[Settled]:
        size = number = 0
        for each in self._waiting:
            size += each.size
            number += 1
            if size >= MOST_TOGETHER:
                break
        batch, self._waiting = self._waiting[:number], self._waiting[number:]
        return batch

    def _write(self, tx: Transaction, batch: Sequence[Settled]) -> None:
        settlements = [settlement for each in batch for settlement in each.settlements]
        if settlements:
            queue.settle(tx, self.holder, settlements)
        for each in batch:
            if each.put_back:
                queue.put_back(tx, self.holder, each.put_back, review_after=self._first_review_after)
            if each.block is not None:
                destinations.block(tx, each.block)
            if each.clear is not None:
                destinations.clear(tx, each.clear)
            if each.entry is not None:
                journal.record(tx, each.entry)

    async def with_notices(
        self, settled: Settled, compose: Compose, discard: Callable[[Sequence[Acceptance]], None]
    ) -> None:
        """Write it in one commit with the notifications that it makes due, and wait for that.

        `discard` is given those that were made and not accepted.
        """

        def change(tx: Transaction, notices: Sequence[Acceptance]) -> None:
            # A claim that was lost is somebody else's to tell of.
            if len(queue.settle(tx, self.holder, settled.settlements)) == len(settled.settlements):
                for notice in notices:
                    acceptance.accept(tx, notice)
            if settled.entry is not None:
                journal.record(tx, settled.entry)

        while True:
            notices = await compose()
            try:
                await self._until_written(partial(change, notices=notices))
            except (DirectoryChanged, OverQuota):
                discard(notices)
                continue
            break
        self._settled(settled)

    async def _until_written(self, change: Callable[[Transaction], object]) -> None:
        """What was found out must not be lost: a store that fails, as on a full disk, is asked again."""
        wait = RETRY_AFTER
        while True:
            try:
                await self._store.write(change)
            except (DirectoryChanged, OverQuota):
                raise
            except StoreError as error:
                log.error("cannot write down what became of queued mail, trying again", reason=str(error))
                await self._sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY)
            else:
                return
