"""FETCH and UID FETCH (RFC 9051 §6.4.5, RFC 7162 §3.1.4, RFC 9394 §3.3).

What the view knows is answered from it; the rest is read and rendered in pieces by a reader thread, the next piece
while one is sent. A message that another session has expunged meanwhile is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from estafeta.access.imap.limiting import limited
from estafeta.access.imap.octets import MESSAGES, Messages, Piece, keep, read_piece
from estafeta.access.imap.rendering import Plan, compiled
from estafeta.access.imap.resync import vanished
from estafeta.access.imap.snapshot import Snapshot
from estafeta.access.imap.telling import chosen, tell
from estafeta.store import messages
from estafeta.store.flags import SEEN
from estafeta.wire.imap.commands.fetch import Fetch
from estafeta.wire.imap.completion import Completion, no, ok
from estafeta.wire.imap.fetching import Item
from estafeta.wire.imap.searching import Window
from estafeta.wire.imap.writing import range_set

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

_MARKED_AT_ONCE = 100
"""Messages made \\Seen before they are read; a client that goes away meanwhile has not seen them all."""


async def fetch(session: Session, request: Fetch) -> Completion:
    """Tell of messages."""
    selected = session.selected
    assert selected is not None
    positions: Sequence[int] = selected.positions(request.numbers, is_uid=request.is_uid)
    items = request.items
    if request.changed_since is not None and Item.MODSEQ not in items:
        items = (*items, Item.MODSEQ)  # RFC 7162 §3.1.4.1
    if Item.MODSEQ in items:
        session.enable_condstore()
    if request.vanished and request.changed_since is not None:
        await _tell_vanished(session, request)
    if request.partial is not None:
        positions = _window(positions, request.partial)
    if request.changed_since is not None:
        modseqs, since = selected.view.modseqs, request.changed_since
        positions = [position for position in positions if modseqs[position] > since]
    positions, beyond = limited(session, positions)
    plan = compiled(
        items,
        is_uid_only="UIDONLY" in session.enabled,
        is_condstore="CONDSTORE" in session.enabled,
        may_set_seen=not selected.is_read_only and "s" in selected.rights,
    )
    if plan.shape is None:
        await tell(session, plan, positions)
        completion = ok("Fetch completed")
    else:
        completion = await _Fetching(session, plan, selected.view, positions).run()
    return ok("Only the newest were fetched", beyond) if beyond and not completion.code else completion


def _window(positions: Sequence[int], window: Window) -> Sequence[int]:
    """RFC 9394 §3.3: from the first, or from the last with negative numbers."""
    low, high = sorted((window.first, window.last))
    if high < 0:
        count = len(positions)
        return positions[max(0, count + low) : max(0, count + high + 1)]
    return positions[low - 1 : high]


async def _tell_vanished(session: Session, request: Fetch) -> None:
    """RFC 7162 §3.2.6: what of the UIDs was expunged since then, before anything else is told."""
    selected = session.selected
    assert selected is not None and request.changed_since is not None
    view, since = selected.view, request.changed_since
    last = view.uid_next - 1
    asked = [(low, min(high, last)) for low, high in request.numbers.resolved(max(1, last)) if low <= last]
    gone = await session.environment.store.read(lambda tx: vanished(tx, view, since, asked))
    if gone:
        session.send(b"* VANISHED (EARLIER) %b\r\n" % range_set(gone))


class _Fetching:
    """One FETCH that reads the store."""

    def __init__(self, session: Session, plan: Plan, view: Snapshot, positions: Sequence[int]) -> None:
        self._session = session
        self._plan = plan
        self._view = view
        self._positions = positions
        self._told: dict[int, tuple[int, int]] = {}
        """UIDs that this made \\Seen, with their flags and MODSEQs from then on."""

    async def run(self) -> Completion:
        """Read, send, and say how it went."""
        session = self._session
        missing = done = 0
        has_unknown_encoding = False
        ahead: asyncio.Task[Piece] | None = None
        if self._positions:
            ahead = asyncio.ensure_future(self._read(0))
        try:
            while ahead is not None:
                piece = await ahead
                done += piece.count
                missing += piece.missing
                has_unknown_encoding |= piece.has_unknown_encoding
                ahead = asyncio.ensure_future(self._read(done)) if done < len(self._positions) else None
                keep(session.environment.store, piece.fresh)
                await self._send(piece)
        finally:
            if ahead is not None:
                await _give_up(ahead)
        if self._told:
            silent = {uid: flags for uid, (flags, _) in self._told.items()}
            await session.catch_up(expunges=False, silent=silent)
        return self._completion(missing, has_unknown_encoding=has_unknown_encoding)

    def _completion(self, missing: int, *, has_unknown_encoding: bool) -> Completion:
        if has_unknown_encoding:
            return no("A part has an encoding that nobody here knows", "UNKNOWN-CTE")  # RFC 3516 §4.3
        if not missing:
            return ok("Fetch completed")
        # RFC 2180 §4.1 leaves it open; clients take a NO for a fault, and learn of the rest with the next command.
        return ok("Some messages were expunged meanwhile", "EXPUNGEISSUED")

    async def _read(self, start: int) -> Piece:
        """The piece from a place in the positions on."""
        store, plan, view = self._session.environment.store, self._plan, self._view
        most = _MARKED_AT_ONCE if plan.sets_seen else MESSAGES
        wanted = chosen(self._session, self._positions[start : start + most])
        if plan.sets_seen:
            wanted = await self._seen(wanted)
        return await store.read(lambda tx: read_piece(tx, store.content, plan, view.mailbox_id, wanted, view.keywords))

    async def _seen(self, wanted: Messages) -> Messages:
        """The messages, those that were not \\Seen made so in the store (RFC 9051 §6.4.5)."""
        pairs = zip(wanted.uids, wanted.flags, strict=True)
        new = {uid: flags | SEEN for uid, flags in pairs if not flags & SEEN and uid not in self._told}
        if new:
            ranges = messages.ranges_of(new)
            mailbox_id = self._view.mailbox_id
            change = await self._session.environment.store.write(
                lambda tx: messages.change_flags(tx, mailbox_id, ranges, add=SEEN)
            )
            modseq = change.modseq or self._view.modseq
            self._told.update((uid, (flags, modseq)) for uid, flags in new.items())
        if not self._told:
            return wanted
        now = [
            self._told.get(uid, (flags, modseq))
            for uid, flags, modseq in zip(wanted.uids, wanted.flags, wanted.modseqs, strict=True)
        ]
        return replace(
            wanted,
            flags=[flags for flags, _ in now],
            modseqs=[modseq for _, modseq in now],
            seen=[uid in self._told for uid in wanted.uids],
        )

    async def _send(self, piece: Piece) -> None:
        session = self._session
        if piece.octets:
            session.send(piece.octets)
            await session.flush()
        if piece.large is not None:
            try:
                async for octets in piece.large.octets():
                    session.send(octets)
                    await session.flush()
            finally:
                piece.large.close()


async def _give_up(ahead: asyncio.Task[Piece]) -> None:
    """The piece is not wanted any more; a file that it opened is closed. (Its reader cannot be stopped.)"""
    results = await asyncio.gather(ahead, return_exceptions=True)
    if isinstance(results[0], Piece) and results[0].large is not None:
        results[0].large.close()
