"""Certificates that log accounts in, in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from estafeta.mail.address import Address
from estafeta.store import accounts, aliases, certificates, domains
from estafeta.store.certificates import KeptCertificate
from estafeta.store.errors import AlreadyExists, NotFound
from estafeta.store.records import Instant
from estafeta.store.store import Store, Transaction

ANN, BOB, LIST = (Address(name, "example.org") for name in ("ann", "bob", "list"))
PRINT, OTHER = "0a" * 32, "0b" * 32
NOW = Instant(1_700_000_000.0)

Change: TypeAlias = Callable[[Callable[[Transaction], Any]], Any]


@pytest.fixture
def change(store: Store) -> Change:
    def run(step: Callable[[Transaction], Any]) -> Any:
        return asyncio.run(store.write(step))

    def fill(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=NOW)
        for address in (ANN, BOB):
            accounts.add(tx, address, password=None, now=NOW)
        aliases.add(tx, LIST, [ANN])

    run(fill)
    return run


def adds(address: Address, fingerprint: str) -> Callable[[Transaction], KeptCertificate]:
    return lambda tx: certificates.add(tx, address, fingerprint, subject="", now=NOW)


def test_a_certificate_is_found_by_its_fingerprint(change: Change) -> None:
    kept = change(lambda tx: certificates.add(tx, Address("Ann", "example.org"), PRINT, subject="CN=Ann", now=NOW))
    assert kept == KeptCertificate(PRINT, "CN=Ann", NOW)
    assert change(lambda tx: certificates.list_of(tx, ANN)) == [kept]
    assert change(lambda tx: certificates.account_of(tx, PRINT, [])) == ANN
    assert change(lambda tx: certificates.account_of(tx, OTHER, [])) is None
    assert change(lambda tx: certificates.list_of(tx, BOB)) == []


def test_it_belongs_to_one_account(change: Change) -> None:
    change(lambda tx: certificates.add(tx, ANN, PRINT, subject="", now=NOW))
    for address in (ANN, BOB):
        with pytest.raises(AlreadyExists, match="that of ann@"):
            change(adds(address, PRINT))
    for address in (LIST, Address("nobody", "example.org")):
        with pytest.raises(NotFound):
            change(adds(address, OTHER))


def test_it_is_removed_from_its_own_account_alone(change: Change) -> None:
    change(lambda tx: certificates.add(tx, ANN, PRINT, subject="", now=NOW))
    with pytest.raises(NotFound):
        change(lambda tx: certificates.remove(tx, BOB, PRINT))
    change(lambda tx: certificates.remove(tx, ANN, PRINT))
    with pytest.raises(NotFound):
        change(lambda tx: certificates.remove(tx, ANN, PRINT))
    assert change(lambda tx: certificates.account_of(tx, PRINT, [])) is None


def test_it_goes_with_its_account(change: Change) -> None:
    change(lambda tx: certificates.add(tx, ANN, PRINT, subject="", now=NOW))
    change(lambda tx: accounts.remove(tx, ANN))
    change(lambda tx: accounts.add(tx, ANN, password=None, now=NOW))
    assert change(lambda tx: certificates.account_of(tx, PRINT, [])) is None
    change(lambda tx: certificates.add(tx, BOB, PRINT, subject="", now=NOW))


@pytest.mark.parametrize(
    ("mailboxes", "found"),
    [
        (["Ann@EXAMPLE.org"], ANN),
        (["nobody@example.org", "bob@example.org", "ann@example.org"], BOB),
        (["no address", "", "@", "a@b@c", "ann@example.org"], ANN),
        (["list@example.org"], None),
        (["ann@example.net"], None),
        ([], None),
    ],
)
def test_else_the_first_address_that_is_an_accounts_counts(
    change: Change, mailboxes: list[str], found: Address | None
) -> None:
    assert change(lambda tx: certificates.account_of(tx, PRINT, mailboxes)) == found
