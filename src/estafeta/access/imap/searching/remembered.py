"""Orders and conversations of whole mailboxes, remembered as long as the same messages are there.

Flags do not change them, and which messages a mailbox has is known by UIDNEXT and their number: UIDs are never given
again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from estafeta.access.imap.snapshot import Snapshot

MOST_OCTETS = 32 * 1024 * 1024
"""Of all that is remembered: some fifty orders of mailboxes with a hundred thousand messages."""


class Remembered:
    """What was found lately; used in one event loop."""

    def __init__(self) -> None:
        self._found: OrderedDict[Hashable, tuple[tuple[int, int], bytes]] = OrderedDict()
        self._octets = 0

    def get(self, view: Snapshot, what: Hashable) -> bytes | None:
        """What was kept for these very messages."""
        key = (view.mailbox_id, what)
        found = self._found.get(key)
        if found is None or found[0] != (view.uid_next, len(view)):
            return None
        self._found.move_to_end(key)
        return found[1]

    def keep(self, view: Snapshot, what: Hashable, octets: bytes) -> None:
        """Keep something; what was used longest ago goes when it is too much."""
        key = (view.mailbox_id, what)
        before = self._found.pop(key, None)
        if before is not None:
            self._octets -= len(before[1])
        self._found[key] = ((view.uid_next, len(view)), octets)
        self._octets += len(octets)
        while self._octets > MOST_OCTETS and len(self._found) > 1:
            _, (_, gone) = self._found.popitem(last=False)
            self._octets -= len(gone)
