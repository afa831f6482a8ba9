"""One session of a server of the library: each event of the engine goes to the handler and is answered.

The engine reads and checks, the handler decides, this answers. What a handler raises costs one command, or the session
where nothing else can be said; never the server.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from estafeta.mail.catalogue import connections, contents, recipients, senders
from estafeta.mail.catalogue import logins as login_replies
from estafeta.mail.reply import Reply
from estafeta.net.errors import DeadlinePassed, NetError
from estafeta.net.stream import SocketStream
from estafeta.server.handler import Answer, Handler
from estafeta.server.limits import ServerLimits
from estafeta.server.logins import Logins
from estafeta.server.message import Message
from estafeta.server.security import Security
from estafeta.server.session import Session
from estafeta.wire.sasl import Challenge, SaslError, ServerMechanism, server_mechanism
from estafeta.wire.smtp import events
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions
from estafeta.wire.smtp.verbs.auth import challenge

_log = logging.getLogger("estafeta.server")

T = TypeVar("T")

# RFC 5321 §3.5.3
_CANNOT_VERIFY = Reply.of(252, "cannot verify the user, but will take the message and attempt delivery", "2.5.2")
_CANNOT_EXPAND = Reply.of(550, "no such list", "5.1.1")

# RFC 3207 §4: what may be said before STARTTLS where TLS is demanded; the greeting, as EHLO tells of STARTTLS.
_BEFORE_TLS = (events.Hello, events.Noop, events.Quit, events.StartTls, events.Faulty)


@dataclass(frozen=True, slots=True)
class Service:
    """What all sessions of a server share."""

    handler: Handler
    logins: Logins
    security: Security
    limits: ServerLimits
    hostname: str
    message_size: int
    is_lmtp: bool
    clock: Callable[[], float] = time.time


class Conversation:
    """Serves one connection, and leaves it to its owner to close it."""

    def __init__(
        self, service: Service, stream: SocketStream, options: ServerOptions, is_closing: Callable[[], bool]
    ) -> None:
        self._service = service
        self._stream = stream
        self._is_closing = is_closing
        self._engine = ServerEngine(options, is_secure=stream.tls is not None)
        self._session = Session(secrets.token_hex(8), stream, self._engine, is_lmtp=options.lmtp)
        self._mechanism: ServerMechanism | None = None
        self._content: list[bytes] = []
        self._size = 0
        self._is_receiving = False
        self._messages = 0
        self._faults = 0
        self._refusals = 0
        self._failed_logins = 0
        self._is_waiting = False

    # The loop.

    async def run(self) -> None:
        """From the first word to the end; raises only what cancels it."""
        try:
            await self._converse()
        except DeadlinePassed:
            self._end_with(connections.TIMEOUT)
        except NetError as error:
            _log.info("session %s with %s lost: %s", self._session.id, self._stream.peer, error)
        except asyncio.CancelledError:
            self._end_with(connections.CLOSING)
            raise
        except Exception:
            self._end_with(self._incident("session", 421))
        finally:
            if self._engine.transaction is not None:
                await self._tell("on_reset", self._service.handler.on_reset(self._session))
            await self._tell("on_end", self._service.handler.on_end(self._session))

    async def _converse(self) -> None:
        engine, stream, limits = self._engine, self._stream, self._service.limits
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + limits.session_after
        if stream.tls is not None:
            await self._tell("on_secured", self._service.handler.on_secured(self._session))
        await self._greet()
        stream.send(engine.take_output())
        while not engine.is_ended:
            stream.set_deadline(limits.data_after if engine.is_reading_data else limits.command_after)
            self._is_waiting = True
            octets = await stream.receive()
            self._is_waiting = False
            if not octets:
                return
            engine.feed(octets)
            while (event := engine.next_event()) is not None:
                await self._answer(event)
                if self._is_worn_out():
                    self._end_with(connections.TOO_MANY_FAULTS)
            if not engine.is_ended:
                if loop.time() > ends_at:
                    self._end_with(connections.TIMEOUT)
                elif not engine.is_reading_data and self._is_closing():
                    self._end_with(connections.CLOSING)
            output = engine.take_output()
            if output:
                stream.send(output)
                await stream.drain()

    def _is_worn_out(self) -> bool:
        limits = self._service.limits
        return not self._engine.is_ended and (
            self._faults > limits.faults
            or self._refusals > limits.refusals
            or self._failed_logins >= limits.failed_logins
        )

    async def _greet(self) -> None:
        engine, service = self._engine, self._service
        refusal = connections.CLOSING if self._is_closing() else None
        if refusal is None:
            refusal = await self._ask("on_connect", service.handler.on_connect(self._session), code=421)
        if refusal is not None and not refusal.is_positive:
            engine.greet(refusal)
            engine.end()
        else:
            word = "LMTP" if service.is_lmtp else "ESMTP"
            engine.greet(refusal or connections.GREETING.with_(hostname=service.hostname, protocol=word))

    async def _answer(self, event: events.Event) -> None:
        if self._needs_tls(event):
            self._refuse(senders.TLS_NEEDED)
            return
        await _ANSWERS[type(event)](self, event)

    def _needs_tls(self, event: events.Event) -> bool:
        if not self._service.security.is_required or self._stream.tls is not None:
            return False
        return not isinstance(event, _BEFORE_TLS)

    def close_if_idle(self) -> None:
        """The server stops: unless a handler is at work or content is arriving, this session ends now."""
        if self._is_waiting and not self._engine.is_reading_data:
            self._end_with(connections.CLOSING)
            self._stream.end_receiving()

    def _end_with(self, reply: Reply) -> None:
        """Say why and end; a peer that is gone does not matter."""
        if self._engine.is_ended:
            return
        self._engine.notify(reply)
        with suppress(NetError):
            self._stream.send(self._engine.take_output())

    # The handler is asked.

    async def _ask(self, method: str, answering: Awaitable[Reply | None], *, code: int = 451) -> Reply | None:
        """The handler's reply, fit to be sent; where it raises, or takes too long, a reply with an id."""
        try:
            async with asyncio.timeout(self._service.limits.handler_after):
                reply = await answering
            return None if reply is None else self._clean(reply)
        except Exception:
            return self._incident(method, code)

    async def _tell(self, method: str, answering: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._service.limits.handler_after):
                await answering
        except Exception:
            self._incident(method, 451)

    def _incident(self, where: str, code: int) -> Reply:
        """Log what is being handled under an id; a reply that names it."""
        incident = secrets.token_hex(4)
        _log.exception(
            "%s failed, incident %s, session %s with %s", where, incident, self._session.id, self._stream.peer
        )
        end = "closing" if code == 421 else "try again later"
        return Reply.of(code, f"local error {incident}, {end}", "4.3.0")

    def _clean(self, reply: Reply) -> Reply:
        """A handler's reply as lines of printable text, in ASCII where the client did not say SMTPUTF8 (RFC 6531
        §3.7). Raises TypeError and ValueError for what is no reply to a command."""
        if not isinstance(reply, Reply):
            raise TypeError(f"a handler gives None or a Reply, not {type(reply).__name__}")
        if reply.code // 100 not in (2, 4, 5):
            raise ValueError(f"a handler's reply begins with 2, 4 or 5: {reply}")
        sender = self._session.sender
        is_utf8 = sender is not None and sender.smtputf8
        if all(line.isprintable() and (is_utf8 or line.isascii()) for line in reply.lines):
            return reply
        lines = tuple(
            "".join(letter if letter.isprintable() and (is_utf8 or letter.isascii()) else "?" for letter in line)
            for line in reply.lines
        )
        return Reply(reply.code, reply.status, lines)

    def _give(self, reply: Reply) -> None:
        """Answer the pending event with what was decided; 421 is the last word (RFC 5321 §3.8)."""
        if reply.is_positive:
            self._engine.answer(reply)
        else:
            self._refuse(reply)

    def _refuse(self, reply: Reply) -> None:
        self._refusals += 1
        self._engine.answer(reply)
        if reply.code == 421:
            self._engine.end()

    # One method for each event.

    async def _on_hello(self, event: events.Hello) -> None:
        reply = await self._ask("on_hello", self._service.handler.on_hello(self._session, event.name))
        if reply is not None and not reply.is_positive:
            self._refuse(reply)
        else:
            await self._drop()
            self._engine.answer(self._engine.hello_reply(f"{self._service.hostname} at your service"))

    async def _on_mail(self, event: events.Mail) -> None:
        service = self._service
        if service.security.requires_login and self._session.identity is None:
            self._refuse(senders.LOGIN_NEEDED)  # RFC 4954 §6
            return
        if self._messages >= service.limits.messages:
            self._refuse(senders.TOO_MANY_MESSAGES)
            return
        reply = await self._ask("on_mail", service.handler.on_mail(self._session, event.sender))
        self._messages += 1
        self._give(reply or senders.ACCEPTED)

    async def _on_rcpt(self, event: events.Rcpt) -> None:
        if len(self._engine.recipients) >= self._service.limits.recipients:
            self._engine.answer(recipients.TOO_MANY)  # RFC 5321 §4.5.3.1.10
            return
        reply = await self._ask("on_recipient", self._service.handler.on_recipient(self._session, event.recipient))
        self._give(reply or recipients.ACCEPTED)

    async def _on_data(self, event: events.Data) -> None:
        reply = await self._ask("on_data", self._service.handler.on_data(self._session))
        if reply is not None and not reply.is_positive:
            self._refuse(reply)
        else:
            self._engine.answer(contents.SEND_IT)

    async def _on_bdat(self, event: events.Bdat) -> None:
        """Answered when its octets are there."""

    async def _on_content(self, event: events.Content) -> None:
        self._size += len(event.octets)
        if self._size <= self._service.message_size:
            self._content.append(event.octets)
        else:
            self._content.clear()

    async def _on_end_of_chunk(self, event: events.EndOfChunk) -> None:
        refusal = await self._before_first_chunk()
        if refusal is None and self._size > self._service.message_size:
            refusal = contents.TOO_LARGE
        self._give(refusal or contents.CHUNK_TAKEN)

    async def _before_first_chunk(self) -> Reply | None:
        """A refusal of the handler: it is asked once for each content that comes by BDAT."""
        transaction = self._engine.transaction
        if self._is_receiving or transaction is None or transaction.chunks is None:
            return None
        self._is_receiving = True
        reply = await self._ask("on_data", self._service.handler.on_data(self._session))
        return reply if reply is not None and not reply.is_positive else None

    async def _on_end_of_data(self, event: events.EndOfData) -> None:
        answer: Answer = await self._before_first_chunk()
        if answer is None:
            answer = event.refusal
        if answer is None and self._size > self._service.message_size:
            answer = contents.TOO_LARGE
        if answer is None:
            answer = await self._hand_over()
        self._forget_content()
        recipients = self._engine.recipients
        if self._service.is_lmtp:
            replies = [answer] * len(recipients) if isinstance(answer, Reply) else list(answer or ())
            self._engine.answer_each(replies)  # RFC 2033 §4.2
            if any(reply.code == 421 for reply in replies):
                self._engine.end()
        else:
            assert isinstance(answer, Reply)
            self._give(answer)

    async def _hand_over(self) -> Reply | Sequence[Reply]:
        """The message goes to the handler; gives its answer."""
        session, service, engine = self._session, self._service, self._engine
        transaction = engine.transaction
        assert transaction is not None
        message = Message(
            secrets.token_hex(8),
            transaction.sender,
            engine.recipients,
            b"".join(self._content),
            session.facts(),
            service.clock(),
            service.hostname,
        )
        self._content.clear()
        try:
            async with asyncio.timeout(service.limits.handler_after):
                answer = await service.handler.on_message(session, message)
            return self._checked(answer, message)
        except Exception:
            return self._incident("on_message", 451)

    def _checked(self, answer: Answer, message: Message) -> Reply | Sequence[Reply]:
        if answer is None:
            return Reply.of(250, f"taken as {message.id}", "2.0.0")
        if isinstance(answer, Reply) or not isinstance(answer, Sequence):
            return self._clean(answer)
        if not self._service.is_lmtp:
            raise TypeError("on_message gave several replies: SMTP has one for all recipients, LMTP one for each")
        if len(answer) != len(message.recipients):
            raise ValueError("on_message gave another number of replies than there are recipients")
        return [self._clean(reply) for reply in answer]

    async def _on_false_end_of_data(self, event: events.FalseEndOfData) -> None:
        await self._drop()
        self._engine.answer(contents.FALSE_END)
        self._engine.end()

    async def _on_rset(self, event: events.Rset) -> None:
        await self._drop()
        self._engine.answer(connections.OK)

    async def _on_noop(self, event: events.Noop) -> None:
        self._engine.answer(connections.OK)

    async def _on_quit(self, event: events.Quit) -> None:
        await self._drop()
        self._engine.answer(connections.BYE)

    async def _on_help(self, event: events.Help) -> None:
        self._engine.answer(self._engine.help_reply(event.topic))

    async def _on_vrfy(self, event: events.Vrfy) -> None:
        reply = await self._ask("on_verify", self._service.handler.on_verify(self._session, event.text))
        self._give(reply or _CANNOT_VERIFY)

    async def _on_expn(self, event: events.Expn) -> None:
        reply = await self._ask("on_expand", self._service.handler.on_expand(self._session, event.text))
        self._give(reply or _CANNOT_EXPAND)

    async def _on_faulty(self, event: events.Faulty) -> None:
        self._faults += 1
        self._engine.answer(event.reply)
        if event.out_of_step:
            self._engine.end()

    async def _drop(self) -> None:
        """A transaction ends without a message."""
        self._forget_content()
        if self._engine.transaction is not None:
            await self._tell("on_reset", self._service.handler.on_reset(self._session))

    def _forget_content(self) -> None:
        self._content.clear()
        self._size = 0
        self._is_receiving = False

    # TLS and logins.

    async def _on_starttls(self, event: events.StartTls) -> None:
        context = self._service.security.context
        assert context is not None
        await self._drop()
        self._engine.answer(connections.READY_FOR_TLS)
        self._stream.send(self._engine.take_output())
        try:
            await self._stream.start_tls(context, server_side=True)
        except NetError as error:
            _log.info("session %s with %s: STARTTLS failed: %s", self._session.id, self._stream.peer, error)
            self._engine.end()
            return
        self._engine.tls_started()
        self._session.identity = None
        await self._tell("on_secured", self._service.handler.on_secured(self._session))

    async def _on_auth(self, event: events.Auth) -> None:
        tls = self._stream.tls
        try:
            self._mechanism = server_mechanism(
                event.mechanism,
                nonce=secrets.token_urlsafe(24),
                channel_binding=None if tls is None else tls.channel_binding,
            )
        except SaslError:  # a TLS session resumed over a change of the certificate has no binding
            self._refuse(login_replies.LATER)
            return
        await self._step(event.response)

    async def _on_auth_response(self, event: events.AuthResponse) -> None:
        if event.response is None:
            self._mechanism = None
            self._engine.answer(login_replies.CANCELLED)  # RFC 4954 §4
        else:
            await self._step(event.response)

    async def _step(self, response: bytes | None) -> None:
        mechanism, logins = self._mechanism, self._service.logins
        assert mechanism is not None
        try:
            async with asyncio.timeout(self._service.limits.handler_after):
                result = await logins.resolve(mechanism.step(response), mechanism, self._session)
        except Exception:
            self._mechanism = None
            self._refuse(self._incident("login", 454))
            return
        if isinstance(result, Challenge):
            self._engine.answer(challenge(result.octets))
            return
        self._mechanism = None
        if result is None:
            self._failed_logins += 1
            self._refuse(login_replies.REFUSED)
        else:
            self._session.identity = result
            self._engine.answer(login_replies.LOGGED_IN)


_ANSWERS: dict[type, Callable[[Conversation, Any], Awaitable[None]]] = {
    events.Hello: Conversation._on_hello,
    events.Mail: Conversation._on_mail,
    events.Rcpt: Conversation._on_rcpt,
    events.Data: Conversation._on_data,
    events.Bdat: Conversation._on_bdat,
    events.Content: Conversation._on_content,
    events.EndOfChunk: Conversation._on_end_of_chunk,
    events.EndOfData: Conversation._on_end_of_data,
    events.FalseEndOfData: Conversation._on_false_end_of_data,
    events.Rset: Conversation._on_rset,
    events.Noop: Conversation._on_noop,
    events.Quit: Conversation._on_quit,
    events.Help: Conversation._on_help,
    events.Vrfy: Conversation._on_vrfy,
    events.Expn: Conversation._on_expn,
    events.StartTls: Conversation._on_starttls,
    events.Auth: Conversation._on_auth,
    events.AuthResponse: Conversation._on_auth_response,
    events.Faulty: Conversation._on_faulty,
}
