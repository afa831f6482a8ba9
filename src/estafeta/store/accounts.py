"""Accounts: who has mailboxes, what they log in with, and how much they may keep."""

from __future__ import annotations

from estafeta.mail.address import Address
from estafeta.store import directory, domains, mailboxes, subscriptions
from estafeta.store.addresses import address_of, key_of
from estafeta.store.engine import Row, Transaction
from estafeta.store.errors import AlreadyExists, NotFound
from estafeta.store.passwords import UnfitPassword, hash_password, verify_password
from estafeta.store.records import (
    Account,
    AccountId,
    Credentials,
    HashedPassword,
    Instant,
)
from estafeta.store.statements import Statements
from estafeta.wire.sasl import ScramKeys

__all__ = [
    "UnfitPassword",
    "add",
    "add_keys",
    "clear_removed",
    "credentials",
    "find",
    "hash_password",
    "ids",
    "list_all",
    "remove",
    "set_enabled",
    "set_password",
    "set_quota",
    "verify_password",
]

_sql = Statements("accounts")

_FIRST_MAILBOXES = (
    ("INBOX", None),
    # RFC 6154 §2; the names are those that mail programs expect.
    ("Drafts", r"\Drafts"),
    ("Sent", r"\Sent"),
    ("Junk", r"\Junk"),
    ("Trash", r"\Trash"),
    ("Archive", r"\Archive"),
)
_STEP = 500
"""Messages removed in one change: at some 30 µs each well below the time that a group may take."""


def add(
    tx: Transaction,
    address: Address,
    *,
    password: HashedPassword | None,
    quota_octets: int | None = None,
    quota_messages: int | None = None,
    now: Instant,
) -> Account:
    """Make an account with its first mailboxes. Raises AlreadyExists, and NotFound for a domain not ours."""
    domain = domains.require(tx, address.domain)
    refuse_taken(tx, address)
    account_id = AccountId(tx.ids.next_id())
    tx.do(
        _sql.add_account,
        account_id=account_id,
        quota_octets=quota_octets,
        quota_messages=quota_messages,
        now=now,
    )
    tx.do(_sql.add_address, address=key_of(address), domain_id=domain.domain_id, account_id=account_id)
    for name, special_use in _FIRST_MAILBOXES:
        mailboxes.add(tx, account_id, name, special_use=special_use, now=now)
        subscriptions.set_(tx, account_id, name, is_subscribed=True)
    if password is not None:
        _keep_password(tx, account_id, password)
    directory.changed(tx)
    return _require(tx, address)


def find(tx: Transaction, address: Address) -> Account | None:
    """The account of this very address; aliases are not followed."""
    row = tx.one(_sql.find_account, address=key_of(address))
    return _account(row) if row else None


def list_all(tx: Transaction) -> list[Account]:
    """All accounts, by address."""
    return [_account(row) for row in tx.run(_sql.list_accounts)]


def ids(tx: Transaction) -> list[AccountId]:
    """The ids of all accounts."""
    return [account_id for (account_id,) in tx.run(_sql.account_ids)]


def remove(tx: Transaction, address: Address) -> None:
    """Remove an account: its address, its password and its mail. Raises NotFound.

    The account is gone at once; of a large one some messages stay behind unseen, to be removed in further
    changes by `clear_removed`. Aliases that name the address stay as they are.
    """
    account = _require(tx, address)
    tx.do(_sql.remove_address, account_id=account.account_id)
    tx.do(_sql.remove_credentials, account_id=account.account_id)
    directory.changed(tx)
    tx.touch(account.account_id)
    _clear(tx, account.account_id, _STEP)


def clear_removed(tx: Transaction, *, limit: int = _STEP) -> bool:
    """Remove up to `limit` messages of removed accounts; gives whether there are more: then call it again."""
    row = tx.one(_sql.find_removed)
    if row is None:
        return False
    _clear(tx, row[0], limit)
    return tx.one(_sql.find_removed) is not None


