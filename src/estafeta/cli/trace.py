"""`estafeta trace`: the life of a message, or of all that an address had to do with, out of the journal.

What the journal says is shown whole: facts that this module does not know are shown by their names.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import opened
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, instant, moment, octets, one_line, say
from estafeta.cli.queue_view import failed, next_attempt
from estafeta.mail.value import value
from estafeta.routing.destinations import LATER
from estafeta.store.ids import IdSource
from estafeta.store.records import DestinationState, EntryKind, Instant, JournalEntry, MessageId, QueuedRecipient

if TYPE_CHECKING:
    from estafeta.store.store import Transaction
    from estafeta.store.whereabouts import Copy

_MARGIN = 12
_LEDGER = ("delivered", "queued", "removed", "ended_left_out")
"""Facts for `estafeta audit`: ids of what the lines tell of in words; --json has them."""
_MOST_NOW = 50
"""Queued recipients of a message that are told to people; `estafeta queue show` has all."""


@value
class Chapter:
    """One entry of the journal, and where its message is now."""

    entry: JournalEntry
    copies: tuple[Copy, ...] = ()
    queued: tuple[QueuedRecipient, ...] = ()
    silent: tuple[DestinationState, ...] = ()
    """Destinations of queued recipients that did not answer last."""
    left_out: int = 0
    """Entries before this one that are not told."""


@click.command("trace")
@click.argument("what", metavar="MESSAGE-ID|QUEUE-ID|ADDRESS")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="The newest N entries; how a message among them came in is told too.",
)
@config_option
@json_option
def command(what: str, limit: int, config: Path | None, as_json: bool) -> None:
    """Tell the life of a message and the reason of every decision, the newest last.

    Refused mail is told too, every attempt to relay, and the notifications that came of it. QUEUE-ID is what the
    server's 250 named, or an id that `estafeta queue list` shows. Of an ADDRESS the messages that name it are told.
    """
    with opened(config) as store:
        chapters = store.read(lambda tx: story(tx, what, limit))
    if not chapters:
        raise CommandFault(f"the journal has nothing about {what}")
    if as_json:
        document([record(chapter) for chapter in chapters])
        return
    for number, chapter in enumerate(chapters):
        if number:
            say()
        for line in lines(chapter):
            say(line)


# What is told.


def story(tx: Transaction, what: str, limit: int) -> list[Chapter]:
    """The entries about a message, a session or an address, oldest first."""
    from estafeta.store import journal

    told = _entries(tx, what.strip(), limit)
    if len({entry.message_id for entry in told} - {None}) == 1:
        # The story of one message has the decisions of its session in it: the login above all.
        for session_id in {entry.session_id for entry in told if entry.session_id is not None}:
            if not any(entry.kind is EntryKind.SESSION and entry.session_id == session_id for entry in told):
                told += [entry for entry in journal.by_session(tx, session_id) if entry.kind is EntryKind.SESSION]
    told += _notifications(tx, told)
    told.sort(key=lambda entry: entry.at)
    before, newest = told[:-limit], told[-limit:]
    kept = _beginnings(before, newest)
    chapters = _chapters(tx, kept + newest)
    if len(kept) < len(before):
        chapters[len(kept)] = replace(chapters[len(kept)], left_out=len(before) - len(kept))
    return chapters


def _entries(tx: Transaction, what: str, limit: int) -> list[JournalEntry]:
    from estafeta.store import journal, queue

    try:
        identifier = IdSource.parse(what)
    except ValueError:
        pass
    else:
        found = journal.by_message(tx, identifier) or journal.by_session(tx, identifier)
        if not found and (queued := queue.find(tx, identifier)):  # one recipient, or another envelope of the message
            found = journal.by_message(tx, queued[0].message.content_id)
        if found:
            return found
    for key in (what, f"<{what}>", what.strip("<>")):
        found = journal.by_key(tx, key, limit=limit)
        if found:
            return _with_attempts(tx, found, key.lower())
    return []


def _with_attempts(tx: Transaction, found: Sequence[JournalEntry], key: str) -> list[JournalEntry]:
    """The entries, and what became later of the messages that they tell of."""
    from estafeta.store import journal

    told = [entry for entry in found if entry.message_id is None]
    for message_id in dict.fromkeys(entry.message_id for entry in found if entry.message_id is not None):
        entries = journal.by_message(tx, message_id)
        is_sender = any(str(entry.facts.get("reverse_path", "")).lower() == key for entry in entries)
        if not is_sender and any(_names(entry, key) for entry in entries):
            # Of a mailing to many, the attempts at others are not this address's.
            entries = [entry for entry in entries if entry.kind is not EntryKind.ATTEMPT or _names(entry, key)]
        told += entries
    return told


def _names(entry: JournalEntry, key: str) -> bool:
    """Whether an attempt was for this recipient, too."""
    recipients = _list(entry.facts.get("recipients")) if entry.kind is EntryKind.ATTEMPT else []
    return any(isinstance(each, dict) and str(each.get("forward_path")).lower() == key for each in recipients)


def _notifications(tx: Transaction, told: Sequence[JournalEntry]) -> list[JournalEntry]:
    """How the notifications that attempts name were accepted, as far as that is not told yet."""
    from estafeta.store import journal

    known = {entry.message_id for entry in told}
    found: list[JournalEntry] = []
    for name in [name for entry in told for name in _list(entry.facts.get("notifications"))]:
        try:
            message_id = MessageId(IdSource.parse(str(name)))
        except ValueError:  # one that could not be delivered: the reason stands here
            continue
        if message_id not in known:
            known.add(message_id)
            found += [each for each in journal.by_message(tx, message_id) if each.kind is EntryKind.TRANSACTION]
    return found


def _beginnings(before: Sequence[JournalEntry], newest: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Of older entries those that tell how the messages of the newest came in, with their sessions."""
    messages = {entry.message_id for entry in newest} - {None}
    taken = [entry for entry in (*before, *newest) if entry.kind is EntryKind.TRANSACTION]
    sessions = {entry.session_id for entry in taken if entry.message_id in messages} - {None}
    return [
        entry
        for entry in before
        if (entry.kind is EntryKind.TRANSACTION and entry.message_id in messages)
        or (entry.kind is EntryKind.SESSION and entry.session_id in sessions)
    ]


