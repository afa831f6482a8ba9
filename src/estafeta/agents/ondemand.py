"""Mail on demand: what a session does for ETRN, ATRN and TURN (RFC 1985, RFC 2645, RFC 821 §3.8).

ETRN starts what waits for a host or domain over connections of our own, so it gives nothing away and may be open
to strangers. ATRN and TURN hand mail over on the connection on which a customer called: the account decides which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Protocol

from estafeta.agents.chronicle import Reason
from estafeta.client import ClientError, ClientTimeouts, SmtpClient
from estafeta.mail.address import Address
from estafeta.mail.catalogue import ondemand as said
from estafeta.mail.catalogue import senders
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.net.errors import NetError
from estafeta.routing.destinations import Destination, DestinationKind
from estafeta.routing.routes import RouteAction, RouteRule
from estafeta.store import queue
from estafeta.store.errors import StoreError
from estafeta.store.records import Instant
from estafeta.store.store import Transaction
from estafeta.wire.errors import RemoteProtocolError
from estafeta.wire.smtp import events

if TYPE_CHECKING:
    from estafeta.agents.outbound.lane import Job
    from estafeta.agents.outbound.outcome import HostFacts
    from estafeta.agents.outbound.relay import Attempt
    from estafeta.agents.session import Session

AGAIN_AFTER = 30.0
"""Seconds in which a node is started once, however often it is asked for."""
MAX_NODES = 20
"""Nodes that one client may ask for in that time: more than a host has domains that fail together."""
MAX_REMEMBERED = 10_000
"""Clients, and nodes, that are remembered at a time; beyond that nothing is started."""
MAX_DESTINATIONS = 1000
"""Destinations below one domain that are started at once."""
MAX_COUNTED = 1000
"""Recipients that are counted for the reply to ETRN."""
MAX_COUNTED_DESTINATIONS = 50
"""Destinations at which they are counted."""
_PAGE = 100
_MAX_PAGES = 100
"""Pages of destinations that are looked through for those below a domain: some tenths of a second of a reader."""

_ALL_TIMES = Instant(float("inf"))


# Settings.


class EtrnFor(StrEnum):
    """Who may ask for what with ETRN."""

    ROUTED = "routed"
    """Domains that the operator's routes name."""
    AUTHENTICATED = "authenticated"
    """Users, for any domain."""
    OFF = "off"
    """502."""


@value
class OnDemandCustomer:
    """One `[[on_demand.customer]]`: an account that calls for the mail of its domains."""

    account: str
    """The address of the account that logs in."""
    domains: tuple[str, ...]
    """The domains whose mail it may take; a route with the action on-demand lets it wait."""
    turn: bool = False
    """It may say TURN (RFC 821 §3.8), for software that does not know ATRN."""


@dataclass(frozen=True, slots=True)
class OnDemandSettings:
    """`[on_demand]`: hosts that ask for the mail that waits for them."""

    etrn: EtrnFor = EtrnFor.ROUTED
    """ETRN (RFC 1985): routed, for domains that a route sends on, and strangers only where it is for_anyone;
    authenticated, for users only and for any domain; off (502)."""
    customer: tuple[OnDemandCustomer, ...] = ()
    """Accounts that take mail over the connection on which they call (ATRN on an odmr listener, TURN)."""

    def customer_of(self, account: Address | None) -> OnDemandCustomer | None:
        """The entry of an account that has logged in."""
        name = str(account).lower()
        return next((each for each in self.customer if account is not None and each.account.lower() == name), None)


# What the session needs of the outbound half.


class Serving(Protocol):
    """Who has the queued mail: the dispatcher."""

    async def flush(self, destination: str) -> int:
        """Try all that is queued for a destination now; gives how many recipients were not due before."""

    async def serve(self, destination: str, attempt: Callable[[Job, bytes], Awaitable[Attempt]]) -> int:
        """Try all that waits for a customer by `attempt`, until one breaks; gives how many were tried."""


class Offering(Protocol):
    """Who offers a message on a connection that is there: the relay."""

    async def over(self, client: SmtpClient, facts: HostFacts, job: Job, content: bytes) -> Attempt:
        """Try the job's recipients; what the host says or breaks is in what it gives."""


