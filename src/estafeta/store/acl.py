"""Access control lists of mailboxes (RFC 4314): who else may do what in a mailbox.

An entry is for an identifier: the address of an account here, or `anyone` for all accounts; with `-` before it
the rights are taken away (§2). The owner has all rights in his mailboxes, whatever the list says, so that he
cannot lock himself out.
"""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import AccountId, Mailbox, MailboxId
from estafeta.store.statements import Statements

_sql = Statements("acl")

RIGHTS = "lrswipkxtea"
"""All rights, in the order of RFC 4314 §2.1."""
ANYONE = "anyone"
MOST_ENTRIES = 1000
"""Entries of one list: it is read whole for GETACL."""


EVERYONE = 1
"""What is touched when the rights of anyone change: no row has this id."""


class OwnerKeepsRights(StoreError):
    """The owner is not on the list, and cannot be taken off it."""


class TooManyEntries(StoreError):
    """The list is as long as it may be."""


def ordered(rights: Iterable[str]) -> str:
    """Rights in their usual order, each once."""
    given = set(rights)
    return "".join(right for right in RIGHTS if right in given)


def effective(entries: Iterable[tuple[str, str]]) -> str:
    """The rights of a user by the entries that are for him or anyone: what is given without what is taken (§2)."""
    given: set[str] = set()
    taken: set[str] = set()
    for identifier, rights in entries:
        (taken if identifier.startswith("-") else given).update(rights)
    return ordered(given - taken)


def rights_of(tx: Transaction, mailbox: Mailbox, account_id: AccountId, address: str) -> str:
    """What an account, with its address in lower case, may do in a mailbox; empty for nothing."""
    if mailbox.account_id == account_id:
        return RIGHTS
    return effective(tx.run(_sql.rights_for, mailbox_id=mailbox.mailbox_id, address=address))


def entries(tx: Transaction, mailbox_id: MailboxId) -> list[tuple[str, str]]:
    """Identifiers and rights of a mailbox's list, without the owner's, who is not on it."""
    return [(identifier, rights) for identifier, rights in tx.run(_sql.entries_of_mailbox, mailbox_id=mailbox_id)]


def set_(tx: Transaction, mailbox: Mailbox, identifier: str, rights: str, mode: str = "") -> None:
    """Give an identifier rights: these (``), these too (`+`), or not these any more (`-`).

    Raises NotFound for an identifier that is no account here, OwnerKeepsRights, TooManyEntries.
    """
    key = _known(tx, mailbox, identifier)
    known = dict(entries(tx, mailbox.mailbox_id))
    before = set(known.get(key, ""))
    after = set(rights) if not mode else before | set(rights) if mode == "+" else before - set(rights)
    if key not in known and len(known) >= MOST_ENTRIES:
        raise TooManyEntries(f"a mailbox has rights for {MOST_ENTRIES} identifiers at most")
    if after:
        tx.do(_sql.set_entry, mailbox_id=mailbox.mailbox_id, identifier=key, rights=ordered(after))
    else:
        tx.do(_sql.remove_entry, mailbox_id=mailbox.mailbox_id, identifier=key)
    _touch(tx, mailbox, key)


def delete(tx: Transaction, mailbox: Mailbox, identifier: str) -> bool:
    """Remove an entry; gives whether there was one."""
    key = identifier.lower()
    if not tx.do(_sql.remove_entry, mailbox_id=mailbox.mailbox_id, identifier=key):
        return False
    _touch(tx, mailbox, key)
    return True


def inherit(tx: Transaction, parent_id: MailboxId, mailbox_id: MailboxId) -> None:
    """A new mailbox starts with the list of the one above it (RFC 4314 §4)."""
    tx.do(_sql.inherit, mailbox_id=mailbox_id, parent_id=parent_id)


def shared_with(tx: Transaction, account_id: AccountId, address: str) -> dict[str, dict[MailboxId, str]]:
    """The rights of an account in mailboxes of others: by the owner's address, then by mailbox; none without any."""
    found: dict[tuple[str, MailboxId], list[tuple[str, str]]] = {}
    for owner, mailbox_id, identifier, rights in tx.run(_sql.shared_with, account_id=account_id, address=address):
        found.setdefault((owner, mailbox_id), []).append((identifier, rights))
    shared: dict[str, dict[MailboxId, str]] = {}
    for (owner, mailbox_id), said in found.items():
        if rights := effective(said):
            shared.setdefault(owner, {})[mailbox_id] = rights
    return shared


def rights_in_account(tx: Transaction, owner_id: AccountId, address: str) -> dict[MailboxId, str]:
    """The rights that one account's mailboxes give to another; none without any."""
    found: dict[MailboxId, list[tuple[str, str]]] = {}
    for mailbox_id, identifier, rights in tx.run(_sql.rights_in_account, owner_id=owner_id, address=address):
        found.setdefault(mailbox_id, []).append((identifier, rights))
    return {mailbox_id: rights for mailbox_id, said in found.items() if (rights := effective(said))}


def account_of(tx: Transaction, address: str) -> AccountId | None:
    """The account with this address, in lower case; None without, and for an alias."""
    row = tx.one(_sql.account_of_address, address=address)
    return AccountId(row[0]) if row else None


def address_of(tx: Transaction, account_id: AccountId) -> str | None:
    """The address of an account, in lower case; None for one that is being removed."""
    row = tx.one(_sql.address_of_account, account_id=account_id)
    return str(row[0]) if row else None


def accounts_named(tx: Transaction, mailbox_id: MailboxId) -> list[AccountId]:
    """The accounts that a mailbox's list names one by one."""
    return [AccountId(row[0]) for row in tx.run(_sql.accounts_named, mailbox_id=mailbox_id)]


def _known(tx: Transaction, mailbox: Mailbox, identifier: str) -> str:
    key = identifier.lower()
    plain = key.removeprefix("-")
    if plain == ANYONE:
        return key
    account_id = account_of(tx, plain)
    if account_id is None:
        raise NotFound("there is no such account here")
    if account_id == mailbox.account_id:
        raise OwnerKeepsRights("the owner has all rights")
    return key


def _touch(tx: Transaction, mailbox: Mailbox, key: str) -> None:
    """Tell the owner's sessions, those of the account that is meant, and those in the mailbox."""
    tx.touch(mailbox.account_id)
    tx.touch(mailbox.mailbox_id)
    if key.removeprefix("-") == ANYONE:
        tx.touch(EVERYONE)
    account_id = account_of(tx, key.removeprefix("-"))
    if account_id is not None:
        tx.touch(account_id)
