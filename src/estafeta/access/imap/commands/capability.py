"""CAPABILITY: what is offered now (RFC 9051 §6.1.1)."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.capability import Capability
from estafeta.wire.imap.completion import Completion, ok


async def capability(session: Session, request: Capability) -> Completion:
    """Tell it."""
    session.send(b"* %b\r\n" % session.capabilities().encode())
    return ok("Capability completed")
