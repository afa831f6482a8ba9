"""Why a client could not do as asked, beyond what breaks in the protocol or on the connection."""

from __future__ import annotations

from estafeta.mail.reply import Reply


class ClientError(Exception):
    """The server is there, but does not do what was asked."""


class Refused(ClientError):
    """The server answered no; `reply` says why."""

    def __init__(self, what: str, reply: Reply) -> None:
        super().__init__(f"{what} refused: {reply}")
        self.reply = reply


class TlsNotOffered(ClientError):
    """TLS was demanded and the server does not offer STARTTLS; nothing was sent in the clear."""


class LoginImpossible(ClientError):
    """There is no mechanism that may be used on this connection; no password was sent."""
