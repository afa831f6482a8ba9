"""The maildrop of one session: numbers that stay what they are, and marks of deletion (RFC 1939 §4, §5).

Nothing is removed here: marks are what QUIT hands over, and what every other ending forgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from estafeta.mail.value import value


@value
class Entry:
    """One message: its size in octets, before dot-stuffing, and its unique-id (RFC 1939 §5, §7)."""

    size: int
    unique_id: str


class NoSuchMessage(LookupError):
    """The number names no message, or one that is marked as deleted; the text is fit for an answer."""


class Maildrop:
    """The messages found at login, numbered from 1 in their order."""

    __slots__ = ("_entries", "_marked", "_octets")

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._entries = tuple(entries)
        self._marked: set[int] = set()
        self._octets = sum(entry.size for entry in self._entries)

    @property
    def messages(self) -> int:
        """How many messages are not marked as deleted."""
        return len(self._entries) - len(self._marked)

    @property
    def octets(self) -> int:
        """The sizes of the messages not marked as deleted, added."""
        return self._octets

    @property
    def marked(self) -> tuple[int, ...]:
        """The numbers marked as deleted, in their order."""
        return tuple(sorted(self._marked))

    def entry(self, number: int) -> Entry:
        """The message of that number; raises NoSuchMessage."""
        if not 1 <= number <= len(self._entries):
            raise NoSuchMessage(f"no such message, the maildrop has {len(self._entries)}")
        if number in self._marked:
            raise NoSuchMessage(f"message {number} is deleted")
        return self._entries[number - 1]

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Numbers and messages, without those marked as deleted."""
        return (pair for pair in enumerate(self._entries, 1) if pair[0] not in self._marked)

    def mark(self, number: int) -> None:
        """Mark as deleted; raises NoSuchMessage."""
        self._octets -= self.entry(number).size
        self._marked.add(number)

    def unmark_all(self) -> None:
        """Take all marks back (RSET)."""
        self._octets += sum(self._entries[number - 1].size for number in self._marked)
        self._marked.clear()
