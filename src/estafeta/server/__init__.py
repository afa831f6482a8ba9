"""The SMTP and LMTP server that people import."""

from __future__ import annotations

from estafeta.server.handler import Answer, Handler, OnMessage
from estafeta.server.keeping import Collector, FolderKeeper, MaildirKeeper, MboxKeeper
from estafeta.server.limits import ServerLimits
from estafeta.server.logins import PasswordOf
from estafeta.server.message import Message
from estafeta.server.server import Server
from estafeta.server.session import Session, SessionFacts
from estafeta.server.showing import Discarder, Printer
from estafeta.server.threads import ThreadedServer
from estafeta.wire.sasl import ScramKeys

__all__ = [
    "Answer",
    "Collector",
    "Discarder",
    "FolderKeeper",
    "Handler",
    "MaildirKeeper",
    "MboxKeeper",
    "Message",
    "OnMessage",
    "PasswordOf",
    "Printer",
    "ScramKeys",
    "Server",
    "ServerLimits",
    "Session",
    "SessionFacts",
    "ThreadedServer",
]
