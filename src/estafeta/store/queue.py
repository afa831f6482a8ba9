"""The queue: recipients that wait to be relayed, which process has claimed them, and what an operator does with them.

An id given by an operator is that of a message, for all its recipients, of an accepted mail object, for all its
envelopes, or of one recipient. A process is given what it claims once, until it is settled or put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from estafeta.mail.address import ForwardPath, ReversePath
from estafeta.mail.envelope import ByMode, Notify, OriginalRecipient, Ret
from estafeta.mail.value import value
from estafeta.store import contents, destinations, leaving
from estafeta.store.addresses import address_of
from estafeta.store.content import ContentStore
from estafeta.store.engine import Row, Transaction
from estafeta.store.errors import NotFound
from estafeta.store.records import (
    Deadline,
    Fate,
    HolderId,
    Instant,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
    Settlement,
)
from estafeta.store.several import listing, parts
from estafeta.store.statements import Statements

_sql = Statements("queue")

_DEFERRED = Fate.DEFERRED  # to reach for a member of an enum costs a call in Python 3.11
_ABOVE_ALL = 10
"""More than the highest priority."""
_STEP = 1000
"""Recipients that one change makes due: some milliseconds."""
_TRIED_FIRST = 3600.0
"""Seconds that a recipient which was held beyond its time has to be tried once more before it is looked at."""


# What is accepted.


def add(tx: Transaction, recipients: Iterable[QueuedRecipient]) -> None:
    """Queue recipients as they are given, and each of their messages once; their contents are the caller's matter."""
    messages: set[int] = set()
    paths: set[tuple[int, str, str]] = set()
    for recipient in recipients:
        message = recipient.message
        if message.message_id not in messages:
            messages.add(message.message_id)
            _add_message(tx, message)
        path = (message.message_id, str(recipient.forward_path), recipient.destination)
        if path not in paths:
            paths.add(path)
            _add_recipient(tx, recipient, path[1])


def _add_message(tx: Transaction, message: QueuedMessage) -> None:
    values: dict[str, object] = {
        "message_id": message.message_id,
        "content_id": message.content_id,
        "reverse_path": str(message.reverse_path),
        "accepted_at": message.accepted_at,
        "size": message.size,
        "account": message.account,
        "smtputf8": int(message.smtputf8),
        "body": message.body,
        "envid": message.envid,
        "ret": message.ret,
        "requires_tls": int(message.requires_tls),
        "priority": message.priority,
        "prefix": message.prefix,
        "deliver_by_at": None,
        "by_mode": None,
        "hold": message.hold,
        "release_at": message.release_at,
    }
    if (by := message.deliver_by) is not None:
        values["deliver_by_at"] = by.at
        values["by_mode"] = f"{by.mode.value}{'T' if by.is_traced else ''}"
    tx.later(_sql.add_message, values)


def claimed(tx: Transaction, holder: HolderId, recipient_ids: Sequence[RecipientId]) -> list[RecipientId]:
    """Which of the recipients a process still has."""
    return [one for ids in parts(recipient_ids) for one in _claimed(tx, ids, holder)]


def _add_recipient(tx: Transaction, recipient: QueuedRecipient, forward_path: str) -> None:
    original, notify = recipient.original, recipient.notify
    values = {
        "recipient_id": recipient.recipient_id,
        "message_id": recipient.message.message_id,
        "forward_path": forward_path,
        "destination": recipient.destination,
        "original": None if original is None else str(original),
        "notify": None if notify is None else ",".join(word for word in Notify if word in notify),
        "status": recipient.status,
        "priority": recipient.message.priority,
        "attempts": recipient.attempts,
        "next_attempt_at": recipient.next_attempt_at,
        "review_at": recipient.review_at,
        "is_delay_told": int(recipient.is_delay_told),
        "is_by_told": int(recipient.is_by_told),
        "last_reply": recipient.last_reply,
        "holder_id": recipient.holder,
    }
    tx.later(_sql.add_recipient, values)


