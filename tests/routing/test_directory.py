"""Routes and identities are remembered, and forgotten when the directory is another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.routing import directory as room
from estafeta.routing.directory import Directory
from estafeta.routing.local import LocalRules
from estafeta.routing.routes import Expansion, Refused, RouteRule, ToHost, ToMailbox
from estafeta.routing.srs import Srs
from estafeta.store import accounts, aliases
from estafeta.store import directory as stored

ANA, BEN, TEAM = Address("ana", "example.org"), Address("ben", "example.org"), Address("team", "example.org")
NOW = 1_700_000_000.0


def path(address: Address) -> ForwardPath:
    return ForwardPath(address)


@pytest.fixture
def directory(village: Any) -> Iterator[Directory]:
    village.account(str(ANA))
    village.account(str(BEN))
    yield Directory(village.store, LocalRules(), lambda: NOW)


def test_a_route_is_remembered_with_its_version(village: Any, directory: Directory) -> None:
    assert directory.remembered(path(ANA)) is None
    for address, kind in ((ANA, ToMailbox), (Address("far", "example.net"), ToHost)):
        found = asyncio.run(directory.resolve(path(address)))
        assert isinstance(found, kind) and directory.remembered(path(address)) is found
    assert directory.version == village.ask(stored.version)


def test_refusals_are_not_remembered(village: Any, directory: Directory) -> None:
    eva = Address("eva", "example.org")
    assert isinstance(asyncio.run(directory.resolve(path(eva))), Refused)
    assert directory.remembered(path(eva)) is None
    village.account(str(eva))
    assert isinstance(asyncio.run(directory.resolve(path(eva))), ToMailbox)


def test_a_new_version_makes_all_routes_forgotten(village: Any, directory: Directory) -> None:
    asyncio.run(directory.resolve(path(ANA)))
    village.alias(str(TEAM), str(ANA), str(BEN))
    assert directory.remembered(path(ANA)) is not None  # nobody told; the commit would
    assert isinstance(asyncio.run(directory.resolve(path(TEAM))), Expansion)
    assert directory.remembered(path(ANA)) is None and directory.remembered(path(TEAM)) is not None
    assert directory.version == village.ask(stored.version)


def test_what_was_learned_by_refusing_counts_too(village: Any, directory: Directory) -> None:
    asyncio.run(directory.resolve(path(ANA)))
    village.disable(str(ANA))
    asyncio.run(directory.resolve(path(Address("nobody", "example.org"))))
    assert directory.remembered(path(ANA)) is None


def test_all_can_be_forgotten(directory: Directory) -> None:
    asyncio.run(directory.resolve(path(ANA)))
    directory.forget()
    assert directory.remembered(path(ANA)) is None and directory.version == -1


def test_memory_is_bounded(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "REMEMBERED", 2)
    for name in ("a", "b", "c"):
        asyncio.run(directory.resolve(path(Address(name, "example.net"))))
    assert directory.remembered(path(Address("a", "example.net"))) is None
    assert directory.remembered(path(Address("c", "example.net"))) is not None
    for address in (ANA, BEN, TEAM):
        assert asyncio.run(directory.identities(address)) == {address}
    assert len(directory._identities) <= 2


def test_memory_is_bounded_by_the_ends_of_aliases_too(
    village: Any, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "REMEMBERED", 4)
    village.alias(str(TEAM), "a@example.net", "b@example.net", "c@example.net")
    town = Address("town", "example.org")
    village.alias(str(town), str(ANA), "d@example.net")
    for address in (TEAM, ANA):
        asyncio.run(directory.resolve(path(address)))
    assert directory.remembered(path(TEAM)) is not None and directory.remembered(path(ANA)) is not None
    asyncio.run(directory.resolve(path(town)))
    assert directory.remembered(path(TEAM)) is None and directory.remembered(path(town)) is not None


def test_routes_that_depend_on_the_account_are_remembered_for_each(village: Any) -> None:
    village.account(str(ANA))
    rules = LocalRules((RouteRule("*", senders=(str(ANA),), gateway="smarthost"),))
    directory = Directory(village.store, rules, lambda: NOW)
    far = path(Address("far", "example.net"))
    for account, destination in ((ANA, "gateway:smarthost"), (BEN, "example.net"), (None, "example.net")):
        assert directory.remembered(far, account) is None
        found = asyncio.run(directory.resolve(far, account))
        assert isinstance(found, ToHost) and found.destination == destination
        assert directory.remembered(far, account) is found


def test_routes_that_do_not_depend_on_the_account_are_found_once_for_all(directory: Directory) -> None:
    found = asyncio.run(directory.resolve(path(ANA), BEN))
    assert directory.remembered(path(ANA)) is directory.remembered(path(ANA), ANA) is found


def test_a_way_back_is_asked_for_each_time_because_it_closes(village: Any) -> None:
    village.account(str(ANA))
    now, srs = [NOW], Srs(b"secret")
    directory = Directory(village.store, LocalRules(srs=srs), lambda: now[0])
    address = srs.forward(ReversePath(Address("far", "example.net")), "example.org", NOW).address
    assert address is not None
    for days, kind in ((0, ToHost), (20, ToHost), (30, Refused)):
        now[0] = NOW + days * 86_400
        assert directory.remembered(path(address)) is None
        assert isinstance(asyncio.run(directory.resolve(path(address))), kind)


def test_an_account_is_itself_and_each_alias_it_is_a_member_of(village: Any, directory: Directory) -> None:
    village.alias(str(TEAM), str(BEN), "Ana@Example.Org")
    assert asyncio.run(directory.identities(ANA)) == {ANA, TEAM}
    assert asyncio.run(directory.may_send_as(ANA, TEAM))
    assert not asyncio.run(directory.may_send_as(ANA, BEN))


def test_an_alias_gained_or_lost_counts_as_soon_as_the_new_version_is_seen(village: Any, directory: Directory) -> None:
    assert not asyncio.run(directory.may_send_as(ANA, TEAM))
    village.alias(str(TEAM), str(ANA))
    asyncio.run(directory.resolve(path(TEAM)))
    assert asyncio.run(directory.may_send_as(ANA, TEAM))
    village.do(lambda tx: aliases.remove(tx, TEAM))
    asyncio.run(directory.resolve(path(TEAM)))
    assert not asyncio.run(directory.may_send_as(ANA, TEAM))


def test_identities_found_anew_make_old_routes_forgotten(village: Any, directory: Directory) -> None:
    asyncio.run(directory.resolve(path(ANA)))
    village.alias(str(TEAM), str(ANA))
    assert asyncio.run(directory.identities(ANA)) == {ANA, TEAM}
    assert directory.remembered(path(ANA)) is None


@pytest.mark.parametrize(
    "text", ["ANA@example.org", "ana+shop@example.org", "Ana+a+b@example.org", "team+x@example.org"]
)
def test_case_and_tags_do_not_matter_for_who_one_is(village: Any, directory: Directory, text: str) -> None:
    village.alias(str(TEAM), str(ANA))
    assert asyncio.run(directory.may_send_as(ANA, Address.parse(text)))
    assert not asyncio.run(directory.may_send_as(BEN, Address.parse(text)))


@pytest.mark.parametrize("text", ["ana@example.com", "ana-x@example.org", "+ana@example.org", "anna@example.org"])
def test_addresses_that_only_look_alike_are_not_ones_own(village: Any, directory: Directory, text: str) -> None:
    assert not asyncio.run(directory.may_send_as(ANA, Address.parse(text)))


def test_without_a_separator_there_are_no_subaddresses(village: Any, directory: Directory) -> None:
    plain = Directory(village.store, LocalRules(subaddress_separator=""), lambda: NOW)
    assert asyncio.run(plain.may_send_as(ANA, ANA))
    assert not asyncio.run(plain.may_send_as(ANA, Address("ana+x", "example.org")))


@pytest.mark.rfc("5233", "An account that looks like a subaddress is its own.")
def test_another_account_that_looks_like_a_subaddress_is_not_ones_own(village: Any, directory: Directory) -> None:
    village.account("ana+work@example.org")
    village.alias("ana+team@example.org", str(BEN))
    assert not asyncio.run(directory.may_send_as(ANA, Address("ana+work", "example.org")))
    assert not asyncio.run(directory.may_send_as(ANA, Address("Ana+Team", "example.org")))
    assert asyncio.run(directory.may_send_as(BEN, Address("ana+team", "example.org")))


def test_an_alias_is_expanded_to_the_members_it_was_given(village: Any, directory: Directory) -> None:
    village.alias(str(TEAM), "Far.Away@example.net", str(ANA))
    members = asyncio.run(directory.expand(TEAM))
    assert members == (Address("Far.Away", "example.net"), ANA)
    assert asyncio.run(directory.expand(ANA)) is None


def test_room_is_what_both_quotas_leave(village: Any, directory: Directory) -> None:
    village.account("small@example.org", octets=100)
    village.account("none@example.org", messages=0)
    for name, size, has_room in (
        ("ana", 10**12, True),
        ("small", 100, True),
        ("small", 101, False),
        ("none", 0, False),
        ("nobody", 0, False),
    ):
        assert asyncio.run(directory.has_room(Address(name, "example.org"), size)) is has_room


def test_a_removed_account_is_found_no_more(village: Any, directory: Directory) -> None:
    asyncio.run(directory.resolve(path(ANA)))
    village.do(lambda tx: accounts.remove(tx, ANA))
    directory.forget()
    assert isinstance(asyncio.run(directory.resolve(path(ANA))), Refused)
