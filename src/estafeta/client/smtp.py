"""The SMTP and LMTP client for asyncio: connect, secure, log in, send, as often as wanted, quit.

What the server answers about a message is a value (`SendResult`); what breaks is an exception. A command
that is cancelled, or that breaks, leaves the connection cut, as client and server would be out of step.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import TracebackType
from typing import Final, Self, TypeAlias

from estafeta.client.errors import LoginImpossible, Refused, TlsNotOffered
from estafeta.client.results import SendResult, Tally
from estafeta.client.timeouts import ClientTimeouts
from estafeta.mail.address import ForwardPath
from estafeta.mail.envelope import Body, Octets, Sender
from estafeta.mail.reply import Reply
from estafeta.net.address import PeerAddress
from estafeta.net.errors import ConnectionLost, DeadlinePassed, NetError
from estafeta.net.stream import Stream, connect
from estafeta.net.tls import TlsFacts, client_context
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import SCRAM_SHA_256_PLUS, SaslError, choose_mechanism, client_mechanism
from estafeta.wire.smtp.client import ClientEngine, is_wire_form
from estafeta.wire.smtp.dialogue import Answered, Challenged, Closing, Ended, Event, Greeted, Phase
from estafeta.wire.smtp.replies import Capabilities

# Commands sent before their replies are read. Their replies stay far below what a stream takes in unread,
# so neither side waits for the other to read (RFC 2920 §3.1).
_GROUP: Final = 100
# One block of content between two looks at the deadline (RFC 5321 §4.5.3.2.5).
_BLOCK: Final = 64 * 1024

Compute: TypeAlias = Callable[[Callable[[], bytes]], Awaitable[bytes]]
"""Runs a computation that may take a while, so that the event loop does not stand still."""


class TlsMode(StrEnum):
    """How a connection is secured."""

    NONE = "none"
    STARTTLS = "starttls"
    """Demanded: without it nothing is sent (RFC 3207)."""
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where it is offered, in the clear where not (RFC 7435); a failed handshake is an error."""
    IMPLICIT = "implicit"
    """TLS from the first octet (RFC 8314 §3)."""


@dataclass(frozen=True, slots=True)
class _Security:
    mode: TlsMode
    context: ssl.SSLContext | None
    server_hostname: str | None

    def client_context(self) -> ssl.SSLContext:
        if self.context is not None:
            return self.context
        return client_context(verify=self.mode is not TlsMode.OPPORTUNISTIC)


