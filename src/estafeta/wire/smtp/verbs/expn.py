"""EXPN: who is on this list? Allowed at any time (RFC 5321 §4.1.1.7)."""

from __future__ import annotations

from estafeta.wire.smtp.events import Event, Expn
from estafeta.wire.smtp.grammar import question
from estafeta.wire.smtp.session import ANY_PHASE, Session, Verb, unchanged


def _parse(session: Session, argument: bytes) -> Event:
    return Expn(*question(argument, "EXPN"))


EXPN = Verb(
    "EXPN",
    "EXPN alias",
    ANY_PHASE,
    _parse,
    unchanged,
    ends_group=True,
    is_offered=lambda session: session.options.expn,
)
