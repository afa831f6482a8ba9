"""IDLE (RFC 9051 §6.3.13, RFC 2177): what is new is told at once, until DONE."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.idle import Idle
from estafeta.wire.imap.completion import Completion, ok
from estafeta.wire.imap.events import Done


async def idle(session: Session, request: Idle) -> Completion:
    """Wait for DONE; the session tells what happens meanwhile."""
    session.engine.idling()
    with session.idling():
        await session.tell_news(expunges=True)
        while not isinstance(await session.next_event(), Done):
            pass
    return ok("Idle completed")
