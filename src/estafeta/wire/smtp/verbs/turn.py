"""TURN: turn the roles (RFC 821 §3.8). For authenticated clients alone: with others it gives mail to anybody."""

from __future__ import annotations

from estafeta.mail.catalogue import syntax
from estafeta.wire.smtp.events import Event, Turn
from estafeta.wire.smtp.grammar import Fault
from estafeta.wire.smtp.session import Phase, Session, Verb, turn_roles


def _parse(session: Session, argument: bytes) -> Event:
    if argument:
        raise Fault(syntax.TAKES_NO_ARGUMENT.with_(verb="TURN"))
    return Turn()


TURN = Verb(
    "TURN",
    "TURN",
    frozenset({Phase.READY}),
    _parse,
    turn_roles,
    ends_group=True,
    turns_roles=True,
    # RFC 5321 appendix F.1: not without strong authentication of the client; refused with 502 else.
    is_offered=lambda session: session.options.turn and session.is_authenticated,
)
