"""When a recipient is tried again, when its sender is told of a delay, and when it has failed for its age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.mail.envelope import Notify
from estafeta.store.records import Instant, QueuedRecipient

LONGEST_BLOCK = 3600.0
"""Seconds that a destination which does not answer is left alone at most: new mail for it should not wait longer."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times by the settings; `chance` gives numbers from 0 to 1."""

    settings: RelaySettings
    chance: Callable[[], float]

    def next_attempt(self, attempts: int, now: float) -> Instant:
        """When to try again after so many attempts, the one just made included."""
        return Instant(now + self._wait(attempts))

    def block(self, failures: int, now: float) -> Instant:
        """How long to leave a destination alone after so many failures one after the other."""
        return Instant(now + min(self._wait(failures), LONGEST_BLOCK))

    def _wait(self, number: int) -> float:
        waits = self.settings.retry_after
        wait = waits[min(max(number, 1), len(waits)) - 1]
        return wait * (1 + self.settings.jitter * (2 * self.chance() - 1))

    def expires_at(self, recipient: QueuedRecipient) -> Instant:
        """When its time is over (RFC 5321 §4.5.4.1)."""
        return Instant(recipient.message.accepted_at + self.settings.lifetime)

    def review_at(self, recipient: QueuedRecipient) -> Instant:
        """When to look at it next: for a notice of delay that is still due, or for its end."""
        expires_at = self.expires_at(recipient)
        if recipient.is_delay_told or not self.wants_delay_notice(recipient):
            return expires_at
        return min(expires_at, Instant(recipient.message.accepted_at + self.settings.delay_notice_after))

    def wants_delay_notice(self, recipient: QueuedRecipient) -> bool:
        """Whether the sender is told of a delay at all (RFC 3461 §4.1)."""
        if not self.settings.delay_notice_after or recipient.message.reverse_path.is_null:
            return False
        return recipient.notify is None or Notify.DELAY in recipient.notify

    @property
    def first_review_after(self) -> float:
        """Seconds from acceptance to the first look at a recipient of which nothing more is known."""
        notice, lifetime = self.settings.delay_notice_after, self.settings.lifetime
        return min(notice, lifetime) if notice else lifetime
