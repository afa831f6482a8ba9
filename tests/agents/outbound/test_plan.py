"""Where mail is tried, in which order, and what the operator's mistakes cost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, GatewayTls
from estafeta.agents.outbound.plan import MAX_STOPS, PasswordUnreadable, Plan, Planner, read_password
from estafeta.net.zones import ZoneResolver
from estafeta.routing.destinations import Destination
from estafeta.routing.security import Security, TlsLevel, TlsRule

ZONE = """
example.com. MX 10 mx1.example.com.
example.com. MX 20 mx2.example.com.
mx1.example.com. A 192.0.2.1
mx1.example.com. AAAA 2001:db8::1
mx2.example.com. A 192.0.2.2
null.example. MX 0 .
ours.example. MX 10 mx.example.org.
mx.example.org. A 192.0.2.9
"""


class Given:
    """A planner, what it asks, and its clock."""

    def __init__(self, zone: str = ZONE, *gateways: GatewaySettings, **more: Any) -> None:
        self.now = 0.0
        self.resolver = ZoneResolver(zone, failing=more.pop("failing", ()))
        rules = more.pop("rules", ())
        self.planner = Planner(
            self.resolver,
            Security(self.resolver, None, rules=rules, clock=lambda: self.now),
            {each.name: each for each in gateways},
            port=25,
            is_own=lambda name, _: name == "mx.example.org",
            shuffle=lambda _: None,
            monotonic=lambda: self.now,
            ipv6=True,
            allow_loopback=False,
        )

    def plan(self, destination: str = "example.com", **more: Any) -> Plan:
        return asyncio.run(self.planner.plan(Destination.parse(destination), **more))


def addresses(plan: Plan) -> list[str]:
    return [stop.address for stop in plan.stops]


def test_hosts_are_tried_by_preference_and_each_at_all_its_addresses() -> None:
    assert addresses(Given().plan()) == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]


@pytest.mark.rfc("5321 §5.1", "However many addresses a host has, the second of another keeps its place.")
def test_the_second_address_of_each_host_comes_before_any_third() -> None:
    many = "\n".join(f"mx1.example.com. A 198.51.100.{number}" for number in range(1, 31))
    plan = Given(ZONE + many).plan()
    assert len(plan.stops) == MAX_STOPS
    assert addresses(plan)[-1] == "192.0.2.2"
    assert [stop.host.name for stop in plan.stops] == ["mx1.example.com"] * (MAX_STOPS - 1) + ["mx2.example.com"]


def test_where_hosts_are_many_the_preferred_ones_have_two_addresses_each() -> None:
    zone = "".join(
        f"many.example. MX {number} mx{number}.many.example.\n"
        + "".join(f"mx{number}.many.example. A 192.0.{number}.{each}\n" for each in range(1, 5))
        for number in range(1, 9)
    )
    assert [stop.host.preference for stop in Given(zone).plan("many.example").stops] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_plan_is_kept_for_a_minute_and_for_each_demand() -> None:
    given = Given()
    first = given.plan()
    asked = sum(given.resolver.queries.values())
    assert given.plan() is first
    assert sum(given.resolver.queries.values()) == asked
    assert given.plan(requires_tls=True) is not first
    given.now = 61.0
    assert given.plan() is not first


def test_a_plan_that_led_to_nobody_is_made_anew() -> None:
    given = Given()
    first = given.plan()
    given.planner.forget(Destination.parse("example.com"))
    assert given.plan() is not first


def test_the_dns_is_asked_again_where_it_gave_no_host() -> None:
    given = Given()
    given.resolver.failing = ("example.com MX",)
    refusal = given.plan().refusal
    assert refusal is not None and (refusal.code, str(refusal.status)) == (451, "4.4.3")
    given.resolver.failing = ()
    assert given.plan().stops


@pytest.mark.parametrize(
    ("domain", "code", "status"),
    [("missing.example", 550, "5.1.2"), ("null.example", 556, "5.1.10"), ("ours.example", 554, "5.4.6")],
)
def test_what_the_dns_says_for_good_is_final(domain: str, code: int, status: str) -> None:
    plan = Given().plan(domain)
    assert plan.refusal is not None
    assert (plan.refusal.code, str(plan.refusal.status)) == (code, status)


@pytest.mark.parametrize("host", ["missing.example", "null.example", "ours.example"])
@pytest.mark.parametrize("mx", [True, False])
def test_an_operators_mistake_keeps_the_mail(host: str, mx: bool) -> None:
    gateway = GatewaySettings("smart", GatewayKind.SMTP, host=host, mx=mx)
    if host == "ours.example" and not mx:
        host = "nothing.example"
    plan = Given(ZONE, gateway).plan("gateway:smart")
    assert not plan.stops
    assert plan.refusal is not None
    assert plan.refusal.code == 451
    assert plan.refusal.status is not None and plan.refusal.status.klass == 4


def test_a_gateway_that_is_not_set_up_keeps_the_mail() -> None:
    plan = Given().plan("gateway:gone")
    assert plan.refusal is not None
    assert str(plan.refusal.status) == "4.3.5"


def test_a_gateway_by_mx_has_the_hosts_of_its_domain() -> None:
    gateway = GatewaySettings("smart", GatewayKind.SMTP, host="example.com", mx=True, port=587, username="us")
    plan = Given(ZONE, gateway).plan("gateway:smart")
    assert addresses(plan) == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    assert {(stop.port, stop.key.login) for stop in plan.stops} == {(587, "us")}


@pytest.mark.parametrize(
    ("tls", "level"),
    [
        (GatewayTls.NONE, TlsLevel.NONE),
        (GatewayTls.MAY, TlsLevel.MAY),
        (GatewayTls.MUST, TlsLevel.MUST),
        (GatewayTls.VERIFY, TlsLevel.VERIFY),
        (GatewayTls.IMPLICIT, TlsLevel.VERIFY),
    ],
)
def test_a_gateway_demands_the_tls_of_its_settings(tls: GatewayTls, level: TlsLevel) -> None:
    gateway = GatewaySettings("smart", GatewayKind.SMTP, host="mx1.example.com", tls=tls)
    stop = Given(ZONE, gateway).plan("gateway:smart").stops[0]
    assert stop.demand.level is level
    assert stop.demand.names == (("mx1.example.com",) if level is TlsLevel.VERIFY else ())
    assert stop.is_implicit_tls is (tls is GatewayTls.IMPLICIT)


def test_a_host_that_must_not_be_used_is_no_stop_and_told_of() -> None:
    plan = Given(rules=[TlsRule("*", TlsLevel.NONE)]).plan(requires_tls=True)
    assert not plan.stops
    assert [each.host for each in plan.troubles] == ["mx1.example.com", "mx2.example.com"]
    assert [host.name for host, _ in plan.refused] == ["mx1.example.com", "mx2.example.com"]
    assert plan.refusal == plan.troubles[-1].reply


@pytest.mark.rfc("5321 §4.5.4.1", "A host that did not answer lately is tried last.")
def test_who_did_not_answer_lately_comes_last() -> None:
    given = Given()
    stops = given.plan().stops
    assert given.planner.in_order(stops) is stops
    given.planner.is_silent(stops[0])
    assert [stop.address for stop in given.planner.in_order(stops)] == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    given.planner.has_answered(stops[0])
    assert list(given.planner.in_order(stops)) == list(stops)
    given.planner.is_silent(stops[0])
    given.now = 301.0
    assert list(given.planner.in_order(stops)) == list(stops)


def test_a_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("geheim wort\nand a remark\n")
    assert read_password(path) == "geheim wort"
    assert read_password(None) == ""


@pytest.mark.parametrize("octets", [None, b"", b"\xff\xfe"])
def test_a_password_that_cannot_be_read_is_no_traceback(tmp_path: Path, octets: bytes | None) -> None:
    path = tmp_path / "password"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(PasswordUnreadable, match="the file with the password"):
        read_password(path)
