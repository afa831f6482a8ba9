"""Keys with which URLs of messages are signed (RFC 4467 §5): one for each user and mailbox, made when first needed."""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.records import AccountId, MailboxId
from estafeta.store.statements import Statements

_sql = Statements("url_keys")

OCTETS = 32
"""Of a key: as many as the hash has (RFC 2104 §3)."""


def find(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId) -> bytes | None:
    """The key; None when the user has signed nothing in this mailbox, or has reset his keys."""
    row = tx.one(_sql.find_key, account_id=account_id, mailbox_id=mailbox_id)
    return bytes(row[0]) if row else None


def ensure(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId, new_key: bytes) -> bytes:
    """The key, which is `new_key` when there was none."""
    key = find(tx, account_id, mailbox_id)
    if key is None:
        tx.do(_sql.set_key, account_id=account_id, mailbox_id=mailbox_id, key=new_key)
        return new_key
    return key


def reset(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId | None = None) -> None:
    """Make void what the user has signed in one mailbox, or in all (RFC 4467 §8)."""
    if mailbox_id is None:
        tx.do(_sql.remove_keys, account_id=account_id)
    else:
        tx.do(_sql.remove_key, account_id=account_id, mailbox_id=mailbox_id)