class Frequency:
    """How often ETRN may cost something: each node once in a while, each client so many nodes in that time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._nodes: dict[str, float] = {}
        self._clients: dict[str, tuple[float, int]] = {}

    def is_open_to(self, client: str) -> bool:
        """Whether a client may ask for one more node now; counts it."""
        now = self._monotonic()
        since, number = self._clients.get(client, (now, 0))
        if now - since >= AGAIN_AFTER:
            since, number = now, 0
        if client not in self._clients and len(self._clients) >= MAX_REMEMBERED:
            self._clients = {each: told for each, told in self._clients.items() if now - told[0] < AGAIN_AFTER}
            if len(self._clients) >= MAX_REMEMBERED:
                return False
        self._clients[client] = since, number + 1
        return number < MAX_NODES

    def was_started(self, node: str) -> bool:
        """Whether the node was started a moment ago, or so many others that it must wait."""
        now = self._monotonic()
        if len(self._nodes) >= MAX_REMEMBERED:
            self._nodes = {each: at for each, at in self._nodes.items() if now - at < AGAIN_AFTER}
        return len(self._nodes) >= MAX_REMEMBERED or now - self._nodes.get(node, -AGAIN_AFTER) < AGAIN_AFTER

    def started(self, node: str) -> None:
        """It was started just now."""
        self._nodes[node] = self._monotonic()


@value
class OnDemand:
    """What sessions do on demand; one for the whole process."""

    settings: OnDemandSettings
    rules: tuple[RouteRule, ...]
    dispatcher: Serving
    relay: Offering
    frequency: Frequency
    """Stays the same when settings are read again."""
    timeouts: ClientTimeouts = field(default_factory=ClientTimeouts)
    """For the connection once the roles are turned."""

    @property
    def offers_etrn(self) -> bool:
        """Whether there is anything that ETRN could start."""
        if self.settings.etrn is EtrnFor.ROUTED:
            return any(rule.domain != "*" and _leads_on(rule) for rule in self.rules)
        return self.settings.etrn is EtrnFor.AUTHENTICATED

    @property
    def offers_turn(self) -> bool:
        """Whether any customer may say TURN."""
        return any(each.turn for each in self.settings.customer)


# ETRN.


@value
class _Wanted:
    """What an ETRN is about: destinations by name, and those whose name ends in that of a `below`."""

    destinations: frozenset[Destination] = frozenset()
    below: frozenset[Destination] = frozenset()

    @property
    def is_nothing(self) -> bool:
        return not (self.destinations or self.below)


async def on_etrn(session: Session, event: events.Etrn) -> None:
    """Start what waits for a node (RFC 1985 §5)."""
    reply, reason, detail = await _etrn(session, event.name)
    if not reply.is_positive:
        session.refusals += 1
    session.decide("etrn", event.name, reply, reason, detail)


async def _etrn(session: Session, node: str) -> tuple[Reply, Reason, str]:
    on_demand = session.environment.on_demand
    assert on_demand is not None
    peer = session.peer
    is_user = peer.account is not None or peer.is_trusted
    takes_any = on_demand.settings.etrn is EtrnFor.AUTHENTICATED
    if takes_any and not is_user:
        return senders.LOGIN_NEEDED, Reason.LOGIN_NEEDED, ""
    rules = [rule for rule in on_demand.rules if is_user or rule.for_anyone]
    wanted = _wanted(node, rules, peer.account, takes_any=takes_any)
    if wanted.is_nothing:
        return said.NODE_NOT_ALLOWED.with_(node=node), Reason.NOT_ROUTED, ""
    if session.is_closing():
        return said.QUEUE_CLOSING, Reason.CLOSING, ""
    if not on_demand.frequency.is_open_to(session.stream.peer.network):
        return said.TOO_OFTEN, Reason.TOO_MANY, ""
    if on_demand.frequency.was_started(node):
        return said.STARTED.with_(node=node), Reason.QUEUE_STARTED, "a moment ago"
    try:
        reply = await _start(session, on_demand, node, wanted)
    except StoreError as error:
        return said.QUEUE_LATER, Reason.STORE_FAILED, str(error)
    return reply, Reason.QUEUE_STARTED, ""


async def _start(session: Session, on_demand: OnDemand, node: str, wanted: _Wanted) -> Reply:
    """Raises StoreError."""
    on_demand.frequency.started(node)
    now = Instant(session.environment.clock())
    found = await session.environment.store.read(lambda tx: _found(tx, wanted, now))
    for destination in found.destinations:
        await on_demand.dispatcher.flush(destination)
    if found.waiting is None:
        return said.PENDING_STARTED.with_(node=node)
    if found.waiting:
        return said.COUNTED_STARTED.with_(number=str(found.waiting), node=node)
    if found.is_under_way:
        return said.STARTED.with_(node=node)
    return said.NOTHING_WAITS.with_(node=node)


def _wanted(node: str, rules: Sequence[RouteRule], account: Address | None, *, takes_any: bool) -> _Wanted:
    """What a client means by a node that may ask by these rules, or for any domain too."""
    if node.startswith("#"):
        names = [rule.gateway for rule in rules if rule.gateway and (takes_any or rule.domain != "*")]
        gateway = Destination(DestinationKind.GATEWAY, node[1:])
        return _Wanted(frozenset({gateway} if gateway.name in names else ()))
    if node.startswith("@"):
        return _wanted_below(node[1:], rules, takes_any=takes_any)
    rule = next((rule for rule in rules if rule.fits(node, account)), None)
    way = _way(rule, node) if rule is not None and rule.domain != "*" else None
    if way is None and takes_any:
        way = Destination(DestinationKind.DOMAIN, node)
    return _Wanted(frozenset(() if way is None else (way,)))


def _wanted_below(domain: str, rules: Sequence[RouteRule], *, takes_any: bool) -> _Wanted:
    """A domain and all below it (RFC 1985 §5.3: the option character "@")."""
    destinations: set[Destination | None] = set()
    below: set[Destination | None] = set()
    end = f".{domain}"
    if takes_any:
        for kind in (DestinationKind.DOMAIN, DestinationKind.ON_DEMAND):
            destinations.add(Destination(kind, domain))
            below.add(Destination(kind, end))
    for rule in rules:
        if rule.domain in (domain, end) or rule.domain.endswith(end):
            name = rule.domain
        elif rule.domain.startswith(".") and end.endswith(rule.domain):
            destinations.add(_way(rule, domain))
            name = end
        else:
            continue
        way = _way(rule, name)
        is_open = name.startswith(".") and way is not None and way.kind is not DestinationKind.GATEWAY
        (below if is_open else destinations).add(way)
    return _Wanted(frozenset(destinations - {None}), frozenset(below - {None}))  # type: ignore[arg-type]


def _leads_on(rule: RouteRule) -> bool:
    return bool(rule.gateway) or rule.action in (RouteAction.MX, RouteAction.ON_DEMAND)


def _way(rule: RouteRule, name: str) -> Destination | None:
    """What mail for the name waits for by the rule; None where it does not go on."""
    if rule.gateway:
        return Destination(DestinationKind.GATEWAY, rule.gateway)
    if rule.action is RouteAction.ON_DEMAND:
        return Destination(DestinationKind.ON_DEMAND, name)
    return Destination(DestinationKind.DOMAIN, name) if rule.action is RouteAction.MX else None


@value
class _Found:
    """What there is of the mail that was asked for."""

    destinations: Sequence[str]
    """Those where something waits."""
    waiting: int | None
    """Recipients; None where they are too many to count."""
    is_under_way: bool
    """Some are being tried already."""


def _found(tx: Transaction, wanted: _Wanted, now: Instant) -> _Found:
    names, is_all = _destinations(tx, wanted)
    if not is_all or len(names) > MAX_COUNTED_DESTINATIONS:
        return _Found(names, None, True)
    waiting, in_hand = {}, 0
    for name in names:
        waiting[name], claimed = queue.backlog(tx, name, now=now, most=MAX_COUNTED + 1)
        in_hand += claimed
    number = sum(waiting.values())
    found = [name for name in names if waiting[name]]
    return _Found(found, number if number <= MAX_COUNTED else None, in_hand > 0)


def _destinations(tx: Transaction, wanted: _Wanted) -> tuple[list[str], bool]:
    """The destinations by name, and those below a domain that have mail which nobody has claimed; whether it is all."""
    found = dict.fromkeys(sorted(map(str, wanted.destinations)))
    for end in sorted(wanted.below, key=str):
        # All of a kind stand together, in the order of their text; domains stand among all others.
        start = str(Destination(end.kind, ""))
        for page, names in enumerate(_pages(tx, start)):
            ours = [name for name in names if name.startswith(start)]
            found |= dict.fromkeys(name for name in ours if _is_below(name, end))
            if len(ours) < len(names):
                break
            if page == _MAX_PAGES - 1 or len(found) > MAX_DESTINATIONS:
                return list(found)[:MAX_DESTINATIONS], False
    return list(found), True


def _is_below(text: str, end: Destination) -> bool:
    destination = Destination.parse(text)
    return destination.kind is end.kind and destination.name.endswith(end.name)


def _pages(tx: Transaction, after: str) -> Iterator[list[str]]:
    """Destinations behind that text that have something to claim, in order, due or not, blocked or not."""
    while names := queue.due_destinations(tx, after=after, now=_ALL_TIMES, limit=_PAGE):
        yield names
        after = names[-1]


# ATRN and TURN.


async def on_atrn(session: Session, event: events.Atrn) -> None:
    """Turn the roles for a customer who has logged in, if there is mail for his domains (RFC 2645 §5.2)."""
    on_demand = session.environment.on_demand
    assert on_demand is not None
    subject = ",".join(event.domains)
    customer = on_demand.settings.customer_of(session.peer.account)
    if customer is None or not set(event.domains) <= set(customer.domains):
        session.refusals += 1
        session.decide("atrn", subject, said.ATRN_REFUSED, Reason.NOT_CUSTOMER)
        return
    domains = event.domains or customer.domains
    if session.is_closing():
        session.decide("atrn", subject, said.ATRN_CLOSING, Reason.CLOSING)
        return
    now = Instant(session.environment.clock())
    try:
        waiting = await session.environment.store.read(lambda tx: _is_waited_for(tx, domains, now))
    except StoreError as error:
        session.decide("atrn", subject, said.ATRN_LATER, Reason.STORE_FAILED, str(error))
        return
    if not waiting:
        session.decide("atrn", subject, said.NO_MAIL, Reason.NO_MAIL)
        return
    session.decide("atrn", subject, said.REVERSING, Reason.ROLES_TURNED)
    await _hand_over(session, on_demand, domains)


async def on_turn(session: Session, event: events.Turn) -> None:
    """Turn the roles for a customer whose entry allows it (RFC 821 §3.8)."""
    on_demand = session.environment.on_demand
    assert on_demand is not None
    customer = on_demand.settings.customer_of(session.peer.account)
    if customer is None or not customer.turn:
        session.refusals += 1
        session.decide("turn", "", said.TURN_REFUSED, Reason.NOT_CUSTOMER)
        return
    session.decide("turn", "", said.REVERSING, Reason.ROLES_TURNED)
    await _hand_over(session, on_demand, customer.domains)


def _on_demand(domain: str) -> str:
    return str(Destination(DestinationKind.ON_DEMAND, domain))


def _is_waited_for(tx: Transaction, domains: Sequence[str], now: Instant) -> bool:
    return any(queue.backlog(tx, _on_demand(domain), now=now, most=1)[0] for domain in domains)


async def _hand_over(session: Session, on_demand: OnDemand, domains: Sequence[str]) -> None:
    """Be the client on this connection, and send all that waits for the domains; what breaks waits on."""
    handed = session.handed_over = dict.fromkeys(domains, 0)
    session.stream.send(session.engine.take_output())
    try:
        client = await SmtpClient.over(
            session.stream, local_name=session.environment.hostname, timeouts=on_demand.timeouts
        )
        async with client:
            for domain in domains:
                offer = partial(_offer, session, on_demand.relay, client, domain)
                handed[domain] = await on_demand.dispatcher.serve(_on_demand(domain), offer)
                if not client.is_open or session.is_closing():
                    break
            is_whole = client.is_open
    except (ClientError, NetError, RemoteProtocolError) as error:
        session.note("turned", "", _gone(f"the customer's server cannot be used: {error}"), Reason.TURN_FAILED)
    except StoreError as error:
        session.note("turned", "", said.ATRN_LATER, Reason.STORE_FAILED, str(error))
    else:
        session.end("turned" if is_whole else "lost")
        return
    session.end(Reason.TURN_FAILED.value)


def _gone(text: str) -> Reply:
    return Reply.of(451, text, "4.4.2")


async def _offer(
    session: Session, relay: Offering, client: SmtpClient, domain: str, job: Job, content: bytes
) -> Attempt:
    from estafeta.agents.outbound.outcome import HostFacts

    tls = session.stream.tls
    told = f"{tls.version} {tls.cipher}, logged in as {session.peer.account}" if tls is not None else ""
    attempt = await relay.over(client, HostFacts(domain, str(session.stream.peer), told), job, content)
    # We are closing: what is left waits for the next call.
    attempt.is_dead = attempt.is_dead or session.is_closing()
    return attempt
