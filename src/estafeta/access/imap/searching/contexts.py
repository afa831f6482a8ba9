"""Searches whose results are kept up to date: CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267 §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.access.imap.searching.results import correlator
from estafeta.access.imap.selected import Update
from estafeta.access.imap.snapshot import Snapshot
from estafeta.wire.imap.writing import number_set

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from estafeta.access.imap.session import Session

MOST = 20
"""Searches that a session keeps up to date; more are answered NOUPDATE."""


class Context:
    """One search that goes on; it follows the open mailbox."""

    def __init__(
        self,
        session: Session,
        tag: str,
        uids: Sequence[int],
        search: Callable[[], Awaitable[Sequence[int]]],
        *,
        is_uid: bool,
        is_sorted: bool,
    ) -> None:
        """`uids` in the order of the results; `search` gives those of now."""
        self.tag = tag
        self._session = session
        self._uids = list(uids)
        self._search = search
        self._is_uid = is_uid
        self._is_sorted = is_sorted

    async def expunging(self, update: Update) -> None:
        """Tell of results that are expunged, by the numbers that they still have."""
        gone = set(update.expunged)
        self._tell_removed([uid for uid in self._uids if uid in gone], update.before)

    async def told(self, update: Update) -> None:
        """Search again, and tell what is in the results now and was not, and the other way."""
        now = list(await self._search())
        left = set(now)
        self._tell_removed([uid for uid in self._uids if uid not in left], update.view)
        self._tell_added(now, update.view)
        self._uids = now

    def _tell_removed(self, uids: list[int], view: Snapshot) -> None:
        if not uids:
            return
        if not self._is_sorted:
            self._send(b"REMOVEFROM", [(0, uids)], view)
            gone = set(uids)
            self._uids = [uid for uid in self._uids if uid not in gone]
            return
        # RFC 5267 §4.3.3: each position is that of the results without those that were removed before it; the last
        # goes first, so that the positions of the others stay.
        gone = set(uids)
        told = [(place + 1, [uid]) for place, uid in enumerate(self._uids) if uid in gone]
        self._uids = [uid for uid in self._uids if uid not in gone]
        self._send(b"REMOVEFROM", told[::-1], view)

    def _tell_added(self, now: list[int], view: Snapshot) -> None:
        known = set(self._uids)
        added = [(place, uid) for place, uid in enumerate(now) if uid not in known]
        if not added:
            return
        if self._is_sorted:
            self._send(b"ADDTO", [(place + 1, [uid]) for place, uid in added], view)
        else:
            self._send(b"ADDTO", [(0, [uid for _, uid in added])], view)

    def _send(self, word: bytes, told: list[tuple[int, list[int]]], view: Snapshot) -> None:
        parts = []
        for place, uids in told:
            numbers = uids
            if not self._is_uid:
                numbers = [at + 1 for uid in uids if (at := view.position(uid)) is not None]
            if numbers:
                parts.append(b"%d %b" % (place, number_set(numbers)))
        if parts:
            uid = b" UID" if self._is_uid else b""
            self._session.send(b"* ESEARCH (%b)%b %b (%b)\r\n" % (correlator(self.tag), uid, word, b" ".join(parts)))
