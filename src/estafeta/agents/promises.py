"""What MAIL asks of a message's time and order: who may hold mail, and who may go before others.

DELIVERBY is anybody's (RFC 2852), FUTURERELEASE is for submission (RFC 4865), and priorities above 0 are for those
whom the operator trusts with them (RFC 6710 §4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from estafeta.agents.chronicle import Reason
from estafeta.mail.address import Address
from estafeta.mail.catalogue import contents, screens, senders
from estafeta.mail.envelope import ByMode, DeliverBy, Opening, Sender
from estafeta.mail.priority import said_priority
from estafeta.mail.reply import Reply
from estafeta.store import queue
from estafeta.store.records import Deadline, Instant
from estafeta.store.store import Store
from estafeta.wire.smtp.extensions.future_release import timestamp

MOST_SECONDS = 999_999_999  # RFC 4865 §3 (2), RFC 2852 §2 (3)

TOO_LATE = contents.TOO_LATE


@dataclass(frozen=True, slots=True)
class PromiseSettings:
    """`[promises]`: what senders may ask of the time and the order in which their mail goes."""

    deliver_by: bool = True
    """Offer DELIVERBY: mail that comes back, or whose sender is told, when it is not delivered in time (RFC 2852)."""
    deliver_by_at_least: int = 0
    """The least seconds that may be asked for where the message is to come back then; 0 for any number."""
    hold_for: int = 2_592_000
    """Seconds for which users may have mail held at most, on submission listeners (FUTURERELEASE, RFC 4865); 0 holds
    none."""
    held_messages: int = 100
    """How many messages one account may have held at a time."""
    priority: bool = True
    """Offer MT-PRIORITY: mail of a higher priority is relayed first (RFC 6710)."""
    priority_policy: str = ""
    """The name of the priority assignment policy that is announced: MIXER, STANAG4406, NSEP, or one of your own; none
    when empty."""
    highest_priority: int = 0
    """The highest priority, up to 9, that users who log in, and trusted networks, may ask for. Strangers never get one
    above 0; what is asked for beyond that is lowered."""
    highest_priorities: dict[str, int] = field(default_factory=dict)
    """Other limits for some accounts: by an address, or @domain for all of a domain."""
    believe_priority_field: bool = False
    """Take the priority from the header field MT-Priority where MAIL said none (RFC 6758 §3.1), within the limits."""
    priority_field_to: tuple[str, ...] = ()
    """Domains to whose hosts the field is written where they do not know MT-PRIORITY (RFC 6758 §3.3): a domain,
    `.example.org` for all names below it, `*` for all. It changes the header, which signatures may not bear."""

    def highest_for(self, account: Address | None, *, is_trusted: bool) -> int:
        """The highest priority that a client gets."""
        if account is None:
            return self.highest_priority if is_trusted else 0
        for key in (str(account).lower(), f"@{account.domain}") if self.highest_priorities else ():
            if key in self.highest_priorities:
                return self.highest_priorities[key]
        return self.highest_priority

    def tunnels(self, domain: str) -> bool:
        """Whether hosts of the domain are told priorities in the header."""
        return any(
            each in ("*", domain) or (each.startswith(".") and domain.endswith(each)) for each in self.priority_field_to
        )


def latest_release(clock: Callable[[], float], seconds: int) -> datetime:
    """Until when mail is held at most."""
    return datetime.fromtimestamp(clock(), UTC) + timedelta(seconds=seconds)


def holding(settings: PromiseSettings, clock: Callable[[], float]) -> Callable[[], datetime] | None:
    """For `ServerOptions.hold_until` of submission listeners."""
    return partial(latest_release, clock, settings.hold_for) if settings.hold_for else None


async def refusal(
    settings: PromiseSettings, store: Store, sender: Sender, account: Address | None, at: float
) -> tuple[Reply, Reason] | None:
    """Why what MAIL asks for cannot be promised, if so. Raises StoreError."""
    if sender.hold is None:
        return None
    if sender.opening is not Opening.MAIL:
        return screens.NOT_HELD, Reason.NOT_PROMISED
    if sender.reverse_path.is_null:
        return senders.NOTIFICATION_NOT_HELD, Reason.NOT_PROMISED
    by, release_at = sender.deliver_by, released_at(sender, at)
    if by is not None and release_at is not None and release_at > at + by.seconds:  # RFC 4865 §5.2.2 (1)
        return senders.HELD_BEYOND_BY, Reason.NOT_PROMISED
    if account is not None:
        held = await store.read(partial(queue.count_held, account=str(account), now=Instant(at)))
        if held >= settings.held_messages:
            return senders.TOO_MANY_HELD, Reason.TOO_MANY
    return None


def lowering_reply(priority: int) -> Reply:
    """The reply to MAIL that says so (RFC 6710 §4.1)."""
    return senders.PRIORITY_LOWERED.with_(priority=str(priority))


def field_priority(head: bytes, highest: int) -> int:
    """The priority of a message whose MAIL said none and whose field is believed (RFC 6710 §4.1 (5), RFC 6758 §3.1)."""
    said = said_priority(head)
    return 0 if said is None else min(said, highest)


def released_at(sender: Sender, at: float) -> Instant | None:
    """When a message leaves that MAIL, at that time, wants to be held."""
    hold = sender.hold
    if hold is None:
        return None
    return Instant(hold.until.timestamp() if hold.until is not None else at + (hold.seconds or 0))


def hold_request(sender: Sender) -> str | None:
    """What MAIL said of it, as notifications repeat it (RFC 4865 §5.1.2)."""
    hold = sender.hold
    if hold is None:
        return None
    return f"until;{timestamp(hold.until)}" if hold.until is not None else f"for;{hold.seconds}"


def deadline(sender: Sender, at: float) -> Deadline | None:
    """Until when it is to be delivered, when MAIL came at that time (RFC 2852 §4)."""
    by = sender.deliver_by
    return None if by is None else Deadline(Instant(at + by.seconds), by.mode, by.is_traced)


def is_too_late(by: DeliverBy, said_at: float, now: float) -> bool:
    """Whether the content came when the message was to be back already."""
    return by.mode is ByMode.RETURN and said_at + by.seconds <= now


def facts(sender: Sender, priority: int, said_at: float) -> dict[str, object]:
    """For the journal: what was asked for, and what was made of it."""
    told: dict[str, object] = {}
    if sender.priority is not None or priority:  # RFC 6710 §4.1 (3)
        told["priority"] = priority
        if sender.priority not in (None, priority):
            told["priority_asked_for"] = sender.priority
    if (by := sender.deliver_by) is not None:
        told["deliver_by"] = f"{by.seconds};{by.mode.value}{'T' if by.is_traced else ''}"
    release_at = released_at(sender, said_at)
    if release_at is not None:
        told["held_until"] = timestamp(datetime.fromtimestamp(release_at, UTC))
    return told
