"""`estafeta queue`: recipients that wait to be relayed, and what an operator does with them.

A change is made in the store, and then the processes that serve are rung: what they have in memory follows at once.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import OpenedStore, opened, opened_at
from estafeta.cli.options import config_option, json_option, yes_option
from estafeta.cli.output import document, moment, octets, one_line, say, table
from estafeta.cli.queue_view import (
    backlog_record,
    counted,
    envelope_lines,
    next_attempt,
    outlook,
    recipient_lines,
    record,
    schedule_of,
    shortened,
    when,
)
from estafeta.config.location import data_directory, find_config
from estafeta.mail.address import AddressError, parse_domain
from estafeta.net.bell import BELLS, ring, ring_for
from estafeta.routing.destinations import LATER, Destination, DestinationKind
from estafeta.store.ids import IdSource
from estafeta.store.records import (
    DestinationState,
    EntryKind,
    JournalEntry,
    MessageId,
    QueuedRecipient,
    QueueStatus,
)

if TYPE_CHECKING:
    from estafeta.store.queue import Backlog
    from estafeta.store.store import Transaction

_HEAD = ("MESSAGE", "RECIPIENT", "STATUS", "TRIES", "NEXT", "SIZE", "FROM", "TO", "DESTINATION")
_MOST_TOLD = 100
"""Recipients that the journal names of one change."""


def _id(text: str) -> int:
    try:
        return IdSource.parse(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a queue id; `estafeta queue list` shows them.") from None


def _destination(text: str) -> str:
    """As the queue has it: a domain, an address literal, `gateway:NAME` or `on-demand:DOMAIN`."""
    given = Destination.parse(text)
    if given.kind is DestinationKind.GATEWAY or text == LATER:
        return text
    try:
        return str(Destination(given.kind, parse_domain(given.name)))
    except AddressError as error:
        raise click.BadParameter(f"{text!r} is not a destination: {error}.") from None


_ids_argument = click.argument("identifiers", metavar="ID...", type=_id, nargs=-1, required=True)


@click.group("queue")
def command() -> None:
    """Recipients that wait to be relayed.

    An ID is that of a message, for all its recipients, or of one recipient; `estafeta queue list` shows both. What
    is changed here holds at once, also for what a server has in memory. An attempt that is under way ends as it
    ends.
    """


# Looking.


@command.command("list")
@click.option("--status", type=click.Choice([status.value for status in QueueStatus]), help="Only these.")
@click.option(
    "--destination",
    metavar="DESTINATION",
    type=_destination,
    help="Only those for it: a domain, gateway:NAME, or later: for what is held for its sender. Those that are tried"
    " next come first, held ones last.",
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@config_option
@json_option
def list_(status: str | None, destination: str | None, limit: int, config: Path | None, as_json: bool) -> None:
    """List what waits, the oldest first."""
    from estafeta.store import queue

    wanted = QueueStatus(status) if status else None

    def look(tx: Transaction) -> list[QueuedRecipient]:
        if destination is not None:
            found = queue.list_at(tx, destination, limit=limit, status=wanted)
        else:
            found = queue.list_all(tx, limit=limit, status=wanted)
        return queue.in_hand(tx, found, now=now)

    with opened(config) as store:
        now = store.now()
        if as_json:
            document([record(one) for one in store.read(look)])
            return
        found, counts = store.read(lambda tx: (look(tx), queue.count(tx)))
    has_priorities = any(one.message.priority for one in found)
    if found:
        table(
            (*_HEAD, *(("PRIORITY",) if has_priorities else ()), "LAST REPLY"),
            (
                (
                    IdSource.text(one.message.content_id),
                    IdSource.text(one.recipient_id),
                    one.status.value,
                    one.attempts,
                    next_attempt(one),
                    octets(one.message.size),
                    f"<{one.message.reverse_path}>",
                    one.forward_path,
                    one.destination,
                    *((one.message.priority,) if has_priorities else ()),
                    shortened(one.last_reply or ""),
                )
                for one in found
            ),
            right=("TRIES", "SIZE", "PRIORITY") if has_priorities else ("TRIES", "SIZE"),
        )
    waiting = ", ".join(f"{number} {each.value}" for each, number in counts.items() if number)
    say(f"in all: {waiting}" if waiting else "the queue is empty")


@command.command("show")
@click.argument("identifier", metavar="ID", type=_id)
@config_option
@json_option
def show(identifier: int, config: Path | None, as_json: bool) -> None:
    """Show all that is known of the queued message or recipient ID."""
    from estafeta.store import destinations, queue

    def look(tx: Transaction) -> tuple[list[QueuedRecipient], dict[str, DestinationState | None]]:
        found = queue.in_hand(tx, queue.find(tx, identifier), now=now)
        return found, {name: destinations.find(tx, name) for name in {one.destination for one in found}}

    with opened(config) as store:
        now = store.now()
        found, states = store.read(look)
    if not found:
        raise CommandFault(f"{IdSource.text(identifier)} is not in the queue")
    schedule = schedule_of(find_config(config))
    if as_json:
        document([record(one) | outlook(one, schedule, states[one.destination], now) for one in found])
        return
    for number, (_, recipients) in enumerate(groupby(found, key=lambda one: one.message.message_id)):
        if number:
            say()
        group = list(recipients)
        for line in envelope_lines(group[0].message, schedule.expires_at(group[0])):
            say(one_line(line))
        for one in group:
            say()
            for line in recipient_lines(one, schedule, states[one.destination], now):
                say(one_line(line))


@command.command("destinations")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@config_option
@json_option
def destinations_(limit: int, config: Path | None, as_json: bool) -> None:
    """List where queued mail goes, the longest backlog first, and which destinations do not answer now.

    Held recipients do not count.
    """
    from estafeta.store import destinations, queue

    def look(tx: Transaction) -> list[tuple[Backlog, DestinationState | None]]:
        found = queue.backlogs(tx, now=now, limit=limit)
        return [(each, destinations.find(tx, each.destination)) for each in found]

    with opened(config) as store:
        now = store.now()
        found = store.read(look)
    if as_json:
        document([backlog_record(each, state, now) for each, state in found])
        return
    if not found:
        say("nothing waits")
        return
    table(
        ("DESTINATION", "WAITING", "IN HAND", "NEXT", "BLOCKED UNTIL", "FAILURES", "LAST REPLY"),
        (
            (
                each.destination,
                each.waiting,
                each.in_hand,
                "" if each.next_attempt_at is None else when(each.destination, each.next_attempt_at),
                moment(state.blocked_until) if state is not None and state.blocked_until > now else "",
                state.failures if state is not None else "",
                shortened(state.last_reply) if state is not None else "",
            )
            for each, state in found
        ),
        right=("WAITING", "IN HAND", "FAILURES"),
    )


# Changing.


@command.command("retry")
@_ids_argument
@config_option
@json_option
def retry(identifiers: tuple[int, ...], config: Path | None, as_json: bool) -> None:
    """Try ID now, also when it is held, and its destination although it did not answer before."""
    from estafeta.store import queue

    with _changing(config) as (store, bells):
        now = store.now()
        change = partial(queue.retry, now=now)
        _each(store, identifiers, change, "due now", as_json, lambda _, names: ring_for(bells, "clear", names))


@command.command("hold")
@_ids_argument
@config_option
@json_option
def hold(identifiers: tuple[int, ...], config: Path | None, as_json: bool) -> None:
    """Keep ID from being tried until it is released."""
    from estafeta.store import queue

    with _changing(config) as (store, bells):
        _each(store, identifiers, queue.hold, "held", as_json, partial(_drop, bells))


@command.command("release")
@_ids_argument
@config_option
@json_option
def release(identifiers: tuple[int, ...], config: Path | None, as_json: bool) -> None:
    """Let ID be tried again after hold, or leave before the time that its sender gave it."""
    from estafeta.store import queue

    with _changing(config) as (store, bells):
        now = store.now()
        change = partial(queue.release, now=now)
        _each(store, identifiers, change, "released", as_json, lambda *_: ring(bells, "look"))


@command.command("remove")
@_ids_argument
@yes_option
@config_option
@json_option
def remove(identifiers: tuple[int, ...], yes: bool, config: Path | None, as_json: bool) -> None:
    """Remove ID from the queue: it is never relayed, and its sender is not told."""
    from estafeta.store import queue

    with _changing(config) as (store, bells):
        if not yes:
            names = ", ".join(IdSource.text(identifier) for identifier in identifiers)
            click.confirm(f"Remove {names} from the queue without telling the sender?", abort=True, err=True)

        def change(tx: Transaction, identifier: int) -> int:
            return len(queue.remove(tx, identifier))

        _each(store, identifiers, change, "removed", as_json, partial(_drop, bells))


@command.command("flush")
@click.argument("destination", type=_destination)
@config_option
@json_option
def flush(destination: str, config: Path | None, as_json: bool) -> None:
    """Try all that waits for DESTINATION now, although it did not answer before.

    DESTINATION is a domain or gateway:NAME; with on-demand:DOMAIN this does what ETRN by that domain's host would.
    Held recipients stay held.
    """
    from estafeta.store import destinations, journal, queue

    if destination == LATER:
        raise CommandFault("mail is held there until its time; `estafeta queue release` lets some of it go")

    def is_known(tx: Transaction) -> bool:
        return any(queue.backlog(tx, destination, now=now, most=1)) or destinations.find(tx, destination) is not None

    def clear(tx: Transaction, number: int) -> bool:
        facts: dict[str, object] = {"operator": _operator(), "did": f"queue: flushed {destination}", "due": number}
        journal.record(tx, JournalEntry(EntryKind.OPERATOR, now, None, None, facts, (destination,)))
        return destinations.clear(tx, destination)

    with _changing(config) as (store, bells):
        now = store.now()
        if not store.read(is_known):
            raise CommandFault(f"nothing waits for {destination}; `estafeta queue destinations` shows what does")
        number = 0
        try:
            # In steps: a million of recipients would hold up all other changes.
            while made := store.write(lambda tx: queue.make_destination_due(tx, destination, now=now)):
                number += made
            was_blocked = store.write(partial(clear, number=number))
        finally:
            ring_for(bells, "clear", [destination])
    if as_json:
        document({"destination": destination, "due": number, "was_blocked": was_blocked})
        return
    say(f"{destination} is tried now: {counted(number)} made due{', no longer blocked' if was_blocked else ''}")


@contextmanager
def _changing(config: Path | None) -> Iterator[tuple[OpenedStore, Path]]:
    """The store, and the folder of the bells of those who serve from it."""
    data = data_directory(find_config(config))
    with opened_at(data) as store:
        yield store, data / BELLS


def _drop(bells: Path, identifiers: Sequence[int], names: Sequence[str]) -> None:
    """Have these recipients, or those of these messages, taken out of memory."""
    ring_for(bells, "drop", map(str, identifiers))


def _each(
    store: OpenedStore,
    identifiers: Sequence[int],
    change: Callable[[Transaction, int], int],
    done: str,
    as_json: bool,
    tell: Callable[[Sequence[int], Sequence[str]], object],
) -> None:
    """Change each, and say so in the journal by the same commit; `tell` gets the ids changed, and their destinations.

    Where one is not queued those before it are changed and told all the same.
    """
    from estafeta.store import journal, queue

    def recorded(tx: Transaction, identifier: int) -> tuple[int, set[str]]:
        before = queue.find(tx, identifier)
        number = change(tx, identifier)
        left = {one.recipient_id for one in queue.find(tx, identifier)}
        paths = [str(one.forward_path) for one in before[:_MOST_TOLD]]
        facts: dict[str, object] = {
            "operator": _operator(),
            "did": f"queue: {done}",
            "recipients": [{"forward_path": path, "reason": done} for path in paths],
        }
        if len(before) > _MOST_TOLD:
            facts["recipients_left_out"] = len(before) - _MOST_TOLD
        if gone := [one.recipient_id for one in before if one.recipient_id not in left]:
            facts["removed"] = [IdSource.text(each) for each in gone]
        keys = tuple({path.lower() for path in paths})
        message_id = MessageId(before[0].message.content_id)
        journal.record(tx, JournalEntry(EntryKind.OPERATOR, store.now(), None, message_id, facts, keys))
        return number, {one.destination for one in before}

    told: list[dict[str, object]] = []
    changed: list[int] = []
    names: set[str] = set()
    try:
        for identifier in identifiers:
            number, found = store.write(partial(recorded, identifier=identifier))
            changed.append(identifier)
            names |= found
            told.append({"id": IdSource.text(identifier), "recipients": number, "did": done})
            if not as_json:
                say(f"{IdSource.text(identifier)}: {counted(number)} {done}")
    finally:
        if changed:
            tell(changed, sorted(names))
    if as_json:
        document(told)


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"uid{os.getuid()}"
