"""How the way of a message is told: what was found, lines for people, a record for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings
from estafeta.agents.outbound.plan import Plan, Stop
from estafeta.cli.output import moment, one_line
from estafeta.cli.queue_view import counted, failed, state_record
from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.reply import Reply
from estafeta.mail.tls_report import PolicyKind
from estafeta.mail.value import value
from estafeta.routing.destinations import Destination, DestinationKind
from estafeta.routing.hosts import Host
from estafeta.routing.routes import End, RouteRule, ToHost, ToMailbox, ToNowhere
from estafeta.routing.security import HostDemand
from estafeta.store.records import DestinationState, Instant

_MARGIN = 12


class Verdict(Enum):
    """What would become of a message; of several the last one in this order counts."""

    GOES = "goes"
    WAITS = "waits"
    """Not now."""
    REFUSED = "refused"
    """For good, or there is no way."""

    @staticmethod
    def of(reply: Reply) -> Verdict:
        """By the first digit (RFC 5321 §4.2.1)."""
        return Verdict.REFUSED if reply.is_permanent else Verdict.WAITS

    @property
    def exit_code(self) -> int:
        """That of the command; 75 is EX_TEMPFAIL of sysexits."""
        return {Verdict.GOES: 0, Verdict.WAITS: 75, Verdict.REFUSED: 1}[self]

    @property
    def badness(self) -> int:
        """The greater, the worse."""
        return list(Verdict).index(self)


@value
class Rule:
    """One `[[route]]` of the settings."""

    number: int
    """From 1."""
    line: int | None
    rule: RouteRule


@value
class ToldEnd:
    """One end of the way through our own house."""

    end: End
    verdict: Verdict
    """Of what happens here; of what lies beyond the destination speaks."""
    reply: Reply | None = None
    rule: Rule | None = None
    place: str = ""
    """Where a gateway of this machine puts it."""
    reverse_path: str = ""
    """Which one is written, where it is not the message's own."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a destination gets; 0 is no limit."""

    concurrency: int
    recipients_per_minute: int
    account_per_hour: int
    first_concurrency: int
    by: str | None
    """The `[[destination_limit]]` that says so."""


@value
class ToldDestination:
    """A destination beyond our house, and how it is at present."""

    destination: Destination
    verdict: Verdict
    reply: Reply | None
    gateway: GatewaySettings | None
    plan: Plan
    limits: Limits
    state: DestinationState | None
    now: Instant
    waiting: int
    is_counted: bool
    """All that wait were counted; else there are more."""
    in_hand: int
    """Recipients that a server tries, or has next in line."""


@value
class Explanation:
    """All that is told of one address."""

    path: ForwardPath
    account: Address | None
    requires_tls: bool
    verdict: Verdict
    reason: str
    rule: Rule | None
    reply: Reply | None
    """The refusal that counts."""
    notes: tuple[str, ...] = ()
    ends: tuple[ToldEnd, ...] = ()
    ends_left_out: int = 0
    destinations: tuple[ToldDestination, ...] = ()
    destinations_left_out: int = 0


# For people.


def lines(told: Explanation) -> Iterator[str]:
    """The whole, line by line."""
    hands = f" from {told.account}" if told.account is not None else ""
    tls = " with REQUIRETLS" if told.requires_tls else ""
    yield f"<{told.path}>{hands}{tls} {_VERDICTS[told.verdict]}" + (f": {told.reply}" if told.reply else "")
    yield _line("route", told.reason)
    if told.rule is not None:
        yield _line("rule", _rule_text(told.rule))
    for note in told.notes:
        yield _line("note", note)
    for end in told.ends:
        yield from _end_lines(end, told.rule)
    if told.ends_left_out:
        yield _line("to", f"and {told.ends_left_out} more")
    for destination in told.destinations:
        yield ""
        yield from _destination_lines(destination)
    if told.destinations_left_out:
        yield ""
        yield f"{told.destinations_left_out} more destinations were not looked up; ask for one of the addresses there"


_VERDICTS = {
    Verdict.GOES: "would go",
    Verdict.WAITS: "would have to wait",
    Verdict.REFUSED: "would be refused",
}


def _rule_text(told: Rule) -> str:
    rule = told.rule
    at = f", line {told.line}" if told.line is not None else ""
    senders = f" from {', '.join(rule.senders)}" if rule.senders else ""
    if rule.mailbox:
        to = f"to the mailbox of {rule.mailbox}"
    elif rule.gateway:
        to = f"to the gateway {rule.gateway}"
    else:
        to = str(rule.action)
    anyone = ", for anyone" if rule.for_anyone else ""
    return f"number {told.number}{at}: {rule.domain}{senders} {to}{anyone}"