def add_released(
    tx: Transaction, held: QueuedMessage, recipients: Iterable[QueuedRecipient], *, now: Instant
) -> list[RecipientId]:
    """Queue what goes on of a message that was held; what waits there already is not queued twice. Gives the others."""
    added = []
    tx.do(_sql.release_message, message_id=held.message_id, now=now)
    messages: set[int] = {held.message_id}
    for recipient in recipients:
        message_id, path = recipient.message.message_id, str(recipient.forward_path)
        if message_id not in messages:
            messages.add(message_id)
            _add_message(tx, recipient.message)
        where = {"message_id": message_id, "forward_path": path, "destination": recipient.destination}
        if tx.one(_sql.is_queued, **where) is None:
            _add_recipient(tx, recipient, path)
            added.append(recipient.recipient_id)
    return added


# What is looked at.


def count_held(tx: Transaction, account: str, *, now: Instant) -> int:
    """How many messages of an account are held until later."""
    row = tx.one(_sql.count_held, account=account, now=now)
    return 0 if row is None else int(row[0])


def next_review(tx: Transaction) -> Instant | None:
    """When the first of those that no process has is to be looked at."""
    row = tx.one(_sql.next_review)
    return None if row is None else row[0]


@value
class Backlog:
    """How much there is for a destination; what is held does not count."""

    destination: str
    waiting: int
    """Recipients that wait in the store."""
    in_hand: int
    """Recipients that a living process has: they are tried, or next in line for that."""
    next_attempt_at: Instant | None
    """When the first of those that wait is due; None where none waits."""


def list_all(
    tx: Transaction, *, limit: int, status: QueueStatus | None = None, message_id: int | None = None
) -> list[QueuedRecipient]:
    """Queued recipients, the oldest first."""
    if message_id is not None:
        found = [one for one in find(tx, message_id) if status is None or one.status is status]
        return found[:limit]
    if status is QueueStatus.ACTIVE:
        return _recipients(tx.run(_sql.active_recipients, limit=limit))
    if status is not None:
        return _recipients(tx.run(_sql.waiting_recipients, status=status.value, limit=limit))
    return _recipients(tx.run(_sql.recipients, limit=limit))


def list_at(
    tx: Transaction, destination: str, *, limit: int, status: QueueStatus | None = None
) -> list[QueuedRecipient]:
    """Those of one destination: claimed ones first, then the others in the order in which they are tried, then held."""
    found: list[Row] = []
    wanted = status.value if status is not None else None
    for statement in (_sql.claimed_at, _sql.unclaimed_at, _sql.held_at):
        found += tx.run(statement, destination=destination, status=wanted, limit=limit - len(found))
    return _recipients(found)


def backlog(tx: Transaction, destination: str, *, now: Instant, most: int) -> tuple[int, int]:
    """How many recipients wait for a destination, counted up to `most`, and how many of it processes have in hand."""
    row = tx.one(_sql.backlog, destination=destination, now=now, most=most)
    return (0, 0) if row is None else (row[0] + row[2], row[1])


def backlogs(tx: Transaction, *, now: Instant, limit: int) -> list[Backlog]:
    """All destinations that recipients wait for, most first; reads an index, 0.2 s for a million of recipients."""
    return [Backlog(*row) for row in tx.run(_sql.backlogs, now=now, limit=limit)]


def in_hand(tx: Transaction, recipients: Iterable[QueuedRecipient], *, now: Instant) -> list[QueuedRecipient]:
    """The recipients, those that a dead process had claimed as unclaimed: whoever comes next takes them over."""
    alive = {holder for (holder,) in tx.run(_sql.alive_holders, now=now)}
    return [one if one.holder is None or one.holder in alive else replace(one, holder=None) for one in recipients]


def find(tx: Transaction, identifier: int) -> list[QueuedRecipient]:
    """The queued recipients of a message or of an accepted mail object, or the one recipient; none if not queued."""
    return _recipients(tx.run(_sql.find_recipients, id=identifier))


