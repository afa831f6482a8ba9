"""STARTTLS (RFC 9051 §6.2.1)."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.starttls import StartTls
from estafeta.wire.imap.completion import ok


async def start_tls(session: Session, request: StartTls) -> None:
    """The OK goes in the clear, all behind it is secured."""
    session.engine.complete(ok("Begin TLS negotiation now"))
    await session.flush_all()
    await session.start_tls()
