"""`estafeta queue`: recipients that wait to be relayed."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import OpenedStore, opened
from estafeta.cli.options import config_option, json_option, yes_option
from estafeta.cli.output import document, instant, moment, octets, say, table
from estafeta.store.ids import IdSource
from estafeta.store.records import EntryKind, JournalEntry, MessageId, QueuedRecipient, QueueStatus

if TYPE_CHECKING:
    from estafeta.store.store import Transaction


def _id(text: str) -> int:
    try:
        return IdSource.parse(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a queue id; `estafeta queue list` shows them.") from None


@click.group("queue")
def command() -> None:
    """Recipients that wait to be relayed.

    An ID is that of a message, for all its recipients, or of one recipient; `estafeta queue list` shows both.
    """


@command.command("list")
@click.option("--status", type=click.Choice([status.value for status in QueueStatus]), help="Only these.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@config_option
@json_option
def list_(status: str | None, limit: int, config: Path | None, as_json: bool) -> None:
    """List what waits, the oldest first."""
    from estafeta.store import queue

    wanted = QueueStatus(status) if status else None
    with opened(config) as store:
        found, counts = store.read(lambda tx: (queue.list_all(tx, limit=limit, status=wanted), queue.count(tx)))
    if as_json:
        document([_record(one) for one in found])
        return
    if found:
        table(
            ("MESSAGE", "RECIPIENT", "STATUS", "TRIES", "NEXT", "SIZE", "FROM", "TO"),
            (
                (
                    IdSource.text(one.message.content_id),
                    IdSource.text(one.recipient_id),
                    one.status.value,
                    one.attempts,
                    "" if one.status is QueueStatus.HELD else moment(one.next_attempt_at),
                    octets(one.message.size),
                    f"<{one.message.reverse_path}>",
                    one.forward_path,
                )
                for one in found
            ),
            right=("TRIES", "SIZE"),
        )
    waiting = ", ".join(f"{number} {each.value}" for each, number in counts.items() if number)
    say(f"in all: {waiting}" if waiting else "the queue is empty")


@command.command("show")
@click.argument("identifier", metavar="ID", type=_id)
@config_option
@json_option
def show(identifier: int, config: Path | None, as_json: bool) -> None:
    """Show the queued message or recipient ID with its last replies."""
    from estafeta.store import queue

    with opened(config) as store:
        found = store.read(lambda tx: queue.find(tx, identifier))
    if not found:
        raise CommandFault(f"{IdSource.text(identifier)} is not in the queue")
    if as_json:
        document([_record(one) for one in found])
        return
    first = found[0].message
    say(f"message   {IdSource.text(first.content_id)}")
    say(f"from      <{first.reverse_path}>")
    say(f"accepted  {moment(first.accepted_at)}")
    say(f"size      {octets(first.size)}")
    for one in found:
        say()
        say(f"recipient {IdSource.text(one.recipient_id)}")
        if one.message.reverse_path != first.reverse_path:
            say(f"  from    <{one.message.reverse_path}>")
        say(f"  to      <{one.forward_path}> by {one.destination}")
        say(f"  status  {one.status.value}, tried {one.attempts} times")
        if one.status is not QueueStatus.HELD:
            say(f"  next    {moment(one.next_attempt_at)}")
        say(f"  reply   {one.last_reply or 'none yet'}")


@command.command("retry")
@click.argument("identifiers", metavar="ID...", type=_id, nargs=-1, required=True)
@config_option
@json_option
def retry(identifiers: tuple[int, ...], config: Path | None, as_json: bool) -> None:
    """Try ID now, also when it is held."""
    from estafeta.store import queue

    with opened(config) as store:
        now = store.now()
        _each(store, identifiers, lambda tx, identifier: queue.retry(tx, identifier, now=now), "due now", as_json)


@command.command("hold")
@click.argument("identifiers", metavar="ID...", type=_id, nargs=-1, required=True)
@config_option
@json_option
def hold(identifiers: tuple[int, ...], config: Path | None, as_json: bool) -> None:
    """Keep ID from being tried until it is released."""
    from estafeta.store import queue

    with opened(config) as store:
        _each(store, identifiers, queue.hold, "held", as_json)


@command.command("release")
@click.argument("identifiers", metavar="ID...", type=_id, nargs=-1, required=True)
@config_option
@json_option
def release(identifiers: tuple[int, ...], config: Path | None, as_json: bool) -> None:
    """Let ID be tried again after hold."""
    from estafeta.store import queue

    with opened(config) as store:
        now = store.now()
        _each(store, identifiers, lambda tx, identifier: queue.release(tx, identifier, now=now), "released", as_json)


@command.command("remove")
@click.argument("identifiers", metavar="ID...", type=_id, nargs=-1, required=True)
@yes_option
@config_option
@json_option
def remove(identifiers: tuple[int, ...], yes: bool, config: Path | None, as_json: bool) -> None:
    """Remove ID from the queue: it is never relayed, and its sender is not told."""
    from estafeta.store import queue

    with opened(config) as store:
        if not yes:
            names = ", ".join(IdSource.text(identifier) for identifier in identifiers)
            click.confirm(f"Remove {names} from the queue without telling the sender?", abort=True, err=True)
        _each(store, identifiers, lambda tx, identifier: len(queue.remove(tx, identifier)), "removed", as_json)


def _each(
    store: OpenedStore,
    identifiers: tuple[int, ...],
    change: Callable[[Transaction, int], int],
    done: str,
    as_json: bool,
) -> None:
    """Change each, and say so in the journal by the same commit."""
    from estafeta.store import journal, queue

    def recorded(tx: Transaction, identifier: int) -> int:
        before = queue.find(tx, identifier)
        number = change(tx, identifier)
        paths = tuple(str(one.forward_path) for one in before)
        facts: dict[str, object] = {
            "operator": _operator(),
            "did": f"queue: {done}",
            "recipients": [{"forward_path": path, "reason": done} for path in paths],
        }
        keys = tuple({path.lower() for path in paths})
        message_id = MessageId(before[0].message.content_id)
        journal.record(tx, JournalEntry(EntryKind.OPERATOR, store.now(), None, message_id, facts, keys))
        return number

    told = []
    for identifier in identifiers:
        number = store.write(partial(recorded, identifier=identifier))
        told.append({"id": IdSource.text(identifier), "recipients": number, "did": done})
        if not as_json:
            say(f"{IdSource.text(identifier)}: {number} {'recipient' if number == 1 else 'recipients'} {done}")
    if as_json:
        document(told)


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"uid{os.getuid()}"


def _record(one: QueuedRecipient) -> dict[str, object]:
    return {
        "recipient_id": IdSource.text(one.recipient_id),
        "message_id": IdSource.text(one.message.content_id),
        "reverse_path": str(one.message.reverse_path),
        "forward_path": one.forward_path,
        "destination": one.destination,
        "status": one.status,
        "attempts": one.attempts,
        "accepted_at": instant(one.message.accepted_at),
        "next_attempt_at": instant(one.next_attempt_at),
        "last_reply": one.last_reply,
        "size": one.message.size,
    }
