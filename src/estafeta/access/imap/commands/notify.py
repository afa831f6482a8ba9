"""NOTIFY: which events are told, at any time (RFC 5465 §3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.access.imap.watching import EVENTS, MESSAGE_EVENTS, Overflow, Watching
from estafeta.wire.imap.commands.notify import EventGroup, Notify
from estafeta.wire.imap.completion import Completion, Refused, bad, ok

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

_SELECTED = ("selected", "selected-delayed")


async def notify(session: Session, request: Notify) -> Completion:
    """Replace what is told; without groups nothing is."""
    fault = _fault(request.groups)
    if fault is not None:
        return fault
    watching = Watching(session, request.groups)
    try:
        await watching.start()
    except Overflow:
        raise Refused("There are too many mailboxes to tell of", "NOTIFICATIONOVERFLOW") from None
    # RFC 5465 §3.1: an implicit NOOP, before anything is held back
    await session.catch_up(expunges=True)
    if session.watching is not None:
        session.watching.close()
    if session.annotating is not None:
        session.annotating.close()
        session.annotating = None
    session.watching = watching
    session.own_changes.clear()
    session.own_entries.clear()
    if request.status:
        watching.status_of_all()
    watching.no_access()
    return ok("Notify completed")


def _fault(groups: tuple[EventGroup, ...]) -> Completion | None:
    """What is wrong with the groups, if anything."""
    for group in groups:
        if not group.events <= EVENTS:  # RFC 5465 §3.1: NO, and what can be told
            return Refused("Not all of these can be told", f"BADEVENT ({' '.join(sorted(EVENTS))})").completion
        messages = group.events & MESSAGE_EVENTS
        # RFC 5465 §5: both, or neither; and FlagChange with both
        if messages and not {"MessageNew", "MessageExpunge"} <= messages:
            return bad("MessageNew and MessageExpunge go together")
        is_selected = group.filter in _SELECTED
        if is_selected and group.events - MESSAGE_EVENTS:  # RFC 5465 §6.1
            return bad("Of the selected mailbox only its messages are told")
        if group.items and not is_selected:  # RFC 5465 §8
            return bad("Items are told of the selected mailbox only")
    if sum(group.filter in _SELECTED for group in groups) > 1:  # RFC 5465 §6.1
        return bad("The selected mailbox is named twice")
    return None