def count(tx: Transaction) -> dict[QueueStatus, int]:
    """How many recipients stand where; reads an index, so it takes about 0.1 s for a million of them."""
    row = tx.one(_sql.count_recipients)
    waiting = {QueueStatus(status): number for status, number in tx.run(_sql.count_waiting)}
    active = (row[0] if row is not None else 0) - sum(waiting.values())
    return {status: waiting.get(status, 0) for status in QueueStatus} | {QueueStatus.ACTIVE: active}


def read_content(tx: Transaction, content_store: ContentStore, message_id: MessageId) -> bytes:
    """The octets that are relayed for a queued message: its prefix and the content. Raises NotFound, Damaged."""
    row = tx.one(_sql.content_of_message, message_id=message_id)
    if row is None:
        raise _not_queued(tx, message_id)
    prefix, *content = row
    return bytes(prefix + contents.whole(content_store, *content))


# What is claimed.


def due_destinations(tx: Transaction, *, after: str, now: Instant, limit: int) -> list[str]:
    """Destinations after that text, in order, that are not blocked and have something to claim that is due.

    Takes time by the number of destinations that are passed, not by what waits there.
    """
    return [destination for (destination,) in tx.run(_sql.due_destinations, after=after, now=now, limit=limit)]


def claim(tx: Transaction, destination: str, holder: HolderId, *, now: Instant, limit: int) -> list[QueuedRecipient]:
    """Give a process what is due at a destination: the highest priority first, then what is due for longest.

    Nothing where the destination is blocked; never what is held or claimed already.
    """
    found: list[Row] = []
    for priority in _levels(tx, destination, now):
        more = limit - len(found)
        found += tx.run(_sql.due_recipients, destination=destination, priority=priority, now=now, limit=more)
        if len(found) == limit:
            break
    return _claim(tx, found, holder)


def claim_all(tx: Transaction, destination: str, holder: HolderId, *, limit: int) -> list[QueuedRecipient]:
    """The same whether it is due or not, and although the destination is blocked: its host has called."""
    return _claim(tx, tx.run(_sql.unclaimed_recipients, destination=destination, limit=limit), holder)


def claim_to_review(tx: Transaction, holder: HolderId, *, now: Instant, limit: int) -> list[QueuedRecipient]:
    """Give a process what must be looked at even if nothing was tried, the longest due first.

    Not what is claimed, which is looked at when it is settled, nor what is held, whose time stands still.
    """
    return _claim(tx, tx.run(_sql.recipients_to_review, now=now, limit=limit), holder)


def make_destination_due(tx: Transaction, destination: str, *, now: Instant) -> int:
    """Make due what waits unclaimed for a destination, in steps; gives how many. Repeat until 0."""
    made = 0
    for priority in _levels(tx, destination, now, is_blocked_too=True):
        more = _STEP - made
        made += tx.do(_sql.make_level_due, destination=destination, priority=priority, now=now, limit=more)
        if made == _STEP:
            break
    return made


def _levels(tx: Transaction, destination: str, now: Instant, *, is_blocked_too: bool = False) -> Iterator[int]:
    """The priorities of what waits unclaimed for a destination, the highest first; none where it is blocked."""
    # So that what is due is found by seeking, however much of a higher priority is not due yet.
    below, lowest = _ABOVE_ALL, None
    until = Instant(float("inf")) if is_blocked_too else now
    while below != lowest:
        row = tx.one(_sql.levels, destination=destination, below=below, now=until)
        if row is None or row[0] is None:
            return
        below, lowest = row
        yield below


def _claim(tx: Transaction, rows: list[Row], holder: HolderId) -> list[QueuedRecipient]:
    for ids in parts([row[0] for row in rows]):
        statement, named = listing(_sql.claim, ids)
        tx.do(statement, holder=holder, **named)
    return _recipients(rows, holder)


