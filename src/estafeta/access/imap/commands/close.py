"""CLOSE and UNSELECT (RFC 9051 §6.4.1, §6.4.2)."""

from __future__ import annotations

from estafeta.access.imap.commands.expunge import remove_deleted
from estafeta.access.imap.session import Session
from estafeta.store import messages
from estafeta.wire.imap.commands.close import Close, Unselect
from estafeta.wire.imap.completion import Completion, ok


async def close(session: Session, request: Close) -> Completion:
    """Remove what is \\Deleted without telling, where that may be done, and leave the mailbox."""
    selected = session.selected
    assert selected is not None
    mailbox_id = selected.view.mailbox_id
    # RFC 4314 §4: without the right to expunge CLOSE leaves the messages, and says nothing of it.
    expunges = not selected.is_read_only and "e" in selected.rights
    session.leave()
    if expunges:
        await remove_deleted(session.environment.store, mailbox_id, [(1, messages.ALL)])
    return ok("Close completed")


async def unselect(session: Session, request: Unselect) -> Completion:
    """Leave the mailbox as it is."""
    session.leave()
    return ok("Unselect completed")
