"""LOGOUT (RFC 9051 §6.1.3)."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.logout import Logout
from estafeta.wire.imap.completion import Completion, ok


async def logout(session: Session, request: Logout) -> Completion:
    """Say goodbye; nothing is expunged."""
    session.forget()  # what is new is not told any more
    return ok("Logout completed")