def _chapters(tx: Transaction, told: Sequence[JournalEntry]) -> list[Chapter]:
    """The entries; with the last of each message, where it is now."""
    from estafeta.store import destinations, queue
    from estafeta.store.whereabouts import copies_of

    now = Instant(time.time())
    last = {entry.message_id: number for number, entry in enumerate(told) if entry.message_id is not None}
    chapters = []
    for number, entry in enumerate(told):
        message_id = entry.message_id
        if message_id is None or last[message_id] != number:
            chapters.append(Chapter(entry))
            continue
        queued = queue.in_hand(tx, queue.find(tx, message_id), now=now)
        states = [destinations.find(tx, name) for name in dict.fromkeys(one.destination for one in queued)]
        silent = tuple(state for state in states if state is not None)
        chapters.append(Chapter(entry, tuple(copies_of(tx, message_id)), tuple(queued), silent))
    return chapters


# How it is told.


def record(chapter: Chapter) -> dict[str, object]:
    """The chapter for machines."""
    entry = chapter.entry
    return {
        "kind": entry.kind,
        "at": instant(entry.at),
        "session_id": IdSource.text(entry.session_id) if entry.session_id is not None else None,
        "message_id": IdSource.text(entry.message_id) if entry.message_id is not None else None,
        "facts": entry.facts,
        "left_out_before": chapter.left_out,
        "now": [
            {"account": copy.account, "mailbox": copy.mailbox, "uid": copy.uid, "flags": copy.flags}
            for copy in chapter.copies
        ]
        + [
            {
                "forward_path": one.forward_path,
                "queue": one.status,
                "next_attempt_at": instant(one.next_attempt_at),
                "recipient_id": IdSource.text(one.recipient_id),
                "destination": one.destination,
                "is_in_hand": one.holder is not None,
                "attempts": one.attempts,
                "last_reply": one.last_reply,
                "priority": one.message.priority,
                "held_until": None if one.message.release_at is None else instant(one.message.release_at),
                "deliver_by": None if one.message.deliver_by is None else instant(one.message.deliver_by.at),
            }
            for one in chapter.queued
        ],
    }


