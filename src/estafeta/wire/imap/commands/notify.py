"""NOTIFY (RFC 5465)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.commands.fetch import fetch_items
from estafeta.wire.imap.fetching import FetchItem
from estafeta.wire.imap.reading import GrammarError, Reader
from estafeta.wire.imap.request import Request


@value
class EventGroup:
    """One event-group: mailboxes, and the events that are told of them."""

    filter: str
    """`selected`, `selected-delayed`, `inboxes`, `personal`, `subscribed`, `subtree`, `subtree-one`, `mailboxes`."""
    mailboxes: tuple[str, ...] = ()
    events: frozenset[str] = frozenset()
    """`MessageNew`, `MessageExpunge`, `FlagChange`, `AnnotationChange`, `MailboxName`, `SubscriptionChange`,
    `MailboxMetadataChange`, `ServerMetadataChange`; empty for NONE."""
    items: tuple[FetchItem, ...] = ()
    """What FETCH tells of a new message."""


@value
class Notify(Request):
    """Which events are told; no groups for NOTIFY NONE."""

    groups: tuple[EventGroup, ...]
    status: bool = False
    """STATUS responses for all of these mailboxes first."""


_EVENTS = {
    name.upper(): name
    for name in (
        "MessageNew",
        "MessageExpunge",
        "FlagChange",
        "AnnotationChange",
        "MailboxName",
        "SubscriptionChange",
        "MailboxMetadataChange",
        "ServerMetadataChange",
    )
}


# notify = "NOTIFY" SP (notify-add / notify-none)
def _read(reader: Reader) -> Notify:
    reader.sp()
    if reader.skip(b"NONE"):
        reader.end()
        return Notify(())
    reader.expect(b"SET ")
    status = reader.skip(b"STATUS ")
    groups = [_group(reader)]
    while not reader.at_end():
        reader.sp()
        groups.append(_group(reader))
        if len(groups) > 100:
            raise GrammarError("too many groups")
    return Notify(tuple(groups), status)


# event-group = "(" filter-mailboxes SP events ")"
def _group(reader: Reader) -> EventGroup:
    reader.expect(b"(")
    name, mailboxes = mailbox_filter(reader)
    reader.sp()
    if reader.skip(b"NONE"):
        reader.expect(b")")
        return EventGroup(name, mailboxes)
    reader.expect(b"(")
    events: set[str] = set()
    items: tuple[FetchItem, ...] = ()
    while not reader.skip(b")"):
        if events:
            reader.sp()
        event = reader.keyword()
        # An event that is not known is kept as it was said: the answer is NO [BADEVENT] (RFC 5465 §5).
        events.add(_EVENTS.get(event, event))
        if event == "MESSAGENEW" and reader.looks_at(b" ("):
            reader.sp()
            items = fetch_items(reader)
    if not events:
        raise GrammarError("expected an event")
    reader.expect(b")")
    return EventGroup(name, mailboxes, frozenset(events), items)


# filter-mailboxes = filter-mailboxes-selected / filter-mailboxes-other; one-or-more-mailbox
def mailbox_filter(reader: Reader) -> tuple[str, tuple[str, ...]]:
    """Which mailboxes are meant (RFC 5465 §6), as ESEARCH has it too (RFC 7377 §2.2)."""
    name = reader.keyword().lower()
    if name in ("selected", "selected-delayed", "inboxes", "personal", "subscribed"):
        return name, ()
    if name not in ("subtree", "subtree-one", "mailboxes"):
        raise GrammarError("there is no such choice of mailboxes")
    reader.sp()
    if not reader.skip(b"("):
        return name, (reader.mailbox(),)
    mailboxes: list[str] = []
    while not reader.skip(b")"):
        if mailboxes:
            reader.sp()
        mailboxes.append(reader.mailbox())
        reader.limit(mailboxes)
    if not mailboxes:
        raise GrammarError("expected a mailbox")
    return name, tuple(mailboxes)


NOTIFY = Command("NOTIFY", AUTHENTICATED, _read, "NOTIFY")
