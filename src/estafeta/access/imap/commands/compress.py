"""COMPRESS=DEFLATE (RFC 4978): both sides are compressed from the octet after the OK."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.compress import Compress
from estafeta.wire.imap.completion import Completion, ok


async def compress(session: Session, request: Compress) -> Completion:
    """The engine begins behind the completion."""
    return ok("DEFLATE is active")
