"""What all SMTP and LMTP sessions share, and what one listener's sessions have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Environment:
    """What a session needs from outside; one for the whole process."""

    hostname: str
    store: Store
    directory: Directory
    authenticator: Authenticator
    settings: ReceptionSettings
    limits: SmtpLimits
    clock: Callable[[], float]
    nonce: Callable[[], str]


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
    logs_in = listener.role is not Role.LMTP
    insecure = logs_in and is_near
    mechanisms = offered(MECHANISMS, True, listener.channel_binding(environment.authenticator)) if logs_in else ()
    return ServerOptions(
        environment.hostname,
        lmtp=listener.role is Role.LMTP,
        message_size=limits.message_size,
        command_line=limits.command_line,
        auth_line=limits.auth_line,
        smtputf8=settings.smtputf8,
        starttls=listener.tls is not None,
        mechanisms=mechanisms,
        insecure_mechanisms=offered(MECHANISMS, True, None) if insecure else (),
        vrfy=settings.vrfy.value != "off",
        expn=settings.expn.value != "off",
        refuse_early_commands=settings.refuse_early_commands,
    )
