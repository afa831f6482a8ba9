"""How fast mail may pass: a number in a time, for a destination and for an account."""

from __future__ import annotations


class Meter:
    """Lets so many things pass in a time, in a burst of a tenth of them (a token bucket)."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated_at")

    def __init__(self, number: int, seconds: float, now: float) -> None:
        self._rate = number / seconds
        self._burst = max(1.0, number / 10)
        self._tokens = self._burst
        self._updated_at = now

    def wait(self, now: float) -> float:
        """Seconds until the next may pass; 0 when it may now."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / self._rate

    def take(self, number: int) -> None:
        """So many have passed; a group is let pass whole and paid for afterwards."""
        self._tokens -= number

    def is_full(self, now: float) -> bool:
        """Whether nothing has passed for so long that it need not be remembered."""
        self.wait(now)
        return self._tokens >= self._burst


class Account(Meter):
    """What one account may reach in an hour, and how much of its mail waits in memory for that.

    No more waits in memory than may pass in a minute, so that a mailing which is held back takes nobody else's
    room. The rest waits in the store, one behind the other.
    """

    __slots__ = ("_behind", "waiting")

    def __init__(self, number: int, now: float) -> None:
        super().__init__(number, 3600.0, now)
        self.waiting = 0
        """Recipients in memory that wait for their turn."""
        self._behind = now
        """When the last of those that were sent back may pass."""

    @property
    def has_room(self) -> bool:
        """Whether more of its mail may wait in memory."""
        return self.waiting < self._burst + self._rate * 60.0

    def send_back(self, number: int, now: float) -> float:
        """So many more wait in the store instead: seconds until they may pass, behind all others of the account."""
        self._behind = max(self._behind, now + self.waiting / self._rate) + number / self._rate
        return self._behind - now

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing to remember of it."""
        return not self.waiting and self._behind <= now and self.is_full(now)
