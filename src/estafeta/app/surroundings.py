"""What a post office finds around it: clocks, chance, the network, the DNS, what its store stands on.

`Surroundings()` is this machine. The simulator hands in a world of its own; everything else of a post office is the
same there.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import field
from typing import Protocol

from estafeta.mail.value import value
from estafeta.net.address import IpNetwork
from estafeta.net.dns import DnsSettings, Resolver
from estafeta.net.listener import ConnectionLimits, Listener, Room, Serve, listen
from estafeta.net.resolver import DnsResolver
from estafeta.net.tls import ServerTls
from estafeta.store.machinery import Machinery


class Listen(Protocol):
    """Opens a port; see `net.listener.listen`."""

    def __call__(
        self,
        host: str | None,
        port: int,
        serve: Serve,
        *,
        tls: ServerTls | None,
        limits: ConnectionLimits,
        refuse: bytes,
        reuse_port: bool,
        proxies: tuple[IpNetwork, ...],
        room: Room,
    ) -> Awaitable[Listener]:
        """Raises OSError naming address and port when they cannot be had."""


def _nonce() -> str:
    return secrets.token_urlsafe(24)


@value
class Surroundings:
    """See the module."""

    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since some moment, which nobody sets."""
    chance: random.Random = field(default_factory=random.Random)
    """Orders hosts that are equal, and spreads the times of retries; for no secret."""
    nonce: Callable[[], str] = _nonce
    """A text that nobody can guess."""
    listen: Listen = listen
    """Opens a port."""
    resolver: Callable[[DnsSettings, Callable[[], float]], Resolver] = DnsResolver
    """Makes who is asked of the DNS, by the settings and the monotonic clock."""
    machinery: Machinery = field(default_factory=Machinery)
    """What the store stands on."""
