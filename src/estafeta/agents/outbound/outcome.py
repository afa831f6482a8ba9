"""What an attempt found out, recipient by recipient."""

from __future__ import annotations

from dataclasses import replace

from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.mail.report import Relaying
from estafeta.mail.value import value
from estafeta.store.records import Fate, QueuedRecipient


@value
class HostFacts:
    """The host that was talked to, and how."""

    name: str
    """The name by which it was looked for, such as the exchange of an MX record; a gateway's name otherwise."""
    address: str = ""
    """IP address and port, as `192.0.2.1:25`; empty where there was none."""
    tls: str = ""
    """Version, cipher and how the certificate was verified; empty in the clear."""


@value
class Outcome:
    """What became of one recipient at one attempt."""

    recipient: QueuedRecipient
    fate: Fate
    reply: Reply
    """What decided: the host's reply, or one in our words (`is_remote` tells)."""
    is_remote: bool = False
    stage: str = ""
    """What the reply answered (`RCPT`; `content`: the final dot), or where it ended (`connect`, `TLS`, `DNS`)."""
    host: HostFacts | None = None
    takes_dsn: bool = False
    """The host announced DSN: it will tell the sender itself what becomes of the recipient (RFC 3461 §5.2.1)."""
    is_overdue: bool = False
    """The time of BY is over (RFC 2852 §4.1.3)."""
    relaying: Relaying = Relaying.PLAIN
    """Of what was relayed: what its sender must hear of it because of BY."""

    @property
    def status(self) -> EnhancedStatusCode:
        """The status for notifications: the reply's own, or the general one of its first digit (RFC 3463 §3.1)."""
        if self.is_overdue:
            return EnhancedStatusCode(5 if self.fate.is_final else 4, 4, 7)  # RFC 2852 §4.1.3
        if self.fate is Fate.EXPIRED:
            return EnhancedStatusCode(4, 4, 7)  # RFC 3463 §3.5: delivery time expired
        klass = 2 if self.reply.is_positive else 5 if self.fate.is_final else 4
        if self.reply.status is not None and self.reply.status.klass == klass:
            return self.reply.status
        if self.reply.status is not None:
            return EnhancedStatusCode(klass, self.reply.status.subject, self.reply.status.detail)
        return EnhancedStatusCode(klass, 0, 0)

    def aged(self, *, is_overdue: bool = False) -> Outcome:
        """The same, the time of the recipient being over, or that of BY."""
        return replace(self, fate=Fate.EXPIRED, is_overdue=is_overdue)
