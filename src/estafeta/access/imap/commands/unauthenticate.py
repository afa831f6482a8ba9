"""UNAUTHENTICATE (RFC 8437): all that belongs to the login is forgotten; TLS and compression stay."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.unauthenticate import Unauthenticate
from estafeta.wire.imap.completion import Completion, ok


async def unauthenticate(session: Session, request: Unauthenticate) -> Completion:
    """Back to the state before login."""
    session.forget()
    session.engine.unauthenticated(session.offer())
    return ok("Unauthenticated", session.capabilities())
