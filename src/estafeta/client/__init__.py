"""The SMTP client that people import."""

from __future__ import annotations

from estafeta.client.client import CLIENT_ERRORS, Client, ClientOptions, send, send_blocking
from estafeta.client.errors import (
    ClientError,
    LoginImpossible,
    MessageRefused,
    Refused,
    TlsNotOffered,
    TransactionBroken,
)
from estafeta.client.flattening import to_wire
from estafeta.client.opening import TlsMode
from estafeta.client.results import Following, NextMessage, RecipientReply, SendResult
from estafeta.client.smtp import SmtpClient
from estafeta.client.timeouts import ClientTimeouts
from estafeta.wire.smtp.content import WireContent

__all__ = [
    "CLIENT_ERRORS",
    "Client",
    "ClientError",
    "ClientOptions",
    "ClientTimeouts",
    "Following",
    "LoginImpossible",
    "MessageRefused",
    "NextMessage",
    "RecipientReply",
    "Refused",
    "SendResult",
    "SmtpClient",
    "TlsMode",
    "TlsNotOffered",
    "TransactionBroken",
    "WireContent",
    "send",
    "send_blocking",
    "to_wire",
]
