"""CAPA: what this server can do for this client now (RFC 2449 §5, §6)."""

from __future__ import annotations

from estafeta.wire.pop3 import grammar
from estafeta.wire.pop3.session import BOTH, Answer, Command, Positive, Session, State


def capabilities(session: Session) -> tuple[str, ...]:
    """The capabilities of this session in its state."""
    offer = session.offer
    # Not done of RFC 2449 §6.5: LOGIN-DELAY is not announced; the response code is given.
    listed = [
        "TOP",
        "UIDL",
        "RESP-CODES",
        "AUTH-RESP-CODE",  # RFC 3206 §6
        "PIPELINING",
        "EXPIRE NEVER",
    ]
    if offer.user:
        listed.append("USER")
    if offer.mechanisms:
        listed.append(f"SASL {' '.join(offer.mechanisms)}")
    if offer.stls and session.state is State.AUTHORIZATION and not session.is_secure:
        listed.append("STLS")  # RFC 2595 §4: present means permitted in the current state
    if offer.utf8:
        listed.append("UTF8 USER")
    listed.append(f"IMPLEMENTATION {offer.implementation}")
    return tuple(listed)


def _read(session: Session, argument: bytes | None) -> Answer:
    grammar.nothing(argument)
    return Positive("capabilities follow", capabilities(session))


CAPA = Command("CAPA", BOTH, "", _read)
