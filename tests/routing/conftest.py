"""A real store, and a village of accounts and aliases in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from estafeta.mail.address import Address, parse_domain
from estafeta.store import accounts, aliases, domains, lists
from estafeta.store.records import Instant
from estafeta.store.store import Store, Transaction, open_store

NOW = 1_700_000_000.0


class Village:
    """Changes and asks a store; addresses are given as text."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._made = 0

    def do(self, change: Callable[[Transaction], Any]) -> Any:
        return asyncio.run(self.store.write(change))

    def ask(self, query: Callable[[Transaction], Any]) -> Any:
        return asyncio.run(self.store.read(query))

    def now(self) -> Instant:
        """Each thing is made a second after the one before."""
        self._made += 1
        return Instant(NOW + self._made)

    def domain(self, name: str, catch_all: str | None = None) -> None:
        def change(tx: Transaction) -> None:
            domain = parse_domain(name)
            if domains.find(tx, domain) is None:
                domains.add(tx, domain, now=self.now())
            if catch_all is not None:
                domains.set_catch_all(tx, domain, Address.parse(catch_all))

        self.do(change)

    def account(self, text: str, *, octets: int | None = None, messages: int | None = None) -> None:
        address = Address.parse(text)
        self.domain(address.domain)
        self.do(
            lambda tx: accounts.add(
                tx, address, password=None, quota_octets=octets, quota_messages=messages, now=self.now()
            )
        )

    def disable(self, text: str) -> None:
        self.do(lambda tx: accounts.set_enabled(tx, Address.parse(text), False))

    def alias(self, text: str, *members: str) -> None:
        address = Address.parse(text)
        self.domain(address.domain)
        self.do(lambda tx: aliases.add(tx, address, [Address.parse(member) for member in members]))

    def list(self, text: str, owner: str, *members: str) -> None:
        self.alias(text, *members)
        self.do(lambda tx: lists.set_owner(tx, Address.parse(text), Address.parse(owner)))


@pytest.fixture
def village(tmp_path: Path) -> Iterator[Village]:
    store = open_store(tmp_path / "data", clock=lambda: NOW)
    yield Village(store)
    store.close()
