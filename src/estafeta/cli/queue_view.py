"""How queued recipients and destinations are shown: lines for people, records for machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from estafeta.cli.output import instant, moment, octets
from estafeta.config.location import parse
from estafeta.routing.destinations import LATER, Destination, DestinationKind
from estafeta.store.ids import IdSource
from estafeta.store.records import Deadline, DestinationState, Instant, QueuedMessage, QueuedRecipient, QueueStatus

if TYPE_CHECKING:
    from estafeta.agents.outbound.schedule import Schedule
    from estafeta.store.queue import Backlog

_REPLY_SHOWN = 60
"""Characters of a reply in a table; `queue show` has all of it."""


def schedule_of(file: Path) -> Schedule:
    """The times of the settings' `[relay]`; nothing else of the file is judged, so that the queue can be looked at."""
    from estafeta.agents.outbound.schedule import Schedule
    from estafeta.agents.outbound.settings import RelaySettings

    given, usual = parse(file).tables.get("relay"), RelaySettings()

    def number(name: str, otherwise: float) -> float:
        value = given.get(name) if isinstance(given, dict) else None
        return value if isinstance(value, int | float) else otherwise

    settings = RelaySettings(
        lifetime=number("lifetime", usual.lifetime),
        delay_notice_after=number("delay_notice_after", usual.delay_notice_after),
    )
    return Schedule(settings, lambda: 0.5)


def counted(number: int) -> str:
    """`1 recipient`, `2 recipients`."""
    return f"{number} {'recipient' if number == 1 else 'recipients'}"


def failed(state: DestinationState) -> str:
    """`3 failures one after the other`."""
    return "1 failure" if state.failures == 1 else f"{state.failures} failures one after the other"


def shortened(reply: str) -> str:
    """A reply as a table has room for it."""
    return reply if len(reply) <= _REPLY_SHOWN else reply[: _REPLY_SHOWN - 1] + "…"


def when(destination: str, at: Instant) -> str:
    """When what waits for a destination is tried."""
    if destination == LATER:
        return f"held until {moment(at)}"
    is_on_demand = Destination.parse(destination).kind is DestinationKind.ON_DEMAND
    return "when its host calls" if is_on_demand else moment(at)


def next_attempt(one: QueuedRecipient) -> str:
    """When a recipient is tried next; empty for a held one."""
    if one.status is QueueStatus.HELD:
        return ""
    return "in hand" if one.holder is not None else when(one.destination, one.next_attempt_at)


def envelope_lines(message: QueuedMessage, expires_at: Instant) -> Iterator[str]:
    """One envelope, for people."""
    yield f"message     {IdSource.text(message.content_id)}"
    yield f"from        <{message.reverse_path}>"
    yield f"account     {message.account or 'none: it came from elsewhere, or is of the house itself'}"
    yield f"accepted    {moment(message.accepted_at)}"
    yield f"expires     {moment(expires_at)}"
    yield f"size        {octets(message.size)}"
    if message.body or message.smtputf8:
        yield f"content     {' '.join(filter(None, (message.body, 'SMTPUTF8' if message.smtputf8 else '')))}"
    if message.envid is not None:
        yield f"envid       {message.envid}"
    if message.ret is not None:
        yield f"ret         {message.ret}"
    if message.requires_tls:
        yield "TLS         required (REQUIRETLS)"
    if message.priority:
        yield f"priority    {message.priority}"
    if message.release_at is not None:
        yield f"held until  {moment(message.release_at)}, as its sender asked ({message.hold})"
    if (by := message.deliver_by) is not None:
        then = "it goes back" if by.returns else "the sender is told"
        yield f"deliver by  {moment(by.at)}, or {then}{'; each relaying is told' if by.is_traced else ''}"


