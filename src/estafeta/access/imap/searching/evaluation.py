"""Which messages of a view match a key (RFC 9051 §6.4.4). Runs in a reader thread, on one snapshot of the store.

Of several keys that all must match the cheap ones are asked first: arrays of the view, then one statement for the
mailbox, then the index; what the index cannot decide alone is read, of as few messages as are left by then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from estafeta.access.imap.identity import thread_id
from estafeta.access.imap.searching import plain
from estafeta.access.imap.selected import Selected
from estafeta.access.imap.snapshot import Snapshot
from estafeta.mail.mime.text import folded
from estafeta.store import messages, searching
from estafeta.store.content import ContentStore
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound
from estafeta.store.ids import IdSource
from estafeta.store.search import Place, SearchIndex
from estafeta.store.search.words import question
from estafeta.wire.imap.searching import (
    Aged,
    And,
    Contains,
    Dated,
    Filtered,
    Flag,
    HasField,
    Identified,
    Key,
    Modified,
    Not,
    Numbered,
    Or,
    SaveDateSupported,
    Sized,
    When,
    Where,
    Which,
)

_PLACES = {
    Where.SUBJECT: (Place.SUBJECT,),
    Where.FROM: (Place.FROM,),
    Where.TO: (Place.TO,),
    Where.CC: (Place.CC,),
    Where.BCC: (Place.BCC,),
    Where.BODY: (Place.BODY,),
    Where.TEXT: (Place.HEADER, Place.BODY),
}
_FEW = 2_000
"""UIDs that are looked up one by one; for more a table of all is made."""


def needs_index(key: Key) -> bool:
    """Whether texts are asked for."""
    return _any(key, lambda each: isinstance(each, Contains | HasField))


def needs_descriptions(key: Key) -> bool:
    """Whether what descriptions have is asked for."""
    return _any(
        key,
        lambda each: (
            (isinstance(each, Dated) and each.which is Which.SENT) or (isinstance(each, Identified) and each.is_thread)
        ),
    )


def asks_modseq(key: Key) -> bool:
    """Whether MODSEQ is asked for, so that it is told, too (RFC 7162 §3.1.5)."""
    return _any(key, lambda each: isinstance(each, Modified))


def filters(key: Key) -> list[str]:
    """The names of all filters in a key."""
    found: list[str] = []

    def look(each: Key) -> bool:
        if isinstance(each, Filtered):
            found.append(each.name)
        return False

    _any(key, look)
    return found


def _any(key: Key, test: Callable[[Key], bool]) -> bool:
    match key:
        case And(keys):
            found = [_any(each, test) for each in keys]  # all of them: a test may gather
            return any(found)
        case Or(first, second):
            return _any(first, test) | _any(second, test)
        case Not(inner):
            return _any(inner, test)
    return test(key)


def _cost(key: Key) -> int:
    match key:
        case And(keys):
            return max((_cost(each) for each in keys), default=0)
        case Or(first, second):
            return max(_cost(first), _cost(second))
        case Not(inner):
            return _cost(inner)
        case Contains() | HasField():
            return 3
        case Identified():
            return 2
        case Dated() | Sized() | Aged():
            return 1
    return 0


@dataclass(slots=True)
class Evaluation:
    """Evaluates keys over one view."""

    tx: Transaction
    contents: ContentStore
    view: Snapshot
    selected: Selected | None
    """None for a mailbox that is not open: without \\Recent, and with UIDs alone."""
    index: SearchIndex | None
    """None where no text is asked for."""
    now: float
    filters: dict[str, Key] = field(default_factory=dict)
    _places: dict[int, int] | None = None

    def positions(self, key: Key) -> list[int]:
        """The positions of the messages that match, ascending."""
        return sorted(self._match(key, None))

    def _all(self, within: set[int] | None) -> set[int]:
        return set(range(len(self.view))) if within is None else within

    def _match(self, key: Key, within: set[int] | None) -> set[int]:
        """Those of `within` that match; others may be among them only where it is None."""
        view = self.view
        match key:
            case And(keys):
                for each in sorted(keys, key=_cost):
                    within = self._match(each, within)
                    if not within:
                        return within
                return self._all(within)
            case Or(first, second):
                return self._match(first, within) | self._match(second, within)
            case Not(inner):
                every = self._all(within)
                return every - self._match(inner, every)
            case Flag(name):
                found = self._flagged(name)
            case Numbered():
                found = self._numbered(key)
            case Modified(modseq):
                found = {place for place, each in enumerate(view.modseqs) if each >= modseq}
            case SaveDateSupported():
                return self._all(within)
            case Sized(octets, is_larger):
                above, below = (octets, messages.ALL) if is_larger else (-1, octets)
                found = self._at(searching.sized(self.tx, view.mailbox_id, above, below))
            case Aged(seconds, is_older):
                # RFC 5032 §3: older than or as old as, younger than or as young as
                edge = self.now - seconds
                low, high = (0.0, edge + 1e-6) if is_older else (edge, searching.EVER)
                found = self._at(searching.came(self.tx, view.mailbox_id, low, high))
            case Dated():
                found = self._at(self._dated(key))
            case Identified(is_thread, object_id):
                found = self._at(self._identified(is_thread, object_id))
            case Filtered(name):
                return self._match(self.filters[name], within)
            case Contains() | HasField():
                return self._containing(key, within)
        return found if within is None else found & within

    def _at(self, uids: Iterable[int]) -> set[int]:
        """The positions of UIDs."""
        uids = list(uids)
        view = self.view
        if len(uids) < _FEW:
            return {place for uid in uids if (place := view.position(uid)) is not None}
        if self._places is None:
            self._places = {uid: place for place, uid in enumerate(view.uids)}
        places = self._places
        return {places[uid] for uid in uids if uid in places}

    def _flagged(self, name: str) -> set[int]:
        if name.lower() == "\\recent":
            recent = self.selected.recent_uids if self.selected is not None else ()
            return {place for uids in recent for place in self.view.within(uids.start, uids.stop - 1)}
        bit = self.view.keywords.bit(name)
        return {place for place, flags in enumerate(self.view.flags) if flags & bit} if bit else set()

    def _numbered(self, key: Numbered) -> set[int]:
        selected, view = self.selected, self.view
        if selected is not None and (key.is_uid or key.numbers.is_saved):
            return {place for each in selected.ranges(key.numbers, is_uid=True) for place in each}
        if selected is not None:
            # A number that no message has matches nothing.
            count = len(view)
            ranges = key.numbers.resolved(count)
            return {place for first, last in ranges for place in range(max(first, 1) - 1, min(last, count))}
        largest = view.uids[-1] if view.uids else 0
        return {place for first, last in key.numbers.resolved(largest) for place in view.within(first, last)}

    def _dated(self, key: Dated) -> list[int]:
        day = key.day
        after = day + timedelta(days=1)
        if key.which is Which.SENT:
            low, high = ("", "9999-99") if key.when is When.SINCE else (day.isoformat(), after.isoformat())
            if key.when is When.SINCE:
                low = day.isoformat()
            elif key.when is When.BEFORE:
                low, high = "", day.isoformat()
            return searching.sent(self.tx, self.view.mailbox_id, low, high)
        begins, ends = (datetime(each.year, each.month, each.day, tzinfo=UTC).timestamp() for each in (day, after))
        if key.when is When.BEFORE:
            begins, ends = -searching.EVER, begins
        elif key.when is When.SINCE:
            ends = searching.EVER
        ask = searching.came if key.which is Which.INTERNAL else searching.saved
        return ask(self.tx, self.view.mailbox_id, begins, ends)

    def _identified(self, is_thread: bool, object_id: str) -> list[int]:
        uids = self.view.uids
        if not uids:
            return []
        first, last = uids[0], uids[-1]
        if not is_thread:
            try:
                content_id = IdSource.parse(object_id[1:14])
            except ValueError:
                return []
            ranges = [(uids[place], uids[place]) for place, each in enumerate(self.view.contents) if each == content_id]
        else:
            ranges = [(first, last)]
        found = []
        for low, high in ranges:
            for uid, content_id, prefix, message_ids in searching.identities(self.tx, self.view.mailbox_id, low, high):
                email_id = messages.email_id(content_id, prefix)
                if object_id == (thread_id(message_ids or "", email_id) if is_thread else email_id):
                    found.append(uid)
        return found

    # Texts.

    def _containing(self, key: Contains | HasField, within: set[int] | None) -> set[int]:
        index, view = self.index, self.view
        assert index is not None
        if isinstance(key, HasField):
            # The words of the field's name are in the header too; which field they are in is read.
            places: tuple[Place, ...] = (Place.HEADER,)
            text, is_decided = folded(key.text) or folded(key.name), False
        else:
            places, text, is_decided = _PLACES[key.where], folded(key.text), True
        candidates = index.candidates(places, text)
        if candidates.ids is None:
            found = self._all(within)
        else:
            ids = candidates.ids
            found = {place for place, content_id in enumerate(view.contents) if content_id in ids}
            if within is not None:
                found &= within
        if not candidates.is_exact or not is_decided:
            found = {place for place in found if self._reads(place, key)}
        if isinstance(key, HasField) or key.where is Where.TEXT:
            others = self._at(self._prefixed(key, text))
            found |= others if within is None else others & within
        return found

    def _prefixed(self, key: Contains | HasField, text: str) -> list[int]:
        """UIDs of messages that match by what was put before their content; it is not in the index."""
        word = max(question(text).parts, key=len, default="").encode()
        known: dict[bytes, bool] = {}
        found = []
        for uid, prefix in searching.prefixes(self.tx, self.view.mailbox_id):
            does = known.get(prefix)
            if does is None:
                # Most have not even the longest word.
                is_plain = prefix.isascii() and b"=?" not in prefix
                does = (not is_plain or word in prefix.lower()) and plain.matches(prefix + b"\r\n", key)
                known[prefix] = does
            if does:
                found.append(uid)
        return found

    def _reads(self, place: int, key: Contains | HasField) -> bool:
        try:
            octets = messages.read_content(self.tx, self.contents, self.view.mailbox_id, self.view.uids[place])
        except NotFound:
            return False
        return plain.matches(octets, key)


def without_gone(uids: Iterable[int], view: Snapshot) -> list[int]:
    """Those of ascending UIDs that are in a view."""
    found = []
    for uid in uids:
        place = bisect_left(view.uids, uid)
        if place < len(view.uids) and view.uids[place] == uid:
            found.append(uid)
    return found
