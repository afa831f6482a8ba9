"""Why a client could not do as asked, beyond what breaks in the protocol or on the connection."""

from __future__ import annotations

from estafeta.client.results import RecipientReply, SendResult
from estafeta.mail.envelope import Recipient
from estafeta.mail.reply import Reply
from estafeta.net.errors import NetError
from estafeta.wire.smtp.dialogue import Verb


class ClientError(Exception):
    """The server is there, but does not do what was asked."""


class Refused(ClientError):
    """The server answered no; `reply` says why, `what` was asked for."""

    def __init__(self, what: str, reply: Reply) -> None:
        super().__init__(f"{what} refused: {reply}")
        self.what = what
        self.reply = reply


class MessageRefused(Refused):
    """The server took the message for none of its recipients; `result` has the reply for each, `reply` the first."""

    def __init__(self, result: SendResult) -> None:
        super().__init__("message", result.replies[0].reply)
        self.result = result


class TlsNotOffered(ClientError):
    """TLS was demanded and the server does not offer STARTTLS; nothing was sent in the clear."""


class LoginImpossible(ClientError):
    """There is no mechanism that may be used on this connection; no password was sent."""


class TransactionBroken(NetError):
    """The connection was lost, was too slow or made no sense while a message was under way; it is cut."""

    def __init__(
        self,
        reason: str,
        *,
        replies: tuple[RecipientReply, ...],
        undecided: tuple[Recipient, ...],
        stage: Verb | None,
        is_after_final_dot: bool,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.replies = replies
        """Of those recipients that were decided about before, in their order."""
        self.undecided = undecided
        """The others, in their order."""
        self.stage = stage
        """Whose reply was waited for; None when it broke before anything was said."""
        self.is_after_final_dot = is_after_final_dot
        """All of the content was handed to the network: the server may have the message, another try may double it."""
