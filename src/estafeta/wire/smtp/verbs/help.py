"""HELP: the verbs, or the syntax of one; allowed at any time (RFC 5321 §4.1.1.8)."""

from __future__ import annotations

from estafeta.wire.smtp.events import Event, Help
from estafeta.wire.smtp.session import ANY_PHASE, Session, Verb, unchanged


def _parse(session: Session, argument: bytes) -> Event:
    return Help(argument.decode("utf-8", "replace").strip().upper())


HELP = Verb("HELP", "HELP [command or topic]", ANY_PHASE, _parse, unchanged)
