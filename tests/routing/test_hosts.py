"""Which hosts take a domain's mail, by the text of a zone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.net.dns import Answer
from estafeta.net.zones import ZoneResolver
from estafeta.routing.hosts import MAX_ADDRESSES, MAX_HOSTS, Host, Hosts, NoHosts, find_host, find_hosts, why_no_mail

TWO = """
example.org 300 MX 20 mx2.example.org
example.org 300 MX 10 mx1.example.org
mx1.example.org 60 A 192.0.2.1
mx2.example.org 120 A 192.0.2.2
"""


def reverse(things: list[Any]) -> None:
    """Chance that is always the same."""
    things.reverse()


def keep(things: list[Any]) -> None:
    """Chance that changes nothing."""


def nobody(name: str, address: str) -> bool:
    return False


def own(*known: str) -> Callable[[str, str], bool]:
    """This server has these names and addresses."""
    return lambda name, address: name in known or address in known


def find(zone: str | ZoneResolver, domain: str = "example.org", **options: Any) -> Hosts | NoHosts:
    resolver = ZoneResolver(zone) if isinstance(zone, str) else zone
    options = {"is_own": nobody, "shuffle": keep, **options}
    return asyncio.run(find_hosts(domain, resolver, **options))


def found(zone: str | ZoneResolver, domain: str = "example.org", **options: Any) -> Hosts:
    hosts = find(zone, domain, **options)
    assert isinstance(hosts, Hosts), hosts
    assert hosts.domain == domain
    return hosts


def order(hosts: Hosts) -> list[str]:
    """`mx1.example.org 192.0.2.1 ...` for each host."""
    return [" ".join((host.name, *host.addresses)) for host in hosts.hosts]


def refused(zone: str | ZoneResolver, domain: str = "example.org", **options: Any) -> tuple[str, str]:
    """The codes, and what people read."""
    none = find(zone, domain, **options)
    assert isinstance(none, NoHosts), none
    assert none.domain == domain
    assert none.reply.is_transient == (none.reply.status is not None and none.reply.status.klass == 4)
    return f"{none.reply.code} {none.reply.status}", " ".join((none.reason, *none.notes))


# MX records


@pytest.mark.rfc("5321 §5.1", "Hosts are tried by preference.")
def test_hosts_come_by_preference() -> None:
    hosts = found(TWO)
    assert hosts.hosts == (
        Host("mx1.example.org", ("192.0.2.1",), 10, False),
        Host("mx2.example.org", ("192.0.2.2",), 20, False),
    )
    assert not hosts.is_implicit and hosts.ttl == 60


@pytest.mark.rfc("5321 §5.1", "Hosts of equal preference are tried by chance.")
def test_equal_hosts_come_by_chance_and_no_others() -> None:
    zone = "\n".join(
        f"example.org MX {10 if n < 4 else 20} mx{n}.example.org\nmx{n}.example.org A 192.0.2.{n}" for n in range(8)
    )
    names = [host.name[2] for host in found(zone, shuffle=reverse).hosts]
    assert "".join(names) == "32107654"
    seen = {tuple(host.name for host in found(zone, shuffle=random.Random(n).shuffle).hosts[:4]) for n in range(50)}
    assert len(seen) > 10 and {name for order in seen for name in order} == {f"mx{n}.example.org" for n in range(4)}


def test_families_take_turns_ipv6_first_and_equal_addresses_come_by_chance() -> None:
    zone = """
    example.org MX 10 mx.example.org
    mx.example.org A 192.0.2.1
    mx.example.org A 192.0.2.2
    mx.example.org A 192.0.2.3
    mx.example.org AAAA 2001:db8::1
    mx.example.org AAAA 2001:db8::2
    """.replace("    ", "")
    assert order(found(zone)) == ["mx.example.org 2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3"]
    assert order(found(zone, shuffle=reverse)) == [
        "mx.example.org 2001:db8::2 192.0.2.3 2001:db8::1 192.0.2.2 192.0.2.1"
    ]


def test_without_ipv6_no_such_address_is_asked_for() -> None:
    zones = ZoneResolver(
        "example.org MX 10 mx.example.org\nmx.example.org A 192.0.2.1\nmx.example.org AAAA 2001:db8::1"
    )
    assert order(found(zones, ipv6=False)) == ["mx.example.org 192.0.2.1"]
    assert set(zones.queries) == {("example.org", "MX"), ("mx.example.org", "A")}
    only6 = "example.org MX 10 mx.example.org\nmx.example.org AAAA 2001:db8::1"
    assert refused(only6, ipv6=False)[0] == "550 5.4.4"


def test_a_host_named_twice_counts_once_at_its_best() -> None:
    zone = "example.org MX 20 mx.example.org\nexample.org MX 5 MX.example.org\nmx.example.org A 192.0.2.1"
    assert found(zone).hosts == (Host("mx.example.org", ("192.0.2.1",), 5, False),)


def test_the_hosts_hold_as_long_as_the_shortest_answer() -> None:
    assert found(ZoneResolver(TWO, failing={"mx2.example.org AAAA"})).ttl == 5
    assert found("example.org 30 MX 1 mx.example.org\nmx.example.org 90 A 192.0.2.1").ttl == 30


def test_what_was_found_is_told() -> None:
    zone = TWO + "mx1.example.org AAAA 2001:db8::1\n"
    assert found(ZoneResolver(zone, authentic={"example.org", "mx1.example.org"})).notes == (
        "example.org has the MX records mx1.example.org (10), mx2.example.org (20), vouched for by DNSSEC,"
        " for 300 more seconds.",
        "mx1.example.org has the addresses 2001:db8::1, 192.0.2.1, vouched for by DNSSEC.",
        "mx2.example.org has the addresses 192.0.2.2.",
    )


# No MX record


@pytest.mark.rfc("5321 §5.1", "Without MX records the domain is its own host.")
def test_without_mx_records_the_domain_is_its_own_host() -> None:
    hosts = found("example.org 60 A 192.0.2.1\nexample.org 90 AAAA 2001:db8::1")
    assert hosts.hosts == (Host("example.org", ("2001:db8::1", "192.0.2.1"), 0, False),)
    assert hosts.is_implicit and hosts.ttl == 60
    assert "example.org has no MX record" in hosts.notes[0]


def test_with_mx_records_the_domains_own_address_never_counts() -> None:
    zone = "example.org A 192.0.2.9\nexample.org MX 10 gone.example.org"
    code, told = refused(zone)
    assert code == "550 5.4.4" and "192.0.2.9" not in told
    assert "gone.example.org is passed over: gone.example.org does not exist." in told


def test_a_domain_with_neither_has_no_host() -> None:
    code, told = refused("example.org TXT nothing")
    assert code == "550 5.4.4" and "example.org has no A record" in told


def test_a_domain_that_does_not_exist_is_told() -> None:
    code, told = refused(TWO, "example.net")
    assert code == "550 5.1.2" and "example.net does not exist" in told


@pytest.mark.rfc("7505 §4.1", "Mail for such a domain is refused with 556 5.1.10.")
@pytest.mark.rfc("7505 §3", "A null MX says that the domain takes no mail.")
@pytest.mark.parametrize("mx", ["MX 0 .", "MX 10 .", "MX 0 .\nexample.org A 192.0.2.1"])
def test_a_null_mx_says_that_there_is_no_mail(mx: str) -> None:
    assert refused(f"example.org {mx}")[0] == "556 5.1.10"


@pytest.mark.rfc("7505 §3", "A null MX beside other records is passed over.")
def test_a_null_mx_beside_others_is_passed_over() -> None:
    hosts = found(TWO + "example.org MX 0 .\n")
    assert [host.name for host in hosts.hosts] == ["mx1.example.org", "mx2.example.org"]
    assert "The MX record . is passed over: a null MX stands alone (RFC 7505 §3)." in hosts.notes


# Aliases


def test_an_alias_of_a_domain_counts_as_its_target() -> None:
    hosts = found(TWO + "www.example.org CNAME example.org\n", "www.example.org")
    assert [host.name for host in hosts.hosts] == ["mx1.example.org", "mx2.example.org"]
    assert "www.example.org is an alias of example.org" in hosts.notes[0]


def test_an_alias_without_mx_records_is_its_target_as_a_host() -> None:
    hosts = found("www.example.org CNAME host.example.net\nhost.example.net A 192.0.2.1", "www.example.org")
    assert order(hosts) == ["host.example.net 192.0.2.1"] and hosts.is_implicit


def test_an_alias_that_leads_nowhere_does_not_exist() -> None:
    assert refused("www.example.org CNAME gone.example.org", "www.example.org")[0] == "550 5.1.2"


def test_an_alias_in_a_circle_is_for_later() -> None:
    assert refused("www.example.org CNAME www.example.org", "www.example.org")[0] == "451 4.4.3"


@pytest.mark.rfc("5321 §5.1", "A host that is an alias is taken.")
def test_a_host_that_is_an_alias_is_taken_and_told() -> None:
    hosts = found(
        "example.org MX 10 mx.example.org\nmx.example.org CNAME real.example.net\nreal.example.net A 192.0.2.1"
    )
    assert order(hosts) == ["mx.example.org 192.0.2.1"]
    assert any("mx.example.org, an alias of real.example.net," in note for note in hosts.notes)


# What cannot be used


@pytest.mark.parametrize(
    ("exchange", "told"),
    [
        ("192.0.2.1", "it is an IP address"),
        ("a\\032b.example.org", "it is not the name of a host"),
        ("-.example.org", "it is not the name of a host"),
    ],
)
def test_an_mx_record_that_names_no_host_is_passed_over(exchange: str, told: str) -> None:
    zones = ZoneResolver(f"{TWO}example.org MX 1 {exchange}.\n{exchange}. A 192.0.2.66\n")
    hosts = found(zones)
    assert [host.name for host in hosts.hosts] == ["mx1.example.org", "mx2.example.org"]
    assert any(exchange in note and told in note for note in hosts.notes)
    assert (exchange, "A") not in zones.queries
    assert refused(f"example.org MX 1 {exchange}.")[0] == "550 5.4.4"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "169.254.1.1",
        "::1",
        "::",
        "ff02::1",
        "fe80::1",
        "::ffff:192.0.2.1",
        "::ffff:127.0.0.1",
    ],
)
def test_addresses_that_no_stranger_can_have_are_not_used(address: str) -> None:
    record = f"{'AAAA' if ':' in address else 'A'} {address}"
    hosts = found(f"{TWO}example.org MX 1 bad.example.org\nbad.example.org {record}\n")
    assert [host.name for host in hosts.hosts] == ["mx1.example.org", "mx2.example.org"]
    assert any(f"bad.example.org is passed over: {address} is not used" in note for note in hosts.notes)
    beside = found(f"example.org MX 1 some.example.org\nsome.example.org A 192.0.2.1\nsome.example.org {record}\n")
    assert order(beside) == ["some.example.org 192.0.2.1"]
    assert any(f"some.example.org: {address} is not used" in note for note in beside.notes)
    assert refused(f"example.org MX 1 bad.example.org\nbad.example.org {record}")[0] == "550 5.4.4"
    literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
    assert refused("", literal)[0] == "550 5.4.4"


def test_loopback_is_used_where_it_is_allowed() -> None:
    zone = "example.org MX 10 mx\nmx A 127.0.0.1\nmx AAAA ::1\nmx A 0.0.0.0"
    assert order(found(zone, allow_loopback=True)) == ["mx ::1 127.0.0.1"]
    assert order(found("", "[127.0.0.1]", allow_loopback=True)) == ["127.0.0.1 127.0.0.1"]


def test_private_networks_have_mail_too() -> None:
    zone = "example.org MX 10 mx.example.org\nmx.example.org A 10.0.0.1\nmx.example.org AAAA fd00::1"
    assert order(found(zone)) == ["mx.example.org fd00::1 10.0.0.1"]


# Failures of the DNS


def test_a_failure_is_for_later_and_never_the_implicit_host() -> None:
    zones = ZoneResolver(TWO + "example.org A 192.0.2.9\n", failing={"example.org MX"})
    code, told = refused(zones)
    assert code == "451 4.4.3" and "the DNS does not tell of example.org" in told
    assert set(zones.queries) == {("example.org", "MX")}


def test_a_host_whose_addresses_nobody_knows_now_is_passed_over() -> None:
    hosts = found(ZoneResolver(TWO, failing={"mx1.example.org"}))
    assert [host.name for host in hosts.hosts] == ["mx2.example.org"]
    assert any("mx1.example.org is passed over: the DNS does not tell" in note for note in hosts.notes)


def test_a_host_is_used_by_the_addresses_that_are_known() -> None:
    hosts = found(ZoneResolver(TWO, failing={"mx1.example.org AAAA"}))
    assert order(hosts) == ["mx1.example.org 192.0.2.1", "mx2.example.org 192.0.2.2"]
    assert any("mx1.example.org: the DNS does not tell" in note for note in hosts.notes)


@pytest.mark.parametrize(
    "failing", [{"mx1.example.org", "mx2.example.org"}, {"mx1.example.org AAAA", "mx1.example.org A"}]
)
def test_while_some_host_may_come_to_have_an_address_mail_waits(failing: set[str]) -> None:
    zone = "example.org MX 10 mx1.example.org\nexample.org MX 20 mx2.example.org"  # of which none has an address
    assert refused(zone)[0] == "550 5.4.4"
    assert refused(ZoneResolver(zone, failing=failing))[0] == "451 4.4.3"
    assert refused(ZoneResolver("example.org TXT x", failing={"example.org A"}))[0] == "451 4.4.3"


# This server among the hosts


@pytest.mark.rfc("5321 §5.1", "Where this server is a host itself, only better ones are tried.")
@pytest.mark.parametrize("known", ["mx2.example.org", "192.0.2.2"])
def test_only_hosts_better_than_this_server_are_used(known: str) -> None:
    zone = TWO + "example.org MX 30 mx3.example.org\nmx3.example.org A 192.0.2.3\n"
    zone += "example.org MX 20 equal.example.org\nequal.example.org A 192.0.2.4\n"
    hosts = found(zone, is_own=own(known))
    assert [host.name for host in hosts.hosts] == ["mx1.example.org"]
    assert any("This server is itself a host of example.org, with preference 20" in note for note in hosts.notes)


@pytest.mark.rfc("5321 §5.1", "Mail for which this server is the best host fails as a loop.")
@pytest.mark.parametrize("known", ["mx1.example.org", "192.0.2.1"])
def test_mail_for_which_this_server_is_the_best_host_loops(known: str) -> None:
    code, told = refused(TWO, is_own=own(known))
    assert code == "554 5.4.6" and "mail for example.org loops back to this server" in told


def test_the_implicit_host_and_a_literal_can_be_this_server() -> None:
    zone = "example.org A 192.0.2.1"
    assert refused(zone, is_own=own("192.0.2.1"))[0] == "554 5.4.6"
    assert refused(zone, is_own=own("example.org"))[0] == "554 5.4.6"
    assert refused("", "[192.0.2.1]", is_own=own("192.0.2.1"))[0] == "554 5.4.6"
    assert refused("", "[IPv6:2001:db8::1]", is_own=own("2001:db8::1"))[0] == "554 5.4.6"


def test_a_name_of_this_server_counts_though_its_address_is_not_known() -> None:
    zones = ZoneResolver(TWO, failing={"mx1.example.org"})
    assert refused(zones, is_own=own("mx1.example.org"))[0] == "554 5.4.6"


def test_where_the_better_hosts_cannot_be_found_now_mail_waits_and_does_not_loop() -> None:
    zones = ZoneResolver(TWO, failing={"mx1.example.org"})
    assert refused(zones, is_own=own("mx2.example.org"))[0] == "451 4.4.3"


def test_an_address_that_is_not_used_makes_no_loop() -> None:
    zone = TWO + "example.org MX 1 bad.example.org\nbad.example.org A 127.0.0.1\n"
    assert len(found(zone, is_own=own("127.0.0.1")).hosts) == 2
    assert refused(zone, is_own=own("127.0.0.1"), allow_loopback=True)[0] == "554 5.4.6"


# Address literals


@pytest.mark.rfc("5321 §4.1.3", "An address literal is its own host.")
@pytest.mark.parametrize(("literal", "address"), [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1")])
def test_an_address_literal_is_its_own_host(literal: str, address: str) -> None:
    zones = ZoneResolver("")
    hosts = found(zones, literal)
    assert hosts.hosts == (Host(address, (address,), 0, False),) and not hosts.is_authentic
    assert not zones.queries


def test_literals_that_cannot_be_reached_are_refused() -> None:
    assert refused("", "[x25:12345]")[0] == "550 5.1.2"
    code, told = refused("", "[IPv6:2001:db8::1]", ipv6=False)
    assert code == "550 5.4.4" and "IPv6 is not used here" in told


# Authentic answers


@pytest.mark.parametrize(
    ("authentic", "records", "host"),
    [(False, False, False), (True, True, True), ({"example.org"}, True, False), ({"mx1.example.org"}, False, True)],
)
def test_what_dnssec_vouches_for(authentic: Any, records: bool, host: bool) -> None:
    hosts = found(ZoneResolver(TWO, authentic=authentic))
    assert (hosts.is_authentic, hosts.hosts[0].is_authentic) == (records, host)


def test_for_an_implicit_host_its_address_decides() -> None:
    zone = "www.example.org CNAME host.example.net\nhost.example.net A 192.0.2.1"
    hosts = found(ZoneResolver(zone, authentic={"host.example.net"}), "www.example.org")
    assert (hosts.is_authentic, hosts.hosts[0].is_authentic) == (True, True)


def test_one_family_that_is_vouched_for_is_enough() -> None:
    class Translating(ZoneResolver):
        """Makes IPv6 addresses of IPv4 ones, as networks with IPv6 only do (RFC 6147)."""

        async def ipv6(self, name: str) -> Answer[str]:
            return Answer((await self.ipv4(name)).status, ("64:ff9b::c000:201",), name, False, 60, "")

    hosts = found(Translating("example.org MX 1 mx.example.org\nmx.example.org A 192.0.2.1", authentic=True))
    assert hosts.hosts == (Host("mx.example.org", ("64:ff9b::c000:201", "192.0.2.1"), 1, True),)


# Limits


def test_hosts_and_addresses_have_limits_and_each_host_keeps_two() -> None:
    many = "\n".join(
        f"example.org MX {n} mx{n}.example.org\n"
        + "\n".join(f"mx{n}.example.org A 198.51.{n}.{m}\nmx{n}.example.org AAAA 2001:db8::{n}:{m}" for m in range(9))
        for n in range(100)
    )
    zones = ZoneResolver(many)
    hosts = found(zones)
    assert [host.preference for host in hosts.hosts] == list(range(MAX_HOSTS))
    assert all(len(host.addresses) == 2 for host in hosts.hosts)
    assert zones.queries.total() == 1 + 2 * MAX_HOSTS
    assert sum(map(len, hosts.notes)) < 10_000
    one = "example.org MX 1 mx\n" + "\n".join(f"mx A 198.51.100.{n}" for n in range(100))
    assert len(found(one).hosts[0].addresses) == MAX_ADDRESSES


def test_this_server_is_found_by_name_however_far_down_the_list() -> None:
    zone = "\n".join(f"example.org MX 5 mx{n}.example.org\nmx{n}.example.org A 192.0.2.{n}" for n in range(50))
    assert refused(zone, is_own=own("mx49.example.org"))[0] == "554 5.4.6"


def test_addresses_of_all_hosts_are_asked_for_at_once() -> None:
    async def main() -> None:
        everybody = asyncio.Barrier(4)

        class Waiting(ZoneResolver):
            async def ipv4(self, name: str) -> Answer[str]:
                await everybody.wait()
                return await super().ipv4(name)

            async def ipv6(self, name: str) -> Answer[str]:
                await everybody.wait()
                return await super().ipv6(name)

        async with asyncio.timeout(10):
            hosts = await find_hosts("example.org", Waiting(TWO), is_own=nobody, shuffle=keep)
        assert isinstance(hosts, Hosts) and len(hosts.hosts) == 2

    asyncio.run(main())


# One host that the operator named


def ask(question: Coroutine[Any, Any, Hosts | NoHosts]) -> Hosts | NoHosts:
    return asyncio.run(question)


@pytest.mark.rfc("6761 §6.3", "`localhost` is known without the DNS.")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mx1.example.org", "mx1.example.org 192.0.2.1"),
        ("loop.example.org", "loop.example.org ::1 127.0.0.1"),
        ("192.0.2.7", "192.0.2.7 192.0.2.7"),
        ("2001:db8::7", "2001:db8::7 2001:db8::7"),
        ("[127.0.0.1]", "127.0.0.1 127.0.0.1"),
        ("[IPv6:::1]", "::1 ::1"),
        ("localhost", "localhost 127.0.0.1 ::1"),
    ],
)
def test_a_host_named_by_the_operator_is_found_by_its_addresses(name: str, expected: str) -> None:
    zones = ZoneResolver(TWO + "loop.example.org A 127.0.0.1\nloop.example.org AAAA ::1\nloop.example.org MX 1 other\n")
    hosts = ask(find_host(name, zones))
    assert isinstance(hosts, Hosts) and order(hosts) == [expected]
    assert not any(rdtype == "MX" for _, rdtype in zones.queries)


def test_a_host_named_by_the_operator_that_is_not_there_never_returns_mail() -> None:
    none = ask(find_host("gone.example.org", ZoneResolver(TWO)))
    assert isinstance(none, NoHosts) and str(none.reply.status) == "4.4.4" and "gone.example.org" in none.reason
    assert "gone" not in none.reply.text
    none = ask(find_host("mx1.example.org", ZoneResolver(TWO, failing={"mx1.example.org"})))
    assert isinstance(none, NoHosts) and str(none.reply.status) == "4.4.3"
    only6 = ask(find_host("localhost", ZoneResolver(""), ipv6=False))
    assert isinstance(only6, Hosts) and only6.hosts[0].addresses == ("127.0.0.1",)


# Whatever a zone holds


NAMES = [f"mx{n}.example.org" for n in range(6)]
ADDRESSES = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1", "2001:db8::2", "127.0.0.1", "::1", "0.0.0.0"]


@given(
    mx=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([*NAMES, ".", "192.0.2.9."])), max_size=12),
    hosts=st.dictionaries(st.sampled_from([*NAMES, "example.org"]), st.sets(st.sampled_from(ADDRESSES), min_size=1)),
    failing=st.sets(st.sampled_from([*NAMES, *(f"{name} AAAA" for name in NAMES), "example.org A"]), max_size=3),
    ours=st.sets(st.sampled_from([*NAMES, *ADDRESSES[:5]]), max_size=2),
    seed=st.integers(0, 5),
)
def test_hosts_are_in_order_usable_and_never_this_server(
    mx: list[tuple[int, str]], hosts: dict[str, set[str]], failing: set[str], ours: set[str], seed: int
) -> None:
    lines = [f"example.org MX {preference} {name}" for preference, name in mx]
    for name, addresses in hosts.items():
        lines += [f"{name} {'AAAA' if ':' in each else 'A'} {each}" for each in addresses]
    is_own = own(*ours)
    hosts_or_none = find(
        ZoneResolver("\n".join(lines), failing=failing), is_own=is_own, shuffle=random.Random(seed).shuffle
    )
    if isinstance(hosts_or_none, NoHosts):
        assert hosts_or_none.reply.code >= 400 and hosts_or_none.reply.status is not None and hosts_or_none.reason
        return
    preferences = [host.preference for host in hosts_or_none.hosts]
    assert preferences and preferences == sorted(preferences)
    assert len({host.name for host in hosts_or_none.hosts}) == len(preferences)
    for host in hosts_or_none.hosts:
        assert host.addresses and set(host.addresses) <= hosts[host.name] - {"127.0.0.1", "::1", "0.0.0.0"}
        assert not is_own(host.name, "") and not any(is_own(host.name, address) for address in host.addresses)
        if mx:
            assert (host.preference, host.name) in mx
            better_or_equal = [name for preference, name in mx if preference <= host.preference]
            assert not any(is_own(name, "") for name in better_or_equal)
        else:
            assert hosts_or_none.is_implicit and host.name == "example.org"


# What is certain before any attempt


@pytest.mark.rfc("7505 §4.1", "A null MX, and it alone, says before any attempt that a domain takes no mail.")
@pytest.mark.parametrize(
    ("zone", "failing", "expected"),
    [
        ("example.org MX 0 .\n", set(), "556 5.1.10 the domain example.org takes no mail"),
        ("other.example A 192.0.2.1\n", set(), "550 5.1.2 the domain example.org does not exist"),
        ("example.org MX 1 mx.example.org.\n", set(), "None"),
        ("example.org A 192.0.2.1\n", set(), "None"),
        ("example.org MX 0 .\n", {"example.org"}, "None"),
    ],
)
def test_domains_that_take_no_mail_are_known_before_any_attempt(zone: str, failing: set[str], expected: str) -> None:
    assert str(asyncio.run(why_no_mail("example.org", ZoneResolver(zone, failing=failing)))) == expected
