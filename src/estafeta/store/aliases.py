"""Aliases: addresses of ours that stand for others."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.mail.address import Address
from estafeta.store import accounts, directory, domains
from estafeta.store.addresses import address_of, key_of
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import Alias
from estafeta.store.statements import Statements

_sql = Statements("aliases")


def add(tx: Transaction, address: Address, members: Sequence[Address]) -> Alias:
    """Make an alias. Raises AlreadyExists, NotFound for a domain not ours, StoreError without a member."""
    domain = domains.require(tx, address.domain)
    accounts.refuse_taken(tx, address)
    tx.do(_sql.add_alias, address=key_of(address), domain_id=domain.domain_id)
    return _keep_members(tx, address, members)


def find(tx: Transaction, address: Address) -> Alias | None:
    """The alias of this address."""
    rows = tx.run(_sql.find_alias, address=key_of(address))
    if not rows:
        return None
    return Alias(address_of(key_of(address)), tuple(address_of(member) for (member,) in rows))


def list_all(tx: Transaction) -> list[Alias]:
    """All aliases, by address."""
    found: dict[str, list[Address]] = {}
    for alias, member in tx.run(_sql.list_aliases):
        found.setdefault(alias, []).append(address_of(member))
    return [Alias(address_of(alias), tuple(members)) for alias, members in found.items()]


def remove(tx: Transaction, address: Address) -> None:
    """Remove an alias. Raises NotFound."""
    if not tx.do(_sql.remove_alias, address=key_of(address)):
        raise NotFound(f"there is no alias {key_of(address)}")
    directory.changed(tx)


def members_of(tx: Transaction, address: Address) -> list[Address]:
    """The aliases that have this address as a member, by address."""
    return [address_of(alias) for (alias,) in tx.run(_sql.aliases_of_member, address=key_of(address))]


def _keep_members(tx: Transaction, address: Address, members: Sequence[Address]) -> Alias:
    alias = key_of(address)
    # A member may be elsewhere, where case can count; but two that differ in case only are one for us.
    kept = list({key_of(member): member for member in members}.values())
    if not kept:
        raise StoreError(f"the alias {alias} needs at least one member")
    tx.execute_many(
        _sql.add_member,
        [
            {"alias": alias, "position": position, "member": str(member), "lowered": key_of(member)}
            for position, member in enumerate(kept)
        ],
    )
    directory.changed(tx)
    return Alias(address_of(alias), tuple(kept))
