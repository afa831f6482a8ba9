"""AUTH: who the client is, by a SASL exchange (RFC 4954 §4)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from estafeta.mail.catalogue import logins, orders, syntax
from estafeta.mail.reply import Reply
from estafeta.wire.smtp.events import Auth, AuthResponse, Event
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb

_SENDS_PASSWORD = frozenset(("PLAIN", "LOGIN"))


def decode(text: bytes) -> bytes:
    """A response in base64 (RFC 4648 §4), strictly read; raises Fault (RFC 4954 §4: 501 5.5.2)."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Fault(logins.NOT_BASE64) from None


def challenge(octets: bytes) -> Reply:
    """A server's challenge as a 334 reply."""
    return logins.CHALLENGE.with_(challenge=b64encode(octets).decode("ascii"))


def _parse(session: Session, argument: bytes) -> Event:
    words = argument.split()
    if not words or len(words) > 2:
        raise Fault(syntax.SYNTAX.with_(syntax=AUTH.syntax))
    if session.is_authenticated:  # RFC 4954 §4
        raise Fault(orders.AUTHENTICATED_ALREADY)
    name = words[0].decode("ascii", "replace").upper()
    if name not in session.mechanisms:
        if name in session.options.mechanisms:  # RFC 4954 §6; RFC 5248 has a code of its own for passwords in the clear
            raise Fault(logins.ENCRYPTION_NEEDED if name in _SENDS_PASSWORD else logins.MECHANISM_NEEDS_TLS)
        raise Fault(logins.MECHANISM_UNKNOWN)
    if len(words) == 1:
        return Auth(name, None)
    # RFC 4954 §4: a single "=" is an initial response of no octets.
    return Auth(name, b"" if words[1] == b"=" else decode(words[1]))


def read_response(line: bytes) -> Event:
    """The line after a 334; raises Fault."""
    if line == b"*":
        return AuthResponse(None)
    return AuthResponse(decode(line))


def proceed(session: Session, event: Event) -> None:
    """After a 235."""
    session.is_authenticated = True


AUTH = Verb(
    "AUTH",
    "AUTH mechanism [initial-response]",
    frozenset({Phase.READY}),
    _parse,
    proceed,
    ends_group=True,
    is_offered=lambda session: bool(session.options.mechanisms or session.options.insecure_mechanisms),
)
