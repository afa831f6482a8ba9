"""The SMTP client that people import."""

from __future__ import annotations

from estafeta.client.errors import ClientError, LoginImpossible, Refused, TlsNotOffered, TransactionBroken
from estafeta.client.opening import TlsMode
from estafeta.client.results import RecipientReply, SendResult
from estafeta.client.smtp import SmtpClient, to_wire
from estafeta.client.timeouts import ClientTimeouts
from estafeta.wire.smtp.content import WireContent

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
    "TransactionBroken",
    "WireContent",
    "to_wire",
]
