"""What the sessions of readers count: plain additions, read by whoever wants to know."""

from __future__ import annotations

from collections import Counter


class AccessTally:
    """Of all POP3 and IMAP sessions of a process; labels are words of closed lists."""

    __slots__ = ("commands", "imap_replies", "pop3_replies", "sessions")

    def __init__(self) -> None:
        self.sessions: Counter[tuple[str, str]] = Counter()
        """Sessions that have ended, by protocol and how."""
        self.commands: Counter[str] = Counter()
        """IMAP commands that were carried out, by the names of their classes."""
        self.imap_replies: Counter[str] = Counter()
        """Tagged responses, by status: OK, NO, BAD."""
        self.pop3_replies: Counter[str] = Counter()
        """Status indicators: `+OK` and `-ERR`."""
