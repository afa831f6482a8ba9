"""The resolver that reads a zone file gives the answers that a real one gives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from estafeta.net.dns import Answer, DnsStatus, MxRecord, TlsaRecord
from estafeta.net.zones import ZoneResolver

ZONES = f"""
plain.example    MX 10 mx.plain.example   ; names are below the root
          60  IN MX 20 MX2.plain.example
a.b.plain.example A 192.0.2.1

$TTL 1h
$ORIGIN example.org.
@ SOA ns host ( 1 7200 3600
    86400 90 )
@ IN 7 MX 10 mx
mx      A 192.0.2.1
        A 192.0.2.2
        AAAA 2001:DB8:0::1
www     120 CNAME @
far     CNAME mx.plain.example.
circle  CNAME circle
lost    CNAME nothing
t       TXT "a b" "c;d"
_25._tcp.mx TLSA 3 1 1 ( {"ab" * 16}
                         {"cd" * 16} )
$ORIGIN example.net.
@ A 192.0.2.9
"""


def ask(question: Coroutine[Any, Any, Answer[Any]]) -> Answer[Any]:
    return asyncio.run(question)


def short(answer: Answer[Any]) -> tuple[DnsStatus, str, float]:
    assert bool(answer.detail) == (answer.status is not DnsStatus.FOUND)
    return answer.status, answer.name, answer.ttl


@pytest.mark.rfc("1035 §5.1", "A zone file is read.")
def test_a_zone_file_with_several_zones_is_read() -> None:
    zones = ZoneResolver(ZONES)
    found = ask(zones.mx("plain.example"))
    assert found.records == (MxRecord(10, "mx.plain.example"), MxRecord(20, "mx2.plain.example")) and found.ttl == 60
    found = ask(zones.mx("example.org"))
    assert found == Answer(DnsStatus.FOUND, (MxRecord(10, "mx.example.org"),), "example.org", False, 7, "")
    assert ask(zones.ipv4("mx.example.org")).records == ("192.0.2.1", "192.0.2.2")
    assert ask(zones.ipv6("mx.example.org")).records == ("2001:db8::1",)
    assert ask(zones.txt("t.example.org")).records == ("a bc;d",)
    tlsa = TlsaRecord(3, 1, 1, b"\xab" * 16 + b"\xcd" * 16)
    assert ask(zones.tlsa("_25._tcp.mx.example.org")).records == (tlsa,)
    assert ask(zones.ipv4("example.net")).records == ("192.0.2.9",)


def test_aliases_are_followed_from_zone_to_zone() -> None:
    zones = ZoneResolver(ZONES)
    assert short(ask(zones.mx("www.example.org"))) == (DnsStatus.FOUND, "example.org", 7)
    assert short(ask(zones.ipv4("far.example.org"))) == (DnsStatus.NO_NAME, "mx.plain.example", 300)
    assert short(ask(zones.ipv4("lost.example.org"))) == (DnsStatus.NO_NAME, "nothing.example.org", 90)
    assert ask(zones.ipv4("circle.example.org")).status is DnsStatus.FAILED


@pytest.mark.rfc("8020 §2", "A name with another below it exists.")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mx.example.org", (DnsStatus.NO_DATA, "mx.example.org", 90)),
        ("_tcp.mx.example.org", (DnsStatus.NO_DATA, "_tcp.mx.example.org", 90)),
        ("b.plain.example", (DnsStatus.NO_DATA, "b.plain.example", 300)),
        ("gone.example.org", (DnsStatus.NO_NAME, "gone.example.org", 90)),
        ("example.com", (DnsStatus.NO_NAME, "example.com", 300)),
        ("a..b", (DnsStatus.NO_NAME, "a..b", 300)),
    ],
)
def test_a_name_without_records_is_not_a_name_that_is_not(name: str, expected: tuple[DnsStatus, str, float]) -> None:
    assert short(ask(ZoneResolver(ZONES).txt(name))) == expected


def test_names_and_types_can_fail() -> None:
    zones = ZoneResolver(ZONES, failing={"example.net", "mx.example.org AAAA"})
    assert ask(zones.ipv4("example.net")).status is DnsStatus.FAILED
    assert ask(zones.ipv6("mx.example.org")).status is DnsStatus.FAILED
    assert ask(zones.ipv4("mx.example.org")).status is DnsStatus.FOUND
    zones.failing = lambda name, rdtype: rdtype == "MX"
    assert ask(zones.mx("www.example.org")).status is DnsStatus.FAILED
    assert ask(zones.ipv4("example.net")).status is DnsStatus.FOUND


def test_answers_are_authentic_as_told() -> None:
    assert not ask(ZoneResolver(ZONES).mx("example.org")).is_authentic
    assert ask(ZoneResolver(ZONES, authentic=True).mx("example.org")).is_authentic
    zones = ZoneResolver(ZONES, authentic={"example.org", "far.example.org"})
    assert ask(zones.mx("example.org")).is_authentic and ask(zones.ipv4("example.org")).is_authentic
    assert not ask(zones.mx("www.example.org")).is_authentic  # an alias that anybody may have made
    assert not ask(zones.ipv4("far.example.org")).is_authentic


def test_questions_are_counted_and_the_text_can_change() -> None:
    zones = ZoneResolver(ZONES)
    ask(zones.mx("example.org"))
    zones.load("example.org MX 5 new.example.org")
    assert ask(zones.mx("example.org")).records == (MxRecord(5, "new.example.org"),)
    assert ask(zones.ipv4("example.net")).status is DnsStatus.NO_NAME
    assert zones.queries == {("example.org", "MX"): 2, ("example.net", "A"): 1}
    with pytest.raises(ValueError):
        zones.load("example.org MX\n")
    assert ask(zones.mx("example.org")).status is DnsStatus.FOUND


@pytest.mark.parametrize("text", ["a A nonsense", "a NOTYPE 1", "a", "a 60 IN", "a MX 10", "$ORIGIN", "$INCLUDE /x"])
def test_a_text_that_is_no_zone_file_is_told_with_its_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"near line [34]"):
        ZoneResolver(f"\n\n{text}\n")
