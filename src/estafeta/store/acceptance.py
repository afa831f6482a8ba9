"""Acceptance: all that one 250 promises, in one transaction.

The journal's entry, the content, the message in each local mailbox and the queue for each remote recipient.
"""

from __future__ import annotations

from estafeta.store import directory, journal
from estafeta.store.engine import Transaction
from estafeta.store.errors import DirectoryChanged, OverQuota
from estafeta.store.records import Acceptance, Delivery, QueueStatus
from estafeta.store.statements import Statements

_sql = Statements("acceptance")


def accept(tx: Transaction, acceptance: Acceptance) -> None:
    """Take responsibility for a mail object (RFC 5321 §6.1), once for each `message_id`.

    Raises DirectoryChanged when the routes may be outdated, OverQuota for an account that cannot take it.
    Then nothing was done; the caller still has the content, to try again or to discard.
    """
    if directory.version(tx) != acceptance.directory_version:
        raise DirectoryChanged("accounts, aliases or domains have changed")
    if not journal.record_once(tx, acceptance.message_id, acceptance.entry):
        return
    content = acceptance.content
    tx.do(
        _sql.add_content,
        content_id=acceptance.message_id,
        size=content.size,
        octets=content.octets,
        file=content.file,
    )
    reached = set()
    for delivery in acceptance.deliveries:
        if delivery.mailbox_id not in reached:
            reached.add(delivery.mailbox_id)
            _deliver(tx, acceptance, delivery)
    if acceptance.relayings:
        _queue(tx, acceptance)


def _deliver(tx: Transaction, acceptance: Acceptance, delivery: Delivery) -> None:
    size = len(acceptance.prefix) + acceptance.content.size
    row = tx.one(_sql.count_delivery, mailbox_id=delivery.mailbox_id, size=size)
    if row is None:
        raise DirectoryChanged("a mailbox was removed")
    uid, modseq, account_id, has_quota = row
    if has_quota:
        exceeded = tx.one(_sql.exceeded_quota, account_id=account_id)
        if exceeded is not None:
            raise OverQuota(exceeded[0])
    tx.do(
        _sql.add_message,
        mailbox_id=delivery.mailbox_id,
        uid=uid,
        message_id=acceptance.message_id,
        prefix=acceptance.prefix,
        modseq=modseq,
        now=acceptance.accepted_at,
        size=size,
    )


def _queue(tx: Transaction, acceptance: Acceptance) -> None:
    tx.do(
        _sql.add_queued_message,
        message_id=acceptance.message_id,
        reverse_path=str(acceptance.reverse_path),
        smtputf8=int(acceptance.smtputf8),
        body=acceptance.body,
        now=acceptance.accepted_at,
        size=acceptance.content.size,
    )
    tx.execute_many(
        _sql.add_queued_recipient,
        [
            {
                "recipient_id": tx.ids.next_id(),
                "message_id": acceptance.message_id,
                "forward_path": str(relaying.forward_path),
                "destination": relaying.destination,
                "status": QueueStatus.ACTIVE.value,
                "now": acceptance.accepted_at,
            }
            for relaying in acceptance.relayings
        ],
    )
