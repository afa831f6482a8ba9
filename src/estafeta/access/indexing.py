"""Messages read once, for all that is asked of them later: their descriptions, and their words in the index.

The indexer does it for new mail when there is nothing else to do. Who asks before it has come there does it for the
mailbox in question, in steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from estafeta.mail.mime.description import Description, describe
from estafeta.mail.mime.index import index
from estafeta.mail.mime.text import Searchable, searchable
from estafeta.mail.value import value
from estafeta.store import accounts, descriptions, mailboxes, messages
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import AccountId, MailboxId
from estafeta.store.search import SearchIndexes
from estafeta.store.store import Store

_log = structlog.get_logger("estafeta.access.indexing")

STEP = 100
"""Messages in one step: some 50 ms of a reader, and one change."""
_LOAD = 4_000
"""UIDs looked at together."""

Progress = Callable[[int, int], None]
"""Told how many messages are done, of how many."""
Rest = Callable[[], Awaitable[None]]
"""Asked for between two steps."""


@value
class _Read:
    """What one step has read."""

    described: list[tuple[int, Description]]
    texts: list[tuple[int, Searchable]]


def _nothing(done: int, goal: int) -> None:
    pass


async def _no_rest() -> None:
    pass


class Indexing:
    """Describes and indexes mailboxes."""

    def __init__(self, store: Store, indexes: SearchIndexes) -> None:
        self._store = store
        self.indexes = indexes
        self._described: dict[MailboxId, int] = {}
        """UIDs below which all messages of a mailbox are described."""

    async def describe(self, mailbox_id: MailboxId, uid_next: int, progress: Progress = _nothing) -> None:
        """Have all messages of a mailbox described. Raises StoreError."""
        store = self._store
        done = 0
        first = self._described.get(mailbox_id, 1)
        while first < uid_next:
            missing = await store.read(
                lambda tx, first=first: descriptions.missing(tx, mailbox_id, first=first, limit=STEP)  # type: ignore[misc]
            )
            if missing:
                read = await store.read(lambda tx, missing=missing: self._read(tx, missing, []))  # type: ignore[misc]
                await store.write(_keeping(read.described))
                done += len(missing)
                progress(done, uid_next - first)
            if len(missing) < STEP:
                break
        self._described[mailbox_id] = uid_next

    async def index(
        self,
        owner_id: AccountId,
        mailbox_id: MailboxId,
        uid_next: int,
        progress: Progress = _nothing,
        rest: Rest = _no_rest,
    ) -> int:
        """Have all messages of a mailbox described and indexed; gives how many were not. Raises StoreError."""
        store = self._store
        account = await store.read(lambda tx: self.indexes.of(owner_id))
        first = await store.read(lambda tx: account.progress(mailbox_id))
        taken = 0
        began = first
        while first < uid_next:
            last = min(first + _LOAD, uid_next) - 1
            wanted = await store.read(
                lambda tx, first=first, last=last: self._wanted(tx, owner_id, mailbox_id, first, last)  # type: ignore[misc]
            )
            for start in range(0, len(wanted) or 1, STEP):
                part = wanted[start : start + STEP]
                is_last = start + STEP >= len(wanted)

                def step(tx: Transaction, part: list[tuple[int, bool]] = part, upto: int = last + 1) -> _Read:
                    undescribed = [content_id for content_id, is_described in part if not is_described]
                    read = self._read(tx, undescribed, [content_id for content_id, _ in part])
                    account.add(read.texts, mailbox_id=mailbox_id if upto else 0, uid_next=upto)
                    return read

                upto = last + 1 if is_last else 0
                read = await store.read(lambda tx, part=part, upto=upto: step(tx, part, upto))  # type: ignore[misc]
                if read.described:
                    await store.write(_keeping(read.described))
                taken += len(part)
                progress(min(first + start, uid_next) - began, uid_next - began)
                await rest()
            first = last + 1
        return taken

    def _wanted(
        self, tx: Transaction, owner_id: AccountId, mailbox_id: MailboxId, first: int, last: int
    ) -> list[tuple[int, bool]]:
        """Contents that are not in the index, and whether they are described."""
        found = messages.list_of(tx, mailbox_id, after_uid=first - 1, last_uid=last)
        missing = self.indexes.of(owner_id).missing(dict.fromkeys(message.content_id for message in found))
        known = descriptions.known(tx, missing)
        return [(content_id, content_id in known) for content_id in missing]

    def _read(self, tx: Transaction, undescribed: list[int], unindexed: list[int]) -> _Read:
        described: list[tuple[int, Description]] = []
        texts: list[tuple[int, Searchable]] = []
        to_describe, to_index = set(undescribed), set(unindexed)
        for content_id in dict.fromkeys([*undescribed, *unindexed]):
            try:
                octets = messages.content_alone(tx, self._store.content, content_id)
            except NotFound:
                continue
            if content_id in to_describe:
                described.append((content_id, describe(octets)))
            if content_id in to_index:
                texts.append((content_id, searchable(octets, index(octets))))
        return _Read(described, texts)


def _keeping(described: list[tuple[int, Description]]) -> Callable[[Transaction], None]:
    def change(tx: Transaction) -> None:
        for content_id, made in described:
            descriptions.keep(tx, content_id, made)

    return change


class Indexer:
    """Indexes all mailboxes of all accounts, and drops what is not there any more."""

    def __init__(self, store: Store, indexes: SearchIndexes) -> None:
        self._store = store
        self._indexing = Indexing(store, indexes)
        self._done: dict[MailboxId, int] = {}

    async def run(self, rest: Rest = _no_rest) -> int:
        """Index all that is new, with a rest between two steps; gives how many messages were. Raises StoreError."""
        taken = 0
        for account_id in await self._store.read(accounts.ids):
            for mailbox in await self._store.read(
                lambda tx, account_id=account_id: mailboxes.list_of(tx, account_id)  # type: ignore[misc]
            ):
                if self._done.get(mailbox.mailbox_id) == mailbox.uid_next or not mailbox.messages:
                    continue
                try:
                    taken += await self._indexing.index(account_id, mailbox.mailbox_id, mailbox.uid_next, rest=rest)
                except NotFound:
                    continue  # removed meanwhile
                except StoreError as error:
                    _log.error("mailbox not indexed", account=int(account_id), reason=str(error))
                    break  # the others are
                self._done[mailbox.mailbox_id] = mailbox.uid_next
        return taken

    async def tidy(self) -> None:
        """Drop indexes of accounts that are gone, and words of messages that are. Raises StoreError."""
        indexes = self._indexing.indexes
        live = set(await self._store.read(accounts.ids))
        for account_id in await self._store.read(lambda tx: indexes.kept()):
            if account_id not in live:
                indexes.remove(account_id)
                continue
            try:
                await self._store.read(
                    lambda tx, account_id=account_id: indexes.of(account_id).forget(
                        messages.contents_of(tx, account_id)
                    )  # type: ignore[misc]
                )
            except StoreError as error:
                _log.error("search index not tidied", account=int(account_id), reason=str(error))
