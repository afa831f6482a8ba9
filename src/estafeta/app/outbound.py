"""Mail that leaves, wired: the resolver, what is asked of hosts, the relay, the gateways, the dispatcher."""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Callable, Iterator
from functools import lru_cache

import structlog

from estafeta.agents.envelopes import Outward
from estafeta.agents.lines import Say
from estafeta.agents.ondemand import Frequency, OnDemand
from estafeta.agents.outbound.dispatcher import Deliver, Dispatcher, Tools
from estafeta.agents.outbound.gateways.gateway import Gateway, open_gateway
from estafeta.agents.outbound.gateways.settings import GatewaySettings
from estafeta.agents.outbound.house import HouseMail
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.notifier import Notifier
from estafeta.agents.outbound.plan import Planner
from estafeta.agents.outbound.pool import Pool
from estafeta.agents.outbound.relay import Attempt, Relay
from estafeta.agents.outbound.releasing import Releaser
from estafeta.agents.outbound.schedule import Schedule
from estafeta.agents.outbound.settings import DestinationLimit
from estafeta.agents.outbound.tls_reporting import TlsReporter
from estafeta.app.monitoring.tallies import Tallies
from estafeta.app.surroundings import Surroundings
from estafeta.config.settings import ListenerKind, Settings
from estafeta.mail.address import Address, AddressError, ReversePath
from estafeta.mail.value import value
from estafeta.net.bell import BELLS, Bell
from estafeta.net.counting import CountingResolver, DnsTally
from estafeta.net.dns import Resolver
from estafeta.net.https import Https
from estafeta.routing.destinations import Destination, DestinationKind
from estafeta.routing.directory import Directory
from estafeta.routing.local import LocalRules, destination_of
from estafeta.routing.security import Security
from estafeta.routing.srs import Srs
from estafeta.routing.sts import StsPolicies
from estafeta.store.records import QueuedRecipient
from estafeta.store.store import Store

log = structlog.get_logger("estafeta.app.outbound")


@value
class Way:
    """How hosts are found and what is asked of them; also for commands that only tell."""

    resolver: Resolver
    sts: StsPolicies | None
    security: Security
    planner: Planner

    async def close(self) -> None:
        """End what is under way."""
        if self.sts is not None:
            await self.sts.close()
        await self.resolver.close()


def make_way(settings: Settings, store: Store, around: Surroundings, tally: DnsTally | None = None) -> Way:
    """By the settings of now; `tally` counts what the DNS says. Raises TlsError where the files of `tls_client` cannot
    be used."""
    resolver = around.resolver(settings.dns, around.monotonic)
    if tally is not None:
        resolver = CountingResolver(resolver, tally)
    sts = StsPolicies(resolver, Https(resolver), store, clock=around.clock) if settings.mta_sts.enabled else None
    security = Security(
        resolver,
        sts,
        rules=settings.tls_policy,
        dane=settings.dane,
        client=settings.tls_client,
        clock=around.clock,
    )
    planner = Planner(
        resolver,
        security,
        {each.name: each for each in settings.gateway},
        port=settings.relay.port,
        is_own=_is_own(settings),
        shuffle=around.chance.shuffle,
        monotonic=around.monotonic,
        ipv6=settings.relay.ipv6,
        allow_loopback=settings.relay.allow_loopback,
    )
    return Way(resolver, sts, security, planner)


def local_rules(settings: Settings, secret: bytes) -> LocalRules:
    """What local routing follows. Rewritten reverse-paths are led back also where none is written any more."""
    postmaster = Address.parse(settings.smtp.postmaster) if settings.smtp.postmaster else None
    srs = Srs(hmac.digest(secret, b"srs", "sha256"))
    return LocalRules(settings.route, settings.smtp.subaddress_separator, postmaster, srs)


