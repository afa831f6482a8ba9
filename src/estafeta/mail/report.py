"""What a notification tells of (RFC 3464), as values: the message, and what became of each of its recipients."""

from __future__ import annotations

from enum import Enum, StrEnum

from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.envelope import OriginalRecipient
from estafeta.mail.explanations import Language
from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.mail.value import value


class Action(StrEnum):
    """RFC 3464 §2.3.3: what was done for a recipient; the gravest first."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


class Relaying(Enum):
    """Why the sender hears that a message was relayed."""

    PLAIN = "plain"
    """It asked for success, and the next server tells of none (RFC 3461 §5.2.2)."""
    TRACED = "traced"
    """It asked for traces (RFC 2852 §4.1.4)."""
    UNTIMED = "untimed"
    """The next server does not know of the time in which it is to be delivered (RFC 2852 §4.1.4.2)."""


@value
class ReportedRecipient:
    """One recipient that the sender is told of."""

    final: ForwardPath
    action: Action
    status: EnhancedStatusCode
    original: OriginalRecipient | None = None
    """As ORCPT had it."""
    remote_host: str | None = None
    """The host that was talked to, or that did not answer."""
    reply: Reply | None = None
    """What decided: the remote host's reply, or one in our words. None where nothing needs to be said."""
    is_remote: bool = False
    """The reply is the remote host's own."""
    stage: str = ""
    """What the reply answered, or where it ended, as `explanations.explain` takes it."""
    is_expired: bool = False
    """It failed because its time was over."""
    is_overdue: bool = False
    """The time of `Report.deliver_by_at` is over."""
    relaying: Relaying = Relaying.PLAIN
    """Of relayed ones."""
    last_attempt_at: float | None = None
    """Seconds since 1970, as all instants here."""
    will_retry_until: float | None = None
    """For delayed ones."""


@value
class Report:
    """One notification before it is composed."""

    notification_id: str
    """Unique on this host; becomes the Message-ID."""
    at: float
    to: Address
    """The reverse-path of the original message."""
    author: Address
    """Whom people reach that answer (RFC 3464 §2)."""
    reporting_host: str
    """Our name in the DNS."""
    language: Language
    arrived_at: float
    """When the original message came here."""
    recipients: tuple[ReportedRecipient, ...]
    """At least one."""
    returned: bytes
    """The original content with its prefix; its header section alone where not `is_full`."""
    is_full: bool
    envid: str | None = None
    """The ENVID parameter, decoded (RFC 3461 §4.4)."""
    received_from: str | None = None
    """The host that the original message came from, as it called itself."""
    queue_id: str = ""
    """By which our journal knows the original message."""
    tried_since: float | None = None
    """When it could go, if that was after it came here."""
    deliver_by_at: float | None = None
    """By when the sender wants it delivered (RFC 2852 §4)."""
    hold: str | None = None
    """What the sender said of its release, as RFC 4865 §5.1.2 has it: `for;3600`."""


def clean(text: str, limit: int) -> str:
    """Text of strangers on one line: blanks for whatever is blank, `?` for what cannot be seen, cut at the limit."""
    shown = "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text[: 2 * limit]
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
