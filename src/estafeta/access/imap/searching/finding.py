"""Finds messages for handlers: has a mailbox read as far as the key needs, then evaluates it in a reader thread."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.access.imap.searching.conversations import Threaded
from estafeta.access.imap.searching.evaluation import Evaluation, filters, needs_descriptions, needs_index
from estafeta.access.imap.selected import Selected
from estafeta.access.imap.snapshot import Snapshot
from estafeta.store import metadata, searching
from estafeta.store.engine import Transaction
from estafeta.wire.imap.commands.search import search_key
from estafeta.wire.imap.completion import Refused
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.searching import Criterion, Filtered, Key, SortKey

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

_FILTERS = 50
"""Filters that one search uses, those within filters among them."""


class Finder:
    """One key, for one session; for one view or for several."""

    def __init__(self, session: Session, key: Key, named: dict[str, Key]) -> None:
        self._session = session
        self._key = key
        self._filters = named

    @classmethod
    async def of(cls, session: Session, key: Key) -> Finder:
        """With the filters that the key names, at any remove. Raises Refused for one that is not there."""
        named: dict[str, Key] = {}
        wanted = filters(key)
        while wanted:
            name = wanted.pop()
            if name in named:
                continue
            if len(named) == _FILTERS:
                raise Refused("The search uses too many filters", f"UNDEFINED-FILTER {name}")
            named[name] = found = await _filter(session, name)
            wanted += filters(found)
        if _is_circular(key, named, ()):
            raise Refused("A filter uses itself", "CANNOT")
        return cls(session, key, named)

    async def positions(self, view: Snapshot, selected: Selected | None) -> list[int]:
        """The positions of the messages of a view that match, ascending. Raises StoreError."""
        environment = self._session.environment
        indexing, owner_id = environment.indexing, view.mailbox.account_id
        keys = (self._key, *self._filters.values())
        index = None
        if len(view) and any(map(needs_index, keys)):
            await indexing.index(owner_id, view.mailbox_id, view.uid_next, self._session.progress)
            index = await environment.store.read(lambda tx: indexing.indexes.of(owner_id))
        elif len(view) and any(map(needs_descriptions, keys)):
            await indexing.describe(view.mailbox_id, view.uid_next, self._session.progress)
        if not len(view):
            return []
        now = environment.clock()

        def evaluate(tx: Transaction) -> list[int]:
            evaluation = Evaluation(tx, environment.store.content, view, selected, index, now, self._filters)
            return evaluation.positions(self._key)

        return await environment.store.read(evaluate)


async def _filter(session: Session, name: str) -> Key:
    """The key that a filter stands for: the user's own, or a shared one (RFC 5466 §3)."""
    account = session.account
    assert account is not None
    entries = await session.environment.store.read(lambda tx: metadata.of(tx, metadata.SERVER, account.account_id))
    for scope in ("private", "shared"):
        value = entries.get(f"/{scope}/filters/values/{name.lower()}")
        if value is not None:
            try:
                return search_key(value, Reader(b"", session.engine.session))
            except GrammarError:
                break
    raise Refused("There is no such filter", f"UNDEFINED-FILTER {name}")


def _is_circular(key: Key, named: dict[str, Key], above: tuple[str, ...]) -> bool:
    if isinstance(key, Filtered) and key.name in above:
        return True
    return any(name in above or _is_circular(named[name], named, (*above, name)) for name in filters(key))


async def ordered(session: Session, view: Snapshot, criteria: Sequence[Criterion]) -> array[int]:
    """All UIDs of a mailbox in an order; some may not be in the view. Raises StoreError."""
    environment = session.environment
    wanted = tuple((each.key.value, each.is_reverse) for each in criteria)
    known = environment.remembered.get(view, wanted)
    if known is not None:
        return array("I", known)
    if any(each.key not in (SortKey.ARRIVAL, SortKey.SIZE) for each in criteria):
        await environment.indexing.describe(view.mailbox_id, view.uid_next, session.progress)
    uids = await environment.store.read(lambda tx: array("I", searching.ordered(tx, view.mailbox_id, wanted)))
    if len(uids) == len(view):  # else there is something new by now
        environment.remembered.keep(view, wanted, uids.tobytes())
    return uids


async def threaded(session: Session, view: Snapshot, positions: Sequence[int], *, is_uid: bool) -> list[Threaded]:
    """What conversations are made of, of the messages at positions. Raises StoreError."""
    environment = session.environment
    await environment.indexing.describe(view.mailbox_id, view.uid_next, session.progress)
    numbers = {view.uids[place]: view.uids[place] if is_uid else place + 1 for place in positions}

    def read(tx: Transaction) -> list[Threaded]:
        found = []
        for uid, at, subject, is_reply, ids in searching.conversations(tx, view.mailbox_id):
            number = numbers.get(uid)
            if number is not None:
                message_id, *references = ids.split("\n")
                found.append(Threaded(number, at, subject, bool(is_reply), message_id, references))
        return found

    return await environment.store.read(read)