def set_password(tx: Transaction, address: Address, hashed: HashedPassword) -> None:
    """Set or replace the password. Raises NotFound."""
    _keep_password(tx, _require(tx, address).account_id, hashed)
    directory.changed(tx)


def add_keys(tx: Transaction, address: Address, known: HashedPassword, completed: HashedPassword) -> None:
    """Keep further keys of a password, unless it was changed since it was known to be right."""
    found = credentials(tx, address)
    if found is not None and found.hashed == known:
        _keep_password(tx, found.account.account_id, completed)


def set_enabled(tx: Transaction, address: Address, is_enabled: bool) -> None:
    """Let an account log in, or not. Raises NotFound."""
    account_id = _require(tx, address).account_id
    tx.do(_sql.set_enabled, account_id=account_id, is_enabled=int(is_enabled))
    directory.changed(tx)
    tx.touch(account_id)


def set_quota(tx: Transaction, address: Address, *, quota_octets: int | None, quota_messages: int | None) -> None:
    """Set both quotas; None is no limit. Raises NotFound."""
    tx.do(
        _sql.set_quota,
        account_id=_require(tx, address).account_id,
        quota_octets=quota_octets,
        quota_messages=quota_messages,
    )
    directory.changed(tx)


def credentials(tx: Transaction, address: Address) -> Credentials | None:
    """What a login of this account is checked against; None without the account or without a password."""
    row = tx.one(_sql.find_credentials, address=key_of(address))
    account = find(tx, address)
    if row is None or account is None:
        return None
    argon2, salt, iterations, stored_key, server_key, stored_key_1, server_key_1, cram_md5 = row
    scram_sha_1 = None if stored_key_1 is None else ScramKeys(salt, iterations, stored_key_1, server_key_1)
    hashed = HashedPassword(argon2, ScramKeys(salt, iterations, stored_key, server_key), scram_sha_1, cram_md5)
    return Credentials(account, hashed)


def refuse_taken(tx: Transaction, address: Address) -> None:
    """Raise AlreadyExists when the address is an account's or an alias."""
    row = tx.one(_sql.find_address, address=key_of(address))
    if row is not None:
        kind = "an alias" if row[0] is None else "an account"
        raise AlreadyExists(f"{key_of(address)} is {kind} already")


def _require(tx: Transaction, address: Address) -> Account:
    account = find(tx, address)
    if account is None:
        raise NotFound(f"there is no account {key_of(address)}")
    return account


def _keep_password(tx: Transaction, account_id: AccountId, hashed: HashedPassword) -> None:
    keys = hashed.scram_sha_256
    tx.do(
        _sql.set_credentials,
        account_id=account_id,
        argon2=hashed.argon2,
        salt=keys.salt,
        iterations=keys.iterations,
        stored_key=keys.stored_key,
        server_key=keys.server_key,
        stored_key_1=None if hashed.scram_sha_1 is None else hashed.scram_sha_1.stored_key,
        server_key_1=None if hashed.scram_sha_1 is None else hashed.scram_sha_1.server_key,
        cram_md5=hashed.cram_md5,
    )


def _clear(tx: Transaction, account_id: AccountId, limit: int) -> None:
    """Remove up to `limit` messages, each mailbox that is empty then, and the account after its last one."""
    if not mailboxes.clear_account(tx, account_id, limit):
        return
    tx.do(_sql.remove_annotations, account_id=account_id)
    tx.do(_sql.remove_account, account_id=account_id)


def _account(row: Row) -> Account:
    account_id, address, is_enabled, has_password, *numbers, created_at = row
    quota_octets, quota_messages, used_octets, used_messages = numbers
    return Account(
        account_id=account_id,
        address=address_of(address),
        is_enabled=bool(is_enabled),
        has_password=bool(has_password),
        quota_octets=quota_octets,
        quota_messages=quota_messages,
        used_octets=used_octets,
        used_messages=used_messages,
        created_at=created_at,
    )
