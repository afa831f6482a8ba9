"""What a program says about the mail that comes: a method for each stage, all of them with a default.

A method answers None where the server may go on, or the reply that is sent in place of the usual one. A negative
reply refuses; 421 ends the session too. What a method raises is logged under an id that the client is told with 451.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.server.message import Message
from estafeta.server.session import Session
from estafeta.wire.sasl import ScramKeys

Answer: TypeAlias = Reply | Sequence[Reply] | None
"""To a message: None takes it. With LMTP also one reply for each recipient, in their order (RFC 2033 §4.2)."""
OnMessage: TypeAlias = Callable[[Message], Awaitable[Answer]]
"""A function that stands in for a handler."""

_NO_MAIL = Reply.of(554, "no mail is taken here", "5.3.2")


class Handler:
    """Takes mail from anyone for anyone until a method says otherwise, but takes no message: say `on_message`.

    One handler serves all sessions, each in a task of its own. What it wants to remember of one is in `session.state`.
    """

    async def on_connect(self, session: Session) -> Reply | None:
        """A client is there and was not greeted yet. A negative reply is sent in place of the greeting."""
        return None

    async def on_hello(self, session: Session, name: str) -> Reply | None:
        """EHLO, HELO or LHLO, with what the client calls itself. A positive reply counts as None."""
        return None

    async def on_secured(self, session: Session) -> None:
        """TLS is on, by STARTTLS or from the start; `session.tls` and `session.peer_chain` say how."""

    async def on_login(self, session: Session, identity: str, password: str) -> bool:
        """PLAIN or LOGIN: whether the password is right. Overridden, it makes the server offer them."""
        return False

    async def on_keys(self, session: Session, identity: str) -> ScramKeys | None:
        """SCRAM-SHA-256: the keys of a user; None when there is no such user. Overridden, it makes the server
        offer it."""
        return None

    async def on_token(self, session: Session, token: str) -> str | None:
        """OAUTHBEARER or XOAUTH2: whose token of OAuth 2 it is (RFC 7628); None when it is nobody's.
        Overridden, it makes the server offer them."""
        return None

    async def on_mail(self, session: Session, sender: Sender) -> Reply | None:
        """MAIL: a transaction begins."""
        return None

    async def on_recipient(self, session: Session, recipient: Recipient) -> Reply | None:
        """RCPT: one recipient more; `session.recipients` are those before."""
        return None

    async def on_data(self, session: Session) -> Reply | None:
        """Content is about to come, by DATA or the first BDAT. A positive reply counts as None."""
        return None

    async def on_message(self, session: Session, message: Message) -> Answer:
        """A message is there. The client may forget it as soon as this has returned None or a positive reply."""
        return _NO_MAIL

    async def on_reset(self, session: Session) -> None:
        """A transaction ended without a message: RSET, another EHLO, or the connection is gone."""

    async def on_verify(self, session: Session, text: str) -> Reply | None:
        """VRFY; None answers 252, which says neither yes nor no (RFC 5321 §3.5.3)."""
        return None

    async def on_expand(self, session: Session, text: str) -> Reply | None:
        """EXPN; it is known to the server only where this is overridden."""
        return None

    async def on_end(self, session: Session) -> None:
        """The session is over, whatever ended it."""


class FunctionHandler(Handler):
    """A handler that is one function."""

    def __init__(self, take: OnMessage) -> None:
        self._take = take

    async def on_message(self, session: Session, message: Message) -> Answer:
        """See Handler.on_message."""
        return await self._take(message)


def handler_of(given: Handler | OnMessage) -> Handler:
    """A handler as it is, a function as a handler; raises TypeError for anything else."""
    if isinstance(given, Handler):
        return given
    function = given if inspect.isroutine(given) else getattr(given, "__call__", None)  # noqa: B004
    if isinstance(given, type) or not inspect.iscoroutinefunction(function):
        raise TypeError("a handler is an instance of Handler, or an async function of a message")
    return FunctionHandler(given)


def is_overridden(handler: Handler, method: str) -> bool:
    """Whether the handler has a method of its own in place of the default."""
    return getattr(type(handler), method) is not getattr(Handler, method)
