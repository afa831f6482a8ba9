"""The most messages that one command handles, where the operator has set that (RFC 9738)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


def limited(session: Session, positions: Sequence[int]) -> tuple[Sequence[int], str]:
    """The positions (ascending) that a command handles now, and the response code when these are not all.

    The newest are handled; the code says the limit and the lowest UID that was, so that the client goes on below it.
    """
    selected, most = session.selected, session.settings.message_limit
    if not most or len(positions) <= most or selected is None:
        return positions, ""
    handled = positions[-most:]
    return handled, f"MESSAGELIMIT {most} {selected.view.uids[handled[0]]}"
