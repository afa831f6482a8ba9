"""Annotations of mailboxes and of the server (RFC 5464): names such as `/private/comment` with octets as value.

Private ones are one account's own; shared ones are seen by all who may read the mailbox. The server is mailbox 0,
and what is shared has account 0.
"""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.errors import StoreError
from estafeta.store.records import AccountId, MailboxId
from estafeta.store.statements import Statements

_sql = Statements("metadata")

SERVER = MailboxId(0)
SHARED = AccountId(0)
MOST_ENTRIES = 100
"""Annotations of one mailbox, private ones of one account or shared ones; they are read together."""
MOST_OCTETS = 65_536
"""Of one value: notes, colours and filters are far smaller."""


class TooManyEntries(StoreError):
    """The mailbox has as many annotations as it may."""


def of(tx: Transaction, mailbox_id: MailboxId, account_id: AccountId) -> dict[str, bytes]:
    """The private annotations of an account and the shared ones, by their names in lower case."""
    found = {f"/shared/{entry}": bytes(value) for entry, value in _entries(tx, SHARED, mailbox_id)}
    found |= {f"/private/{entry}": bytes(value) for entry, value in _entries(tx, account_id, mailbox_id)}
    return found


def of_mailboxes(tx: Transaction, owner_id: AccountId, account_id: AccountId) -> dict[MailboxId, dict[str, bytes]]:
    """The same of all mailboxes of an owner, as `account_id` sees them."""
    found: dict[MailboxId, dict[str, bytes]] = {}
    for mailbox_id, set_by, entry, value in tx.run(_sql.entries_of_mailboxes, owner_id=owner_id, account_id=account_id):
        scope = "shared" if set_by == SHARED else "private"
        found.setdefault(mailbox_id, {})[f"/{scope}/{entry}"] = bytes(value)
    return found


def set_(tx: Transaction, mailbox_id: MailboxId, account_id: AccountId, entry: str, value: bytes | None) -> bool:
    """Set an annotation, or remove it with None; gives whether it is another one now. Raises TooManyEntries."""
    scope, _, name = entry.lower().removeprefix("/").partition("/")
    by = account_id if scope == "private" else SHARED
    before = dict(_entries(tx, by, mailbox_id))
    if value is None:
        tx.do(_sql.remove_entry, account_id=by, mailbox_id=mailbox_id, entry=name)
        return name in before
    if name not in before and len(before) >= MOST_ENTRIES:
        raise TooManyEntries(f"{MOST_ENTRIES} annotations at most")
    tx.do(_sql.set_entry, account_id=by, mailbox_id=mailbox_id, entry=name, value=value)
    return before.get(name) != value


def copy(tx: Transaction, source_id: MailboxId, target_id: MailboxId) -> None:
    """Another mailbox has the same annotations."""
    tx.do(_sql.copy_entries, source_id=source_id, target_id=target_id)


def _entries(tx: Transaction, account_id: AccountId, mailbox_id: MailboxId) -> list[tuple[str, bytes]]:
    rows = tx.run(_sql.entries_of, account_id=account_id, mailbox_id=mailbox_id)
    return [(entry, bytes(value)) for entry, value in rows]
