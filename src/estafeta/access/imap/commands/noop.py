"""NOOP and CHECK: what is new is told, and the store is asked for it (RFC 9051 §6.1.2, RFC 3501 §6.4.1)."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.close import Check
from estafeta.wire.imap.commands.noop import Noop
from estafeta.wire.imap.completion import Completion, ok


async def noop(session: Session, request: Noop) -> Completion:
    """Tell what is new, whoever did it."""
    await session.tell_news(expunges=True, is_fresh=True)
    return ok("Noop completed")


async def check(session: Session, request: Check) -> Completion:
    """The same: everything is durable anyway."""
    await session.tell_news(expunges=True, is_fresh=True)
    return ok("Check completed")
