"""What a session is told of beside its commands, after NOTIFY (RFC 5465) and ENABLE METADATA (RFC 5464 §4.4).

A `Watching` keeps what the client was told last: names, subscriptions, annotations and counters. The store's
changes only say which ids to look at; what is told is the difference. So many changes are one answer, and a client
that does not read costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from estafeta.access.imap import listing
from estafeta.access.imap.commands.metadata import names_line
from estafeta.access.imap.commands.status import status_line
from estafeta.access.imap.listing import Names
from estafeta.access.imap.naming import INBOX, OTHER_USERS, SEPARATOR, normal, written
from estafeta.mail.value import value
from estafeta.store import acl, mailboxes, metadata
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound
from estafeta.store.records import Mailbox, MailboxId
from estafeta.wire.imap.commands.notify import EventGroup
from estafeta.wire.imap.commands.status import StatusItem
from estafeta.wire.imap.fetching import FetchItem

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

MESSAGE_EVENTS = frozenset(("MessageNew", "MessageExpunge", "FlagChange"))
OTHER_EVENTS = frozenset(("MailboxName", "SubscriptionChange", "MailboxMetadataChange", "ServerMetadataChange"))
EVENTS = MESSAGE_EVENTS | OTHER_EVENTS
"""All that can be told; annotations of single messages (AnnotationChange) are not kept."""

MOST_WATCHED = 10_000
"""Mailboxes of which one session is told: each change of one wakes it."""

_SELECTED = ("selected", "selected-delayed")


@value
class SelectedEvents:
    """What is told of the selected mailbox: nothing, without events (RFC 5465 §3.1)."""

    events: frozenset[str] = frozenset()
    is_delayed: bool = False
    """Expunges wait for a command that may tell of them (§6.1.2)."""
    items: tuple[FetchItem, ...] = ()
    """What FETCH tells of new messages."""


@dataclass(slots=True)
class _Seen:
    """What the client knows."""

    names: Names
    annotations: dict[MailboxId, dict[str, bytes]]
    server: dict[str, bytes]
    rows: dict[MailboxId, Mailbox] = field(default_factory=dict)


class Overflow(Exception):
    """There would be more to tell of than is done."""


class Watching:
    """One session's interests. The session is woken when there may be something to tell."""

    def __init__(self, session: Session, groups: tuple[EventGroup, ...] | None = None) -> None:
        """Without groups: of ENABLE METADATA, which tells of annotations and nothing else."""
        self._is_notify = groups is not None
        groups = groups or ()
        self._session = session
        self._groups = tuple(group for group in groups if group.filter not in _SELECTED)
        self._ends: dict[int, Callable[[], None]] = {}
        self._dirty: set[int] = set()
        self._seen: _Seen | None = None
        self._end_following: Callable[[], None] | None = None
        chosen = next((group for group in groups if group.filter in _SELECTED), None)
        self.selected = SelectedEvents()
        """What is told of the selected mailbox."""
        if chosen is not None:
            self.selected = SelectedEvents(chosen.events, chosen.filter == "selected-delayed", chosen.items)

    async def start(self) -> None:
        """Begin to watch: what is there now counts as told. Raises Overflow."""
        self._seen = await self._session.environment.store.read(self._look)
        try:
            self._watch()
        except Overflow:
            self.close()
            raise
        self.follow_selected()

    def follow_selected(self) -> None:
        """Another mailbox is open, or none: of that one the session is told at once (RFC 5465 §6.1)."""
        if self._end_following is not None:
            self._end_following()
            self._end_following = None
        mailbox_id = self._selected_id()
        if mailbox_id is not None and self.selected.events:
            self._end_following = self._session.environment.store.changes.watch(mailbox_id, self._session.wake)

    def close(self) -> None:
        """Watch no more."""
        if self._end_following is not None:
            self._end_following()
            self._end_following = None
        for end in self._ends.values():
            end()
        self._ends.clear()

    @property
    def is_due(self) -> bool:
        """Something that is watched has changed."""
        return bool(self._dirty)

    def status_of_all(self) -> None:
        """Send STATUS of each mailbox whose messages are watched, as NOTIFY SET STATUS wants it (RFC 5465 §3.1)."""
        assert self._seen is not None
        for name, visible in self._seen.names.mailboxes.items():
            events = self._events(name) & MESSAGE_EVENTS
            if not events or visible.mailbox.mailbox_id == self._selected_id() or "r" not in visible.rights:
                continue
            items = [StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UIDVALIDITY]
            if "FlagChange" in events:
                items.append(StatusItem.HIGHESTMODSEQ)
            self._session.send(status_line(self._session, name, visible.mailbox, items))

    def no_access(self) -> None:
        """Tell of mailboxes that are named, can be listed, and cannot be read (RFC 5465 §3.1)."""
        assert self._seen is not None
        for name, visible in self._seen.names.mailboxes.items():
            if "r" not in visible.rights and self._events(name):
                self._session.send(listing.line(self._session, name, (r"\NoAccess",)))

    async def tell(self) -> None:
        """Send what has changed; what the session did itself is not told (RFC 5465 §5)."""
        if not self._dirty or self._seen is None:
            return
        dirty, self._dirty = self._dirty, set()
        seen = self._seen
        own, entries = set(self._session.own_changes), set(self._session.own_entries)
        self._session.own_changes.clear()
        self._session.own_entries.clear()
        if dirty <= seen.rows.keys():
            await self._tell_rows([MailboxId(each) for each in dirty])
            return
        new = await self._session.environment.store.read(self._look)
        new.rows = seen.rows
        self._seen = new
        self._tell_names(seen.names, new.names, own)
        self._tell_subscriptions(seen.names, new.names, own)
        self._tell_annotations(seen, new, entries)
        before = dict(seen.rows)
        try:
            self._watch()
        except Overflow:
            self._groups = ()
            self.selected = SelectedEvents()
            self.close()
            # RFC 5465 §5.8
            self._session.send(b"* OK [NOTIFICATIONOVERFLOW] There are too many mailboxes to tell of\r\n")
            return
        self._compare(before, {each.mailbox.mailbox_id: each.mailbox for each in new.names.mailboxes.values()})

    def _touched(self, touched_id: int) -> None:
        self._dirty.add(touched_id)
        self._session.wake()

    def _selected_id(self) -> MailboxId | None:
        selected = self._session.selected
        return None if selected is None else selected.mailbox.mailbox_id

    def _look(self, tx: Transaction) -> _Seen:
        """All of it, as it is now."""
        account = self._session.account
        assert account is not None
        names = listing.see(tx, account)
        annotations: dict[MailboxId, dict[str, bytes]] = {}
        server: dict[str, bytes] = {}
        wanted = {event for group in self._groups for event in group.events}
        if self._tells_metadata or "MailboxMetadataChange" in wanted:
            for owner in {each.mailbox.account_id for each in names.mailboxes.values()}:
                annotations |= metadata.of_mailboxes(tx, owner, account.account_id)
        if self._tells_metadata or "ServerMetadataChange" in wanted:
            server = metadata.of(tx, metadata.SERVER, account.account_id)
        return _Seen(names, annotations, server)

    @property
    def _tells_metadata(self) -> bool:
        """All annotations are told, as ENABLE METADATA wants it (RFC 5464 §4.1)."""
        return not self._is_notify

    def _watch(self) -> None:
        """Watch what is to be watched now, and nothing else. Raises Overflow."""
        account = self._session.account
        assert account is not None and self._seen is not None
        rows: dict[MailboxId, Mailbox] = {}
        for name, visible in self._seen.names.mailboxes.items():
            mailbox = visible.mailbox
            if "r" in visible.rights and self._events(name) & MESSAGE_EVENTS:
                rows[mailbox.mailbox_id] = mailbox
        if len(rows) > MOST_WATCHED:
            raise Overflow
        wanted: set[int] = {account.account_id, acl.EVERYONE, *rows}
        wanted |= {visible.mailbox.account_id for visible in self._seen.names.mailboxes.values()}
        for left in self._ends.keys() - wanted:
            self._ends.pop(left)()
        for added in wanted - self._ends.keys():
            self._ends[added] = self._session.environment.store.changes.watch(added, self._touched)
        self._seen.rows = rows

    def _events(self, name: str) -> frozenset[str]:
        """The events that are told of a mailbox, by all groups that it is in (RFC 5465 §6)."""
        found: frozenset[str] = frozenset()
        for group in self._groups:
            if self._is_in(group, name):
                found |= group.events
        return found

    def _is_in(self, group: EventGroup, name: str) -> bool:
        if group.filter == "personal":
            return not name.startswith(OTHER_USERS + SEPARATOR)
        if group.filter == "inboxes":  # RFC 5465 §6.3: where mail is delivered
            return name == INBOX
        if group.filter == "subscribed":
            return self._seen is not None and name in self._seen.names.subscribed
        for said in group.mailboxes:
            top = normal(said)
            below = name[len(top) + 1 :] if name.startswith(top + SEPARATOR) else None
            if name == top:
                return True
            if below is not None and (
                group.filter == "subtree" or (group.filter == "subtree-one" and SEPARATOR not in below)
            ):
                return True
        return False

    def _send_name(self, names: Names, name: str, old: str | None = None) -> None:
        attributes = names.attributes(name, is_extended=True)
        if name in names.subscribed:
            attributes.insert(0, r"\Subscribed")
        extended = b"" if old is None else b' ("OLDNAME" (%s))' % written(self._session, old)
        self._session.send(listing.line(self._session, name, attributes, extended))

    def _tell_names(self, old: Names, new: Names, own: set[str]) -> None:
        """RFC 5465 §5.4: what was made, removed or renamed, and the level above."""
        if not any("MailboxName" in group.events for group in self._groups):
            return
        before = {visible.mailbox.mailbox_id: name for name, visible in old.mailboxes.items()}
        after = {visible.mailbox.mailbox_id: name for name, visible in new.mailboxes.items()}
        renamed = {before[each]: after[each] for each in before.keys() & after.keys() if before[each] != after[each]}
        affected: set[str] = set()
        for name in {before[each] for each in before.keys() - after.keys()} | {
            after[each] for each in after.keys() - before.keys()
        }:
            if name in own:
                continue
            affected |= {name, name.rpartition(SEPARATOR)[0]} - {""}
        for name in sorted(affected):
            if "MailboxName" in self._events(name):
                self._send_name(new, name)
        for old_name, new_name in sorted(renamed.items()):
            above, _, last = old_name.rpartition(SEPARATOR)
            if renamed.get(above, "") + SEPARATOR + last == new_name:  # it went along with the one above
                continue
            if not {old_name, new_name} & own and "MailboxName" in self._events(old_name) | self._events(new_name):
                self._send_name(new, new_name, old_name)

    def _tell_subscriptions(self, old: Names, new: Names, own: set[str]) -> None:
        """RFC 5465 §5.5."""
        for name in sorted((old.subscribed ^ new.subscribed) - own):
            # For "subscribed" a name counts that was or is.
            is_told = any(
                "SubscriptionChange" in group.events and (group.filter == "subscribed" or self._is_in(group, name))
                for group in self._groups
            )
            if is_told:
                self._send_name(new, name)

    def _tell_annotations(self, old: _Seen, new: _Seen, own: set[tuple[str, str]]) -> None:
        """RFC 5465 §5.6, §5.7; RFC 5464 §4.4.2."""
        for name, visible in new.names.mailboxes.items():
            mailbox_id = visible.mailbox.mailbox_id
            changed = _changed(old.annotations.get(mailbox_id, {}), new.annotations.get(mailbox_id, {}))
            told = [entry for entry in changed if (name, entry) not in own]
            if told and (self._tells_metadata or "MailboxMetadataChange" in self._events(name)):
                self._session.send(names_line(self._session, name, told))
        told = [entry for entry in _changed(old.server, new.server) if ("", entry) not in own]
        is_wanted = any("ServerMetadataChange" in group.events for group in self._groups)
        if told and (self._tells_metadata or is_wanted):
            self._session.send(names_line(self._session, "", told))

    async def _tell_rows(self, touched: list[MailboxId]) -> None:
        assert self._seen is not None

        def query(tx: Transaction) -> dict[MailboxId, Mailbox]:
            found = {}
            for mailbox_id in touched:
                try:
                    found[mailbox_id] = mailboxes.get(tx, mailbox_id)
                except NotFound:
                    continue  # the account is touched too, and then the name is told
            return found

        now = await self._session.environment.store.read(query)
        before = dict(self._seen.rows)
        self._seen.rows |= now
        self._compare(before, now)

    def _compare(self, before: dict[MailboxId, Mailbox], now: dict[MailboxId, Mailbox]) -> None:
        """Send STATUS of the mailboxes whose messages changed (RFC 5465 §5.1, §5.2, §5.3)."""
        assert self._seen is not None
        names = {visible.mailbox.mailbox_id: name for name, visible in self._seen.names.mailboxes.items()}
        knows_modseq = not {"CONDSTORE", "QRESYNC"}.isdisjoint(self._session.enabled)
        for mailbox_id, row in now.items():
            old, name = before.get(mailbox_id), names.get(mailbox_id)
            # RFC 5465 §3.1: of the selected mailbox the session itself tells
            if old is None or name is None or mailbox_id == self._selected_id():
                continue
            events = self._events(name)
            items: list[StatusItem] = []
            if "MessageNew" in events and (old.uid_next, old.messages) != (row.uid_next, row.messages):
                items = [StatusItem.MESSAGES, StatusItem.UIDNEXT]
            if "FlagChange" in events and old.unseen != row.unseen:
                items.append(StatusItem.UNSEEN)
            if old.uid_validity != row.uid_validity:
                items.append(StatusItem.UIDVALIDITY)
            if knows_modseq and old.highest_modseq != row.highest_modseq and (items or "FlagChange" in events):
                items += [StatusItem.HIGHESTMODSEQ, StatusItem.UIDVALIDITY]
            if items:
                self._session.send(status_line(self._session, name, row, items))


def _changed(old: dict[str, bytes], new: dict[str, bytes]) -> list[str]:
    return sorted(entry for entry in old.keys() | new.keys() if old.get(entry) != new.get(entry))
