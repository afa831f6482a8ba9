"""A message as a handler gets it: envelope, content octet for octet, and the session that it came by."""

from __future__ import annotations

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.trace import Hop, return_path
from estafeta.server.session import SessionFacts


@dataclass(frozen=True, slots=True)
class Message:
    """A mail object (RFC 5321 §2.3.1)."""

    id: str
    """Unlike that of any other message; the client is told of it."""
    sender: Sender
    """What MAIL said: the reverse-path and the parameters."""
    recipients: tuple[Recipient, ...]
    """What each RCPT that was accepted said, in their order."""
    content: bytes = field(repr=False)
    """Header section and body as they came, without the dots of transparency; lines end in CRLF."""
    session: SessionFacts
    received_at: float
    """Seconds since 1970."""
    hostname: str
    """Of the server that took it."""

    @property
    def reverse_path(self) -> str:
        """The address that notifications go to; empty where none may be sent (RFC 5321 §4.5.5)."""
        return str(self.sender.reverse_path)

    @property
    def forward_paths(self) -> tuple[str, ...]:
        """The addresses of the recipients."""
        return tuple(str(recipient.forward_path) for recipient in self.recipients)

    def parsed(self) -> EmailMessage:
        """The content as the standard library's message; it takes whatever there is and notes its defects."""
        return message_from_bytes(self.content, policy=policy.default)

    def trace(self) -> bytes:
        """The Return-Path and Received fields that belong before the content where it is kept (RFC 5321 §4.4)."""
        tls = self.session.tls
        hop = Hop.of(
            hello=self.session.hello or "unknown",
            peer_ip=self.session.peer.ip,
            tls=None if tls is None else f"{tls.version} {tls.cipher}",
            host=self.hostname,
            word=self.session.protocol,
        )
        recipient = self.forward_paths[0] if len(self.recipients) == 1 else None
        return return_path(self.sender.reverse_path) + hop.received(self.id, recipient, self.received_at)
