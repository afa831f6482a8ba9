"""The SMTP and LMTP client for asyncio: connect, secure, log in, send, as often as wanted, quit.

What the server answers about a message is a value (`SendResult`); what breaks is an exception. A command
that is cancelled, or that breaks, leaves the connection cut, as client and server would be out of step.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from estafeta.client.link import Link
from estafeta.client.opening import (
    Compute,
    Opening,
    Security,
    TlsMode,
    log_in,
    log_in_with_certificate,
    log_in_with_token,
)
from estafeta.client.results import Following, SendResult
from estafeta.client.sending import send_message
from estafeta.client.timeouts import ClientTimeouts
from estafeta.client.turned import BegunStream
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.net.address import PeerAddress
from estafeta.net.stream import Stream, connect
from estafeta.net.tls import TlsFacts
from estafeta.wire.errors import LocalProtocolError
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.content import WireContent
from estafeta.wire.smtp.dialogue import Answered, Closing
from estafeta.wire.smtp.replies import Capabilities


class SmtpClient:
    """One connection to one server; made by `connect` or `over`.

    Beside what each method names, all that talk to the server raise ConnectionLost, DeadlinePassed,
    RemoteProtocolError, and LocalProtocolError where the protocol does not allow what is asked for.
    `async with` quits at the end, and cuts the connection when the block raises.
    """

    def __init__(self, link: Link, opening: Opening, greeting: Reply) -> None:
        self._link = link
        self._opening = opening
        self._engine = link.engine
        self._greeting = greeting
        self._is_detached = False

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
        security = Security(tls, context, server_hostname or host)
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
        return await cls._open(stream, local_name, lmtp, timeouts, Security(tls, context, server_hostname))

    @classmethod
    async def _open(
        cls, stream: Stream, local_name: str, lmtp: bool, timeouts: ClientTimeouts, security: Security
    ) -> Self:
        link = Link(stream, ClientEngine(lmtp), timeouts)
        opening = Opening(link, local_name, security)
        with link.whole():
            greeting = await opening.run()
        return cls(link, opening, greeting)

    # What there is

    @property
    def capabilities(self) -> Capabilities | None:
        """What the server announced last."""
        return self._engine.capabilities

    @property
    def greeting(self) -> Reply:
        """The server's first reply."""
        return self._greeting

    @property
    def peer(self) -> PeerAddress:
        """The server's address."""
        return self._link.stream.peer

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed about TLS; None in the clear."""
        return self._link.stream.tls

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the server showed, in DER, its own first; empty in the clear."""
        return self._link.stream.peer_chain

    @property
    def is_lmtp(self) -> bool:
        """Whether LMTP is spoken."""
        return self._engine.is_lmtp

    @property
    def is_authenticated(self) -> bool:
        """Whether a login succeeded."""
        return self._engine.is_authenticated

    @property
    def is_open(self) -> bool:
        """Whether another command can be tried on this connection."""
        return not self._is_detached and self._link.is_open

    @property
    def is_idle(self) -> bool:
        """Whether another message can be sent now: nothing is under way, and the server did not close, nor say so."""
        return self._is_between_messages and self._link.look()

    @property
    def is_likely_idle(self) -> bool:
        """The same, by what was known some milliseconds ago: a server that left since is found out by sending."""
        return self._is_between_messages and self._link.look_again()

    @property
    def _is_between_messages(self) -> bool:
        if self._is_detached or self._engine.awaited is not None or self._link.begun is not None:
            return False
        capabilities = self._engine.capabilities
        limit = None if capabilities is None else capabilities.limits.transactions
        return limit is None or self._link.messages < limit  # RFC 9422 §4.1

    @property
    def messages(self) -> int:
        """The messages that were offered to the server on this connection."""
        return self._link.messages

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
        await log_in(
            self._link,
            identity,
            password,
            mechanisms=mechanisms,
            allow_without_tls=allow_without_tls,
            nonce=nonce,
            compute=compute,
        )

    async def login_with_token(self, identity: str, token: str, *, host: str) -> None:
        """Log in with a token of OAuth 2: by OAUTHBEARER (RFC 7628), else by XOAUTH2.

        `host` is the server's name as it was asked for. Without TLS nothing is tried unless the server is this
        machine. Raises Refused, LoginImpossible, and SaslError for what is no token.
        """
        await log_in_with_token(self._link, identity, token, host=host)

    async def login_with_certificate(self, authorization: str = "") -> None:
        """Log in by the certificate of the TLS context (EXTERNAL, RFC 4422 appendix A).

        `authorization` is whom to act for; empty for whom the certificate names. Raises Refused, and LoginImpossible
        where the server does not offer it: it knows the certificate then for nobody's.
        """
        await log_in_with_certificate(self._link, authorization)

    async def send(
        self,
        sender: Sender,
        recipients: Sequence[Recipient],
        content: bytes | WireContent,
        *,
        following: Following | None = None,
    ) -> SendResult:
        """Send one message; gives the deciding reply for each recipient.

        The content goes as it is, so it must have CRLF line ends (`to_wire` repairs local files), unless it is said to
        be BINARYMIME; a missing last one is added. Content that is known to be so, as a `WireContent`, is not looked
        through. SIZE, BODY and SMTPUTF8 are filled in where `sender` leaves them open. What is more than the server
        announced to take is not sent, and the replies are our own (`is_local`): 552 5.3.4 for a message that is too
        large, 452 4.5.3 for recipients or messages that are too many (RFC 9422). Raises ExtensionMissing, before
        anything is sent, when the message needs SMTPUTF8, 8BITMIME, BINARYMIME or REQUIRETLS and the server has it
        not; TransactionBroken when the connection breaks before all is decided.

        `following` may be asked for the next message. Where the server allows it, its envelope goes out with this
        message's content, in one flight; `has_begun` tells, and then `send` with the same recipients must come next.
        """
        return await send_message(self._link, sender, recipients, content, following)

    @property
    def has_begun(self) -> bool:
        """Whether the envelope of the next message was sent already."""
        return self._link.begun is not None

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

    async def etrn(self, name: str) -> Reply:
        """ETRN: have sent what waits for a host, for `@domain` or in `#queue` (RFC 1985 §5).

        250 to 253 say that it is on its way, 458 and 459 why not. Raises ExtensionMissing.
        """
        return await self._ask(lambda: self._engine.etrn(name))

    async def xclient(self, told: Mapping[str, str | None]) -> Reply:
        """XCLIENT: say for which client we speak, and EHLO again (Postfix XCLIENT_README).

        `told` has the attributes by their names, as in {"NAME": "host.example.net", "ADDR": "2001:db8::1"}; None for
        what is not known. Raises ExtensionMissing, for an attribute that was not announced too; Refused, where the
        server does not want the client.
        """
        reply = await self._ask(lambda: self._engine.xclient(told))
        if reply.is_positive:
            with self._link.whole():
                await self._opening.hello()
        return reply

    async def xforward(self, told: Mapping[str, str | None]) -> Reply:
        """XFORWARD: say where the next message came from, for the record (Postfix XFORWARD_README); as `xclient`."""
        return await self._ask(lambda: self._engine.xforward(told))

    async def atrn(self, domains: Sequence[str] = ()) -> Reply:
        """ATRN: turn the roles to take what waits for these domains, or for all of ours (RFC 2645).

        After a positive reply `detach` gives the connection to a server of ours, which greets. Raises
        ExtensionMissing.
        """
        return await self._ask(lambda: self._engine.atrn(domains))

    async def turn(self) -> Reply:
        """TURN: turn the roles (RFC 821 §3.8); as `atrn`."""
        return await self._ask(self._engine.turn)

    def detach(self) -> Stream:
        """Give the connection away after a turn; with what the other side has said since, nothing is lost.

        The client does nothing more with it. Raises LocalProtocolError when the roles were not turned.
        """
        if not self._engine.has_turned or self._is_detached:
            raise LocalProtocolError("the roles were not turned")
        self._is_detached = True
        octets, stream = self._engine.take_rest(), self._link.stream
        return BegunStream(octets, stream) if octets else stream

    async def quit(self) -> None:
        """Take leave and close; never raises because of the server or the connection."""
        if not self._is_detached:
            await self._link.quit()

    def abort(self) -> None:
        """Cut the connection at once."""
        if not self._is_detached:
            self._link.abort()

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

    async def _ask(self, command: Callable[[], bytes]) -> Reply:
        octets = command()
        with self._link.whole():
            event = await self._link.exchange(octets)
        assert isinstance(event, Answered | Closing)
        return event.reply
