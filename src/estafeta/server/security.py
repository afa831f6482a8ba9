"""What a server of the library asks of a connection before it takes mail: TLS, a login."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from estafeta.net.tls import ServerTls


@dataclass(frozen=True, slots=True)
class Security:
    """How connections are secured, and what is demanded."""

    tls: ServerTls | ssl.SSLContext | None
    """The certificate that is shown; without, there is no TLS."""
    is_implicit: bool
    """TLS from the first octet (RFC 8314 §3); else STARTTLS."""
    is_required: bool
    """Before TLS nothing is taken (RFC 3207 §4)."""
    requires_login: bool
    """Before a login no mail is taken (RFC 4954 §6)."""
    logs_in_without_tls: bool
    """Passwords may come in the clear, also from other machines."""

    def __post_init__(self) -> None:
        if self.tls is None and (self.is_implicit or self.is_required):
            raise ValueError("TLS is asked for, and there is no certificate: give tls=")

    @property
    def context(self) -> ssl.SSLContext | None:
        """What handshakes are made with."""
        return self.tls.context if isinstance(self.tls, ServerTls) else self.tls

    @property
    def channel_binding(self) -> bytes | None:
        """What SCRAM-SHA-256-PLUS is bound to (RFC 5929 §4); with a plain SSLContext nobody knows it."""
        return self.tls.channel_binding if isinstance(self.tls, ServerTls) else None
