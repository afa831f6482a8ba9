"""VRFY: does this user or address exist? Allowed at any time (RFC 5321 §4.1.1.6)."""

from __future__ import annotations

from estafeta.wire.smtp.events import Event, Vrfy
from estafeta.wire.smtp.grammar import question
from estafeta.wire.smtp.session import ANY_PHASE, Session, Verb, unchanged


def _parse(session: Session, argument: bytes) -> Event:
    return Vrfy(*question(argument, "VRFY"))


VRFY = Verb(
    "VRFY",
    "VRFY user-or-address",
    ANY_PHASE,
    _parse,
    unchanged,
    ends_group=True,
    is_offered=lambda session: session.options.vrfy,
)