class SmtpClient:
    """One connection to one server; made by `connect` or `over`.

    Beside what each method names, all that talk to the server raise ConnectionLost, DeadlinePassed,
    RemoteProtocolError, and LocalProtocolError where the protocol does not allow what is asked for.
    `async with` quits at the end, and cuts the connection when the block raises.
    """

    def __init__(self, stream: Stream, local_name: str, lmtp: bool, timeouts: ClientTimeouts) -> None:
        self._stream = stream
        self._engine = ClientEngine(lmtp)
        self._local_name = local_name
        self._timeouts = timeouts
        self._greeting: Reply | None = None

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        *,
        local_name: str,
        tls: TlsMode = TlsMode.STARTTLS,
        context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        lmtp: bool = False,
        timeouts: ClientTimeouts | None = None,
        local_address: str | None = None,
    ) -> Self:
        """Connect, take the greeting, say EHLO, start TLS as `tls` demands it.

        `local_name`: what EHLO says, a host name or address literal. `context`: None checks the server's
        certificate against the system's authorities, with OPPORTUNISTIC not at all. `server_hostname`: the
        name that the certificate must have, `host` when None. Raises Refused, TlsNotOffered, TlsError,
        ConnectFailed.
        """
        timeouts = timeouts or ClientTimeouts()
        security = _Security(tls, context, server_hostname or host)
        stream = await connect(
            host,
            port,
            context=security.client_context() if tls is TlsMode.IMPLICIT else None,
            server_hostname=security.server_hostname,
            timeout=timeouts.connect,
            local_address=local_address,
        )
        return await cls._open(stream, local_name, lmtp, timeouts, security)

    @classmethod
    async def over(
        cls,
        stream: Stream,
        *,
        local_name: str,
        tls: TlsMode = TlsMode.NONE,
        context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        lmtp: bool = False,
        timeouts: ClientTimeouts | None = None,
    ) -> Self:
        """As `connect`, over a stream that is already there; with IMPLICIT, TLS is on already."""
        timeouts = timeouts or ClientTimeouts()
        return await cls._open(stream, local_name, lmtp, timeouts, _Security(tls, context, server_hostname))

    @classmethod
    async def _open(
        cls, stream: Stream, local_name: str, lmtp: bool, timeouts: ClientTimeouts, security: _Security
    ) -> Self:
        client = cls(stream, local_name, lmtp, timeouts)
        try:
            await client._take_greeting()
            await client._hello()
            if security.mode in (TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC):
                await client._secure(security)
        except BaseException:
            client.abort()
            raise
        return client

    # What there is

    @property
    def capabilities(self) -> Capabilities | None:
        """What the server announced last."""
        return self._engine.capabilities

    @property
    def greeting(self) -> Reply | None:
        """The server's first reply."""
        return self._greeting

    @property
    def peer(self) -> PeerAddress:
        """The server's address."""
        return self._stream.peer

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed about TLS; None in the clear."""
        return self._stream.tls

    @property
    def is_authenticated(self) -> bool:
        """Whether a login succeeded."""
        return self._engine.is_authenticated

    @property
    def is_open(self) -> bool:
        """Whether another command can be tried on this connection."""
        return self._engine.phase is not Phase.CLOSED and not self._stream.is_lost

    # What it does

    async def login(
        self,
        identity: str,
        password: str,
        *,
        mechanisms: Iterable[str] | None = None,
        allow_without_tls: bool = False,
        nonce: str | None = None,
        compute: Compute = asyncio.to_thread,
    ) -> None:
        """Log in with the best mechanism that both sides have, of `mechanisms` when given.

        Without TLS nothing is tried unless the server is this machine; `allow_without_tls` allows SCRAM
        there, never the sending of a password. Raises Refused, LoginImpossible, and SaslError when the
        server cannot prove that it knows the password.
        """
        stream, capabilities = self._stream, self._engine.capabilities
        is_secure = stream.tls is not None or stream.peer.is_loopback
        if not is_secure and not allow_without_tls:
            raise LoginImpossible("no login without TLS")
        offered = capabilities.auth_mechanisms if capabilities else ()
        wanted = {name.upper() for name in (offered if mechanisms is None else mechanisms)}
        binding = stream.tls.channel_binding if stream.tls else None
        name = choose_mechanism([each for each in offered if each in wanted], is_secure, binding)
        if name is None:
            raise LoginImpossible(f"no usable mechanism, the server offers {' '.join(offered) or 'none'}")
        # RFC 5802 §6: "y" would tell a server that did offer -PLUS that somebody took it away.
        if name != SCRAM_SHA_256_PLUS and SCRAM_SHA_256_PLUS in offered:
            binding = None
        mechanism = client_mechanism(
            name, identity, password, nonce=nonce or secrets.token_urlsafe(24), channel_binding=binding
        )
        with self._whole():
            event = await self._exchange(self._engine.auth(mechanism))
            while isinstance(event, Challenged):
                try:
                    response = await compute(self._engine.answer)
                except SaslError:
                    await self._exchange(self._engine.cancel_auth())
                    raise
                event = await self._exchange(response)
        _demand(event, "login")

    async def send(self, sender: Sender, recipients: Sequence[ForwardPath], octets: bytes) -> SendResult:
        """Send one message; gives the deciding reply for each recipient.

        The content goes as it is, so it must have CRLF line ends (`to_wire` repairs local files). SIZE and
        BODY are filled in where `sender` leaves them open. Raises ExtensionMissing, before anything is
        sent, when the server has no SMTPUTF8 and the message needs it.
        """
        if not recipients:
            raise LocalProtocolError("no recipients")
        if not is_wire_form(octets):
            raise LocalProtocolError("bare CR or LF in content")  # RFC 5321 §2.3.8
        sender = self._completed(sender, recipients, octets)
        tally = Tally(recipients)
        with self._whole():
            if self._engine.can("PIPELINING"):
                await self._offer_grouped(sender, recipients, tally)
            else:
                await self._offer_singly(sender, recipients, tally)
            if self._engine.expects_content and self._engine.accepted:
                await self._exchange(self._engine.content(octets), tally)
        result = tally.result(lmtp=self._engine.is_lmtp)
        await self._end_transaction()
        return result

    async def reset(self) -> Reply:
        """RSET."""
        return await self._ask(self._engine.rset)

    async def noop(self) -> Reply:
        """NOOP: is the server still there?"""
        return await self._ask(self._engine.noop)

    async def vrfy(self, text: str) -> Reply:
        """VRFY: does this user or address exist?"""
        return await self._ask(lambda: self._engine.vrfy(text))

    async def expn(self, text: str) -> Reply:
        """EXPN: who is on this list?"""
        return await self._ask(lambda: self._engine.expn(text))

    async def help(self, topic: str = "") -> Reply:
        """HELP."""
        return await self._ask(lambda: self._engine.help(topic))

    async def quit(self) -> None:
        """Take leave and close; never raises because of the server or the connection."""
        if self.is_open:
            with contextlib.suppress(NetError, RemoteProtocolError, LocalProtocolError):
                await self._exchange(self._engine.quit())
        await self._stream.close()

    def abort(self) -> None:
        """Cut the connection at once."""
        self._stream.abort()
        self._engine.feed(b"")
        with contextlib.suppress(RemoteProtocolError):
            while self._engine.next_event() is not None:
                pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.quit()
        else:
            self.abort()

    # How a session begins

    async def _take_greeting(self) -> None:
        event = await self._next(self._timeouts.greeting)
        if isinstance(event, Greeted):
            self._greeting = event.reply
            if 200 <= event.reply.code < 300:
                return
            await self.quit()  # RFC 5321 §3.1
        _demand(event, "connection")

    async def _hello(self) -> None:
        engine = self._engine
        event = await self._exchange(engine.ehlo(self._local_name))
        # RFC 5321 §3.2: a server that does not know EHLO is asked with HELO.
        if isinstance(event, Answered) and event.reply.is_permanent and not engine.is_lmtp:
            event = await self._exchange(engine.helo(self._local_name))
        await self._demand_or_quit(event, "hello")

    async def _secure(self, security: _Security) -> None:
        is_demanded = security.mode is TlsMode.STARTTLS
        if not self._engine.can("STARTTLS"):
            if is_demanded:
                await self.quit()
                raise TlsNotOffered("the server does not offer STARTTLS")
            return
        event = await self._exchange(self._engine.starttls())
        if isinstance(event, Answered) and not event.reply.is_positive and not is_demanded:
            return
        await self._demand_or_quit(event, "STARTTLS")
        if self._stream.pending:
            raise RemoteProtocolError("octets after the reply to STARTTLS, before TLS")
        await self._stream.start_tls(
            security.client_context(),
            server_hostname=security.server_hostname,
            timeout=self._timeouts.handshake,
        )
        self._engine.tls_started()
        await self._hello()  # RFC 3207 §4.2

    async def _demand_or_quit(self, event: Event, what: str) -> None:
        try:
            _demand(event, what)
        except Refused:
            await self.quit()
            raise

    # How a message is sent

    def _completed(self, sender: Sender, recipients: Sequence[ForwardPath], octets: bytes) -> Sender:
        """The sender with all parameters that the message needs; raises ExtensionMissing."""
        paths = [path.address for path in recipients]
        if sender.reverse_path.address is not None:
            paths.append(sender.reverse_path.address)
        foreign = next((address for address in paths if not address.is_ascii), None)
        if not self._engine.can("SMTPUTF8"):
            if foreign is not None:
                raise ExtensionMissing("SMTPUTF8", f"the address {foreign}")
            # RFC 6531 §3.5: a header in UTF-8 does not go where nobody can read it.
            if sender.smtputf8 and not _header(octets).isascii():
                raise ExtensionMissing("SMTPUTF8", "the header of the message")
        return replace(
            sender,
            size=Octets(len(octets)) if sender.size is None else sender.size,
            body=Body.EIGHT_BIT if sender.body is None and not octets.isascii() else sender.body,
            smtputf8=sender.smtputf8 or foreign is not None,
        )

    async def _offer_grouped(self, sender: Sender, recipients: Sequence[ForwardPath], tally: Tally) -> None:
        """MAIL, RCPTs and DATA in groups (RFC 2920)."""
        group = [self._engine.mail(sender)]
        for start in range(0, len(recipients), _GROUP):
            group += [self._engine.rcpt(path) for path in recipients[start : start + _GROUP]]
            if start + _GROUP >= len(recipients):
                group.append(self._engine.data())
            await self._exchange(b"".join(group), tally)
            if tally.is_refused:
                return
            group.clear()

    async def _offer_singly(self, sender: Sender, recipients: Sequence[ForwardPath], tally: Tally) -> None:
        """MAIL, each RCPT and DATA, one after the other."""
        await self._exchange(self._engine.mail(sender), tally)
        for path in recipients:
            if tally.is_refused:
                return
            await self._exchange(self._engine.rcpt(path), tally)
        if self._engine.accepted:
            await self._exchange(self._engine.data(), tally)

    async def _end_transaction(self) -> None:
        """RSET or a lone dot after a message that nobody got (RFC 2920 §3.1); what was learned stays."""
        if not self._engine.has_open_transaction:
            return
        with contextlib.suppress(NetError, RemoteProtocolError), self._whole():
            await self._exchange(self._engine.abandon())

    # How octets come and go

    async def _ask(self, command: Callable[[], bytes]) -> Reply:
        octets = command()
        with self._whole():
            event = await self._exchange(octets)
        assert isinstance(event, Answered | Closing)
        return event.reply

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """What is not finished here leaves the connection out of step: cut it."""
        try:
            yield
        except SaslError:
            raise
        except BaseException:
            self.abort()
            raise

    async def _exchange(self, octets: bytes, tally: Tally | None = None) -> Event:
        """Send, and read until nothing waits for its reply; gives the last event."""
        await self._transmit(octets)
        while True:
            waiting = self._engine.waiting
            event = await self._next(self._timeouts.of(waiting[0].verb))
            if tally is not None:
                tally.take(event)
            if isinstance(event, Challenged | Closing) or not self._engine.waiting:
                return event

    async def _transmit(self, octets: bytes) -> None:
        try:
            for start in range(0, len(octets), _BLOCK):
                self._stream.set_deadline(self._timeouts.block)
                self._stream.send(octets[start : start + _BLOCK])
                await self._stream.drain()
        except ConnectionLost:
            # The server's last words, if any, say more than that it is gone; without, reading says that.
            return

    async def _next(self, seconds: float) -> Event:
        engine, stream = self._engine, self._stream
        awaited = engine.waiting[0].verb.value if engine.waiting else "the connection"
        stream.set_deadline(seconds)
        while (event := engine.next_event()) is None:
            try:
                engine.feed(await stream.receive())
            except DeadlinePassed:
                raise DeadlinePassed(f"no reply to {awaited} within {seconds:g} s") from None
        if isinstance(event, Ended):
            raise ConnectionLost(f"closed by the server before its reply to {awaited}")
        if isinstance(event, Closing):
            await stream.close()
        return event


def to_wire(octets: bytes) -> bytes:
    """Content of a local file with its line ends made CRLF; what is CRLF already stays as it is."""
    return octets if is_wire_form(octets) else re.sub(rb"\r\n|\r|\n", b"\r\n", octets)


def _header(octets: bytes) -> bytes:
    end = octets.find(b"\r\n\r\n")
    return octets if end < 0 else octets[:end]


def _demand(event: Event, what: str) -> None:
    """Raises Refused unless the event is a positive reply."""
    assert isinstance(event, Greeted | Answered | Closing)
    if isinstance(event, Closing) or not event.reply.is_positive:
        raise Refused(what, event.reply)
