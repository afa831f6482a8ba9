"""NAMESPACE: where names begin (RFC 9051 §6.3.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap.naming import OTHER_USERS
from estafeta.wire.imap.commands.namespace import Namespace
from estafeta.wire.imap.completion import Completion, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


async def namespace(session: Session, request: Namespace) -> Completion:
    """One's own mailboxes have no prefix; those of others are below their addresses; nothing is nobody's."""
    session.send(b'* NAMESPACE (("" "/")) (("%s/" "/")) NIL\r\n' % OTHER_USERS.encode("ascii"))
    return ok("Namespace completed")
