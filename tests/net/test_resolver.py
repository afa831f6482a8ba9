"""The resolver before real servers on loopback: what it makes of their answers, and how long it keeps them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.net.dnsserver import Asked, DnsServer, Say, denial, dns_server, failing, records, reply, silent

from estafeta.net.dns import Answer, DnsSettings, DnsStatus, MxRecord, TlsaRecord, TrustAd
from estafeta.net.dnsmessage import MAX_CHAIN
from estafeta.net.resolver import DnsResolver

Run = Callable[[Coroutine[Any, Any, None]], None]

MX = "example.org. 300 MX 10 mx.example.org."
A = "mx.example.org. 120 A 192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def asking(*servers: DnsServer, clock: Clock | None = None, **settings: Any) -> AsyncIterator[DnsResolver]:
    """A resolver that asks these servers, which all have one port."""
    settings = {"timeout": 5.0, "tries": 2, **settings}
    addresses = tuple(server.address for server in servers)
    resolver = DnsResolver(DnsSettings(addresses, servers[0].port, **settings), clock or Clock())
    try:
        yield resolver
    finally:
        await resolver.close()


def status(answer: Answer[Any]) -> tuple[DnsStatus, float]:
    assert bool(answer.records) == (answer.status is DnsStatus.FOUND)
    assert bool(answer.detail) == (answer.status is not DnsStatus.FOUND)
    return answer.status, answer.ttl


# Records as values


@pytest.mark.rfc("1035 §3.3.9", "An MX record gives its preference and its exchange.")
def test_records_of_each_type_come_as_values(run: Run) -> None:
    say = records(
        "example.org. 300 MX 20 MX2.Example.org.",
        "example.org. 300 MX 10 mx.example.org.",
        "null.example.org. 300 MX 0 .",
        A,
        "mx.example.org. 60 AAAA 2001:DB8:0:0::1",
        'example.org. 300 TXT "v=STSv1; " "id=1;"',
        r'odd.example.org. 300 TXT "\255"',
        f"_25._tcp.mx.example.org. 300 TLSA 3 1 1 {'ab' * 32}",
    )

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            found = await resolver.mx("example.org")
            assert (found.status, found.name, found.ttl) == (DnsStatus.FOUND, "example.org", 300)
            assert set(found.records) == {MxRecord(10, "mx.example.org"), MxRecord(20, "mx2.example.org")}
            assert (await resolver.mx("null.example.org")).records == (MxRecord(0, ""),)
            assert (await resolver.ipv4("mx.example.org")).records == ("192.0.2.1",)
            assert (await resolver.ipv6("mx.example.org")).records == ("2001:db8::1",)
            assert (await resolver.txt("example.org")).records == ("v=STSv1; id=1;",)
            assert (await resolver.txt("odd.example.org")).records == ("\ufffd",)
            tlsa = await resolver.tlsa("_25._tcp.mx.example.org")
            assert tlsa.records == (TlsaRecord(3, 1, 1, b"\xab" * 32),)

    run(main())


# What is not there


@pytest.mark.rfc("2308 §2", "No such name, no data and failure are different.")
def test_no_name_no_data_and_failure_are_different(run: Run) -> None:
    def say(asked: Asked) -> list[bytes]:
        return {
            "MX gone.example.org": denial(asked, dns.rcode.NXDOMAIN),
            "MX empty.example.org": denial(asked, dns.rcode.NOERROR),
            "MX broken.example.org": failing(dns.rcode.SERVFAIL)(asked),
        }[asked.text]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            gone, empty = await resolver.mx("gone.example.org"), await resolver.mx("empty.example.org")
            assert status(gone) == (DnsStatus.NO_NAME, 60) and "gone.example.org does not exist" in gone.detail
            assert status(empty) == (DnsStatus.NO_DATA, 60) and "no MX record" in empty.detail
            broken = await resolver.mx("broken.example.org")
            assert status(broken) == (DnsStatus.FAILED, 5) and "127.0.0.1: SERVFAIL" in broken.detail

    run(main())


@pytest.mark.rfc("2308 §5", "A denial is kept as the SOA says, an hour at most.")
@pytest.mark.parametrize(
    ("ttl", "minimum", "kept"), [(900, 60, 60), (30, 3600, 30), (86400, 86400, 3600), (2**31 - 1, 2**31 - 1, 3600)]
)
def test_a_denial_is_kept_as_the_soa_says_an_hour_at_most(run: Run, ttl: int, minimum: int, kept: int) -> None:
    soa = f"example.org. {ttl} SOA ns.example.org. host.example.org. 1 7200 3600 86400 {minimum}"

    async def main() -> None:
        async with (
            dns_server(lambda asked: denial(asked, dns.rcode.NXDOMAIN, soa)) as server,
            asking(server) as resolver,
        ):
            assert status(await resolver.mx("gone.example.org")) == (DnsStatus.NO_NAME, kept)

    run(main())


@pytest.mark.rfc("2308 §5", "A denial without SOA is not kept.")
def test_a_denial_without_soa_is_not_kept(run: Run) -> None:
    async def main() -> None:
        async with dns_server(lambda asked: [reply(asked).to_wire()]) as server, asking(server) as resolver:
            for _ in range(2):
                assert status(await resolver.mx("example.org")) == (DnsStatus.NO_DATA, 0)
            assert server.questions == ["MX example.org"] * 2

    run(main())


@pytest.mark.parametrize(
    "name", ["", ".", "@", "a..example.org", f"{'a' * 64}.example.org", "a." * 128 + "org", "münchen.example", "a\\300"]
)
def test_a_name_that_the_dns_cannot_hold_does_not_exist(run: Run, name: str) -> None:
    async def main() -> None:
        async with dns_server(silent) as server, asking(server) as resolver:
            answer = await resolver.mx(name)
            assert answer.status is DnsStatus.NO_NAME and not answer.is_authentic
            assert server.asked == []

    run(main())


def test_a_name_with_odd_octets_is_asked_for_as_it_is(run: Run) -> None:
    async def main() -> None:
        say = records("example.org. 300 MX 10 a\\032b.example.org.", "a\\032b.example.org. 60 A 192.0.2.1")
        async with dns_server(say) as server, asking(server) as resolver:
            (found,) = (await resolver.mx("example.org")).records
            assert found.exchange == "a\\032b.example.org"
            assert (await resolver.ipv4(found.exchange)).records == ("192.0.2.1",)

    run(main())


# Aliases


@pytest.mark.rfc("1034 §3.6.2", "Aliases in the answer are followed.")
def test_aliases_in_the_answer_are_followed(run: Run) -> None:
    def say(asked: Asked) -> list[bytes]:
        message = reply(
            asked,
            "www.example.org. 300 CNAME a.example.org.",
            "a.example.org. 40 CNAME B.example.net.",
            "b.example.net. 300 MX 10 mx.example.org.",
            "else.example.net. 1 MX 10 other.example.org.",
        )
        return [message.to_wire()]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            found = await resolver.mx("www.example.org")
            assert found.records == (MxRecord(10, "mx.example.org"),)
            assert (found.name, found.ttl) == ("b.example.net", 40)
            assert server.questions == ["MX www.example.org"]

    run(main())


@pytest.mark.rfc("1034 §3.6.2", "Aliases that leave the answer are asked for.")
def test_aliases_that_leave_the_answer_are_asked_for(run: Run) -> None:
    say = records("www.example.org. 300 CNAME a.example.org.", "a.example.org. 40 CNAME b.example.net.", A)

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            empty = await resolver.ipv4("www.example.org")
            assert (empty.status, empty.name, empty.ttl) == (DnsStatus.NO_DATA, "b.example.net", 40)
            assert server.questions == ["A www.example.org", "A a.example.org", "A b.example.net"]

    run(main())


@pytest.mark.rfc("6604 §2", "NXDOMAIN is of the last name of a chain.")
@pytest.mark.parametrize(
    ("rcode", "expected"), [(dns.rcode.NXDOMAIN, DnsStatus.NO_NAME), (dns.rcode.NOERROR, DnsStatus.NO_DATA)]
)
def test_a_denial_after_an_alias_is_of_its_target(run: Run, rcode: dns.rcode.Rcode, expected: DnsStatus) -> None:
    def say(asked: Asked) -> list[bytes]:
        alias = "www.example.org. 30 CNAME gone.example.org."
        return [reply(asked, alias, rcode=rcode, authority=("example.org. 900 SOA a. b. 1 2 3 4 60",)).to_wire()]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            denied = await resolver.ipv4("www.example.org")
            assert (*status(denied), denied.name) == (expected, 30, "gone.example.org")
            assert server.questions == ["A www.example.org"]

    run(main())


def test_aliases_in_a_circle_are_a_failure(run: Run) -> None:
    say = records("a.example.org. 300 CNAME b.example.org.", "b.example.org. 300 CNAME a.example.org.")

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            assert (await resolver.ipv4("a.example.org")).status is DnsStatus.FAILED
            assert len(server.asked) == 2

    run(main())


@pytest.mark.rfc("1034 §3.6.2", "A chain of aliases has a limit.")
@pytest.mark.parametrize(("length", "expected"), [(MAX_CHAIN, DnsStatus.FOUND), (MAX_CHAIN + 1, DnsStatus.FAILED)])
def test_a_chain_of_aliases_has_a_limit(run: Run, length: int, expected: DnsStatus) -> None:
    links = [f"a{n}.example.org. 300 CNAME a{n + 1}.example.org." for n in range(length)]
    say = records(*links, f"a{length}.example.org. 300 A 192.0.2.1")

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            assert (await resolver.ipv4("a0.example.org")).status is expected

    run(main())


# Kept by TTL


def test_an_answer_is_kept_as_long_as_it_holds(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with dns_server(records(MX)) as server, asking(server, clock=clock) as resolver:
            await resolver.mx("example.org")
            clock.now += 299
            again = await resolver.mx("Example.ORG.")
            assert (again.records, again.ttl) == ((MxRecord(10, "mx.example.org"),), 1)
            assert len(server.asked) == 1
            server.say = records("example.org. 300 MX 10 new.example.org.")
            clock.now += 1
            assert (await resolver.mx("example.org")).records == (MxRecord(10, "new.example.org"),)

    run(main())


def test_a_ttl_beyond_reason_is_a_day_and_one_of_zero_is_for_once(run: Run) -> None:
    async def main() -> None:
        say = records("long.example.org. 2147483647 A 192.0.2.1", "once.example.org. 0 A 192.0.2.1")
        async with dns_server(say) as server, asking(server) as resolver:
            assert (await resolver.ipv4("long.example.org")).ttl == 86400
            for _ in range(2):
                assert (await resolver.ipv4("once.example.org")).ttl == 0
            assert server.questions[1:] == ["A once.example.org"] * 2

    run(main())


@pytest.mark.rfc("2308 §7", "A failure is remembered for seconds, and then asked about again.")
@pytest.mark.rfc("9520 §3.2", "A failure is kept for seconds.")
def test_a_failure_is_kept_for_seconds(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with dns_server(failing(dns.rcode.SERVFAIL)) as server, asking(server, clock=clock) as resolver:
            assert (await resolver.mx("example.org")).status is DnsStatus.FAILED
            clock.now += 4
            server.say = records(MX)
            assert (await resolver.mx("example.org")).status is DnsStatus.FAILED
            assert len(server.asked) == 1
            clock.now += 1
            assert (await resolver.mx("example.org")).status is DnsStatus.FOUND

    run(main())


def test_the_answers_kept_are_limited_and_the_longest_unused_go_first(run: Run) -> None:
    async def main() -> None:
        say = records(*(f"{name}.example.org. 300 A 192.0.2.1" for name in "abc"))
        async with dns_server(say) as server, asking(server, cache_entries=2) as resolver:
            for name in "abaca":
                await resolver.ipv4(f"{name}.example.org")
            assert server.questions == ["A a.example.org", "A b.example.org", "A c.example.org"]
            await resolver.ipv4("b.example.org")
            assert server.questions[3:] == ["A b.example.org"]

    run(main())


def test_an_answer_found_anew_takes_its_room_once(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        say = records("a.example.org. 300 A 192.0.2.1", "b.example.org. 10 A 192.0.2.1")
        async with dns_server(say) as server, asking(server, cache_entries=2, clock=clock) as resolver:
            for _ in range(5):
                await resolver.ipv4("a.example.org")
                await resolver.ipv4("b.example.org")
                clock.now += 10
            assert server.questions.count("A a.example.org") == 1

    run(main())


def test_a_large_answer_takes_the_room_of_several(run: Run) -> None:
    async def main() -> None:
        large = [f'large.example.org. 300 TXT "{n} {"x" * 200}"' for n in range(5)]
        async with dns_server(records(A, *large)) as server, asking(server, cache_entries=3) as resolver:
            await resolver.ipv4("mx.example.org")
            assert len((await resolver.txt("large.example.org")).records) == 5
            await resolver.ipv4("mx.example.org")
            assert server.questions.count("A mx.example.org") == 2

    run(main())


# Questions under way


def test_a_question_under_way_is_asked_once_for_all_who_wait(run: Run) -> None:
    async def main() -> None:
        async with dns_server(records(MX)) as server, asking(server) as resolver:
            waiting = [asyncio.create_task(resolver.mx("example.org")) for _ in range(10)]
            assert (await resolver.txt("example.org")).status is DnsStatus.NO_DATA
            assert [(await each).status for each in waiting] == [DnsStatus.FOUND] * 10
            assert sorted(server.questions) == ["MX example.org", "TXT example.org"]

    run(main())


def test_who_stops_waiting_takes_the_answer_from_nobody(run: Run) -> None:
    async def main() -> None:
        has_asked = asyncio.Event()

        def say(asked: Asked) -> list[bytes]:
            has_asked.set()
            return []

        async with dns_server(say) as server, asking(server, timeout=0.5) as resolver:
            first = asyncio.create_task(resolver.mx("example.org"))
            second = asyncio.create_task(resolver.mx("example.org"))
            await has_asked.wait()
            server.say = records(MX)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert (await second).records == (MxRecord(10, "mx.example.org"),)  # by the second try
            assert len(server.asked) == 2

    run(main())


def test_who_waits_when_it_closes_gets_a_failure(run: Run) -> None:
    async def main() -> None:
        async with dns_server(silent) as server, asking(server) as resolver:
            waiting = asyncio.create_task(resolver.mx("example.org"))
            while not server.asked:
                await asyncio.sleep(0)
            await resolver.close()
            assert (await waiting).status is DnsStatus.FAILED
            assert (await resolver.mx("example.net")).status is DnsStatus.FAILED
            assert len(server.asked) == 1

    run(main())


def test_more_questions_than_sockets_allow_wait_their_turn(run: Run) -> None:
    async def main() -> None:
        async with dns_server(silent) as server, asking(server) as resolver:
            waiting = [asyncio.create_task(resolver.mx(f"{n}.example.org")) for n in range(210)]
            while len(server.asked) < 200:
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(server.asked) == 200
            await resolver.close()
            assert {(await each).status for each in waiting} == {DnsStatus.FAILED}

    run(main())


# Servers that fail


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_after_a_server_that_fails_the_next_is_asked_at_once(run: Run, rcode: dns.rcode.Rcode) -> None:
    async def main() -> None:
        async with (
            dns_server(failing(rcode)) as bad,
            dns_server(records(MX), "127.0.0.2", bad.port) as good,
            asking(bad, good) as resolver,
        ):
            assert (await resolver.mx("example.org")).status is DnsStatus.FOUND
            assert bad.questions == good.questions == ["MX example.org"]

    run(main())


def test_a_silent_server_costs_its_wait_once(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with (
            dns_server(silent) as dead,
            dns_server(records(MX, A), "127.0.0.2", dead.port) as good,
            asking(dead, good, timeout=0.4, clock=clock) as resolver,
        ):
            assert (await resolver.mx("example.org")).status is DnsStatus.FOUND
            assert (await resolver.ipv4("mx.example.org")).status is DnsStatus.FOUND
            assert (dead.questions, good.questions) == (["MX example.org"], ["MX example.org", "A mx.example.org"])
            dead.say = records(MX)
            clock.now += 60
            assert (await resolver.mx("example.net")).status is DnsStatus.NO_DATA
            assert dead.questions[1:] == ["MX example.net"]

    run(main())


def test_where_all_are_silent_each_was_asked_and_the_wait_ends(run: Run) -> None:
    async def main() -> None:
        async with (
            dns_server(silent) as one,
            dns_server(silent, "127.0.0.2", one.port) as two,
            dns_server(silent, "127.0.0.3", one.port) as three,
            asking(one, two, three, timeout=0.05) as resolver,
        ):
            answer = await resolver.mx("example.org")
            assert answer.status is DnsStatus.FAILED
            for server in (one, two, three):
                assert f"{server.address}: no answer within 0.05 seconds" in answer.detail
                assert len(server.asked) == 1

    run(main())


def test_a_silent_server_is_asked_as_often_as_the_settings_say(run: Run) -> None:
    async def main() -> None:
        async with dns_server(silent) as server, asking(server, timeout=0.05, tries=3) as resolver:
            assert (await resolver.mx("example.org")).status is DnsStatus.FAILED
            assert len(server.asked) == 3
            assert len({each.message.id for each in server.asked}) > 1
            assert len({each.source for each in server.asked}) > 1

    run(main())


def test_where_no_server_listens_nobody_waits(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        resolver = DnsResolver(DnsSettings(("127.0.0.1",), port, timeout=600), Clock())
        answer = await resolver.mx("example.org")
        assert answer.status is DnsStatus.FAILED and "connection refused" in answer.detail
        await resolver.close()

    run(main())


def test_a_server_that_is_no_address_is_a_failure(run: Run) -> None:
    async def main() -> None:
        resolver = DnsResolver(DnsSettings(("not an address",)), Clock())
        assert (await resolver.mx("example.org")).status is DnsStatus.FAILED
        await resolver.close()

    run(main())


@pytest.mark.rfc("8914 §4", "Why an answer failed validation is told in words.")
def test_why_an_answer_failed_validation_is_told(run: Run) -> None:
    def say(asked: Asked) -> list[bytes]:
        message = reply(asked, rcode=dns.rcode.SERVFAIL)
        message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "whatever \n a stranger says")])
        return [message.to_wire()]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            assert "SERVFAIL (DNSSEC bogus)" in (await resolver.mx("example.org")).detail

    run(main())


@pytest.mark.rfc("2308 §2.2.1", "A referral is a failure, not a denial.")
def test_a_server_that_does_not_resolve_for_others_is_a_failure(run: Run) -> None:
    def say(asked: Asked) -> list[bytes]:
        return [reply(asked, authority=("org. 900 NS a0.org.afilias-nst.info.",)).to_wire()]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            answer = await resolver.mx("example.org")
            assert answer.status is DnsStatus.FAILED and "other servers" in answer.detail

    run(main())


@pytest.mark.rfc("2308 §2.1", "A denial may name other servers.")
def test_a_denial_may_name_other_servers(run: Run) -> None:
    def say(asked: Asked) -> list[bytes]:  # RFC 2308 §2.1, type 4
        authority = ("org. 900 NS a0.org.afilias-nst.info.",)
        return [reply(asked, rcode=dns.rcode.NXDOMAIN, authority=authority).to_wire()]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            assert status(await resolver.mx("example.org")) == (DnsStatus.NO_NAME, 0)

    run(main())


def test_a_name_that_exists_and_does_not_is_a_failure(run: Run) -> None:
    async def main() -> None:
        async with (
            dns_server(lambda asked: [reply(asked, MX, rcode=dns.rcode.NXDOMAIN).to_wire()]) as server,
            asking(server) as resolver,
        ):
            assert (await resolver.mx("example.org")).status is DnsStatus.FAILED

    run(main())


@pytest.mark.rfc("6891 §7", "A server that answers FORMERR is asked without EDNS.")
def test_a_server_that_knows_no_edns_is_asked_without(run: Run) -> None:
    def say(asked: Asked) -> list[bytes]:
        return failing(dns.rcode.FORMERR)(asked) if asked.message.edns == 0 else records(MX)(asked)

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            assert (await resolver.mx("example.org")).status is DnsStatus.FOUND
            assert [each.message.edns for each in server.asked] == [0, -1]

    run(main())


# Octets that are not the answer


@pytest.mark.rfc("5452 §9.1", "What answers another question is passed over.")
def test_what_is_no_answer_to_the_question_is_passed_over(run: Run) -> None:
    evil = "example.org. 300 MX 10 evil.example.net."

    def say(asked: Asked) -> list[bytes]:
        wrong_id = reply(asked, evil)
        wrong_id.id ^= 1
        other = dns.message.make_query("example.net", "MX", id=asked.message.id)
        other_question = reply(Asked(other), "example.net. 300 MX 10 evil.example.net.")
        other_type = reply(Asked(dns.message.make_query("example.org", "A", id=asked.message.id)))
        question_itself = dns.message.make_query("example.org", "MX", id=asked.message.id)
        wrong = [each.to_wire() for each in (wrong_id, other_question, other_type, question_itself)]
        return [b"", b"\0", *wrong, reply(asked, MX).to_wire()]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            assert (await resolver.mx("example.org")).records == (MxRecord(10, "mx.example.org"),)

    run(main())


@pytest.mark.rfc("5452 §9.2", "A stranger cannot answer in place of the server.")
def test_a_stranger_cannot_answer_in_place_of_the_server(run: Run) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))

        def say(asked: Asked) -> list[bytes]:
            stranger.sendto(reply(asked, "example.org. 300 MX 10 evil.example.net.").to_wire(), asked.source)
            return [reply(asked, MX).to_wire()]

        async def main() -> None:
            async with dns_server(say) as server, asking(server) as resolver:
                assert (await resolver.mx("example.org")).records == (MxRecord(10, "mx.example.org"),)

        run(main())


def test_after_an_answer_that_cannot_be_read_the_next_server_is_asked(run: Run) -> None:
    def cut(asked: Asked) -> list[bytes]:
        return [reply(asked, MX).to_wire()[:-3]]

    async def main() -> None:
        async with dns_server(cut) as bad, asking(bad) as resolver:
            answer = await resolver.mx("example.org")
            assert answer.status is DnsStatus.FAILED and "cannot be read" in answer.detail
        async with (
            dns_server(cut) as bad,
            dns_server(records(MX), "127.0.0.2", bad.port) as good,
            asking(bad, good) as resolver,
        ):
            assert (await resolver.mx("example.org")).status is DnsStatus.FOUND

    run(main())


# TCP


def truncated(over_tcp: Say) -> Say:
    """Says over UDP that there is more, and over TCP what it is."""

    def say(asked: Asked) -> list[bytes]:
        if asked.is_tcp:
            return over_tcp(asked)
        return [reply(asked, "example.org. 300 MX 10 only.example.org.", flags=dns.flags.TC).to_wire()]

    return say


@pytest.mark.rfc("7766 §5", "A truncated answer is asked for over TCP.")
def test_a_truncated_answer_is_asked_for_over_tcp(run: Run) -> None:
    many = [f"example.org. 300 MX {n} a-long-name-for-an-exchange-{n}.example.org." for n in range(100)]

    async def main() -> None:
        async with dns_server(truncated(records(*many))) as server, asking(server) as resolver:
            assert len((await resolver.mx("example.org")).records) == 100
            assert [each.is_tcp for each in server.asked] == [False, True]

    run(main())


@pytest.mark.rfc("7766 §5", "What fails over TCP is a failure.")
def test_what_fails_over_tcp_is_a_failure(run: Run) -> None:
    def other(asked: Asked) -> list[bytes]:
        return [reply(Asked(dns.message.make_query("example.net", "MX", id=asked.message.id))).to_wire()]

    cases: dict[str, Say] = {
        "closed the connection": silent,
        "another question": other,
        "more than 16384": lambda asked: [reply(asked).to_wire() + b"\0" * 16384],
        "cut short": lambda asked: [reply(asked, MX, flags=dns.flags.TC).to_wire()],
        "more than 256 records": records(*(f"example.org. 300 MX {n} m{n}." for n in range(257))),
    }

    async def main() -> None:
        for told, over_tcp in cases.items():
            async with dns_server(truncated(over_tcp)) as server, asking(server) as resolver:
                answer = await resolver.mx("example.org")
                assert answer.status is DnsStatus.FAILED and told in answer.detail, told

    run(main())


# Authentic answers


@pytest.mark.rfc("7672 §2.2", "A server on this machine is believed on DNSSEC, unless the settings believe nobody.")
@pytest.mark.parametrize(
    ("trust", "expected"), [(TrustAd.LOOPBACK, True), (TrustAd.ALWAYS, True), (TrustAd.NEVER, False)]
)
def test_the_word_of_a_local_server_counts_unless_nobody_is_believed(run: Run, trust: TrustAd, expected: bool) -> None:
    async def main() -> None:
        async with dns_server(records(MX, is_authentic=True)) as server, asking(server, trust_ad=trust) as resolver:
            assert (await resolver.mx("example.org")).is_authentic is expected
            (asked,) = server.asked
            assert bool(asked.message.flags & dns.flags.AD) is expected
            assert bool(asked.message.ednsflags & dns.flags.DO) is expected
            server.say = records(MX)
            assert not (await resolver.ipv4("example.org")).is_authentic

    run(main())


def test_a_denial_can_be_authentic(run: Run) -> None:
    async def main() -> None:
        def say(asked: Asked) -> list[bytes]:
            soa = ("example.org. 900 SOA a. b. 1 2 3 4 60",)
            return [reply(asked, rcode=dns.rcode.NXDOMAIN, authority=soa, is_authentic=True).to_wire()]

        async with dns_server(say) as server, asking(server) as resolver:
            answer = await resolver.tlsa("_25._tcp.mx.example.org")
            assert (answer.status, answer.is_authentic) == (DnsStatus.NO_NAME, True)

    run(main())


@pytest.mark.rfc("4035 §3.2.3", "A chain of answers is authentic only as a whole.")
def test_a_chain_is_authentic_only_as_a_whole(run: Run) -> None:
    def say(asked: Asked) -> list[bytes]:
        if asked.text == "A signed.example.org":
            return [reply(asked, "signed.example.org. 300 CNAME open.example.net.", is_authentic=True).to_wire()]
        return [reply(asked, "open.example.net. 300 A 192.0.2.1").to_wire()]

    async def main() -> None:
        async with dns_server(say) as server, asking(server) as resolver:
            found = await resolver.ipv4("signed.example.org")
            assert (found.records, found.is_authentic) == (("192.0.2.1",), False)

    run(main())
