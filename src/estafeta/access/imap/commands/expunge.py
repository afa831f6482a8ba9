"""EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9; RFC 7162 §3.2.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.access.imap.limiting import limited
from estafeta.store import messages
from estafeta.store.engine import Transaction
from estafeta.store.flags import DELETED
from estafeta.store.records import MailboxId
from estafeta.wire.imap.commands.expunge import Expunge
from estafeta.wire.imap.completion import Completion, no, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session
    from estafeta.store.store import Store

AT_ONCE = 500
"""Messages removed in one step: some 30 ms of the writer, and more where their contents go with them."""


async def expunge(session: Session, request: Expunge) -> Completion:
    """Remove what is \\Deleted, in the whole mailbox or of some UIDs."""
    selected = session.selected
    assert selected is not None
    if selected.is_read_only:
        return no("The mailbox is open for reading only", "READ-ONLY")
    if "e" not in selected.rights:
        return no("You have no right to expunge messages of this mailbox", "NOPERM")  # RFC 4314 §4
    view, beyond = selected.view, ""
    ranges: list[tuple[int, int]] = [(1, messages.ALL)]
    if request.uids is not None or session.settings.message_limit:
        chosen: Sequence[int] = range(len(view))
        if request.uids is not None:
            chosen = selected.positions(request.uids, is_uid=True)
        if session.settings.message_limit:
            chosen, beyond = limited(session, [place for place in chosen if view.flags[place] & DELETED])
        ranges = messages.ranges_of(view.uids[place] for place in chosen)
    count = await remove_deleted(session.environment.store, view.mailbox_id, ranges)
    await session.catch_up(expunges=True)
    if beyond:
        return ok("Only the newest were expunged", beyond)
    # RFC 7162 §3.2.7: asked of servers whose client said QRESYNC; it does no harm to one that only said CONDSTORE.
    has_code = count and "CONDSTORE" in session.enabled
    return ok("Expunge completed", f"HIGHESTMODSEQ {selected.view.modseq}" if has_code else "")


async def remove_deleted(store: Store, mailbox_id: MailboxId, ranges: Sequence[tuple[int, int]]) -> int:
    """Remove what is \\Deleted in ranges of UIDs (ascending), step by step; gives how many messages. Raises StoreError.

    For CLOSE too.
    """
    removed = 0
    left = list(ranges)
    while left:

        def step(tx: Transaction, left: Sequence[tuple[int, int]] = tuple(left)) -> list[int]:
            return list(messages.expunge(tx, mailbox_id, messages.deleted_in(tx, mailbox_id, left, limit=AT_ONCE)))

        gone = await store.write(step)
        removed += len(gone)
        if len(gone) < AT_ONCE:
            break
        # What stands before the last one is not looked at again.
        left = [(max(first, gone[-1] + 1), last) for first, last in left if last > gone[-1]]
    return removed
