"""When a recipient is tried again, when its sender is told of a delay, and when it has failed for its age."""

from __future__ import annotations

from collections.abc import Callable

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.mail.envelope import Notify
from estafeta.mail.value import value
from estafeta.store.records import Instant, QueuedMessage, QueuedRecipient

LONGEST_BLOCK = 3600.0
"""Seconds that a destination which does not answer is left alone at most: new mail for it should not wait longer."""


@value
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
        """When its time here is over (RFC 5321 §4.5.4.1); what was held has it from its release on."""
        return Instant(recipient.message.begins_at + self.settings.lifetime)

    def is_over(self, recipient: QueuedRecipient, now: float) -> bool:
        """Whether it has failed for its age, or because its sender wants it back by now (RFC 2852 §4.1.3)."""
        return self.expires_at(recipient) <= now or is_overdue(recipient.message, now)

    def review_at(self, recipient: QueuedRecipient) -> Instant:
        """When to look at it next: for a notice of delay that is still due, for the time of BY, or for its end."""
        review_at = self.expires_at(recipient)
        if not recipient.is_delay_told and self.wants_delay_notice(recipient):
            review_at = min(review_at, self.delay_notice_at(recipient))
        by = recipient.message.deliver_by
        if by is not None and (by.returns or not recipient.is_by_told):
            review_at = min(review_at, by.at)
        return review_at

    def is_delay_due(self, recipient: QueuedRecipient, now: float) -> bool:
        """Whether the sender is to be told now that it is late."""
        if recipient.is_delay_told or not self.wants_delay_notice(recipient):
            return False
        return self.delay_notice_at(recipient) <= now

    def delay_notice_at(self, recipient: QueuedRecipient) -> Instant:
        """When that is."""
        return Instant(recipient.message.begins_at + self.settings.delay_notice_after)

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


def is_by_over(message: QueuedMessage, now: float) -> bool:
    """Whether the time of BY is over, if it has one."""
    return message.deliver_by is not None and message.deliver_by.at <= now


def is_overdue(message: QueuedMessage, now: float) -> bool:
    """Whether the sender wants it back by now: it is not tried any more (RFC 2852 §4.1.3)."""
    by = message.deliver_by
    return by is not None and by.returns and by.at <= now


def is_by_due(recipient: QueuedRecipient, now: float) -> bool:
    """Whether the sender is to be told now that the time of BY is over, and that it is tried on (RFC 2852 §4.1.3)."""
    by = recipient.message.deliver_by
    return by is not None and not by.returns and by.at <= now and not recipient.is_by_told
