"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208 §4.1). An account is a root: all its mailboxes share its limits.

One's own root is "", another user's has his address. Limits are the operator's to set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap import naming
from estafeta.access.imap.naming import resolve_in, written
from estafeta.mail.address import AddressError
from estafeta.store import accounts, acl, mailboxes
from estafeta.store.addresses import address_of, key_of
from estafeta.store.engine import Transaction
from estafeta.store.records import Account
from estafeta.wire.imap.commands.quota import GetQuota, GetQuotaRoot, SetQuota
from estafeta.wire.imap.completion import Completion, Refused, ok
from estafeta.wire.imap.writing import astring

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

_KIB = 1024
"""STORAGE is in units of 1024 octets (RFC 9208 §5.1)."""


async def get_quota(session: Session, request: GetQuota) -> Completion:
    """Limits and usage of a root; of another user's only for who may read one of his mailboxes."""
    account = session.account
    assert account is not None
    session.send(await session.environment.store.read(lambda tx: _quota(tx, account, request.root)))
    return ok("Getquota completed")


async def get_quota_root(session: Session, request: GetQuotaRoot) -> Completion:
    """The root of a mailbox, with its limits."""
    account = session.account
    assert account is not None

    def query(tx: Transaction) -> tuple[str, str, bytes]:
        found = resolve_in(tx, account, request.mailbox, "r")  # RFC 9208 §6
        root = found.owner or ""
        return found.name, root, _quota(tx, account, root)

    name, root, quota = await session.environment.store.read(query)
    session.send(b"* QUOTAROOT %s %s\r\n" % (written(session, name), astring(root)))
    session.send(quota)
    return ok("Getquotaroot completed")


async def set_quota(session: Session, request: SetQuota) -> Completion:
    """Nobody sets limits here (RFC 9208 §4.1.3: QUOTASET is not offered)."""
    raise Refused("Quotas are set by the operator", "NOPERM")


def _quota(tx: Transaction, account: Account, root: str) -> bytes:
    """One untagged QUOTA. Raises Refused."""
    try:
        owner = accounts.find(tx, address_of(root.lower()) if root else account.address)
    except AddressError:
        owner = None
    if owner is None:
        raise _no_root()
    if owner.account_id != account.account_id:
        rights = acl.rights_in_account(tx, owner.account_id, key_of(account.address))
        if not any("r" in each for each in rights.values()):
            raise _no_root()
    told = [f"MAILBOX {mailboxes.count(tx, owner.account_id)} {naming.MOST_MAILBOXES}"]
    if owner.quota_messages is not None:
        told.insert(0, f"MESSAGE {owner.used_messages} {owner.quota_messages}")
    if owner.quota_octets is not None:
        told.insert(0, f"STORAGE {-(-owner.used_octets // _KIB)} {owner.quota_octets // _KIB}")
    return b"* QUOTA %s (%s)\r\n" % (astring(root), " ".join(told).encode("ascii"))


def _no_root() -> Refused:
    return Refused("There is no such quota root", "NONEXISTENT")