def lines(chapter: Chapter) -> Iterator[str]:
    """The chapter for people."""
    entry = chapter.entry
    facts = dict(entry.facts)
    if chapter.left_out:
        yield f"({chapter.left_out} entries before are left out, --limit shows more)"
        yield ""
    names = [entry.kind.value]
    if entry.message_id is not None:
        names.append(IdSource.text(entry.message_id))
    elif entry.session_id is not None and entry.kind is EntryKind.SESSION:
        names.append(IdSource.text(entry.session_id))
    if ended := facts.pop("ended", None):
        names.append(f"- {_plain(ended)}")
    yield f"{moment(entry.at)}  {' '.join(names)}"
    if "notification_of" in facts:
        about = f"of {_plain(facts.pop('notification_of'))}"
        yield _line("notification", f"{about}: {_plain(facts.pop('action', ''))}")
    if entry.kind is EntryKind.ATTEMPT:
        yield from _attempt(facts)
    if client := _client(facts):
        yield _line("client", client)
    if "reverse_path" in facts:
        yield _line("from", f"<{_plain(facts.pop('reverse_path'))}>")
    yield from _recipients(facts.pop("recipients", None))
    if "message_id_field" in facts:
        yield _line("message-id", _plain(facts.pop("message_id_field")))
    if isinstance(facts.get("size"), int):
        yield _line("size", octets(int(str(facts.pop("size")))))
    for decision in _list(facts.pop("decisions", None)):
        yield _line("decision", _decision(decision, entry.at))
    for name in _LEDGER:
        facts.pop(name, None)
    for name, fact in facts.items():
        yield _line(name.replace("_", " "), _plain(fact))
    yield from _now(chapter)


def _attempt(facts: dict[str, object]) -> Iterator[str]:
    """Which hosts were asked, how, and what they said; takes these facts out."""
    seconds = facts.pop("seconds", None)
    took = f", {seconds:.3f} s" if isinstance(seconds, int | float) and seconds else ""
    yield _line("destination", f"{_plain(facts.pop('destination', '?'))}{took}")
    if "reverse_path" in facts:
        yield _line("from", f"<{_plain(facts.pop('reverse_path'))}>")
    silent = set()
    for trouble in _list(facts.pop("troubles", None)):
        rest = dict(trouble) if isinstance(trouble, dict) else {"reply": trouble}
        place = _place(_plain(rest.pop("host", "")), _plain(rest.pop("address", "")))
        silent.add(place)
        stage, reply = _plain(rest.pop("stage", "")), _plain(rest.pop("reply", ""))
        yield _line("no luck", f"{place}, {stage}: {reply}" + _rest(rest))
    recipients = [each for each in _list(facts.pop("recipients", None)) if isinstance(each, dict)]
    for (host, address, tls), group in groupby(recipients, key=_connection):
        place = _place(host, address)
        if place and (tls or place not in silent):
            yield _line("host", f"{place}, {tls or 'no TLS'}" if address else place)
        for recipient in group:
            yield _line("to", _told_recipient(recipient))
    for name in _list(facts.pop("notifications", None)):
        text = _plain(name)
        yield _line("notification", text if text.isalnum() else f"cannot be delivered: {text}")


def _place(host: str, address: str) -> str:
    """A host with its address, where that says more than its name."""
    return address if address.startswith((f"{host}:", f"[{host}]:")) else f"{host} {address}".strip()


def _connection(recipient: dict[str, object]) -> tuple[str, str, str]:
    host, address, tls = (_plain(recipient.get(name)) for name in ("host", "address", "tls"))
    return host, address, tls