class Outbound:
    """All of it, for a running server: `start`, `replace` when settings are read again, `stop`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        secret: bytes,
        around: Surroundings,
        *,
        tallies: Tallies | None = None,
        say: Say | None = None,
    ) -> None:
        """`tallies` count, and `say` takes the log's lines of attempts."""
        self._settings = settings
        self._tallies = tallies or Tallies()
        self._say = say
        self._around = around
        self._store = store
        self._secret = secret
        self._rules = local_rules(settings, secret)
        self._local: dict[GatewaySettings, Gateway] = {}
        self._places: dict[GatewaySettings, asyncio.Semaphore] = {}
        self._way = make_way(settings, store, around, self._tallies.dns)
        self._old_ways: list[Way] = []
        self._frequency = Frequency(around.monotonic)
        self._closing: list[asyncio.Task[None]] = []
        self._pool = Pool(keep_for=settings.relay.keep_connection_for, messages=settings.relay.messages_per_connection)
        self.directory = Directory(store, self._rules, around.clock)
        self._reporter = self._make_reporter(settings)
        self.relay = self._make_relay(settings)
        self.dispatcher = Dispatcher(self._tools(settings), settings.relay)
        self._bell = Bell(settings.data / BELLS, store.ids.text(store.ids.next_id()), self.dispatcher.heard)

    async def start(self) -> None:
        """Begin to send. Raises StoreError."""
        await self.dispatcher.start()
        try:
            self._bell.open()
        except OSError as error:
            log.warning(
                "commands cannot tell of changes at once, the queue is looked at now and then", reason=str(error)
            )

    def replace(self, settings: Settings, say: Say | None = None) -> None:
        """Go on with new settings; connections that are open keep what they have. Raises TlsError."""
        self._say = say
        way = make_way(settings, self._store, self._around, self._tallies.dns)
        for old in self._old_ways:  # what still used it has ended, or ends without it
            self._closing.append(asyncio.get_running_loop().create_task(old.close()))
        self._old_ways.clear()
        self._rules = local_rules(settings, self._secret)
        self._old_ways.append(self._way)
        self._way = way
        self._settings = settings
        self.directory = Directory(self._store, self._rules, self._around.clock)
        self._reporter.flush()
        self._reporter = self._make_reporter(settings)
        self.relay = self._make_relay(settings)
        self.dispatcher.replace(self._tools(settings), settings.relay)

    @property
    def resolver(self) -> Resolver:
        """Who is asked of the DNS, by the settings of now."""
        return self._way.resolver

    def on_demand(self) -> OnDemand:
        """What sessions do for hosts that ask for their mail."""
        settings = self._settings
        return OnDemand(
            settings.on_demand,
            settings.route,
            self.dispatcher,
            self.relay,
            self._frequency,
            self.relay.timeouts,
        )

    async def report(self) -> None:
        """Send the daily reports on TLS that are due; to be called every hour or so. Raises StoreError."""
        await self._reporter.report()

    async def stop(self, seconds: float) -> None:
        """Begin nothing new, let what is under way end within so many seconds."""
        self._bell.close()
        await self.dispatcher.stop(seconds)
        self._reporter.flush()
        await self._pool.close()
        for way in (*self._old_ways, self._way):
            await way.close()
        await asyncio.gather(*self._closing)

    def outward(self) -> Outward:
        """What acceptance must know of mail for elsewhere."""
        settings, srs, clock = self._settings, self._rules.srs, self._around.clock
        assert srs is not None

        def forward(reverse_path: ReversePath, alias: Address) -> ReversePath:
            return srs.forward(reverse_path, alias.domain, clock()) if settings.srs.enabled else reverse_path

        schedule = self.dispatcher.tools.schedule
        return Outward(
            forward=forward,
            dispatcher=self.dispatcher,
            notifier=self.dispatcher.tools.notifier,
            first_review_after=schedule.first_review_after,
            lifetime=settings.relay.lifetime,
        )

    # How it is made.

    def _make_reporter(self, settings: Settings) -> TlsReporter:
        house = HouseMail(self._store, self.directory, self.outward, self._around.clock)
        return TlsReporter(
            settings.tls_report,
            hostname=settings.hostname,
            store=self._store,
            resolver=self._way.resolver,
            https=Https(self._way.resolver),
            submit=house.submit,
            clock=self._around.clock,
        )

    def _make_relay(self, settings: Settings) -> Relay:
        return Relay(
            settings.relay,
            planner=self._way.planner,
            security=self._way.security,
            pool=self._pool,
            hello=settings.hostname,
            reporter=self._reporter,
            clock=self._around.clock,
            tunnels=settings.promises.tunnels,
        )

    def _tools(self, settings: Settings) -> Tools:
        schedule = Schedule(settings.relay, self._around.chance.random)
        return Tools(
            store=self._store,
            deliver=self._deliver(settings),
            notifier=Notifier(
                settings.hostname,
                self._store,
                self.directory,
                settings.notifications,
                clock=self._around.clock,
                lifetime=settings.relay.lifetime,
                review_after=schedule.first_review_after,
            ),
            schedule=schedule,
            limits=(*settings.destination_limit, *_limits_of(settings)),
            reroute=self._reroute,
            clock=self._around.clock,
            monotonic=self._around.monotonic,
            tally=self._tallies.relay,
            say=self._say,
        )

    def _reroute(self, recipient: QueuedRecipient) -> str | None:
        """Where the rules of now send it; where they no longer send it on, it stays as it is."""
        account = None
        if recipient.message.account is not None:
            try:
                account = Address.parse(recipient.message.account)
            except AddressError:
                account = None
        return destination_of(recipient.forward_path, self._rules, account)

    def _deliver(self, settings: Settings) -> Deliver:
        relay, planner = self.relay, self._way.planner
        releaser = Releaser(self._store, lambda: self.directory, self.outward, self._around.clock)

        async def deliver(destination: Destination, job: Job, content: bytes) -> Attempt:
            if destination.kind is DestinationKind.LATER:
                return await releaser.release(job, content)
            gateway = planner.gateway(destination)
            if gateway is None or gateway.kind.is_host:
                return await relay.attempt(destination, job, content)
            place = self._local.get(gateway)
            if place is None:
                place = self._local[gateway] = open_gateway(
                    gateway, hostname=settings.hostname, clock=self._around.clock
                )
                self._places[gateway] = asyncio.Semaphore(gateway.concurrency)
            async with self._places[gateway]:
                return Attempt(await place.deliver(job.message, job.recipients, content))

        return deliver


def _limits_of(settings: Settings) -> Iterator[DestinationLimit]:
    """How many connections the hosts of gateways take, where no limit of the operator's speaks of them."""
    for gateway in settings.gateway:
        if gateway.kind.is_host:
            destination = Destination(DestinationKind.GATEWAY, gateway.name)
            yield DestinationLimit(str(destination), gateway.concurrency)


def _is_own(settings: Settings) -> Callable[[str, str], bool]:
    """Whether a host that an MX record names is this server: by its name, or by an address that it listens on."""
    served = [
        each.address for each in settings.listen if each.kind is ListenerKind.SMTP and each.port == settings.relay.port
    ]

    def is_own(name: str, address: str) -> bool:
        if name == settings.hostname:
            return True
        if not address or not served:
            return False
        if address in served:
            return True
        everywhere = "::" if ":" in address else "0.0.0.0"  # noqa: S104 - compared with, not bound to
        return everywhere in served and _is_of_this_machine(address)

    return is_own


@lru_cache(maxsize=1024)
def _is_of_this_machine(address: str) -> bool:
    """Whether the address is one of this machine's: then a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