def _end_lines(told: ToldEnd, known: Rule | None) -> Iterator[str]:
    end = told.end
    refused = f": {told.reply}" if told.reply is not None else ""
    if isinstance(end, ToMailbox):
        through = f", through the list {end.listed.address}" if end.listed is not None else ""
        yield _line("to", f"the mailbox of {end.account}{through}{refused}")
    elif isinstance(end, ToNowhere):
        yield _line("to", "nowhere: it is taken and let go")
    else:
        behind = end.listed.address if end.listed is not None else end.alias
        through = f", behind {behind}" if behind is not None else ""
        yield _line("to", f"<{end.address}> by way of {end.destination}{through}{refused}")
        if told.place:
            yield _line("", told.place)
        if told.rule is not None and told.rule != known:
            yield _line("", f"by rule {_rule_text(told.rule)}")
        if told.reverse_path:
            yield _line("reverse-path", told.reverse_path)


def _destination_lines(told: ToldDestination) -> Iterator[str]:
    yield f"by way of {told.destination} it {_VERDICTS[told.verdict]}" + (f": {told.reply}" if told.reply else "")
    if told.gateway is not None:
        yield _line("gateway", _gateway_text(told.gateway))
    elif told.destination.kind is DestinationKind.ON_DEMAND:
        after = "; after ETRN it goes to the hosts that the DNS names" if told.plan.stops else ""
        yield _line("on demand", f"it waits until its host calls (ETRN, ATRN, TURN){after}")
    for note in told.plan.notes:
        yield _line("dns", note)
    for number, (_, stops) in enumerate(groupby(told.plan.stops, key=lambda stop: stop.host.name)):
        yield from _host_lines(number + 1, list(stops))
    preferences = {stop.host.name: stop.host.preference for stop in told.plan.stops}
    if len(set(preferences.values())) < len(preferences):
        yield _line("", "hosts of equal preference are put in a new order each time they are looked up")
    if more := _untried(told.plan):
        yield _line("", f"{more} more addresses are not tried")
    for host, demand in told.plan.refused:
        yield _line("not used", f"{host.name} ({demand.reason}): {demand.refusal}")
    yield _line("limits", _limits_text(told))
    if (state := told.state) is not None:
        until = moment(state.blocked_until)
        blocked = f"until {until}" if state.blocked_until > told.now else f"no longer, since {until}"
        yield _line("blocked", f"{blocked}, after {failed(state)}: {state.last_reply}")
    more_than = "" if told.is_counted else "at least "
    in_hand = f", {told.in_hand} more in the hands of a server" if told.in_hand else ""
    yield _line("waiting", f"{more_than}{counted(told.waiting)}{in_hand}")


def _host_lines(number: int, stops: Sequence[Stop]) -> Iterator[str]:
    host, demand = stops[0].host, stops[0].demand
    addresses = ", ".join(_address_text(stop) for stop in stops)
    preference = f" (preference {host.preference})" if host.preference else ""
    yield _line(f"host {number}", f"{host.name}{preference} at {addresses}")
    implicit = ", from the first octet" if stops[0].is_implicit_tls else ""
    names = "" if not demand.names else f", for {' or '.join(demand.names)}"
    requiretls = ", and the host must offer REQUIRETLS" if demand.needs_requiretls else ""
    yield _line("TLS", f"{demand.level.value} ({demand.reason}){implicit}{names}{requiretls}")
    for text in demand.policy.strings:
        yield _line("", f"{_POLICY_WORDS[demand.policy.kind]} of {demand.policy.domain}: {text}")


_POLICY_WORDS = {PolicyKind.TLSA: "TLSA record", PolicyKind.STS: "policy", PolicyKind.NONE: "policy"}


def _address_text(stop: Stop) -> str:
    return f"[{stop.address}]:{stop.port}" if ":" in stop.address else f"{stop.address}:{stop.port}"


def _untried(plan: Plan) -> int:
    """Addresses beyond those that are tried."""
    refused = {host.name for host, _ in plan.refused}
    hosts: Sequence[Host] = plan.hosts.hosts if plan.hosts is not None else ()
    return sum(len(host.addresses) for host in hosts if host.name not in refused) - len(plan.stops)


def _gateway_text(gateway: GatewaySettings) -> str:
    if gateway.kind.is_host:
        mx = " by its MX records" if gateway.mx else ""
        login = f", login as {gateway.username}" if gateway.username else ""
        return f"{gateway.kind} host {gateway.host}{mx}, port {gateway.effective_port}, TLS {gateway.tls}{login}"
    what = " ".join(gateway.command) if gateway.kind is GatewayKind.COMMAND else gateway.path
    user = f", as the user {gateway.user}" if gateway.user else ""
    return f"{gateway.kind} {what}{user}, {gateway.concurrency} at a time"


