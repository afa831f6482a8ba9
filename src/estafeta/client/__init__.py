"""The SMTP client that people import."""

from __future__ import annotations

from estafeta.client.errors import ClientError, LoginImpossible, Refused, TlsNotOffered
from estafeta.client.results import RecipientReply, SendResult
from estafeta.client.smtp import SmtpClient, TlsMode, to_wire
from estafeta.client.timeouts import ClientTimeouts

__all__ = [
    "ClientError",
    "ClientTimeouts",
    "LoginImpossible",
    "RecipientReply",
    "Refused",
    "SendResult",
    "SmtpClient",
    "TlsMode",
    "TlsNotOffered",
    "to_wire",
]
