"""`estafeta trace`: the life of a message, or of all that an address had to do with, out of the journal.

What the journal says is shown whole: facts that this module does not know are shown by their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import opened
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, instant, moment, octets, one_line, say
from estafeta.store.ids import IdSource
from estafeta.store.records import EntryKind, JournalEntry, QueuedRecipient

if TYPE_CHECKING:
    from estafeta.store.store import Transaction
    from estafeta.store.whereabouts import Copy

_MARGIN = 12


@dataclass(frozen=True, slots=True)
class Chapter:
    """One entry of the journal, and where its message is now."""

    entry: JournalEntry
    copies: tuple[Copy, ...] = ()
    queued: tuple[QueuedRecipient, ...] = ()


@click.command("trace")
@click.argument("what", metavar="MESSAGE-ID|QUEUE-ID|ADDRESS")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest N entries.")
@config_option
@json_option
def command(what: str, limit: int, config: Path | None, as_json: bool) -> None:
    """Tell the life of a message and the reason of every decision, the newest last.

    Refused mail is told too. QUEUE-ID is what the server's 250 named.
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


def story(tx: Transaction, what: str, limit: int) -> list[Chapter]:
    """The entries about a message, a session or an address, oldest first."""
    from estafeta.store import journal, queue
    from estafeta.store.whereabouts import copies_of

    told = _entries(tx, what.strip(), limit)
    if len({entry.message_id for entry in told} - {None}) == 1:
        # The story of one message has the decisions of its session in it: the login above all.
        for session_id in {entry.session_id for entry in told if entry.session_id is not None}:
            found = journal.by_session(tx, session_id)
            told += [entry for entry in found if entry.kind is EntryKind.SESSION and entry not in told]
    told.sort(key=lambda entry: entry.at)
    chapters = []
    last = {entry.message_id: number for number, entry in enumerate(told) if entry.message_id is not None}
    for number, entry in enumerate(told):
        message_id = entry.message_id
        if message_id is None or last[message_id] != number:
            chapters.append(Chapter(entry))
        else:
            copies, queued = copies_of(tx, message_id), queue.find(tx, message_id)
            chapters.append(Chapter(entry, tuple(copies), tuple(queued)))
    return chapters[-limit:]


def _entries(tx: Transaction, what: str, limit: int) -> list[JournalEntry]:
    from estafeta.store import journal

    try:
        identifier = IdSource.parse(what)
    except ValueError:
        pass
    else:
        found = journal.by_message(tx, identifier) or journal.by_session(tx, identifier)
        if found:
            return found
    for key in (what, f"<{what}>", what.strip("<>")):
        found = journal.by_key(tx, key, limit=limit)
        if found:
            return _with_attempts(tx, found)
    return []


def _with_attempts(tx: Transaction, found: list[JournalEntry]) -> list[JournalEntry]:
    """The entries, and what became later of the messages that they tell of."""
    from estafeta.store import journal

    told = list(found)
    for message_id in dict.fromkeys(entry.message_id for entry in found if entry.message_id is not None):
        told += [entry for entry in journal.by_message(tx, message_id) if entry not in told]
    return told


def record(chapter: Chapter) -> dict[str, object]:
    """The chapter for machines."""
    entry = chapter.entry
    return {
        "kind": entry.kind,
        "at": instant(entry.at),
        "session_id": IdSource.text(entry.session_id) if entry.session_id is not None else None,
        "message_id": IdSource.text(entry.message_id) if entry.message_id is not None else None,
        "facts": entry.facts,
        "now": [
            {"account": copy.account, "mailbox": copy.mailbox, "uid": copy.uid, "flags": copy.flags}
            for copy in chapter.copies
        ]
        + [
            {"forward_path": one.forward_path, "queue": one.status, "next_attempt_at": instant(one.next_attempt_at)}
            for one in chapter.queued
        ],
    }


def lines(chapter: Chapter) -> Iterator[str]:
    """The chapter for people."""
    entry = chapter.entry
    facts = dict(entry.facts)
    names = [entry.kind.value]
    if entry.message_id is not None:
        names.append(IdSource.text(entry.message_id))
    elif entry.session_id is not None and entry.kind is EntryKind.SESSION:
        names.append(IdSource.text(entry.session_id))
    if ended := facts.pop("ended", None):
        names.append(f"- {_plain(ended)}")
    yield f"{moment(entry.at)}  {' '.join(names)}"
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
    for name, value in facts.items():
        yield _line(name.replace("_", " "), _plain(value))
    yield from _now(chapter)


def _client(facts: dict[str, object]) -> str:
    parts = []
    if listener := " ".join(_plain(facts.pop(name)) for name in ("protocol", "listener") if facts.get(name)):
        parts.append(listener)
    if peer := facts.pop("peer", None):
        parts.append(f"from {_plain(peer)}")
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
    for one in chapter.queued:
        next_at = "" if one.status.value == "held" else f", next attempt {moment(one.next_attempt_at)}"
        reply = f", last reply: {one.last_reply}" if one.last_reply else ""
        yield _line("now", f"queued for <{one.forward_path}>: {one.status.value}{next_at}{reply}")


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
