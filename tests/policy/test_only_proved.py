"""Accounts whose password must not be sent: in whatever letters the settings name them, and no others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from estafeta.mail.address import Address
from estafeta.policy.guard import LoginGuard, LoginSettings
from estafeta.policy.login import Authenticator, LoginAccepted, LoginRefused, RefusalReason
from estafeta.store import accounts, domains
from estafeta.store.records import Instant
from estafeta.store.store import Transaction, open_store

PASSWORD = "correct horse"
HASHED = accounts.hash_password(PASSWORD)


def populate(tx: Transaction) -> None:
    for domain, *names in (("example.org", "ana", "diana"), ("xn--bcher-kva.example", "luis")):
        domains.add(tx, domain, now=Instant(0.0))
        for name in names:
            accounts.add(tx, Address.parse(f"{name}@{domain}"), password=HASHED, now=Instant(0.0))


def is_let_in(folder: Path, identity: str, *listed: str) -> bool:
    async def main() -> bool:
        store = open_store(folder / "data", clock=lambda: 0.0)
        try:
            await store.write(populate)
            guard = LoginGuard(LoginSettings(only_proved=listed), lambda: 0.0)
            login = await Authenticator(store, guard, secret=bytes(32)).login(identity, PASSWORD, "192.0.2.1")
        finally:
            store.close()
        if isinstance(login, LoginRefused):
            assert login.reason is RefusalReason.TOO_WEAK
        return isinstance(login, LoginAccepted)

    return asyncio.run(main())


@pytest.mark.parametrize("listed", ["ana@example.org", "Ana@Example.ORG", "@example.org", "@Example.ORG"])
def test_case_does_not_matter(tmp_path: Path, listed: str) -> None:
    assert not is_let_in(tmp_path, "ANA@example.org", listed)


@pytest.mark.parametrize("listed", ["@bücher.example", "luis@BÜCHER.example", "@xn--bcher-kva.example"])
def test_a_domain_may_be_written_in_either_form(tmp_path: Path, listed: str) -> None:
    assert not is_let_in(tmp_path, "luis@bücher.example", listed)


def test_an_address_is_no_end_of_others(tmp_path: Path) -> None:
    assert is_let_in(tmp_path, "diana@example.org", "ana@example.org", "@org")
