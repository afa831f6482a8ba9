"""Mailboxes and messages after IMAP's model: UIDVALIDITY, UID, MODSEQ, flags (RFC 9051 §2.3, RFC 7162)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from estafeta.store.content import ContentStore
from estafeta.store.engine import Row, Transaction
from estafeta.store.errors import AlreadyExists, NotFound, StoreError
from estafeta.store.records import (
    AccountId,
    ContentId,
    Instant,
    Mailbox,
    MailboxId,
    Message,
    ModSeq,
    Uid,
)
from estafeta.store.statements import Statements

_sql = Statements("mailboxes")

_ALL = 2**62
"""More messages than there are: no limit."""


def add(tx: Transaction, account_id: AccountId, name: str, *, special_use: str | None = None, now: Instant) -> Mailbox:
    """Make a mailbox. Raises AlreadyExists."""
    name = _proper(name)
    if find(tx, account_id, name) is not None:
        raise AlreadyExists(f"the mailbox {name} is there already")
    # RFC 9051 §2.3.1.1: a mailbox made again under its old name needs a greater UIDVALIDITY; it has 32 bits.
    row = tx.one(_sql.next_uid_validity, seconds=int(now))
    assert row is not None
    tx.do(
        _sql.add_mailbox,
        mailbox_id=tx.ids.next_id(),
        account_id=account_id,
        name=name,
        special_use=special_use,
        uid_validity=row[0],
    )
    mailbox = find(tx, account_id, name)
    assert mailbox is not None
    return mailbox


def list_of(tx: Transaction, account_id: AccountId) -> list[Mailbox]:
    """All mailboxes of an account, by name."""
    return [Mailbox(*row) for row in tx.run(_sql.mailboxes_of_account, account_id=account_id)]


def find(tx: Transaction, account_id: AccountId, name: str) -> Mailbox | None:
    """One mailbox by its name."""
    row = tx.one(_sql.find_mailbox, account_id=account_id, name=_proper(name))
    return Mailbox(*row) if row else None


def inbox(tx: Transaction, account_id: AccountId) -> Mailbox:
    """Where mail is delivered; every account has it. Raises NotFound when there is no such account."""
    mailbox = find(tx, account_id, "INBOX")
    if mailbox is None:
        raise NotFound("the account is gone")
    return mailbox


def messages(tx: Transaction, mailbox_id: MailboxId, *, after_uid: int = 0, limit: int | None = None) -> list[Message]:
    """The messages of a mailbox in the order of their UIDs."""
    rows = tx.run(
        _sql.messages_of_mailbox,
        mailbox_id=mailbox_id,
        after_uid=after_uid,
        limit=_ALL if limit is None else limit,
    )
    return [_message(row) for row in rows]


def read_content(tx: Transaction, content_store: ContentStore, mailbox_id: MailboxId, uid: int) -> bytes:
    """A message's octets as a reader gets them: prefix and content. Raises NotFound."""
    row = tx.one(_sql.content_of_message, mailbox_id=mailbox_id, uid=uid)
    if row is None:
        raise NotFound(f"there is no message {uid} in the mailbox")
    prefix, octets, file = row
    return bytes(prefix + (content_store.read(file) if octets is None else octets))


def set_flags(tx: Transaction, mailbox_id: MailboxId, uid: int, flags: Iterable[str]) -> ModSeq:
    """Replace the flags of a message; gives its new MODSEQ. Raises NotFound, StoreError for a bad flag."""
    kept = sorted(set(flags))
    if any(not flag or set(flag) & set(" \t\r\n\0") for flag in kept):
        raise StoreError("a flag is a word without spaces")
    row = tx.one(_sql.next_modseq, mailbox_id=mailbox_id)
    if row is None or not tx.do(_sql.set_flags, mailbox_id=mailbox_id, uid=uid, flags=" ".join(kept), modseq=row[0]):
        raise NotFound(f"there is no message {uid} in the mailbox")
    return ModSeq(row[0])


def expunge(tx: Transaction, mailbox_id: MailboxId, uids: Iterable[int]) -> list[Uid]:
    """Remove messages for good; gives the UIDs that were there. A content goes with its last use.

    Cut a long list into several changes.
    """
    gone: list[Uid] = []
    contents: Counter[int] = Counter()
    octets = 0
    for uid in uids:
        row = tx.one(_sql.remove_message, mailbox_id=mailbox_id, uid=uid)
        if row is not None:
            gone.append(Uid(uid))
            contents[row[0]] += 1
            octets += row[1]
    if gone:
        # RFC 7162 §3.2.7: an expunge counts as a change of the mailbox.
        tx.do(_sql.count_expunged, mailbox_id=mailbox_id, messages=len(gone), octets=octets)
    for content_id in contents:
        release_content(tx, ContentId(content_id))
    return gone


# Not done of RFC 7162 §3.2.10: which messages were expunged is not kept.
def release_content(tx: Transaction, content_id: ContentId) -> None:
    """Remove a content unless a mailbox or the queue still uses it."""
    row = tx.one(_sql.remove_unused_content, content_id=content_id)
    if row is not None and row[0] is not None:
        tx.remove_file(row[0])


def remove_empty(tx: Transaction, mailbox_id: MailboxId) -> None:
    """Remove a mailbox that has no messages; the directory's version is the caller's matter."""
    tx.do(_sql.remove_mailbox, mailbox_id=mailbox_id)


# Not done of RFC 9051: the protocol; the store keeps what it needs.
def _proper(name: str) -> str:
    return "INBOX" if name.upper() == "INBOX" else name  # RFC 9051 §5.1


def _message(row: Row) -> Message:
    mailbox_id, uid, content_id, message_id, modseq, flags, internal_at, size = row
    return Message(mailbox_id, uid, content_id, message_id, modseq, frozenset(flags.split()), internal_at, size)
