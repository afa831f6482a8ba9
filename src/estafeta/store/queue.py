"""The queue: recipients that wait to be relayed, and what an operator does with them.

An id here is that of a message, for all its recipients, or of one recipient; no two things have the same id.
"""

from __future__ import annotations

from estafeta.mail.address import ForwardPath, ReversePath
from estafeta.store import mailboxes
from estafeta.store.addresses import address_of
from estafeta.store.content import ContentStore
from estafeta.store.engine import Row, Transaction
from estafeta.store.errors import NotFound
from estafeta.store.records import ContentId, Instant, MessageId, QueuedRecipient, QueueStatus
from estafeta.store.statements import Statement, Statements

_sql = Statements("queue")


def list_all(
    tx: Transaction, *, limit: int, status: QueueStatus | None = None, message_id: int | None = None
) -> list[QueuedRecipient]:
    """Queued recipients, the oldest first."""
    if message_id is not None:
        found = [one for one in find(tx, message_id) if status is None or one.status is status]
        return found[:limit]
    if status is not None:
        return _recipients(tx.run(_sql.recipients_with_status, status=status.value, limit=limit))
    return _recipients(tx.run(_sql.recipients, limit=limit))


def find(tx: Transaction, identifier: int) -> list[QueuedRecipient]:
    """The queued recipients of a message, or the one recipient; none when it is not in the queue."""
    return _recipients(tx.run(_sql.find_recipients, id=identifier))


def count(tx: Transaction) -> dict[QueueStatus, int]:
    """How many recipients stand where."""
    counted = {QueueStatus(status): number for status, number in tx.run(_sql.count_recipients)}
    return {status: counted.get(status, 0) for status in QueueStatus}


def retry(tx: Transaction, identifier: int, *, now: Instant) -> int:
    """Make recipients due now, held ones too; gives how many. Raises NotFound."""
    return _change(tx, _sql.make_due, identifier, now)


def hold(tx: Transaction, identifier: int) -> int:
    """Keep recipients from being tried; gives how many are held now. Raises NotFound."""
    return _change(tx, _sql.hold, identifier, None)


def release(tx: Transaction, identifier: int, *, now: Instant) -> int:
    """Make held recipients due now, and leave others as they are; gives how many. Raises NotFound."""
    return _change(tx, _sql.release, identifier, now)


def remove(tx: Transaction, identifier: int) -> list[QueuedRecipient]:
    """Drop recipients without a notification, the content with its last use; gives them. Raises NotFound."""
    found = find(tx, identifier)
    if not found:
        raise _not_queued(tx, identifier)
    tx.do(_sql.remove_recipients, id=identifier)
    row = tx.one(_sql.remove_finished_message, message_id=found[0].message_id)
    if row is not None:
        mailboxes.release_content(tx, ContentId(row[0]))
    return found


def read_content(tx: Transaction, content_store: ContentStore, message_id: MessageId) -> bytes:
    """The octets that are relayed for a queued message. Raises NotFound."""
    row = tx.one(_sql.content_of_queued_message, message_id=message_id)
    if row is None:
        raise _not_queued(tx, message_id)
    octets, file = row
    return content_store.read(file) if octets is None else bytes(octets)


def _change(tx: Transaction, statement: Statement, identifier: int, now: Instant | None) -> int:
    if not find(tx, identifier):
        raise _not_queued(tx, identifier)
    values = {} if now is None else {"now": now}
    return tx.do(statement, id=identifier, **values)


def _not_queued(tx: Transaction, identifier: int) -> NotFound:
    return NotFound(f"{tx.ids.text(identifier)} is not in the queue")


def _recipients(rows: list[Row]) -> list[QueuedRecipient]:
    return [_recipient(row) for row in rows]


def _recipient(row: Row) -> QueuedRecipient:
    recipient_id, message_id, reverse_path, forward_path, destination, status, *rest = row
    attempts, accepted_at, next_attempt_at, last_reply, size = rest
    return QueuedRecipient(
        recipient_id=recipient_id,
        message_id=message_id,
        reverse_path=ReversePath(address_of(reverse_path) if reverse_path else None),
        forward_path=ForwardPath(address_of(forward_path)),
        destination=destination,
        status=QueueStatus(status),
        attempts=attempts,
        accepted_at=accepted_at,
        next_attempt_at=next_attempt_at,
        last_reply=last_reply,
        size=size,
    )