def recipient_lines(
    one: QueuedRecipient, schedule: Schedule, state: DestinationState | None, now: Instant
) -> Iterator[str]:
    """One recipient of it; `state` is what is known of its destination."""
    yield f"recipient   {IdSource.text(one.recipient_id)}"
    yield f"  to        <{one.forward_path}> by {one.destination}"
    if one.original is not None:
        yield f"  original  {one.original}"
    if one.notify is not None:
        yield f"  notify    {','.join(sorted(one.notify))}"
    yield f"  status    {one.status.value}, tried {one.attempts} {'time' if one.attempts == 1 else 'times'}"
    if one.holder is not None:
        yield "  next      a server has it in hand: it is tried, or next in line for that"
    elif one.status is not QueueStatus.HELD:
        yield f"  next      {when(one.destination, one.next_attempt_at)}"
    if one.is_by_told:
        yield "  late      the time to deliver it is over, and the sender was told"
    if one.is_delay_told:
        yield "  delay     the sender was told"
    elif schedule.wants_delay_notice(one):
        yield f"  delay     the sender is told at {moment(schedule.delay_notice_at(one))}"
    else:
        yield "  delay     the sender is not told"
    if state is not None:
        until = f"blocked until {moment(state.blocked_until)}" if state.blocked_until > now else "to be tried again"
        yield f"  blocked   {one.destination} is {until}, after {failed(state)}: {state.last_reply}"
    yield f"  reply     {one.last_reply or 'none yet'}"


def record(one: QueuedRecipient) -> dict[str, object]:
    """A recipient with its envelope, for machines."""
    message = one.message
    return {
        "recipient_id": IdSource.text(one.recipient_id),
        "message_id": IdSource.text(message.content_id),
        "reverse_path": str(message.reverse_path),
        "forward_path": one.forward_path,
        "destination": one.destination,
        "status": one.status,
        "is_in_hand": one.holder is not None,
        "attempts": one.attempts,
        "accepted_at": instant(message.accepted_at),
        "next_attempt_at": instant(one.next_attempt_at),
        "last_reply": one.last_reply,
        "size": message.size,
        "account": message.account,
        "priority": message.priority,
        "held_until": None if message.release_at is None else instant(message.release_at),
        "hold_request": message.hold,
        "deliver_by": None if message.deliver_by is None else deadline_record(message.deliver_by, one),
        "body": message.body,
        "smtputf8": message.smtputf8,
        "requires_tls": message.requires_tls,
        "envid": message.envid,
        "ret": message.ret,
        "notify": None if one.notify is None else sorted(one.notify),
        "original_recipient": None if one.original is None else str(one.original),
    }


def deadline_record(by: Deadline, one: QueuedRecipient) -> dict[str, object]:
    """By when it is to be delivered, for machines."""
    return {
        "at": instant(by.at),
        "then": "return" if by.returns else "notify",
        "is_traced": by.is_traced,
        "is_told": one.is_by_told,
    }


def outlook(
    one: QueuedRecipient, schedule: Schedule, state: DestinationState | None, now: Instant
) -> dict[str, object]:
    """What comes of a recipient if nothing changes, for machines."""
    is_due = schedule.wants_delay_notice(one) and not one.is_delay_told
    return {
        "is_delay_told": one.is_delay_told,
        "delay_notice_at": instant(schedule.delay_notice_at(one)) if is_due else None,
        "expires_at": instant(schedule.expires_at(one)),
        "blocked": state_record(state, now),
    }


def backlog_record(each: Backlog, state: DestinationState | None, now: Instant) -> dict[str, object]:
    """What waits for a destination, for machines."""
    return {
        "destination": each.destination,
        "waiting": each.waiting,
        "in_hand": each.in_hand,
        "next_attempt_at": None if each.next_attempt_at is None else instant(each.next_attempt_at),
        "blocked": state_record(state, now),
    }


def state_record(state: DestinationState | None, now: Instant) -> dict[str, object] | None:
    """A destination that did not answer last, for machines; None for all others."""
    if state is None:
        return None
    return {
        "is_blocked": state.blocked_until > now,
        "until": instant(state.blocked_until),
        "failures": state.failures,
        "last_reply": state.last_reply,
    }