# What became of it.


def settle(tx: Transaction, holder: HolderId, settlements: Iterable[Settlement]) -> list[RecipientId]:
    """Write down what became of recipients that a process has claimed; gives those that it still had.

    With a final fate a recipient leaves, its message with the last of its recipients, the content with its last use.
    A deferred one is unclaimed, and stays held if it was held meanwhile. What was removed meanwhile, or is another's
    because this process was taken for dead, is left alone.
    """
    by_id = {settlement.recipient_id: settlement for settlement in settlements}
    settled = leaving.leave(tx, [one.recipient_id for one in by_id.values() if one.fate is not _DEFERRED], holder)
    put_off = [one.recipient_id for one in by_id.values() if one.fate is _DEFERRED]
    for ids in parts(put_off):
        for recipient_id in _claimed(tx, ids, holder):
            settled.append(recipient_id)
            leaving.changing(tx).add(recipient_id)
            one = by_id[recipient_id]
            values = {
                "recipient_id": recipient_id,
                "attempts": int(one.counts_as_attempt),
                "next_attempt_at": one.next_attempt_at,
                "review_at": one.review_at,
                "last_reply": one.reply,
                "is_delay_told": int(one.is_delay_told),
                "is_by_told": int(one.is_by_told),
            }
            tx.later(_sql.defer, values)
    return settled


def put_back(tx: Transaction, holder: HolderId, recipient_ids: Iterable[RecipientId], *, review_after: float) -> None:
    """Unclaim recipients that were not tried; one never looked at is due for that so long after its acceptance."""
    for ids in parts(list(recipient_ids)):
        statement, named = listing(_sql.put_back, ids)
        tx.do(statement, holder=holder, review_after=review_after, **named)


def redirect(
    tx: Transaction, *, holder: HolderId, recipient_ids: Iterable[RecipientId], to: str
) -> list[QueuedRecipient]:
    """Let claimed recipients wait for another destination instead, unclaimed.

    One that waits there already under the same message leaves: it would go there twice. Gives those.
    """
    merged: list[QueuedRecipient] = []
    for ids in parts(list(recipient_ids)):
        statement, named = listing(_sql.redirect, ids)
        if tx.do(statement, holder=holder, destination=to, **named) < len(ids):
            found = {one.recipient_id: one for each in ids for one in find(tx, each)}
            merged += [found[each] for each in leaving.leave(tx, ids, holder)]
    return merged


def _claimed(tx: Transaction, ids: Sequence[RecipientId], holder: HolderId) -> list[RecipientId]:
    statement, named = listing(_sql.claimed, ids)

    def ask(look: Callable[..., Row | None]) -> list[RecipientId]:
        row = look(statement, holder=holder, **named)
        return [RecipientId(int(text)) for text in row[0].split(" ")] if row is not None and row[0] else []

    found = ask(tx.peek)
    if len(found) < len(ids) or not leaving.changing(tx).isdisjoint(found):
        found = ask(tx.one)
    return found


# What an operator does.


def retry(tx: Transaction, identifier: int, *, now: Instant) -> int:
    """Make recipients due now, held ones too, and unblock their destinations; gives how many. Raises NotFound.

    One that a process has claimed stays with it: it is being tried, or is when the process puts it back.
    """
    found = _found(tx, identifier)
    for destination in {one.destination for one in found}:
        destinations.clear(tx, destination)
    return _make_due(tx, found, now)


def hold(tx: Transaction, identifier: int) -> int:
    """Keep recipients from being tried; gives how many are held now. Raises NotFound.

    An attempt that is under way counts all the same: the recipient leaves if it succeeds, and stays held if not.
    """
    found = _found(tx, identifier)
    for ids in parts([one.recipient_id for one in found]):
        statement, named = listing(_sql.hold, ids)
        tx.do(statement, **named)
    return len(found)


