"""Policies of MTA-STS stay until their time is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.store.conftest import NOW

from estafeta.store import sts
from estafeta.store.records import Instant
from estafeta.store.store import Store, Transaction, open_store
from estafeta.store.sts import KeptPolicy


def kept(number: int, expires_at: float) -> KeptPolicy:
    return KeptPolicy(f"id{number}", f"policy {number}", Instant(expires_at))


def test_a_policy_is_found_after_a_restart_until_it_expires(data: Path) -> None:
    for _ in range(2):
        store = open_store(data, clock=lambda: NOW)
        asyncio.run(store.write(lambda tx: sts.keep(tx, "example.org", kept(1, NOW + 10), now=NOW)))
        store.close()
    store = open_store(data, clock=lambda: NOW)

    def look(tx: Transaction) -> None:
        assert sts.find(tx, "example.org", now=NOW) == kept(1, NOW + 10)
        assert sts.find(tx, "example.org", now=Instant(NOW + 10)) is None
        assert sts.find(tx, "example.net", now=NOW) is None

    asyncio.run(store.read(look))
    store.close()


@pytest.mark.parametrize("expires_at", [NOW + 5, NOW + 50])
def test_a_new_policy_takes_the_place_of_the_one_before(store: Store, expires_at: float) -> None:
    def change(tx: Transaction) -> None:
        sts.keep(tx, "example.org", kept(1, NOW + 10), now=NOW)
        sts.keep(tx, "example.org", kept(2, expires_at), now=NOW)
        assert sts.find(tx, "example.org", now=NOW) == kept(2, expires_at)

    asyncio.run(store.write(change))


def test_those_whose_time_is_over_are_removed_on_the_way(store: Store) -> None:
    def change(tx: Transaction) -> None:
        for number in range(250):
            sts.keep(tx, f"{number}.example.org", kept(number, NOW + 10), now=NOW)
        later = Instant(NOW + 10)
        for _ in range(3):
            sts.keep(tx, "example.net", kept(1, NOW + 100), now=later)
        assert sts.find(tx, "example.net", now=later) == kept(1, NOW + 100)
        # Seen from before, they would still hold, were they there.
        assert not any(sts.find(tx, f"{number}.example.org", now=NOW) for number in range(250))

    asyncio.run(store.write(change))
