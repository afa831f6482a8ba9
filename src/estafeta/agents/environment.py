"""What all SMTP and LMTP sessions share, and what one listener's sessions have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import StrEnum

from estafeta.agents.envelopes import Outward
from estafeta.agents.lines import Say
from estafeta.agents.live.screens import Screens
from estafeta.agents.ondemand import OnDemand
from estafeta.agents.pressure import Pressure
from estafeta.agents.promises import PromiseSettings, holding
from estafeta.agents.settings import ReceptionSettings, SmtpLimits
from estafeta.agents.tally import ReceptionTally
from estafeta.mail.value import value
from estafeta.mail.wording import Wording
from estafeta.net.address import IpNetwork, PeerAddress
from estafeta.net.dns import Resolver
from estafeta.net.tls import ServerTls
from estafeta.policy.login import Authenticator
from estafeta.routing.directory import Directory
from estafeta.store.store import Store
from estafeta.wire.sasl import offered
from estafeta.wire.smtp.session import ServerOptions


class Role(StrEnum):
    """What a listener is for."""

    MX = "smtp"
    """Takes mail for our domains from anyone."""
    SUBMISSION = "submission"
    """Takes mail to anywhere from those who log in."""
    LMTP = "lmtp"
    """Takes mail for our mailboxes from hosts of ours (RFC 2033)."""
    ODMR = "odmr"
    """Gives customers who log in their mail over their own connection (RFC 2645); else as submission."""
    FETCHING = "fetching"
    """A connection that we made to a provider, the roles turned: takes mail for our domains from him."""

    @property
    def logs_in(self) -> bool:
        """Whether clients may log in."""
        return self in (Role.MX, Role.SUBMISSION, Role.ODMR)


@value
class Environment:
    """What a session needs from outside; one for the whole process."""

    hostname: str
    store: Store
    directory: Directory
    outward: Outward
    authenticator: Authenticator
    settings: ReceptionSettings
    limits: SmtpLimits
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    """Seconds by a clock that nobody sets; how long sessions and their data may take is measured by it."""
    nonce: Callable[[], str]
    on_demand: OnDemand | None = None
    """None where nobody is given mail on demand."""
    wording: Wording | None = None
    """Other words for the replies; None for those of the catalogue."""
    resolver: Resolver | None = None
    """Tells of the domains of submitted mail's recipients; None where it is not asked."""
    screens: Screens | None = None
    """None where nothing is shown on screens."""
    promises: PromiseSettings = field(default_factory=PromiseSettings)
    """What clients may ask of time and order."""
    pressure: Pressure = field(default_factory=Pressure)
    """What the machine can still take."""
    tally: ReceptionTally = field(default_factory=ReceptionTally)
    """Where sessions count."""
    say: Say | None = None
    """The log's lines of messages; None where there are none."""
    say_of_sessions: Say | None = None
    """Those of sessions that have ended."""


@value
class ListenerFacts:
    """What sessions of one listener have in common."""

    name: str
    """As the journal names it, such as `submission 127.0.0.1:587`."""
    role: Role
    tls: ServerTls | None
    """For STARTTLS; TLS from the start is the listener's own matter."""
    takes_mail: bool = True
    """False for a host that takes none: clients are told so by 521 (RFC 7504)."""
    repairs_line_ends: bool = False
    """A bare LF is read as CRLF."""
    bare_addresses: bool = False
    """Addresses without angle brackets are read."""

    def channel_binding(self, authenticator: Authenticator) -> bytes | None:
        """What SASL exchanges over TLS are bound to (RFC 5929 §4), where that is offered."""
        return self.tls.channel_binding if self.tls is not None and authenticator.binds_channels else None


def is_trusted(settings: ReceptionSettings, peer: PeerAddress) -> bool:
    """Whether the client's network may relay and submit without a login."""
    if not settings.trusted_networks:
        return False
    address = peer.address
    return any(address in network for network in settings.trusted_networks)


def is_near(settings: ReceptionSettings, peer: PeerAddress) -> bool:
    """Whether the client may log in without TLS where that is not demanded: on loopback, and if it is trusted."""
    if settings.require_tls_for_submission:
        return False
    return peer.is_loopback or is_trusted(settings, peer)