def _limits_text(told: ToldDestination) -> str:
    limits = told.limits
    by = f" (destination_limit {limits.by})" if limits.by is not None else ""
    first = min(limits.first_concurrency, limits.concurrency)
    parts = [f"{limits.concurrency} at a time{by}, beginning with {first}"]
    if limits.recipients_per_minute:
        parts.append(f"{limits.recipients_per_minute} recipients a minute")
    if limits.account_per_hour:
        parts.append(f"{limits.account_per_hour} recipients an hour from this account")
    return ", ".join(parts)


def _line(name: str, text: str) -> str:
    return f"  {name:<{_MARGIN}} {one_line(text)}"


# For machines.


def record(told: Explanation) -> dict[str, object]:
    """The whole as one document."""
    return {
        "address": told.path,
        "from": told.account,
        "requires_tls": told.requires_tls,
        "verdict": told.verdict,
        "reply": told.reply,
        "route": told.reason,
        "rule": _rule_record(told.rule),
        "notes": told.notes,
        "ends": [_end_record(each) for each in told.ends],
        "ends_left_out": told.ends_left_out,
        "destinations": [_destination_record(each) for each in told.destinations],
        "destinations_left_out": told.destinations_left_out,
    }


def _rule_record(told: Rule | None) -> dict[str, object] | None:
    if told is None:
        return None
    rule = told.rule
    return {
        "number": told.number,
        "line": told.line,
        "domain": rule.domain,
        "senders": rule.senders,
        "mailbox": rule.mailbox or None,
        "gateway": rule.gateway or None,
        "action": rule.action,
        "for_anyone": rule.for_anyone,
    }


def _end_record(told: ToldEnd) -> dict[str, object]:
    end = told.end
    listed = None if isinstance(end, ToNowhere) else end.listed
    shared: dict[str, object] = {
        "reason": end.reason,
        "verdict": told.verdict,
        "reply": told.reply,
        "list": None if listed is None else listed.address,
        "owner": None if listed is None else listed.owner,
    }
    if isinstance(end, ToMailbox):
        return {"kind": "mailbox", "account": end.account, **shared}
    if isinstance(end, ToHost):
        return {
            "kind": "host",
            "forward_path": end.address,
            "destination": end.destination,
            "alias": end.alias,
            "for_anyone": end.for_anyone,
            "rule": _rule_record(told.rule),
            "place": told.place or None,
            "reverse_path": told.reverse_path or None,
            **shared,
        }
    return {"kind": "nowhere", **shared}


def _destination_record(told: ToldDestination) -> dict[str, object]:
    plan, gateway = told.plan, told.gateway
    return {
        "destination": told.destination,
        "kind": told.destination.kind.value or "domain",
        "verdict": told.verdict,
        "reply": told.reply,
        "gateway": None if gateway is None else _gateway_record(gateway),
        "notes": plan.notes,
        "ttl": None if plan.hosts is None else round(plan.hosts.ttl),
        "is_authentic": plan.hosts is not None and plan.hosts.is_authentic,
        "hosts": [_host_record(list(stops)) for _, stops in groupby(plan.stops, key=lambda stop: stop.host.name)],
        "addresses_not_tried": _untried(plan),
        "not_used": [{"host": host.name, "tls": _demand_record(demand)} for host, demand in plan.refused],
        "limits": {
            "concurrency": told.limits.concurrency,
            "recipients_per_minute": told.limits.recipients_per_minute,
            "account_recipients_per_hour": told.limits.account_per_hour,
            "destination_limit": told.limits.by,
        },
        "blocked": state_record(told.state, told.now),
        "waiting": told.waiting,
        "is_all_counted": told.is_counted,
        "in_hand": told.in_hand,
    }


def _gateway_record(gateway: GatewaySettings) -> dict[str, object]:
    shared: dict[str, object] = {"name": gateway.name, "kind": gateway.kind}
    if gateway.kind.is_host:
        port, login = gateway.effective_port, gateway.username or None
        return {**shared, "host": gateway.host, "port": port, "mx": gateway.mx, "tls": gateway.tls, "login": login}
    if gateway.kind is GatewayKind.COMMAND:
        return {**shared, "command": gateway.command, "user": gateway.user or None}
    return {**shared, "path": gateway.path, "user": gateway.user or None}


def _host_record(stops: Sequence[Stop]) -> dict[str, object]:
    host = stops[0].host
    return {
        "host": host.name,
        "preference": host.preference,
        "is_authentic": host.is_authentic,
        "addresses": [stop.address for stop in stops],
        "port": stops[0].port,
        "implicit_tls": stops[0].is_implicit_tls,
        "tls": _demand_record(stops[0].demand),
    }


def _demand_record(demand: HostDemand) -> dict[str, object]:
    return {
        "level": demand.level,
        "reason": demand.reason,
        "names": demand.names,
        "policy": {"kind": demand.policy.kind, "domain": demand.policy.domain, "lines": demand.policy.strings},
        "needs_requiretls": demand.needs_requiretls,
        "refusal": demand.refusal,
    }
