"""Addresses whose user has moved: aliases of one member, of which clients are told (RFC 5321 §3.4)."""

from __future__ import annotations

from estafeta.mail.address import Address
from estafeta.mail.value import value
from estafeta.store import aliases, directory
from estafeta.store.addresses import address_of, key_of
from estafeta.store.engine import Transaction
from estafeta.store.statements import Statements

_sql = Statements("moved")


@value
class Moved:
    """One address; where its user is now is the member of its alias."""

    address: Address
    is_forwarded: bool
    """Mail goes on to the new address (251), or it is not taken (551)."""


def add(tx: Transaction, address: Address, new_address: Address, *, is_forwarded: bool) -> Moved:
    """Say that the user of an address is elsewhere now, here or not.

    Raises AlreadyExists where an account or an alias has the address, NotFound for a domain not ours.
    """
    aliases.add(tx, address, [new_address])
    tx.do(_sql.add_moved, alias=key_of(address), is_forwarded=int(is_forwarded))
    directory.changed(tx)
    return Moved(address_of(key_of(address)), is_forwarded)


def find(tx: Transaction, address: Address) -> Moved | None:
    """What is said of the address; None where nobody has moved from it."""
    row = tx.one(_sql.find_moved, alias=key_of(address))
    return Moved(address_of(key_of(address)), bool(row[0])) if row else None


def list_all(tx: Transaction) -> list[Moved]:
    """All of them, by address."""
    return [Moved(address_of(alias), bool(is_forwarded)) for alias, is_forwarded in tx.run(_sql.list_moved)]
