"""What a session's view knows of messages, told in bulk: FLAGS, UID and MODSEQ need no reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from estafeta.access.imap.octets import Messages
from estafeta.access.imap.rendering import Plan

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

AT_ONCE = 4_000
"""Messages told without giving way to other sessions: two or three milliseconds."""


def chosen(session: Session, positions: Sequence[int]) -> Messages:
    """The messages of the open mailbox at positions, of which there is at least one, ascending."""
    selected = session.selected
    assert selected is not None
    view, is_uid_only = selected.view, "UIDONLY" in session.enabled
    recent = selected.recent_uids if session.shows_recent else ()
    first, end = positions[0], positions[-1] + 1
    if end - first == len(positions):
        uids, flags, modseqs = view.uids[first:end], view.flags[first:end], view.modseqs[first:end]
        numbers: Sequence[int] = uids if is_uid_only else range(first + 1, end + 1)
        return Messages(numbers, uids, flags, modseqs, [(uids[0], uids[-1])], recent)
    ranges: list[tuple[int, int]] = []
    begun = before = first
    for position in positions[1:]:
        if position != before + 1:
            ranges.append((view.uids[begun], view.uids[before]))
            begun = position
        before = position
    ranges.append((view.uids[begun], view.uids[before]))
    found = [view.uids[position] for position in positions]
    return Messages(
        found if is_uid_only else [position + 1 for position in positions],
        found,
        [view.flags[position] for position in positions],
        [view.modseqs[position] for position in positions],
        ranges,
        recent,
    )


async def tell(session: Session, plan: Plan, positions: Sequence[int]) -> None:
    """Send the responses of a plan that needs no rows, in steps."""
    assert session.selected is not None and plan.shape is None
    keywords = session.selected.view.keywords
    for start in range(0, len(positions), AT_ONCE):
        session.send(plan.render(chosen(session, positions[start : start + AT_ONCE]).batch(keywords)))
        await session.flush()
