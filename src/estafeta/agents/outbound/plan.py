"""Where a destination's mail is tried: its hosts and their addresses in order, and what is demanded of each.

A plan is found once and kept while the answers of the DNS hold, a minute at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, GatewayTls
from estafeta.agents.outbound.pool import ConnectionKey
from estafeta.mail.reply import Reply
from estafeta.mail.tls_report import AppliedPolicy, PolicyKind
from estafeta.mail.value import value
from estafeta.net.dns import Resolver
from estafeta.routing.destinations import Destination, DestinationKind
from estafeta.routing.hosts import Host, Hosts, NoHosts, Shuffle, find_host, find_hosts
from estafeta.routing.security import HostDemand, Security, TlsLevel

MAX_STOPS = 10
"""Addresses of one destination that are tried; when none of so many answers, waiting is wiser."""

_KEPT_FOR = 60.0
_REMEMBERED = 10_000
_SILENT_FOR = 300.0
"""Seconds for which an address that did not answer is tried after the others."""
_NOT_THERE = Reply.of(451, "the gateway for this mail is not set up, it is kept meanwhile", "4.3.5")
_UNTIL_CALLED = Reply.of(451, "it waits until the host of its domain calls", "4.4.1")


@value
class Stop:
    """One address of one host."""

    host: Host
    address: str
    port: int
    demand: HostDemand
    key: ConnectionKey
    is_implicit_tls: bool = False
    gateway: GatewaySettings | None = None


@value
class Trouble:
    """What was in the way of a host, before or at the connection."""

    host: str
    address: str
    stage: str
    reply: Reply
    is_remote: bool = False


@value
class Plan:
    """The stops in their order. Without any, `refusal` says why, and `troubles` what was in the way of hosts."""

    stops: tuple[Stop, ...]
    refusal: Reply | None
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for people: how the hosts were found."""
    hosts: Hosts | None = None
    refused: tuple[tuple[Host, HostDemand], ...] = ()
    """Hosts that must not be used, by what is asked of them."""
    valid_until: float = field(default=0.0, compare=False)


