"""What all SMTP and LMTP sessions share, and what one listener's sessions have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from estafeta.agents.envelopes import Outward
from estafeta.agents.ondemand import OnDemand
from estafeta.agents.settings import ReceptionSettings, SmtpLimits
from estafeta.net.address import PeerAddress
from estafeta.net.tls import ServerTls
from estafeta.policy.login import Authenticator
from estafeta.routing.directory import Directory
from estafeta.store.store import Store
from estafeta.wire.sasl import MECHANISMS, offered
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


@dataclass(frozen=True, slots=True)
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
    nonce: Callable[[], str]
    on_demand: OnDemand | None = None
    """None where nobody is given mail on demand."""


@dataclass(frozen=True, slots=True)
class ListenerFacts:
    """What sessions of one listener have in common."""

    name: str
    """As the journal names it, such as `submission 127.0.0.1:587`."""
    role: Role
    tls: ServerTls | None
    """For STARTTLS; TLS from the start is the listener's own matter."""

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


def server_options(environment: Environment, listener: ListenerFacts, *, is_near: bool) -> ServerOptions:
    """What the engine offers on this listener to clients that are near or far."""
    settings, limits = environment.settings, environment.limits
    role, on_demand = listener.role, environment.on_demand
    insecure = role.logs_in and is_near
    binding = listener.channel_binding(environment.authenticator)
    mechanisms = offered(MECHANISMS, True, binding) if role.logs_in else ()
    gives = on_demand if role.logs_in else None
    return ServerOptions(
        environment.hostname,
        lmtp=role is Role.LMTP,
        message_size=limits.message_size,
        command_line=limits.command_line,
        auth_line=limits.auth_line,
        smtputf8=settings.smtputf8,
        starttls=listener.tls is not None,
        mechanisms=mechanisms,
        insecure_mechanisms=offered(MECHANISMS, True, None) if insecure else (),
        vrfy=settings.vrfy.value != "off",
        expn=settings.expn.value != "off",
        requiretls=role is not Role.LMTP,
        etrn=gives is not None and gives.offers_etrn,
        atrn=gives is not None and role is Role.ODMR,
        turn=gives is not None and gives.offers_turn,
        refuse_early_commands=settings.refuse_early_commands,
    )
