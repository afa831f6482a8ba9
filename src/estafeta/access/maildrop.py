"""An INBOX opened as a maildrop: locked, its messages fixed as they were at login (RFC 1939 §4, §6).

The lock is a locked file for each mailbox, so it holds across processes, and a process that dies lets go.
Two sessions of one process are kept apart too: flock belongs to the open file, and each opens its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from estafeta.store import mailboxes, messages
from estafeta.store.engine import Transaction
from estafeta.store.errors import Damaged, NotFound
from estafeta.store.flags import SEEN
from estafeta.store.locks import LockFile
from estafeta.store.records import AccountId, Mailbox, MailboxId, Message, Uid
from estafeta.store.store import Store
from estafeta.wire.pop3.maildrop import Entry

# Messages read or removed in one transaction: short enough that nobody waits long for it.
_STEP = 500
# Octets read at once for a client that takes one message after another: a read costs as much as some ten small
# messages, and this is what a session keeps in memory when its client stops.
_AHEAD = 64 * 1024


class MaildropInUse(Exception):
    """Another session has the maildrop open."""


class MaildropLocks:
    """The locks of all maildrops of one data directory, as files of a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def take(self, mailbox_id: MailboxId) -> LockFile:
        """Take the lock, given back by closing it; raises MaildropInUse.

        The file stays when the lock is given back: to remove it could part two who wait for the same lock.
        """
        file = LockFile(self._folder / f"pop3-{mailbox_id}")
        if file.try_lock():
            return file
        file.close()
        raise MaildropInUse


class OpenMaildrop:
    """One locked maildrop; `close` gives it back and removes nothing."""

    def __init__(self, store: Store, mailbox: Mailbox, lock: LockFile) -> None:
        self._store = store
        self._mailbox = mailbox
        self._lock: LockFile | None = lock
        self._uids = array("q")
        self._sizes = array("q")
        self._last_read = 0
        self._ahead: dict[int, bytes] = {}  # by UID
        self.removed = 0
        """Messages that `remove` removed."""

    @property
    def entries(self) -> list[Entry]:
        """What the engine numbers. A unique-id is UIDVALIDITY.UID: never given twice in a mailbox."""
        validity = self._mailbox.uid_validity
        return [Entry(size, f"{validity}.{uid}") for uid, size in zip(self._uids, self._sizes, strict=True)]

    async def take_stock(self) -> None:
        """Note the messages that are there now, in steps; what arrives later is for the next session."""
        last = Uid(0)
        while last + 1 < self._mailbox.uid_next:
            found = await self._store.read(self._page(last))
            for message in found:
                if message.uid < self._mailbox.uid_next:
                    self._uids.append(message.uid)
                    self._sizes.append(message.size)
            if len(found) < _STEP:
                return
            last = found[-1].uid

    def _page(self, after: Uid) -> Callable[[Transaction], list[Message]]:
        return lambda tx: messages.list_of(tx, self._mailbox.mailbox_id, after_uid=after, limit=_STEP)

    async def read(self, number: int) -> bytes:
        """The octets of a message as they are kept; raises NotFound when another access removed it, Damaged."""
        uid = Uid(self._uids[number - 1])
        is_next, self._last_read = number == self._last_read + 1, number
        if is_next and uid not in self._ahead:
            await self._read_ahead(number)
        octets = self._ahead.pop(uid, None)
        if octets is None:
            mailbox_id, content = self._mailbox.mailbox_id, self._store.content
            octets = await self._store.read(lambda tx: messages.read_content(tx, content, mailbox_id, uid))
        return octets

    async def _read_ahead(self, number: int) -> None:
        """Read a message and some that come after it, if they are small."""
        size, last = self._sizes[number - 1], number
        while last < len(self._sizes) and (size := size + self._sizes[last]) <= _AHEAD:
            last += 1
        self._ahead = {}
        if last == number:
            return
        mailbox_id, content = self._mailbox.mailbox_id, self._store.content
        low, high = self._uids[number - 1], self._uids[last - 1]
        # One that is damaged must not keep the others from being read: each is then read by itself.
        with suppress(Damaged, NotFound):
            self._ahead = dict(
                await self._store.read(lambda tx: messages.read_contents(tx, content, mailbox_id, low, high))
            )

    async def remove(self, numbers: tuple[int, ...]) -> None:
        """Remove messages in steps, each durable in itself; `removed` counts them. Raises StoreError."""
        for start in range(0, len(numbers), _STEP):
            uids = [Uid(self._uids[number - 1]) for number in numbers[start : start + _STEP]]
            await self._store.write(self._expunge(uids))
            self.removed += len(uids)

    async def mark_seen(self, numbers: Iterable[int]) -> None:
        """Have messages be \\Seen for other accesses, in steps; those that are gone stay so. Raises StoreError."""
        uids = sorted(self._uids[number - 1] for number in numbers)
        for start in range(0, len(uids), _STEP):
            await self._store.write(self._see(messages.ranges_of(uids[start : start + _STEP])))

    def _see(self, ranges: messages.Ranges) -> Callable[[Transaction], object]:
        return lambda tx: messages.change_flags(tx, self._mailbox.mailbox_id, ranges, add=SEEN)

    def _expunge(self, uids: list[Uid]) -> Callable[[Transaction], object]:
        return lambda tx: messages.expunge(tx, self._mailbox.mailbox_id, uids)

    def close(self) -> None:
        """Let go of the lock; may be called again."""
        lock, self._lock = self._lock, None
        self._ahead = {}
        if lock is not None:
            lock.close()


async def open_maildrop(store: Store, locks: MaildropLocks, account_id: AccountId) -> OpenMaildrop:
    """Lock the INBOX of an account and take stock; raises MaildropInUse, StoreError."""

    def inbox(tx: Transaction) -> Mailbox:
        return mailboxes.inbox(tx, account_id)

    lock = locks.take((await store.read(inbox)).mailbox_id)
    try:
        # Read again under the lock: a session that ended meanwhile may have removed messages.
        maildrop = OpenMaildrop(store, await store.read(inbox), lock)
        await maildrop.take_stock()
    except BaseException:
        lock.close()
        raise
    return maildrop
