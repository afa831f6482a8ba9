"""The domains whose mail ends here."""

from __future__ import annotations

from estafeta.mail.address import Address
from estafeta.store import directory
from estafeta.store.addresses import address_of
from estafeta.store.engine import Row, Transaction
from estafeta.store.errors import AlreadyExists, InUse, NotFound
from estafeta.store.records import Domain, DomainId, Instant
from estafeta.store.statements import Statements

_sql = Statements("domains")


def add(tx: Transaction, name: str, *, now: Instant) -> Domain:
    """Take a domain in; `name` as `mail.address.parse_domain` gives it. Raises AlreadyExists."""
    name = name.lower()
    if find(tx, name) is not None:
        raise AlreadyExists(f"the domain {name} is there already")
    domain_id = DomainId(tx.ids.next_id())
    tx.do(_sql.add_domain, domain_id=domain_id, name=name, now=now)
    directory.changed(tx)
    return Domain(domain_id, name, None, now)


def find(tx: Transaction, name: str) -> Domain | None:
    """The domain of this name, if it is ours."""
    row = tx.one(_sql.find_domain, name=name.lower())
    return _domain(row) if row else None


def list_all(tx: Transaction) -> list[Domain]:
    """All domains, by name."""
    return [_domain(row) for row in tx.run(_sql.list_domains)]


def remove(tx: Transaction, name: str) -> None:
    """Let a domain go. Raises NotFound, and InUse while it has accounts or aliases."""
    domain = require(tx, name)
    row = tx.one(_sql.count_addresses, domain_id=domain.domain_id)
    if row is not None and row != (0, 0):
        raise InUse(f"the domain {domain.name} has {row[0]} account(s) and {row[1]} alias(es); remove them first")
    tx.do(_sql.remove_domain, domain_id=domain.domain_id)
    directory.changed(tx)


def set_catch_all(tx: Transaction, name: str, address: Address | None) -> None:
    """Say who takes what no account or alias of the domain takes. Raises NotFound."""
    domain = require(tx, name)
    text = None if address is None else str(address)
    tx.do(_sql.set_catch_all, domain_id=domain.domain_id, catch_all=text)
    directory.changed(tx)


def require(tx: Transaction, name: str) -> Domain:
    """The domain of this name. Raises NotFound."""
    domain = find(tx, name)
    if domain is None:
        raise NotFound(f"the domain {name.lower()} is not one of ours; add it first")
    return domain


def _domain(row: Row) -> Domain:
    domain_id, name, catch_all, created_at = row
    return Domain(domain_id, name, address_of(catch_all) if catch_all else None, created_at)
