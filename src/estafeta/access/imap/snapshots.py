"""The snapshots of mailboxes that sessions have open or had lately: one cache for the whole process.

A mailbox is watched while its snapshot is kept. What has changed is read when somebody asks, once for all who ask,
in a reader's thread; those of mailboxes that nobody has open go when there are too many messages in memory.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from estafeta.access.imap.snapshot import Snapshot, after, link
from estafeta.store import mailboxes, messages
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound
from estafeta.store.records import MailboxId
from estafeta.store.store import Store

_COST_OF_ONE = 64
"""Messages that take as much memory as a snapshot without any."""


class _Entry:
    """What is kept of one mailbox."""

    __slots__ = ("cost", "end", "is_stale", "mailbox_id", "reading", "sessions", "snapshot", "told_until")

    def __init__(self, mailbox_id: MailboxId) -> None:
        self.mailbox_id = mailbox_id
        self.snapshot: Snapshot | None = None
        self.is_stale = True
        self.reading: asyncio.Future[Snapshot] | None = None
        self.cost = 0
        """What it counts as in messages."""
        self.sessions = 0
        """Sessions that have it open."""
        self.told_until = 0
        """Below this UID some session was told of all as \\Recent."""
        self.end: Callable[[], None] | None = None

    def touched(self, _: int) -> None:
        """The mailbox has changed."""
        self.is_stale = True


class Snapshots:
    """The cache; used in one event loop."""

    def __init__(self, store: Store, most_messages: int = 1_000_000) -> None:
        self.most_messages = most_messages
        """Messages beyond which mailboxes go that nobody has open."""
        self._kept = 0
        self._store = store
        self._entries: OrderedDict[MailboxId, _Entry] = OrderedDict()

    async def current(self, mailbox_id: MailboxId, *, is_fresh: bool = False) -> Snapshot:
        """The newest snapshot of a mailbox. Raises NotFound when the mailbox is gone, StoreError.

        All that this process has committed is in it. What other processes commit is known some milliseconds later;
        with `is_fresh` the store is asked in any case.
        """
        entry = self._entries.get(mailbox_id)
        if entry is None:
            entry = self._entries[mailbox_id] = _Entry(mailbox_id)
            # Watched before it is read, so that no change is between the two.
            entry.end = self._store.changes.watch(mailbox_id, entry.touched)
        else:
            self._entries.move_to_end(mailbox_id)
            if is_fresh:
                entry.is_stale = True
        for _ in range(2):  # the second reading began after this call, whatever comes meanwhile
            if entry.reading is None:
                if not entry.is_stale:
                    break
                entry.is_stale = False
                entry.reading = asyncio.ensure_future(self._read(entry))
                entry.reading.add_done_callback(_retrieved)
            await asyncio.shield(entry.reading)
        assert entry.snapshot is not None
        return entry.snapshot

    async def _read(self, entry: _Entry) -> Snapshot:
        mailbox_id, old = entry.mailbox_id, entry.snapshot
        try:
            new = await self._store.read(lambda tx: _newest(tx, mailbox_id, old))
        except BaseException as error:
            entry.is_stale = True
            if isinstance(error, NotFound):
                self._drop(entry)
            raise
        finally:
            entry.reading = None
        entry.snapshot = new
        self._weigh(entry, _COST_OF_ONE + len(new))
        self._make_room()
        return new

    def hold(self, mailbox_id: MailboxId) -> None:
        """A session has it open; `current` was called before."""
        entry = self._entries.get(mailbox_id)
        if entry is not None:
            entry.sessions += 1

    def release(self, mailbox_id: MailboxId) -> None:
        """The session has it open no longer."""
        entry = self._entries.get(mailbox_id)
        if entry is not None and entry.sessions:
            entry.sessions -= 1
            self._make_room()

    async def claim_recent(self, snapshot: Snapshot) -> range:
        """The UIDs that the one session is to be told of as \\Recent which asks first (RFC 3501 §2.3.2).

        Raises StoreError, NotFound.
        """
        mailbox_id = snapshot.mailbox_id
        entry = self._entries.get(mailbox_id)
        told_until = max(snapshot.mailbox.recent_uid, entry.told_until if entry is not None else 0)
        if told_until >= snapshot.uid_next:
            return range(0)

        def change(tx: Transaction) -> range:
            first = messages.claim_recent(tx, mailbox_id)
            return range(first, mailboxes.get(tx, mailbox_id).uid_next)

        claimed = await self._store.write(change)
        if entry is not None:
            entry.told_until = max(entry.told_until, claimed.stop)
        return claimed

    def close(self) -> None:
        """Forget all, and watch nothing any more."""
        for entry in tuple(self._entries.values()):
            self._drop(entry)

    def _make_room(self) -> None:
        """Let those go that were asked for longest ago and are not open."""
        if self._kept <= self.most_messages:
            return
        for entry in tuple(self._entries.values()):
            if not entry.sessions and entry.reading is None:
                self._drop(entry)
                if self._kept <= self.most_messages:
                    return

    def _weigh(self, entry: _Entry, cost: int) -> None:
        self._kept += cost - entry.cost
        entry.cost = cost

    def _drop(self, entry: _Entry) -> None:
        if self._entries.get(entry.mailbox_id) is entry:
            del self._entries[entry.mailbox_id]
        self._weigh(entry, 0)
        if entry.end is not None:
            entry.end()
            entry.end = None


def _newest(tx: Transaction, mailbox_id: MailboxId, old: Snapshot | None) -> Snapshot:
    """Read what is new. This runs in a reader's thread, and so does the putting together."""
    if old is None:
        return Snapshot.of(messages.load(tx, mailbox_id))
    if mailboxes.get(tx, mailbox_id).expunged_after > old.modseq:
        # What was expunged meanwhile is not known any more.
        new = Snapshot.of(messages.load(tx, mailbox_id))
        link(old, new)
        return new
    changes = messages.changes(tx, mailbox_id, old.modseq, old.uid_next)
    if changes.mailbox == old.mailbox and changes.keywords.names == old.keywords.names:
        return old
    return after(old, changes)


def _retrieved(reading: asyncio.Future[Snapshot]) -> None:
    """A failure is told to those who wait; there may be none any more."""
    if not reading.cancelled():
        reading.exception()
