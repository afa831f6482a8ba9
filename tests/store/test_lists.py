from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import pytest

from estafeta.mail.address import Address
from estafeta.mail.lists import Listed
from estafeta.store import accounts, aliases, directory, domains, lists
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import Instant
from estafeta.store.store import Store, Transaction

NOW = Instant(1_700_000_000.0)
TOWN, ANN = Address("town", "example.org"), Address("ann", "example.org")
BOSS, FAR = Address("Boss", "example.net"), Address("far", "example.com")

Change: TypeAlias = Callable[[Callable[[Transaction], Any]], Any]


@pytest.fixture
def change(store: Store) -> Change:
    def run(step: Callable[[Transaction], Any]) -> Any:
        return asyncio.run(store.write(step))

    def fill(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=NOW)
        accounts.add(tx, ANN, password=None, now=NOW)
        aliases.add(tx, TOWN, [ANN, FAR])

    run(fill)
    return run


def test_an_alias_becomes_a_list_and_gets_another_owner(change: Change) -> None:
    assert change(lambda tx: lists.find(tx, TOWN)) is None
    change(lambda tx: lists.set_owner(tx, Address("Town", "example.org"), BOSS))
    assert change(lambda tx: lists.find(tx, Address("TOWN", "example.org"))) == Listed(TOWN, BOSS)
    change(lambda tx: lists.set_owner(tx, TOWN, ANN))
    assert change(lists.list_all) == [Listed(TOWN, ANN)]


def test_a_list_becomes_an_alias_again_and_keeps_its_members(change: Change) -> None:
    change(lambda tx: lists.set_owner(tx, TOWN, BOSS))
    change(lambda tx: lists.remove(tx, TOWN))
    assert change(lists.list_all) == []
    alias = change(lambda tx: aliases.find(tx, TOWN))
    assert alias.members == (ANN, FAR)
    with pytest.raises(NotFound, match=r"there is no list town@example\.org"):
        change(lambda tx: lists.remove(tx, TOWN))


def test_a_list_goes_with_its_alias(change: Change) -> None:
    change(lambda tx: lists.set_owner(tx, TOWN, BOSS))
    change(lambda tx: aliases.remove(tx, TOWN))
    assert change(lists.list_all) == []
    change(lambda tx: aliases.add(tx, TOWN, [ANN]))
    assert change(lambda tx: lists.find(tx, TOWN)) is None


def test_only_an_alias_can_be_a_list(change: Change) -> None:
    for address in (ANN, Address("nobody", "example.org"), FAR):
        with pytest.raises(NotFound, match=f"there is no alias {address}"):
            change(partial(lists.set_owner, address=address, owner=BOSS))


def test_a_list_does_not_own_itself(change: Change) -> None:
    with pytest.raises(StoreError, match="cannot be its own owner"):
        change(lambda tx: lists.set_owner(tx, TOWN, Address("TOWN", "example.org")))


def test_addresses_that_fit_in_no_field_are_refused(change: Change) -> None:
    long, wide = Address("x" * 250, "example.org"), Address('"' * 250, "example.net")
    change(lambda tx: aliases.add(tx, long, [ANN]))
    for address, owner in ((long, BOSS), (TOWN, wide)):
        with pytest.raises(StoreError, match="too long"):
            change(partial(lists.set_owner, address=address, owner=owner))
    change(lambda tx: lists.set_owner(tx, TOWN, Address("ñ" * 120, "example.net")))


def test_each_change_of_a_list_gives_the_directory_another_version(change: Change) -> None:
    seen = {change(directory.version)}
    steps: list[Callable[[Transaction], object]] = [
        lambda tx: lists.set_owner(tx, TOWN, BOSS),
        lambda tx: lists.set_owner(tx, TOWN, ANN),
        lambda tx: lists.remove(tx, TOWN),
    ]
    for step in steps:
        change(step)
        version = change(directory.version)
        assert version not in seen
        seen.add(version)