class Offers:
    """What the sessions of one listener offer, by who the client is; each kind of client's is made once."""

    def __init__(self, environment: Environment, listener: ListenerFacts) -> None:
        self._environment = environment
        self._listener = listener
        self._made: dict[tuple[bool, bool | None, bool | None], ServerOptions] = {}
        settings = environment.settings
        depends = settings.xclient_networks or settings.xforward_networks or not settings.require_tls_for_submission
        self._for_all = None if depends else server_options(environment, listener, is_near=False)

    def to(self, peer: PeerAddress) -> ServerOptions:
        """What this client is offered."""
        if self._for_all is not None:
            return self._for_all
        settings = self._environment.settings
        key = (
            is_near(settings, peer),
            _may_speak(settings.xclient_networks, peer),
            _may_speak(settings.xforward_networks, peer),
        )
        options = self._made.get(key)
        if options is None:
            near, xclient, xforward = key
            options = server_options(
                self._environment, self._listener, is_near=near, xclient=xclient, xforward=xforward
            )
            self._made[key] = options
        return options


def _may_speak(networks: tuple[IpNetwork, ...], peer: PeerAddress) -> bool | None:
    """Whether the host may speak for others; None where nobody may."""
    if not networks:
        return None
    address = peer.address
    return any(address in network for network in networks)


def server_options(
    environment: Environment,
    listener: ListenerFacts,
    *,
    is_near: bool,
    xclient: bool | None = None,
    xforward: bool | None = None,
) -> ServerOptions:
    """What the engine offers on this listener to clients that are near or far, and may speak for others or not."""
    settings, limits, promises = environment.settings, environment.limits, environment.promises
    role, on_demand = listener.role, environment.on_demand
    insecure = role.logs_in and is_near
    binding = listener.channel_binding(environment.authenticator)
    mechanisms = offered(environment.authenticator.mechanisms, True, binding) if role.logs_in else ()
    tokens = environment.authenticator.token_mechanisms if role.logs_in else ()
    gives = on_demand if role.logs_in else None
    return ServerOptions(
        environment.hostname,
        lmtp=role is Role.LMTP,
        message_size=limits.message_size,
        # Clients send long tokens with AUTH itself, whatever RFC 4954 §4 says of the length of that line.
        command_line=max(limits.command_line, limits.auth_line) if tokens else limits.command_line,
        auth_line=limits.auth_line,
        smtputf8=settings.smtputf8,
        starttls=listener.tls is not None,
        mechanisms=(*mechanisms, *tokens),
        insecure_mechanisms=offered(environment.authenticator.mechanisms, True, None) if insecure else (),
        vrfy=settings.vrfy.value != "off",
        expn=settings.expn.value != "off",
        requiretls=role is not Role.LMTP,
        screens=environment.screens is not None and role in (Role.MX, Role.SUBMISSION),
        etrn=gives is not None and gives.offers_etrn,
        atrn=gives is not None and role is Role.ODMR,
        turn=gives is not None and gives.offers_turn,
        chunking=settings.chunking and not listener.repairs_line_ends,
        # RFC 4468 §3.1: for submission, and beside CHUNKING alone
        burl=settings.burl and settings.chunking and not listener.repairs_line_ends and role is Role.SUBMISSION,
        recipients=limits.recipients,
        transactions=limits.transactions,
        no_soliciting=settings.unwanted_solicitations if settings.no_soliciting else None,
        deliver_by=promises.deliver_by_at_least if promises.deliver_by else None,
        # RFC 4865 §4.2 (2): on no port but that of submission
        hold_for=promises.hold_for if role is Role.SUBMISSION else 0,
        hold_until=holding(promises, environment.clock) if role is Role.SUBMISSION else None,
        priority_policy=promises.priority_policy if promises.priority else None,
        refuse_early_commands=settings.refuse_early_commands,
        wording=environment.wording,
        xclient=xclient,
        xforward=xforward,
        repairs_line_ends=listener.repairs_line_ends,
        bare_addresses=listener.bare_addresses,
    )