class Planner:
    """Makes plans, and remembers them."""

    def __init__(
        self,
        resolver: Resolver,
        security: Security,
        gateways: Mapping[str, GatewaySettings],
        *,
        port: int,
        is_own: Callable[[str, str], bool],
        shuffle: Shuffle,
        monotonic: Callable[[], float],
        ipv6: bool,
        allow_loopback: bool,
    ) -> None:
        self._resolver = resolver
        self._security = security
        self._gateways = gateways
        self._port = port
        self._is_own = is_own
        self._shuffle = shuffle
        self._monotonic = monotonic
        self._ipv6 = ipv6
        self._allow_loopback = allow_loopback
        self._plans: dict[tuple[Destination, bool], Plan] = {}
        self._silent: dict[tuple[str, int], float] = {}
        """Addresses that did not answer, and until when that is remembered."""

    def gateway(self, destination: Destination) -> GatewaySettings | None:
        """The gateway that a destination names, as the settings have it."""
        return self._gateways.get(destination.name) if destination.kind is DestinationKind.GATEWAY else None

    async def plan(self, destination: Destination, *, requires_tls: bool = False) -> Plan:
        """The way to a destination; never raises for what the DNS says."""
        key = (destination, requires_tls)
        known = self._plans.get(key)
        now = self._monotonic()
        if known is not None and known.valid_until > now:
            return known
        if len(self._plans) >= _REMEMBERED:
            self._plans.clear()
        plan = await self._make(destination, requires_tls)
        if plan.stops:
            self._plans[key] = plan
        return plan

    def forget(self, destination: Destination) -> None:
        """Find the way anew next time."""
        self._plans.pop((destination, False), None)
        self._plans.pop((destination, True), None)

    def in_order(self, stops: Sequence[Stop]) -> Sequence[Stop]:
        """The stops in the order to try them now: those that did not answer lately come last (RFC 5321 §4.5.4.1)."""
        if not self._silent:
            return stops
        now = self._monotonic()
        return sorted(stops, key=lambda stop: self._silent.get((stop.address, stop.port), now) > now)

    def is_silent(self, stop: Stop) -> None:
        """Nobody answers there."""
        if len(self._silent) >= _REMEMBERED:
            self._silent.clear()
        self._silent[stop.address, stop.port] = self._monotonic() + _SILENT_FOR

    def has_answered(self, stop: Stop) -> None:
        """Somebody does."""
        if self._silent:
            self._silent.pop((stop.address, stop.port), None)

    async def _make(self, destination: Destination, requires_tls: bool) -> Plan:
        gateway = self.gateway(destination)
        if gateway is not None:
            return await self._to_gateway(gateway, requires_tls)
        if destination.kind is DestinationKind.GATEWAY:
            return Plan((), _NOT_THERE, notes=(f"there is no gateway {destination.name} in the settings",))
        found = await self._hosts(destination.name, allow_loopback=self._allow_loopback)
        if isinstance(found, NoHosts):
            if destination.kind is DestinationKind.ON_DEMAND:  # no host that could be gone to: it has to come
                return Plan((), _UNTIL_CALLED, notes=(*found.notes, "it waits until the host of its domain calls"))
            return Plan((), found.reply, notes=(*found.notes, found.reason))
        stops: list[list[Stop]] = []
        troubles: list[Trouble] = []
        refused: list[tuple[Host, HostDemand]] = []
        for host in found.hosts:
            demand = await self._security.demand_for(
                destination.name, found, host, port=self._port, requires_tls=requires_tls
            )
            if demand.refusal is not None:
                troubles.append(Trouble(host.name, "", "policy", demand.refusal))
                refused.append((host, demand))
                continue
            stops.append([self._stop(host, address, self._port, demand) for address in host.addresses])
        refusal = None if stops else troubles[-1].reply
        until = self._monotonic() + min(found.ttl, _KEPT_FOR)
        return Plan(_chosen(stops), refusal, tuple(troubles), found.notes, found, tuple(refused), until)

    async def _hosts(self, domain: str, *, allow_loopback: bool) -> Hosts | NoHosts:
        return await find_hosts(
            domain,
            self._resolver,
            is_own=self._is_own,
            shuffle=self._shuffle,
            ipv6=self._ipv6,
            allow_loopback=allow_loopback,
        )

    def _stop(self, host: Host, address: str, port: int, demand: HostDemand) -> Stop:
        key = ConnectionKey(host.name, address, port, False, demand.connection_key, "")
        return Stop(host, address, port, demand, key)

    async def _to_gateway(self, gateway: GatewaySettings, requires_tls: bool) -> Plan:
        """The hosts of a smarthost or LMTP server: by its name alone, or by the MX records of the name."""
        name = gateway.host
        if gateway.mx:
            found = await self._hosts(name, allow_loopback=True)
        else:
            found = await find_host(name, self._resolver, ipv6=self._ipv6)
        if isinstance(found, NoHosts):
            return Plan((), _for_now(found.reply), notes=found.notes)
        is_implicit = gateway.tls is GatewayTls.IMPLICIT
        stops = []
        for host in found.hosts:
            demand = self._demand_of(gateway, host, requires_tls)
            keys = [(address, _key_of(gateway, host, address, demand)) for address in host.addresses]
            stops.append(
                [
                    Stop(host, address, gateway.effective_port, demand, key, is_implicit, gateway)
                    for address, key in keys
                ]
            )
        until = self._monotonic() + min(found.ttl, _KEPT_FOR)
        return Plan(_chosen(stops), None, (), found.notes, found, (), until)

    def _demand_of(self, gateway: GatewaySettings, host: Host, requires_tls: bool) -> HostDemand:
        level = TlsLevel.VERIFY if requires_tls else _LEVELS[gateway.tls]
        names = (host.name,) if level is TlsLevel.VERIFY else ()
        policy = AppliedPolicy(PolicyKind.NONE, host.name)
        reason = f"gateway {gateway.name}: {level}"
        return HostDemand(level, reason, host.name, policy, names, needs_requiretls=requires_tls)


def _chosen(stops: Sequence[Sequence[Stop]]) -> tuple[Stop, ...]:
    """As many of the hosts' stops as are tried, in their order."""
    places = [(host, number) for host, addresses in enumerate(stops) for number in range(len(addresses))]
    # RFC 5321 §5.1: at least two addresses are tried; so no host's third goes before another's second.
    chosen = sorted(places, key=lambda place: (place[1] >= 2, place))[:MAX_STOPS]
    return tuple(stops[host][number] for host, number in sorted(chosen))


def _for_now(reply: Reply) -> Reply:
    """What is wrong with a gateway is a mistake in the settings, or passes: the mail is kept until it is put right."""
    if not reply.is_permanent:
        return reply
    status = reply.status._replace(klass=4) if reply.status is not None else None
    return replace(reply, code=451, status=status)


def _key_of(gateway: GatewaySettings, host: Host, address: str, demand: HostDemand) -> ConnectionKey:
    is_lmtp = gateway.kind is GatewayKind.LMTP
    return ConnectionKey(host.name, address, gateway.effective_port, is_lmtp, demand.connection_key, gateway.username)


_LEVELS = {
    GatewayTls.NONE: TlsLevel.NONE,
    GatewayTls.MAY: TlsLevel.MAY,
    GatewayTls.MUST: TlsLevel.MUST,
    GatewayTls.VERIFY: TlsLevel.VERIFY,
    GatewayTls.IMPLICIT: TlsLevel.VERIFY,
}


class PasswordUnreadable(Exception):
    """The file with the password of a gateway cannot be used."""


def read_password(path: Path | None) -> str:
    """The password of a gateway, from its file: the first line. Raises PasswordUnreadable."""
    if path is None:
        return ""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise PasswordUnreadable(f"the file with the password cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PasswordUnreadable("the file with the password is no text in UTF-8") from None
    if not lines:
        raise PasswordUnreadable("the file with the password is empty")
    return lines[0]
