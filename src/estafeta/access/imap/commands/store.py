"""STORE and UID STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3, RFC 4314 §4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from estafeta.access.imap.limiting import limited
from estafeta.access.imap.rendering import compiled
from estafeta.access.imap.rights import allowed_flags, permitted
from estafeta.access.imap.telling import chosen, tell
from estafeta.mail.value import value
from estafeta.store import messages
from estafeta.store.engine import Transaction
from estafeta.store.flags import ALL_FLAGS
from estafeta.store.messages import FlagChange, TooManyKeywords
from estafeta.store.records import MailboxId
from estafeta.wire.imap.commands.store import Store, StoreMode
from estafeta.wire.imap.completion import Completion, Refused, bad, no, ok
from estafeta.wire.imap.fetching import Item
from estafeta.wire.imap.writing import number_set

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

AT_ONCE = 5_000
"""Messages changed in one step: some 20 ms of the writer."""


@value
class _Step:
    """What one step has done: flags of its messages are now (old & keep) | add."""

    keep: int
    add: int
    change: FlagChange


async def store(session: Session, request: Store) -> Completion:
    """Change flags."""
    selected = session.selected
    assert selected is not None
    if selected.is_read_only:
        return no("The mailbox is open for reading only", "READ-ONLY")
    if any(name.lower() == "\\recent" for name in request.flags):
        return bad("\\Recent cannot be changed")
    allowed = allowed_flags(selected.rights)
    names = permitted(request.flags, selected.rights)
    # RFC 4314 §4: with the right for one of the flags it is done for that one.
    if not allowed or (request.flags and not names):
        return no("You have no right to change these flags", "NOPERM")
    if request.unchanged_since is not None:
        session.enable_condstore()
    positions, beyond = limited(session, selected.positions(request.numbers, is_uid=request.is_uid))
    changing = _changing(request, names, allowed)
    storing = _Storing(session, request, changing(selected.view.mailbox_id))
    parts = [positions[start : start + AT_ONCE] for start in range(0, len(positions), AT_ONCE)]
    await storing.run(parts)
    completion = _completion(session, request, storing.failed, storing.gone)
    return ok("Only the newest were changed", beyond) if beyond and not completion.code else completion


class _Storing:
    """One STORE, in steps: while one is told, the next is written."""

    def __init__(self, session: Session, request: Store, change: _Change) -> None:
        self._session = session
        self._request = request
        self._change = change
        self._expected: dict[int, int] = {}
        """Flags by UID of what was written, or is being written: the client is told of these, and not unasked."""
        self.failed: list[int] = []
        """UIDs that others had changed."""
        self.gone: list[int] = []
        """UIDs that are there no more."""

    async def run(self, parts: Sequence[Sequence[int]]) -> None:
        """Change the messages at the positions of each part, and tell of them. Raises Refused, StoreError."""
        masks: tuple[int, int] | None = None
        writing: asyncio.Future[_Step] | None = None
        try:
            for number, part in enumerate(parts):
                if writing is None:
                    writing = asyncio.ensure_future(self._write(part))
                step = await writing
                writing = None
                # What the client expects is not told unasked; what others have changed meanwhile is.
                masks = step.keep, step.add
                self._expect(part, masks)
                for uid in step.change.failed:
                    self._expected.pop(uid, None)
                if number + 1 < len(parts):
                    writing = asyncio.ensure_future(self._write(parts[number + 1]))
                    self._expect(parts[number + 1], masks)
                await self._told(part, step)
                self._session.progress(number + 1, len(parts))
        finally:
            if writing is not None:
                await asyncio.wait([writing])
                if not writing.cancelled():
                    writing.exception()  # the session ends, or the command has failed already

    async def _write(self, part: Sequence[int]) -> _Step:
        ranges = chosen(self._session, part).ranges
        try:
            return await self._session.environment.store.write(self._change(ranges))
        except TooManyKeywords as error:
            raise Refused("The mailbox has as many keywords as it can have", "LIMIT") from error

    def _expect(self, part: Sequence[int], masks: tuple[int, int]) -> None:
        keep, add = masks
        wanted = chosen(self._session, part)
        become = {flags: flags & keep | add for flags in set(wanted.flags)}
        self._expected.update(zip(wanted.uids, map(become.__getitem__, wanted.flags), strict=True))

    async def _told(self, positions: Sequence[int], step: _Step) -> None:
        """Tell of one step, which is written."""
        session = self._session
        selected = session.selected
        assert selected is not None
        view = selected.view
        await session.catch_up(expunges=False, silent=self._expected)
        there = {view.uids[position] for position in positions} if selected.ghosts else set()
        gone = [uid for uid in selected.ghosts if uid in there]
        failed = set(step.change.failed)
        if failed or gone:
            left_out = failed.union(gone)
            positions = [position for position in positions if view.uids[position] not in left_out]
        await _tell(session, self._request, positions, view.modseqs)
        self.failed += sorted(failed)
        self.gone += gone


_Change = Callable[[list[tuple[int, int]]], Callable[[Transaction], _Step]]
"""Makes the change for the messages in ranges of UIDs."""


def _changing(request: Store, names: tuple[str, ...], allowed: int) -> Callable[[MailboxId], _Change]:
    """The change of one step."""
    since = messages.ALL if request.unchanged_since is None else request.unchanged_since

    def of_mailbox(mailbox_id: MailboxId) -> _Change:
        def of_ranges(ranges: list[tuple[int, int]]) -> Callable[[Transaction], _Step]:
            def change(tx: Transaction) -> _Step:
                if request.mode is StoreMode.REMOVE:
                    add, keep = 0, ALL_FLAGS & ~messages.keywords(tx, mailbox_id).mask(names)
                else:
                    add = messages.flag_mask(tx, mailbox_id, names)
                    keep = ALL_FLAGS if request.mode is StoreMode.ADD else ALL_FLAGS & ~allowed
                done = messages.change_flags(tx, mailbox_id, ranges, add=add, keep=keep, unchanged_since=since)
                return _Step(keep, add, done)

            return change

        return of_ranges

    return of_mailbox


async def _tell(session: Session, request: Store, positions: Sequence[int], old_modseqs: Sequence[int]) -> None:
    """The new flags, and for whoever keeps MODSEQs these, even when it is to be silent (RFC 7162 §3.1.3)."""
    selected = session.selected
    assert selected is not None
    is_condstore = "CONDSTORE" in session.enabled
    if request.is_silent and not is_condstore:
        return
    if request.is_silent and request.unchanged_since is None:
        new_modseqs = selected.view.modseqs
        positions = [position for position in positions if new_modseqs[position] != old_modseqs[position]]
    items: list[Item] = [Item.UID] if request.is_uid or is_condstore else []  # RFC 7162 §3.2.4
    if not request.is_silent:
        items.append(Item.FLAGS)
    if is_condstore:
        items.append(Item.MODSEQ)
    await tell(session, compiled(tuple(items), is_uid_only="UIDONLY" in session.enabled), positions)


def _completion(session: Session, request: Store, failed: list[int], gone: list[int]) -> Completion:
    selected = session.selected
    assert selected is not None
    if failed:
        # RFC 7162 §3.1.3: numbers for STORE, UIDs for UID STORE.
        places = [place for uid in failed if (place := selected.view.position(uid)) is not None]
        numbers = sorted(failed) if request.is_uid else [place + 1 for place in sorted(places)]
        return ok("Some messages were changed by others", f"MODIFIED {number_set(numbers).decode()}")
    if gone:
        # Departs from RFC 2180 §4.2.3: OK, not NO, for what is there was changed; clients take a NO for a failure.
        return ok("Some messages were expunged meanwhile", "EXPUNGEISSUED")
    return ok("Store completed")
