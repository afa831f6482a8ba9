"""Accounts, aliases and domains, and the version that tells of their changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.mail.address import Address
from estafeta.store import accounts, aliases, directory, domains, mailboxes
from estafeta.store.acceptance import accept
from estafeta.store.errors import AlreadyExists, InUse, NotFound, StoreError
from estafeta.store.passwords import hash_password, verify_password
from estafeta.store.records import Acceptance, Account, Credentials, Instant
from estafeta.store.store import Store, Transaction

NOW = Instant(1_700_000_000.0)
Accept = Callable[..., Acceptance]
AddAccount = Callable[..., Account]

ANN = Address("ann", "example.org")
BOB = Address("bob", "example.org")
FAR = Address("Far.Away", "example.com")


@pytest.fixture
def change(store: Store) -> Callable[[Callable[[Transaction], object]], object]:
    return lambda what: asyncio.run(store.write(what))


Change = Callable[[Callable[[Transaction], object]], object]


@pytest.mark.rfc("6154 §2", "A new account has mailboxes for each special use.")
def test_a_new_account_has_its_mailboxes(change: Change, add_account: AddAccount) -> None:
    def add(tx: Transaction) -> None:
        account = add_account(tx, "ann@example.org", octets=10)
        boxes = {box.name: box.special_use for box in mailboxes.list_of(tx, account.account_id)}
        assert boxes == {
            "INBOX": None,
            "Drafts": r"\Drafts",
            "Sent": r"\Sent",
            "Junk": r"\Junk",
            "Trash": r"\Trash",
            "Archive": r"\Archive",
        }
        validities = [box.uid_validity for box in mailboxes.list_of(tx, account.account_id)]
        assert len(set(validities)) == 6 and all(NOW <= value < 2**32 for value in validities)
        assert account.is_enabled and not account.has_password and account.quota_octets == 10
        assert accounts.find(tx, ANN) == account
        assert accounts.list_all(tx) == [account]

    change(add)


def test_addresses_of_ours_do_not_depend_on_case(change: Change, add_account: AddAccount) -> None:
    def look(tx: Transaction) -> None:
        add_account(tx, "Ann@Example.ORG")
        assert accounts.find(tx, Address("ANN", "example.org")) is not None
        with pytest.raises(AlreadyExists):
            add_account(tx, "aNN@example.org")

    change(look)


def test_an_account_and_an_alias_cannot_share_an_address(change: Change, add_account: AddAccount) -> None:
    def look(tx: Transaction) -> None:
        add_account(tx, "ann@example.org")
        with pytest.raises(AlreadyExists, match=r"ann@example\.org is an account already"):
            aliases.add(tx, ANN, [FAR])
        aliases.add(tx, BOB, [FAR])
        with pytest.raises(AlreadyExists, match=r"bob@example\.org is an alias already"):
            add_account(tx, "bob@example.org")

    change(look)


def test_an_unknown_domain_is_named(change: Change) -> None:
    with pytest.raises(NotFound, match=r"example\.org is not one of ours"):
        change(lambda tx: accounts.add(tx, ANN, password=None, now=NOW))
    with pytest.raises(NotFound, match=r"example\.org is not one of ours"):
        change(lambda tx: aliases.add(tx, ANN, [FAR]))


def test_a_domain_that_holds_addresses_stays(change: Change, add_account: AddAccount) -> None:
    change(lambda tx: (add_account(tx, "ann@example.org"), aliases.add(tx, BOB, [ANN])))
    with pytest.raises(InUse, match=r"1 account\(s\) and 1 alias\(es\)"):
        change(lambda tx: domains.remove(tx, "example.org"))
    change(lambda tx: accounts.remove(tx, ANN))
    change(lambda tx: aliases.remove(tx, BOB))
    change(lambda tx: domains.remove(tx, "Example.org"))
    assert change(domains.list_all) == []


def test_a_catch_all_is_kept_and_taken_away(change: Change) -> None:
    def look(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=NOW)
        domains.set_catch_all(tx, "example.org", FAR)
        domain = domains.find(tx, "example.org")
        assert domain is not None and domain.catch_all == FAR
        domains.set_catch_all(tx, "example.org", None)
        assert [one.catch_all for one in domains.list_all(tx)] == [None]
        with pytest.raises(AlreadyExists):
            domains.add(tx, "EXAMPLE.org", now=NOW)

    change(look)


def test_an_alias_keeps_its_members_in_order_and_is_found_by_them(change: Change) -> None:
    def look(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=NOW)
        aliases.add(tx, Address("all", "example.org"), [BOB, FAR, ANN, Address("BOB", "example.org")])
        alias = aliases.find(tx, Address("ALL", "example.org"))
        assert alias is not None
        assert [str(member).lower() for member in alias.members] == [
            "bob@example.org",
            "far.away@example.com",
            "ann@example.org",
        ]
        assert FAR in alias.members  # elsewhere case can count
        assert aliases.members_of(tx, ANN) == [alias.address]
        assert [one.address for one in aliases.list_all(tx)] == [alias.address]
        aliases.remove(tx, alias.address)
        assert aliases.find(tx, alias.address) is None
        assert aliases.members_of(tx, BOB) == []
        with pytest.raises(NotFound):
            aliases.remove(tx, alias.address)
        with pytest.raises(StoreError):
            aliases.add(tx, ANN, [])

    change(look)


def test_each_change_of_the_directory_gives_another_version(change: Change, add_account: AddAccount) -> None:
    changes: list[Callable[[Transaction], object]] = [
        lambda tx: domains.add(tx, "example.org", now=NOW),
        lambda tx: add_account(tx, "ann@example.org"),
        lambda tx: aliases.add(tx, BOB, [ANN]),
        lambda tx: aliases.remove(tx, BOB),
        lambda tx: domains.set_catch_all(tx, "example.org", ANN),
        lambda tx: accounts.set_enabled(tx, ANN, False),
        lambda tx: accounts.set_quota(tx, ANN, quota_octets=1, quota_messages=2),
        lambda tx: accounts.remove(tx, ANN),
        lambda tx: domains.remove(tx, "example.org"),
    ]
    seen = {change(directory.version)}
    for one in changes:
        change(one)
        version = change(directory.version)
        assert version not in seen
        seen.add(version)


def test_a_removed_account_leaves_nothing_behind(
    store: Store, change: Change, add_account: AddAccount, acceptance: Accept
) -> None:
    def fill(tx: Transaction) -> None:
        add_account(tx, "ann@example.org")
        accounts.set_password(tx, ANN, hash_password("secret"))
        for _ in range(30):
            accept(tx, acceptance(tx, to=("ann@example.org",)))

    change(fill)
    change(lambda tx: accounts.remove(tx, ANN))
    assert change(lambda tx: accounts.find(tx, ANN)) is None
    assert change(lambda tx: accounts.credentials(tx, ANN)) is None
    assert change(accounts.clear_removed) is False
    with pytest.raises(NotFound):
        change(lambda tx: accounts.remove(tx, ANN))
    change(lambda tx: add_account(tx, "ann@example.org"))
    found = change(lambda tx: accounts.find(tx, ANN))
    assert isinstance(found, Account) and found.used_messages == 0


def test_a_large_account_is_removed_in_steps(
    change: Change, add_account: AddAccount, acceptance: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_STEP", 10)

    def fill(tx: Transaction) -> None:
        add_account(tx, "ann@example.org")
        for _ in range(35):
            accept(tx, acceptance(tx, to=("ann@example.org",)))

    change(fill)
    change(lambda tx: accounts.remove(tx, ANN))
    assert change(accounts.list_all) == []
    steps = 1
    while change(lambda tx: accounts.clear_removed(tx, limit=10)):
        steps += 1
    assert steps == 3
    change(lambda tx: add_account(tx, "ann@example.org"))


@pytest.mark.rfc("7677 §4", "The keys of SCRAM take 4096 iterations at least.")
@pytest.mark.rfc("4013", "A password is prepared alike for every mechanism.")
@pytest.mark.rfc("9106 §4", "Passwords are kept by argon2id.")
def test_one_password_serves_every_mechanism(change: Change, add_account: AddAccount) -> None:
    # RFC 4013 §3: a non-ASCII space becomes a space, a soft hyphen nothing, a Roman numeral its letters.
    hashed = hash_password("pass\u00a0word\u00ad \u2168")
    change(lambda tx: add_account(tx, "ann@example.org"))
    change(lambda tx: accounts.set_password(tx, ANN, hashed))
    found = change(lambda tx: accounts.credentials(tx, ANN))
    assert isinstance(found, Credentials) and found.account.has_password
    assert verify_password(found.hashed.argon2, "pass word IX")
    assert verify_password(found.hashed.argon2, "pass\u00a0word\u00ad \u2168")
    assert not verify_password(found.hashed.argon2, "pass word 9")
    assert not verify_password("not a hash", "pass word IX")
    assert found.hashed.argon2.startswith("$argon2id$")
    keys = found.hashed.scram_sha_256
    assert keys.iterations >= 4096 and len(keys.stored_key) == len(keys.server_key) == 32


@pytest.mark.parametrize("text", ["", "\u00ad", "bell\x07"])
def test_what_cannot_be_a_password_is_refused(text: str) -> None:
    with pytest.raises(accounts.UnfitPassword):
        hash_password(text)
