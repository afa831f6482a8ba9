"""What the machine can still take: whoever measures it writes it down here, and sessions ask at MAIL.

A transaction that is open goes on whatever is written, so that what was begun is finished first.
"""

from __future__ import annotations

from estafeta.agents.chronicle import Reason
from estafeta.mail.catalogue import contents, senders
from estafeta.mail.reply import Reply


class Pressure:
    """One for all sessions of a process. Sizes in octets."""

    __slots__ = ("deferred", "is_overloaded", "room")

    def __init__(self) -> None:
        self.is_overloaded = False
        """No new transaction is begun."""
        self.room: int | None = None
        """What the disk may still take; None where that is not known."""
        self.deferred = 0
        """Transactions that were not begun, since the start."""

    def refusal(self, size: int | None) -> tuple[Reply, Reason] | None:
        """What MAIL is answered, which said SIZE or not; None where the transaction may begin."""
        if self.is_overloaded:
            self.deferred += 1
            return senders.BUSY, Reason.OVERLOADED
        room = self.room
        if room is not None and (room <= 0 or (size or 0) > room):  # RFC 1870 §6.1 (1)
            self.deferred += 1
            return contents.DISK_FULL, Reason.DISK_FULL
        return None
