"""Estafeta: a complete electronic post office (RFC 5321 and all that stands around it).

What programs build their own with is here by name, and is imported when it is asked for: see docs/library.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estafeta.client import (
        CLIENT_ERRORS,
        Client,
        ClientError,
        ClientTimeouts,
        LoginImpossible,
        MessageRefused,
        Refused,
        SendResult,
        SmtpClient,
        TlsMode,
        TlsNotOffered,
        TransactionBroken,
        send,
        send_blocking,
    )
    from estafeta.mail.address import Address, AddressError, ForwardPath, ReversePath
    from estafeta.mail.envelope import Notify, Recipient, Ret, Sender
    from estafeta.mail.reply import EnhancedStatusCode, Reply
    from estafeta.net.errors import ConnectFailed, ConnectionLost, DeadlinePassed, NetError, TlsError
    from estafeta.net.tls import ServerTls, client_context
    from estafeta.server import (
        Collector,
        Discarder,
        FolderKeeper,
        Handler,
        MaildirKeeper,
        MboxKeeper,
        Message,
        Printer,
        ScramKeys,
        Server,
        ServerLimits,
        Session,
        SessionFacts,
        ThreadedServer,
    )
    from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
    from estafeta.wire.sasl import SaslError
    from estafeta.wire.smtp.client import ClientEngine
    from estafeta.wire.smtp.server import ServerEngine
    from estafeta.wire.smtp.session import ServerOptions

__version__ = "0.1.0"

_HOMES = {
    "estafeta.client": (
        "CLIENT_ERRORS",
        "Client",
        "ClientError",
        "ClientTimeouts",
        "LoginImpossible",
        "MessageRefused",
        "Refused",
        "SendResult",
        "SmtpClient",
        "TlsMode",
        "TlsNotOffered",
        "TransactionBroken",
        "send",
        "send_blocking",
    ),
    "estafeta.mail.address": ("Address", "AddressError", "ForwardPath", "ReversePath"),
    "estafeta.mail.envelope": ("Notify", "Recipient", "Ret", "Sender"),
    "estafeta.mail.reply": ("EnhancedStatusCode", "Reply"),
    "estafeta.net.errors": ("ConnectFailed", "ConnectionLost", "DeadlinePassed", "NetError", "TlsError"),
    "estafeta.net.tls": ("ServerTls", "client_context"),
    "estafeta.server": (
        "Collector",
        "Discarder",
        "FolderKeeper",
        "Handler",
        "MaildirKeeper",
        "MboxKeeper",
        "Message",
        "Printer",
        "ScramKeys",
        "Server",
        "ServerLimits",
        "Session",
        "SessionFacts",
        "ThreadedServer",
    ),
    "estafeta.wire.errors": ("ExtensionMissing", "LocalProtocolError", "RemoteProtocolError"),
    "estafeta.wire.sasl": ("SaslError",),
    "estafeta.wire.smtp.client": ("ClientEngine",),
    "estafeta.wire.smtp.server": ("ServerEngine",),
    "estafeta.wire.smtp.session": ("ServerOptions",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CLIENT_ERRORS",
    "Address",
    "AddressError",
    "Client",
    "ClientEngine",
    "ClientError",
    "ClientTimeouts",
    "Collector",
    "ConnectFailed",
    "ConnectionLost",
    "DeadlinePassed",
    "Discarder",
    "EnhancedStatusCode",
    "ExtensionMissing",
    "FolderKeeper",
    "ForwardPath",
    "Handler",
    "LocalProtocolError",
    "LoginImpossible",
    "MaildirKeeper",
    "MboxKeeper",
    "Message",
    "MessageRefused",
    "NetError",
    "Notify",
    "Printer",
    "Recipient",
    "Refused",
    "RemoteProtocolError",
    "Reply",
    "Ret",
    "ReversePath",
    "SaslError",
    "ScramKeys",
    "SendResult",
    "Sender",
    "Server",
    "ServerEngine",
    "ServerLimits",
    "ServerOptions",
    "ServerTls",
    "Session",
    "SessionFacts",
    "SmtpClient",
    "ThreadedServer",
    "TlsError",
    "TlsMode",
    "TlsNotOffered",
    "TransactionBroken",
    "client_context",
    "send",
    "send_blocking",
]


if not TYPE_CHECKING:  # so that type checkers find names that are none

    def __getattr__(name: str) -> object:
        """PEP 562: the name out of the module that has it."""
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted((*globals(), *_HOME_OF))