def _told_recipient(recipient: dict[str, object]) -> str:
    """A recipient of an attempt: what became of it, by which reply to what, and when it is tried next."""
    rest = {name: value for name, value in recipient.items() if name not in ("host", "address", "tls")}
    rest.pop("recipient_id", None)  # for `estafeta audit`, and in --json
    path, fate = _plain(rest.pop("forward_path", "?")), _plain(rest.pop("fate", "?"))
    stage, reply, next_at = (rest.pop(name, None) for name in ("stage", "reply", "next_attempt_at"))
    answer = f", {_plain(stage)}: {_plain(reply)}" if stage else f": {_plain(reply)}"
    told = f"; {_plain(rest.pop('told'))}" if "told" in rest else ""
    then = f"; next attempt {moment(next_at)}" if isinstance(next_at, int | float) else ""
    return f"<{path}>: {fate}{answer}{told}{then}{_rest(rest)}"


def _rest(facts: dict[str, object]) -> str:
    """Facts that nobody foresaw."""
    return "".join(f", {name.replace('_', ' ')} {_plain(value)}" for name, value in facts.items())


def _client(facts: dict[str, object]) -> str:
    parts = []
    if listener := " ".join(_plain(facts.pop(name)) for name in ("protocol", "listener") if facts.get(name)):
        parts.append(listener)
    if peer := facts.pop("peer", None):
        parts.append(f"from {_plain(peer)}")
    if proxy := facts.pop("proxy", None):
        parts.append(f"by way of {_plain(proxy)}")
    if helo := facts.pop("helo", None):
        parts.append(f"calls itself {_plain(helo)}")
    if "tls" in facts:
        parts.append(_plain(facts.pop("tls")) or "no TLS")
    if account := facts.pop("account", None):
        parts.append(f"logged in as {_plain(account)}")
    return ", ".join(parts)


def _recipients(value: object) -> Iterator[str]:
    for recipient in _list(value):
        if not isinstance(recipient, dict):
            yield _line("to", _plain(recipient))
            continue
        rest = dict(recipient)
        path = rest.pop("forward_path", "?")
        told = [_plain(rest.pop(name)) for name in ("end", "route", "reason") if rest.get(name)]
        told += [f"{name} {_plain(inner)}" for name, inner in rest.items() if inner]
        yield _line("to", f"<{_plain(path)}>" + (f": {', '.join(told)}" if told else ""))


def _decision(value: object, began: float) -> str:
    if not isinstance(value, dict):
        return _plain(value)
    rest = dict(value)
    at = rest.pop("at", None)
    after = f"+{max(at - began, 0):.3f}s " if isinstance(at, int | float) else ""
    head = " ".join(_plain(rest.pop(name)) for name in ("stage", "subject") if rest.get(name))
    told = " ".join(_plain(rest.pop(name)) for name in ("verdict", "reply") if rest.get(name))
    why = ", ".join(_plain(rest.pop(name)) for name in ("reason", "detail") if rest.get(name))
    more = "".join(f" {name}={_plain(inner)}" for name, inner in rest.items() if inner not in (None, ""))
    return f"{after}{head}: {told}" + (f" ({why})" if why else "") + more


def _now(chapter: Chapter) -> Iterator[str]:
    for copy in chapter.copies:
        flags = f" {' '.join(copy.flags)}" if copy.flags else ""
        yield _line("now", f"in {copy.account} {copy.mailbox}, UID {copy.uid}{flags}")
    for one in chapter.queued[:_MOST_NOW]:
        then = next_attempt(one)
        next_at = ", in hand" if one.holder is not None else f", next attempt {then}" if then else ""
        next_at = f", {then}" if one.destination == LATER and one.holder is None and then else next_at
        if one.message.deliver_by is not None:
            next_at += f", to be delivered by {moment(one.message.deliver_by.at)}"
        reply = f", last reply: {one.last_reply}" if one.last_reply else ""
        yield _line("now", f"queued for <{one.forward_path}>: {one.status.value}{next_at}{reply}")
    if len(chapter.queued) > _MOST_NOW:
        yield _line("now", f"and {len(chapter.queued) - _MOST_NOW} more in the queue")
    for state in chapter.silent:
        until = f"not tried before {moment(state.blocked_until)}"
        yield _line("now", f"{state.destination} does not answer: {failed(state)}, {until}, last: {state.last_reply}")


def _line(name: str, text: str) -> str:
    return f"  {name:<{_MARGIN}} {one_line(text)}"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    return "" if value is None else str(value)