def release(tx: Transaction, identifier: int, *, now: Instant) -> int:
    """Make held recipients due now, and leave others as they are; gives how many. Raises NotFound.

    Those that an operator holds, and those whose sender wants them held until later.
    """
    found = _found(tx, identifier)
    return _make_due(tx, [one for one in found if one.status is QueueStatus.HELD or waits_for_time(one, now)], now)


def waits_for_time(recipient: QueuedRecipient, now: Instant) -> bool:
    """Whether it is held until later because its sender wants that (RFC 4865)."""
    release_at = recipient.message.release_at
    return release_at is not None and release_at > now and recipient.next_attempt_at > now


def remove(tx: Transaction, identifier: int) -> list[QueuedRecipient]:
    """Drop recipients without a notification, the content with its last use; gives them. Raises NotFound.

    Claimed ones too: what becomes of an attempt that is under way is not written down.
    """
    found = _found(tx, identifier)
    leaving.leave(tx, [one.recipient_id for one in found], None)
    return found


def _make_due(tx: Transaction, recipients: Sequence[QueuedRecipient], now: Instant) -> int:
    for ids in parts([one.recipient_id for one in recipients]):
        statement, named = listing(_sql.make_due, ids)
        tx.do(statement, now=now, review_at=now + _TRIED_FIRST, **named)
    return len(recipients)


def _found(tx: Transaction, identifier: int) -> list[QueuedRecipient]:
    found = find(tx, identifier)
    if not found:
        raise _not_queued(tx, identifier)
    return found


def _not_queued(tx: Transaction, identifier: int) -> NotFound:
    return NotFound(f"{tx.ids.text(identifier)} is not in the queue")


# Rows as values.


def _recipients(rows: list[Row], holder: HolderId | None = None) -> list[QueuedRecipient]:
    """Rows of the view `queue`, just claimed by a holder if one is given; recipients of a message share it."""
    messages: dict[int, QueuedMessage] = {}
    recipients = []
    for row in rows:
        recipient_id, forward_path, destination, status, next_attempt_at, review_at, original, notify, *rest = row[:14]
        attempts, last_reply, claimed_by, is_delay_told, is_by_told, priority = rest
        message = messages.get(row[14])
        if message is None:
            message = messages[row[14]] = _message(row[14:], priority)
        recipients.append(
            QueuedRecipient(
                recipient_id=recipient_id,
                message=message,
                forward_path=ForwardPath(address_of(forward_path)),
                destination=destination,
                status=QueueStatus(status),
                next_attempt_at=next_attempt_at,
                review_at=review_at,
                original=None if original is None else _original(original),
                notify=None if notify is None else frozenset(map(Notify, notify.split(",") if notify else ())),
                attempts=attempts,
                last_reply=last_reply,
                holder=claimed_by if holder is None else holder,
                is_delay_told=bool(is_delay_told),
                is_by_told=bool(is_by_told),
            )
        )
    return recipients


def _original(text: str) -> OriginalRecipient:
    address_type, _, address = text.partition(";")
    return OriginalRecipient(address_type, address)


def _message(row: Row, priority: int) -> QueuedMessage:
    message_id, content_id, reverse_path, accepted_at, size, account, smtputf8, body, *rest = row
    envid, ret, requires_tls, prefix, deliver_by_at, by_mode, hold, release_at = rest
    return QueuedMessage(
        message_id=message_id,
        content_id=content_id,
        reverse_path=ReversePath(address_of(reverse_path) if reverse_path else None),
        accepted_at=accepted_at,
        size=size,
        account=account,
        smtputf8=bool(smtputf8),
        body=body,
        envid=envid,
        ret=None if ret is None else Ret(ret),
        requires_tls=bool(requires_tls),
        priority=priority,
        prefix=prefix,
        deliver_by=None if by_mode is None else Deadline(deliver_by_at, ByMode(by_mode[0]), by_mode[1:] == "T"),
        hold=hold,
        release_at=release_at,
    )
