"""QUIT: the end of the session; what stands behind it is not read (RFC 5321 §4.1.1.10)."""

from __future__ import annotations

from estafeta.wire.smtp.events import Event, Quit
from estafeta.wire.smtp.session import ANY_PHASE, Session, Verb


def _proceed(session: Session, event: Event) -> None:
    session.transaction = None
    session.is_ended = True


# Departs from RFC 5321 §4.1.1.10: an argument is let pass.
QUIT = Verb("QUIT", "QUIT", ANY_PHASE, lambda session, argument: Quit(), _proceed)
