"""Which mechanisms a server may offer on a connection, and which of them a client takes."""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.wire.sasl.steps import MECHANISMS, SCRAM_SHA_1, SCRAM_SHA_256, SCRAM_SHA_256_PLUS


def offered(mechanisms: Iterable[str], secure: bool, channel_binding: bytes | None) -> tuple[str, ...]:
    """Those of the mechanisms that a server may offer now, the best first.

    `secure`: nobody between can read (TLS, loopback), or the operator accepts that. Without it, no
    mechanism is offered that sends the password, or lets it be guessed by who listens; without channel
    binding data, no -PLUS.
    """
    allowed = {name.upper() for name in mechanisms}
    return tuple(name for name in MECHANISMS if name in allowed and _is_usable(name, secure, channel_binding))


def choose_mechanism(mechanisms: Iterable[str], secure: bool, channel_binding: bytes | None) -> str | None:
    """The best of the mechanisms that a server offers, for a client on this connection; None without any."""
    return next(iter(offered(mechanisms, secure, channel_binding)), None)


def _is_usable(name: str, secure: bool, channel_binding: bytes | None) -> bool:
    if name == SCRAM_SHA_256_PLUS:
        return channel_binding is not None
    return secure or name in (SCRAM_SHA_256, SCRAM_SHA_1)
