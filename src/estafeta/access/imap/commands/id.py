"""ID (RFC 2971): the server says its name and version; what the client says is not kept."""

from __future__ import annotations

from estafeta import __version__
from estafeta.access.imap.session import Session
from estafeta.wire.imap.commands.id import Id
from estafeta.wire.imap.completion import Completion, ok
from estafeta.wire.imap.writing import quoted


async def identify(session: Session, request: Id) -> Completion:
    """Tell who this is."""
    session.send(_LINE)
    return ok("ID completed")


_LINE = b'* ID ("name" "Estafeta" "version" %b)\r\n' % quoted(__version__)
