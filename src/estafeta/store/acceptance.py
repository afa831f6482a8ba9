"""Acceptance: all that one 250 promises, in one transaction.

The journal's entry, the content, the message in each local mailbox and the queue for each remote recipient.
"""

from __future__ import annotations

from dataclasses import dataclass

from estafeta.store import directory, journal, queue
from estafeta.store.engine import Transaction
from estafeta.store.errors import DirectoryChanged, OverQuota
from estafeta.store.records import Acceptance, Delivery, MailboxId, Uid
from estafeta.store.statements import Statements

_sql = Statements("acceptance")


def accept(tx: Transaction, acceptance: Acceptance) -> None:
    """Take responsibility for a mail object (RFC 5321 §6.1), once for each `message_id`.

    Raises DirectoryChanged when the routes may be outdated, OverQuota for an account that cannot take it.
    Then nothing was done; the caller still has the content, to try again or to discard.
    """
    check_directory(tx, acceptance.directory_version)
    boxes: dict[MailboxId, _Box] = {}
    for delivery in acceptance.deliveries:
        if delivery.mailbox_id not in boxes:
            boxes[delivery.mailbox_id] = _box(tx, delivery.mailbox_id)
    delivered = [(mailbox_id, box.uid_next) for mailbox_id, box in boxes.items()]
    ends = journal.Ends(delivered, [one.recipient_id for one in acceptance.queued])
    if not journal.record_once(tx, acceptance.message_id, acceptance.entry, ends):
        return
    content = acceptance.content
    if not acceptance.deliveries and not acceptance.queued:
        # All recipients came to their end without it.
        if content.file is not None:
            tx.remove_file(content.file)
        return
    tx.later(
        _sql.add_content,
        {
            "content_id": acceptance.message_id,
            "size": content.size,
            "octets": content.octets,
            "file": content.file,
            "digest": content.found_digest(),
        },
    )
    for delivery in acceptance.deliveries:
        box = boxes.pop(delivery.mailbox_id, None)
        if box is not None:
            _deliver(tx, acceptance, delivery, box)
    queue.add(tx, acceptance.queued)


def check_directory(tx: Transaction, version: int) -> None:
    """Raises DirectoryChanged where routes of that version may be outdated."""
    if _version(tx) != version:
        raise DirectoryChanged("accounts, aliases or domains have changed")


def _version(tx: Transaction) -> int:
    """The version of the directory; asked for once, until something is changed."""
    version: int | None = tx.known.get("directory")
    if version is None:
        version = tx.known["directory"] = directory.version(tx)
    return version


@dataclass(slots=True)
class _Room:
    """What an account's quotas leave; None where there is no limit."""

    address: str
    octets: int | None
    messages: int | None

    def take(self, size: int) -> None:
        """One more message; raises OverQuota."""
        if (self.octets is not None and self.octets < size) or (self.messages is not None and self.messages < 1):
            raise OverQuota(self.address)
        if self.octets is not None:
            self.octets -= size
        if self.messages is not None:
            self.messages -= 1


@dataclass(slots=True)
class _Box:
    """A mailbox as the deliveries until now leave it."""

    uid_next: int
    modseq: int
    room: _Room | None


def _box(tx: Transaction, mailbox_id: MailboxId) -> _Box:
    box: _Box | None = tx.known.get(mailbox_id)
    if box is not None:
        return box
    row = tx.peek(_sql.find_box, mailbox_id=mailbox_id)
    if row is None:
        raise DirectoryChanged("a mailbox was removed")
    uid_next, modseq, account_id, has_quota = row
    room = None
    if has_quota:
        room = tx.known.get(("room", account_id))
        if room is None:
            found = tx.peek(_sql.find_room, account_id=account_id)
            room = tx.known["room", account_id] = _Room(*found) if found is not None else None
    box = tx.known[mailbox_id] = _Box(uid_next, modseq, room)
    return box


def deliver(tx: Transaction, acceptance: Acceptance, delivery: Delivery) -> Uid:
    """Put a message into one mailbox, once; its content is the caller's matter. Raises DirectoryChanged, OverQuota."""
    return _deliver(tx, acceptance, delivery, _box(tx, delivery.mailbox_id))


def _deliver(tx: Transaction, acceptance: Acceptance, delivery: Delivery, box: _Box) -> Uid:
    size = len(delivery.prefix) + acceptance.content.size
    mailbox_id, uid = delivery.mailbox_id, box.uid_next
    if box.room is not None:
        box.room.take(size)
    # What the deliveries of one group add to the mailbox is counted in its row together.
    tally: dict[str, int] | None = tx.memory.get(mailbox_id)
    if tally is None:
        tally = {"mailbox_id": mailbox_id, "messages": 0, "octets": 0}
    values = {
        "mailbox_id": mailbox_id,
        "uid": uid,
        "message_id": acceptance.message_id,
        "prefix": delivery.prefix,
        "modseq": box.modseq + 1,
        "now": acceptance.accepted_at,
        "size": size,
    }
    tx.later(_sql.add_message, values)
    box.uid_next += 1
    box.modseq += 1
    tally["messages"] += 1
    tally["octets"] += size
    if mailbox_id not in tx.memory:
        tx.touch(mailbox_id)
        tx.memory[mailbox_id] = tally
        tx.later(_sql.count_deliveries, tally)
    return Uid(uid)
