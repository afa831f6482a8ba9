"""The release of a message that was held until its time: into mailboxes, and into the queue of what goes on.

It happens in one change with the leaving of the held recipients, so that each of them is released once, whoever is
killed when.
"""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.store import acceptance, journal, leaving, queue
from estafeta.store.engine import Transaction
from estafeta.store.records import Acceptance, HolderId, MailboxId, QueuedMessage, RecipientId
from estafeta.store.statements import Statements

_sql = Statements("releasing")


class ClaimsLost(Exception):
    """Others have some of the recipients by now, or the operator has removed them; `kept` are ours still."""

    def __init__(self, kept: frozenset[RecipientId]) -> None:
        super().__init__("claims were lost")
        self.kept = kept


def release(
    tx: Transaction,
    released: Acceptance,
    held: QueuedMessage,
    *,
    holder: HolderId,
    recipient_ids: Sequence[RecipientId],
    notices: Sequence[Acceptance] = (),
) -> None:
    """Let the recipients of a message that a process has claimed go where `released` says, and leave the queue.

    `released` has the id of the message, and as its time that of the release. Raises DirectoryChanged, OverQuota,
    and ClaimsLost, where nothing was done.
    """
    acceptance.check_directory(tx, released.directory_version)
    kept = frozenset(queue.claimed(tx, holder, recipient_ids))
    if kept != frozenset(recipient_ids):
        raise ClaimsLost(kept)
    delivered: list[tuple[MailboxId, int]] = []
    for delivery in released.deliveries:
        where = {"delivery_id": released.message_id, "mailbox_id": delivery.mailbox_id}
        if tx.one(_sql.is_delivered, **where) is None:
            delivered.append((delivery.mailbox_id, acceptance.deliver(tx, released, delivery)))
    queued = queue.add_released(tx, held, released.queued, now=released.accepted_at)
    leaving.changing(tx).update((held.message_id, held.content_id))
    leaving.leave(tx, recipient_ids, holder)
    for notice in notices:
        acceptance.accept(tx, notice)
    journal.record(tx, released.entry, journal.Ends(delivered, queued))
