"""Addresses whose user has moved, in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from estafeta.mail.address import Address
from estafeta.store import accounts, aliases, directory, domains, moved
from estafeta.store.errors import AlreadyExists, NotFound
from estafeta.store.moved import Moved
from estafeta.store.records import Instant
from estafeta.store.store import Store, Transaction

ANN, OLD = Address("ann", "example.org"), Address("old", "example.org")
NEW = Address("New", "example.net")

Change: TypeAlias = Callable[[Callable[[Transaction], Any]], Any]


@pytest.fixture
def change(store: Store) -> Change:
    def run(step: Callable[[Transaction], Any]) -> Any:
        return asyncio.run(store.write(step))

    def fill(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=Instant(1_700_000_000.0))
        accounts.add(tx, ANN, password=None, now=Instant(1_700_000_000.0))

    run(fill)
    return run


@pytest.mark.parametrize("is_forwarded", [True, False])
def test_who_has_moved_is_an_alias_that_says_so(change: Change, is_forwarded: bool) -> None:
    before = change(directory.version)
    added = change(lambda tx: moved.add(tx, Address("Old", "example.org"), NEW, is_forwarded=is_forwarded))
    assert added == Moved(OLD, is_forwarded)
    assert change(lambda tx: moved.find(tx, OLD)) == added
    assert change(moved.list_all) == [added]
    assert change(lambda tx: aliases.find(tx, OLD)).members == (NEW,)
    assert change(directory.version) > before


def test_it_goes_with_its_alias(change: Change) -> None:
    change(lambda tx: moved.add(tx, OLD, NEW, is_forwarded=True))
    change(lambda tx: aliases.remove(tx, OLD))
    assert change(moved.list_all) == []
    change(lambda tx: aliases.add(tx, OLD, [ANN]))
    assert change(lambda tx: moved.find(tx, OLD)) is None


def test_an_address_in_use_has_nobody_who_moved(change: Change) -> None:
    with pytest.raises(AlreadyExists, match="an account already"):
        change(lambda tx: moved.add(tx, ANN, NEW, is_forwarded=True))
    with pytest.raises(NotFound):
        change(lambda tx: moved.add(tx, NEW, ANN, is_forwarded=True))
    assert change(lambda tx: moved.find(tx, ANN)) is None
