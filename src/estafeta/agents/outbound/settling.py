"""What became of recipients goes into the store: statuses, the journal's entry, and notifications, in one commit.

Most outcomes need no notification. They are gathered while an earlier commit syncs and written together, so
that a courier need not wait for the disk before its next message. What was found out is written at last, however
often the store fails, and whoever is cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import structlog

from estafeta.agents.outbound.record import merged_entry
from estafeta.mail.value import value
from estafeta.net.narrator import speak_of
from estafeta.store import acceptance, destinations, journal, queue
from estafeta.store.errors import ConstraintViolated, DirectoryChanged, OverQuota, StoreClosed, StoreError
from estafeta.store.ids import IdSource
from estafeta.store.records import (
    Acceptance,
    DestinationState,
    HolderId,
    Instant,
    JournalEntry,
    RecipientId,
    Settlement,
)
from estafeta.store.store import Store, Transaction

log = structlog.get_logger("estafeta.agents.outbound.settling")

MOST_TOGETHER = 200
"""Settlements in one change: at some 50 µs each, well below what others may be held up for."""
MOST_WAITING = 20
"""Settlements that may wait for the disk before couriers do. Whoever kills the process makes as many messages come
twice; a commit is there within milliseconds, so that more would gain nothing."""
RETRY_AFTER = 1.0
LONGEST_RETRY = 60.0
_AT_ONCE = 3
"""Notifications that are made anew without a pause, where the directory has changed under them."""

_FOR_GOOD = (DirectoryChanged, OverQuota, ConstraintViolated, StoreClosed)
"""Errors that the same change would meet again."""


@value
class Settled:
    """One thing to write down."""

    holder: HolderId
    """Who has claimed the recipients."""
    settlements: tuple[Settlement, ...] = ()
    entry: JournalEntry | None = None
    put_back: tuple[RecipientId, ...] = ()
    """Claimed recipients that were not tried."""
    moved: tuple[tuple[str, tuple[RecipientId, ...]], ...] = ()
    """Those that wait for other destinations from now on."""
    moved_at: Instant | None = None
    """When that was found out."""
    block: DestinationState | None = None
    clear: str | None = None
    """A destination that takes mail again."""
    review_at: Instant | None = None
    """When somebody must look at what is put off here, to the second."""
    leaving: int = 0
    """Recipients that are out of memory when it is written."""

    @property
    def size(self) -> int:
        """Recipients in it."""
        size = len(self.settlements) + len(self.put_back)
        return size + sum(len(ids) for _, ids in self.moved) if self.moved else size


Compose: TypeAlias = Callable[[frozenset[RecipientId]], Awaitable[Sequence[Acceptance]]]
"""Makes the notifications about those recipients by the directory of now; called again when either has changed.
Raises StoreError, to be called again."""
Discard: TypeAlias = Callable[[Sequence[Acceptance]], None]
"""Is given notifications that were made and not accepted."""


class _ClaimsLost(Exception):
    """Others have some of the recipients that a notification is about; `kept` are those that are ours still."""

    def __init__(self, kept: frozenset[RecipientId]) -> None:
        super().__init__("claims were lost")
        self.kept = kept


class Settler:
    """Writes down what the couriers found out."""

    def __init__(
        self,
        store: Store,
        *,
        first_review_after: float,
        settled: Callable[[Settled], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`settled` is called for each thing when it is durable, or given up."""
        self.first_review_after = first_review_after
        """Seconds from acceptance to the first look at what is put back."""
        self._store = store
        self._settled = settled
        self._sleep = sleep
        self._waiting: list[Settled] = []
        self._count = 0
        self._added = 0
        self._written = 0
        self._writer: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._flushing: list[tuple[int, asyncio.Future[None]]] = []
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_full(self) -> bool:
        """Whether `room` would wait."""
        return self._count > MOST_WAITING

    async def room(self) -> None:
        """Wait while too much waits for the disk."""
        if not self._room.is_set():
            await self._room.wait()

    def add(self, settled: Settled) -> None:
        """Have it written soon, together with others."""
        self._waiting.append(settled)
        self._added += 1
        self._count += settled.size
        if self._count > MOST_WAITING:
            self._room.clear()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def flush(self) -> None:
        """Wait until all that was handed in by now is written."""
        if self._written < self._added:
            written = asyncio.get_running_loop().create_future()
            self._flushing.append((self._added, written))
            await written
        if self._telling:
            await asyncio.wait(tuple(self._telling))

    async def give_up(self) -> None:
        """Write nothing more: the store fails, and the process ends."""
        tasks = [*self._telling, *([self._writer] if self._writer is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in self._waiting:
            self._settled(each)
        self._written += len(self._waiting)
        self._waiting.clear()
        self._tell_flushed()

    # Without notifications.

    async def _write_all(self) -> None:
        speak_of(None)  # of many messages, not of the one whose courier came first
        try:
            while self._waiting:
                batch = self._next_batch()
                try:
                    await self._write_batch(batch)
                finally:
                    self._count -= sum(each.size for each in batch)
                    self._written += len(batch)
                    if self._count <= MOST_WAITING:
                        self._room.set()
                    for each in batch:
                        self._settled(each)
                    self._tell_flushed()
        finally:
            self._writer = None

    def _tell_flushed(self) -> None:
        while self._flushing and self._flushing[0][0] <= self._written:
            _, written = self._flushing.pop(0)
            if not written.done():
                written.set_result(None)

    def _next_batch(self) -> list[Settled]:
        size = number = 0
        for each in self._waiting:
            size += each.size
            number += 1
            if size >= MOST_TOGETHER:
                break
        batch, self._waiting = self._waiting[:number], self._waiting[number:]
        return batch

    async def _write_batch(self, batch: Sequence[Settled]) -> None:
        """Write things together; one that cannot be written must not hold up the others, nor come again for ever."""
        try:
            await self._until_written(partial(self._write, batch=batch))
        except Exception:
            if len(batch) > 1:
                for each in batch:
                    await self._write_batch([each])
                return
            log.exception("what became of queued mail cannot be written down")
            if batch[0].entry is not None:
                await self._write_batch([replace(batch[0], entry=None)])

    def _write(self, tx: Transaction, batch: Sequence[Settled]) -> None:
        by_holder: dict[HolderId, list[Settlement]] = {}
        for each in batch:
            if each.settlements:
                by_holder.setdefault(each.holder, []).extend(each.settlements)
        kept: dict[HolderId, Set[RecipientId]] = {}
        for holder, settlements in by_holder.items():
            kept[holder] = frozenset(queue.settle(tx, holder, settlements))
        for each in batch:
            if each.block is not None:
                destinations.block(tx, each.block)
            if each.clear is not None:
                destinations.clear(tx, each.clear)
            if each.put_back:
                queue.put_back(tx, each.holder, each.put_back, review_after=self.first_review_after)
            for destination, ids in each.moved:
                for merged in queue.redirect(tx, holder=each.holder, recipient_ids=ids, to=destination):
                    journal.record(tx, merged_entry(merged, destination, at=each.moved_at or merged.next_attempt_at))
            if each.entry is not None:
                journal.record(tx, _as_kept(each, each.entry, kept.get(each.holder, frozenset())))

    # With notifications.

    async def tell(self, settled: Settled, due: frozenset[RecipientId], compose: Compose, discard: Discard) -> None:
        """Write it in one commit with the notifications about the recipients that are due one, and wait for that.

        It is written also when the waiting task is cancelled.
        """
        task = asyncio.get_running_loop().create_task(self._tell(settled, due, compose, discard))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        await asyncio.shield(task)

    async def _tell(self, settled: Settled, due: frozenset[RecipientId], compose: Compose, discard: Discard) -> None:
        tries = 0
        notices: Sequence[Acceptance] = ()
        try:
            while True:
                notices = await self._composed(compose, due)
                try:
                    await self._until_written(partial(self._write_told, settled=settled, due=due, notices=notices))
                except _ClaimsLost as lost:
                    due = lost.kept
                except (DirectoryChanged, OverQuota):
                    tries += 1
                else:
                    return
                discard(notices)
                notices = ()
                if settled.entry is not None:
                    settled.entry.facts.pop("notifications", None)
                if tries > _AT_ONCE:
                    await self._sleep(RETRY_AFTER)
        except Exception:
            log.exception("a notification cannot be written")
            discard(notices)
            if settled.entry is not None and due:
                settled.entry.facts["notifications"] = ["none could be made, it cannot be written"]
            await self._write_batch([settled])
        finally:
            self._settled(settled)

    async def _composed(self, compose: Compose, due: frozenset[RecipientId]) -> Sequence[Acceptance]:
        wait = RETRY_AFTER
        while True:
            try:
                return await compose(due) if due else ()
            except StoreError as error:
                log.error("cannot make a notification, trying again", reason=str(error))
                await self._sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY)

    def _write_told(
        self, tx: Transaction, settled: Settled, due: frozenset[RecipientId], notices: Sequence[Acceptance]
    ) -> None:
        # A claim that was lost is somebody else's to tell of, and what the operator has removed is nobody's.
        ours = set(queue.settle(tx, settled.holder, settled.settlements))
        kept = due.intersection(ours)
        if kept != due:
            raise _ClaimsLost(kept)
        for notice in notices:
            acceptance.accept(tx, notice)
        if settled.entry is not None:
            journal.record(tx, _as_kept(settled, settled.entry, ours))

    async def _until_written(self, change: Callable[[Transaction], object]) -> None:
        """What was found out must not be lost: a store that fails, as on a full disk, is asked again."""
        wait = RETRY_AFTER
        while True:
            try:
                await self._store.write(change)
            except _FOR_GOOD:
                raise
            except StoreError as error:
                log.error("cannot write down what became of queued mail, trying again", reason=str(error))
                await self._sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY)
            else:
                return


def _as_kept(settled: Settled, entry: JournalEntry, kept: Set[RecipientId]) -> JournalEntry:
    """The entry, with the recipients named of which it decides nothing: others have them, or an operator took them."""
    lost = [each.recipient_id for each in settled.settlements if each.recipient_id not in kept]
    if not lost:
        return entry
    return replace(entry, facts=entry.facts | {"not_ours": [IdSource.text(each) for each in lost]})
