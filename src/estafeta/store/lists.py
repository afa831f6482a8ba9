"""Lists: aliases whose mail goes on with an owner as reverse-path and with the fields of a list."""

from __future__ import annotations

from estafeta.mail.address import Address
from estafeta.mail.lists import Listed, list_fields, list_id
from estafeta.store import aliases, directory
from estafeta.store.addresses import address_of, key_of
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.statements import Statements

_sql = Statements("lists")

_MAX_ID = 255
"""Octets of a List-Id (RFC 2919 §2)."""
_MAX_LINE = 998
"""Octets of a line of a message without its CRLF (RFC 5322 §2.1.1)."""


def set_owner(tx: Transaction, address: Address, owner: Address) -> Listed:
    """Make the alias a list, or give the list another owner, ours or not.

    Raises NotFound without the alias, StoreError for addresses too long to be named in fields, and for a list that
    would own itself.
    """
    if aliases.find(tx, address) is None:
        raise NotFound(f"there is no alias {key_of(address)}")
    listed = Listed(address_of(key_of(address)), owner)
    if key_of(owner) == key_of(address):
        raise StoreError(f"the list {key_of(address)} cannot be its own owner")
    if len(list_id(listed.address)) > _MAX_ID or max(map(len, list_fields(listed).split(b"\r\n"))) > _MAX_LINE:
        raise StoreError("the addresses of the list and its owner are too long for the fields of a list")
    tx.do(_sql.set_owner, alias=key_of(address), owner=str(owner))
    directory.changed(tx)
    return listed


def find(tx: Transaction, address: Address) -> Listed | None:
    """The list of this address; None where the address is something else, or nothing."""
    row = tx.one(_sql.find_list, alias=key_of(address))
    return Listed(address_of(key_of(address)), address_of(row[0])) if row else None


def list_all(tx: Transaction) -> list[Listed]:
    """All lists, by address."""
    return [Listed(address_of(alias), address_of(owner)) for alias, owner in tx.run(_sql.list_lists)]


def remove(tx: Transaction, address: Address) -> None:
    """Make the list an alias as others are; its members stay. Raises NotFound."""
    if not tx.do(_sql.remove_list, alias=key_of(address)):
        raise NotFound(f"there is no list {key_of(address)}")
    directory.changed(tx)
