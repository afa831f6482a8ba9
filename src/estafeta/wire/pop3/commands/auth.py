"""AUTH: a SASL exchange (RFC 5034)."""

from __future__ import annotations

import binascii

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.commands.user import NOT_OFFERED
from estafeta.wire.pop3.events import Authenticate, Event
from estafeta.wire.pop3.session import AUTHORIZATION, Answer, Command, Negative, Positive, Session

_HIDDEN_MECHANISMS = ("PLAIN", "LOGIN")


def decode(octets: bytes) -> bytes:
    """Base64 without any leniency (RFC 4648 §3.3); raises GrammarError."""
    try:
        return binascii.a2b_base64(octets, strict_mode=True) if octets else b""
    except binascii.Error:
        raise grammar.GrammarError("not base64") from None


def _read(session: Session, argument: bytes | None) -> Answer | Event:
    match grammar.params(argument):
        case []:
            # Departs from RFC 5034 §4: AUTH alone lists the mechanisms, as older clients ask for them and other servers
            # answer.
            return Positive("mechanisms follow", session.offer.mechanisms)
        case [name]:
            initial = None
        case [name, b"="]:
            initial = b""  # RFC 5034 §4: a single "=" is an empty initial response
        case [name, response]:
            initial = decode(response)
        case _:
            raise grammar.GrammarError("give a mechanism and at most an initial response")
    mechanism = name.decode("ascii", "replace").upper()
    if mechanism not in session.offer.mechanisms:
        # RFC 3206 §5: without TLS it is a matter of policy, which a client should tell its user.
        return NOT_OFFERED if mechanism in _HIDDEN_MECHANISMS else Negative("no such mechanism")
    session.user = None
    return Authenticate(mechanism, initial)


AUTH = Command("AUTH", AUTHORIZATION, "[SP mechanism [SP initial-response]]", _read)
