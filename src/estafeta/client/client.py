"""The client as programs use it: where the server is, how it is secured and who logs in are said once.

Messages of the standard library, or octets, go out over one connection, which is opened anew where the server closed
it between two of them. `SmtpClient` is one connection with all that can be said on it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import fields, replace
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, TypedDict, Unpack

from estafeta.client.errors import ClientError, MessageRefused
from estafeta.client.flattening import AnyMessage, flatten, recipients_of, sender_of, to_wire
from estafeta.client.opening import TlsMode
from estafeta.client.results import SendResult
from estafeta.client.smtp import SmtpClient
from estafeta.client.timeouts import ClientTimeouts
from estafeta.mail.address import NULL_REVERSE_PATH, Address, AddressError, ForwardPath, ReversePath, parse_domain
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.net.address import NOWHERE, PeerAddress
from estafeta.net.errors import ConnectFailed, DeadlinePassed, NetError
from estafeta.net.stream import SocketStream, Stream, connect
from estafeta.net.tls import TlsFacts, client_context
from estafeta.wire.errors import LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import SaslError
from estafeta.wire.smtp.replies import Capabilities

TlsName: TypeAlias = Literal["none", "starttls", "opportunistic", "implicit"]
"""The values of TlsMode, as text."""

TokenSource: TypeAlias = Callable[[], Awaitable[str]]
"""Gives a token of OAuth 2 that is good now; asked for each connection."""

CLIENT_ERRORS: Final = (ClientError, NetError, RemoteProtocolError, LocalProtocolError, SaslError)
"""All that a client raises because of the server, the connection, or a message that the server cannot take."""

_PORTS: Final = {TlsMode.NONE: 25, TlsMode.OPPORTUNISTIC: 25, TlsMode.STARTTLS: 587, TlsMode.IMPLICIT: 465}


class ClientOptions(TypedDict, total=False):
    """What `Client`, `send` and `send_blocking` take; see Client."""

    port: int | None
    tls: TlsMode | TlsName | None
    context: ssl.SSLContext | None
    ca_file: str | Path | None
    server_hostname: str | None
    username: str | None
    password: str | None
    token: str | TokenSource | None
    mechanisms: Iterable[str] | None
    lmtp: bool
    local_name: str | None
    local_address: str | None
    unix_socket: str | Path | None
    sock: socket.socket | None
    timeout: float | ClientTimeouts | None


class Client:
    """Sends messages to one server. `async with` connects, and quits at the end.

    Several tasks may use one client: they take turns. Beside what each method names, all that talk to the server raise
    what is in CLIENT_ERRORS.
    """

    def __init__(self, host: str = "localhost", **options: Unpack[ClientOptions]) -> None:
        """`host` and `port`: the server. Left out, the port is 465 for implicit TLS, 587 for STARTTLS, 24 for LMTP
        and 25 for the rest.

        `tls`: "starttls" demands it, "implicit" speaks it from the start, "opportunistic" takes it where it is
        offered, "none" does without. Left out it is implicit with port 465, none with a server on this machine, and
        STARTTLS demanded with all others. `context` is for TLS; without one the certificate is checked against the
        authorities in `ca_file`, or the system's. `server_hostname`: the name in the certificate, when not `host`.

        `username` and `password` log in, with the best of the server's mechanisms, of `mechanisms` when given;
        `username` and `token` with a token of OAuth 2, or an async function that gives one.
        `lmtp` speaks LMTP (RFC 2033). `local_name` is what EHLO says; `local_address` the IP address to connect from;
        `unix_socket` a path to connect to instead of host and port; `sock` a connected socket, which is used once and
        belongs to the client then. `timeout`: seconds for each step, or a
        ClientTimeouts; left out, what RFC 5321 §4.5.3.2 asks for. Raises ValueError for what does not fit together.
        """
        self._host = host
        path = options.get("unix_socket")
        self._path = None if path is None else str(path)
        self._sock = options.get("sock")
        self._lmtp = options.get("lmtp", False)
        tls, port = options.get("tls"), options.get("port")
        self._tls = TlsMode(tls) if tls is not None else self._usual_tls(port)
        self._port = port if port is not None else 24 if self._lmtp else _PORTS[self._tls]
        self._context = options.get("context")
        self._ca_file = options.get("ca_file")
        if self._context is not None and self._ca_file is not None:
            raise ValueError("context and ca_file: the context knows whom to trust")
        self._server_hostname = options.get("server_hostname") or host
        self._username, self._password = options.get("username"), options.get("password")
        self._token = options.get("token")
        if [self._password, self._token].count(None) != (1 if self._username is not None else 2):
            raise ValueError("username and password, or username and token, belong together")
        self._mechanisms = options.get("mechanisms")
        name = options.get("local_name")
        self._local_name = None if name is None else str(parse_domain(name))
        self._local_address = options.get("local_address")
        self._timeouts = _timeouts(options.get("timeout"))
        self._is_sock_used = False
        self._session: SmtpClient | None = None
        self._turn = asyncio.Lock()

    def _usual_tls(self, port: int | None) -> TlsMode:
        if port == _PORTS[TlsMode.IMPLICIT]:
            return TlsMode.IMPLICIT
        return TlsMode.NONE if self._path is not None or _is_near(self._host) else TlsMode.STARTTLS

    # What there is

    @property
    def session(self) -> SmtpClient:
        """The connection, for what is not said here: ETRN, ATRN, DSN parameters by value, certificates.

        Raises LocalProtocolError when there is none.
        """
        if self._session is None:
            raise LocalProtocolError("not connected")
        return self._session

    @property
    def is_connected(self) -> bool:
        """Whether another command can be tried on the connection."""
        return self._session is not None and self._session.is_open

    @property
    def capabilities(self) -> Capabilities:
        """What the server announced in its reply to EHLO."""
        capabilities = self.session.capabilities
        assert capabilities is not None
        return capabilities

    @property
    def greeting(self) -> Reply:
        """The server's first reply."""
        return self.session.greeting

    @property
    def peer(self) -> PeerAddress:
        """The server's address."""
        return self.session.peer

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed about TLS; None in the clear."""
        return self.session.tls

    # What it does

    async def connect(self) -> None:
        """Connect, secure, log in. Raises Refused, TlsNotOffered, LoginImpossible, TlsError, ConnectFailed."""
        async with self._turn:
            await self._connect()

    async def quit(self) -> None:
        """Take leave and close; never raises because of the server or the connection."""
        async with self._turn:
            session, self._session = self._session, None
            if session is not None:
                await session.quit()

    def abort(self) -> None:
        """Cut the connection at once."""
        session, self._session = self._session, None
        if session is not None:
            session.abort()

    async def send(
        self,
        message: AnyMessage | bytes,
        *,
        sender: str | Sender | None = None,
        recipients: str | Recipient | Iterable[str | Recipient] | None = None,
    ) -> SendResult:
        """Send one message; gives the deciding reply for each recipient, of whom at least one was accepted.

        Without `sender` the reverse-path is the address in Sender or From; "" is the null reverse-path. Without
        `recipients` they are those in To, Cc and Bcc; Bcc itself is not sent. Of a resent message the Resent fields
        count. Octets go as they are, with their line ends made CRLF, and need both. `Sender` and `Recipient` carry
        parameters: DSN, REQUIRETLS and others.

        Raises MessageRefused when the server took it for nobody; AddressError and ValueError, before anything is
        sent, for what is no address or says nobody; ExtensionMissing when the server cannot take such a message;
        TransactionBroken when the connection breaks before all is decided.
        """
        from_whom = _sender(message, sender)
        to_whom = _recipients(message, recipients)
        async with self._turn:
            session = await self._ready()
            result = await self._send(session, message, from_whom, to_whom)
        if not result.accepted:
            raise MessageRefused(result)
        return result

    async def login(self, username: str, password: str, *, mechanisms: Iterable[str] | None = None) -> None:
        """Log in on the open connection; see SmtpClient.login."""
        async with self._turn:
            await self.session.login(username, password, mechanisms=mechanisms)

    async def reset(self) -> Reply:
        """RSET."""
        return await self._ask(lambda session: session.reset())

    async def noop(self) -> Reply:
        """NOOP: is the server still there?"""
        return await self._ask(lambda session: session.noop())

    async def verify(self, text: str) -> Reply:
        """VRFY: does this user or address exist?"""
        return await self._ask(lambda session: session.vrfy(text))

    async def expand(self, text: str) -> Reply:
        """EXPN: who is on this list?"""
        return await self._ask(lambda session: session.expn(text))

    async def help(self, topic: str = "") -> Reply:
        """HELP."""
        return await self._ask(lambda session: session.help(topic))

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What is raised has left both in step, or has cut the connection; who is cancelled does not wait.
        if error is None or isinstance(error, Exception):
            await self.quit()
        else:
            self.abort()

    async def _ask(self, command: Callable[[SmtpClient], Awaitable[Reply]]) -> Reply:
        async with self._turn:
            return await command(self.session)

    async def _send(
        self, session: SmtpClient, message: AnyMessage | bytes, sender: Sender, recipients: list[Recipient]
    ) -> SendResult:
        capabilities = session.capabilities
        assert capabilities is not None
        if isinstance(message, bytes):
            return await session.send(sender, recipients, to_wire(message))
        content, is_utf8 = flatten(message, capabilities, smtputf8=sender.smtputf8)
        if is_utf8 and not sender.smtputf8:
            sender = replace(sender, smtputf8=True)
        return await session.send(sender, recipients, content)

    async def _ready(self) -> SmtpClient:
        """The connection, anew where the server closed it or takes no more messages on it."""
        if self._session is not None and not self._session.is_idle:
            session, self._session = self._session, None
            await session.quit()
            await self._connect()
        return self.session

    async def _connect(self) -> None:
        if self._session is not None:
            raise LocalProtocolError("connected already")
        context = self._tls_context()
        stream = await self._stream(context)
        session = await SmtpClient.over(
            stream,
            local_name=self._local_name or _own_name(stream),
            tls=self._tls,
            context=context,
            server_hostname=self._server_hostname,
            lmtp=self._lmtp,
            timeouts=self._timeouts,
        )
        if self._username is not None:
            try:
                await self._log_in(session, self._username)
            except ClientError:
                await session.quit()
                raise
            except BaseException:
                session.abort()
                raise
        self._session = session

    async def _log_in(self, session: SmtpClient, username: str) -> None:
        if self._password is not None:
            await session.login(username, self._password, mechanisms=self._mechanisms)
        elif self._token is not None:
            token = self._token if isinstance(self._token, str) else await self._token()
            await session.login_with_token(username, token, host=self._host)

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._tls is TlsMode.NONE or self._context is not None:
            return self._context
        ca_file = None if self._ca_file is None else Path(self._ca_file)
        return client_context(ca_file, verify=self._tls is not TlsMode.OPPORTUNISTIC or ca_file is not None)

    async def _stream(self, context: ssl.SSLContext | None) -> SocketStream:
        is_implicit = self._tls is TlsMode.IMPLICIT
        if self._path is None and self._sock is None:
            if self._is_sock_used:
                raise ConnectFailed("the connected socket is used up")
            return await connect(
                self._host,
                self._port,
                context=context if is_implicit else None,
                server_hostname=self._server_hostname,
                timeout=self._timeouts.connect,
                local_address=self._local_address,
            )
        loop, sock = asyncio.get_running_loop(), self._sock
        self._sock, self._is_sock_used = None, sock is not None
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if sock is not None:
                    sock.setblocking(False)
                    _, stream = await loop.create_connection(SocketStream, sock=sock)
                else:
                    _, stream = await loop.create_unix_connection(SocketStream, self._path)
        except TimeoutError as error:
            raise DeadlinePassed(f"connecting to {self._path}") from error
        except OSError as error:
            raise ConnectFailed(f"{self._path or self._host}: {error.strerror or error}") from error
        if is_implicit and context is not None:
            await stream.start_tls(context, server_hostname=self._server_hostname, timeout=self._timeouts.handshake)
        return stream


async def send(
    message: AnyMessage | bytes,
    host: str = "localhost",
    *,
    sender: str | Sender | None = None,
    recipients: str | Recipient | Iterable[str | Recipient] | None = None,
    **options: Unpack[ClientOptions],
) -> SendResult:
    """Connect, send one message, quit. See Client for the options, and Client.send for the message and the errors."""
    async with Client(host, **options) as client:
        return await client.send(message, sender=sender, recipients=recipients)


def send_blocking(
    message: AnyMessage | bytes,
    host: str = "localhost",
    *,
    sender: str | Sender | None = None,
    recipients: str | Recipient | Iterable[str | Recipient] | None = None,
    **options: Unpack[ClientOptions],
) -> SendResult:
    """As `send`, for programs without an event loop; not to be called from a running one."""
    return asyncio.run(send(message, host, sender=sender, recipients=recipients, **options))


def _sender(message: AnyMessage | bytes, given: str | Sender | None) -> Sender:
    if isinstance(given, Sender):
        return given
    if given is None and not isinstance(message, bytes):
        given = sender_of(message)
    if given is None:
        raise ValueError("no sender: octets need one, and a message without From")
    return Sender(ReversePath(Address.parse(given)) if given else NULL_REVERSE_PATH)


def _recipients(
    message: AnyMessage | bytes, given: str | Recipient | Iterable[str | Recipient] | None
) -> list[Recipient]:
    if given is None:
        given = [] if isinstance(message, bytes) else recipients_of(message)
    several = [given] if isinstance(given, str | Recipient) else given
    found = [each if isinstance(each, Recipient) else _recipient(each) for each in several]
    if not found:
        raise ValueError("no recipients: octets need some, and a message without To, Cc and Bcc")
    return list(dict.fromkeys(found))


def _recipient(text: str) -> Recipient:
    if text.lower() == "postmaster":  # RFC 5321 §4.1.1.3
        return Recipient(ForwardPath(Address(text, "")))
    return Recipient(ForwardPath(Address.parse(text)))


def _timeouts(given: float | ClientTimeouts | None) -> ClientTimeouts:
    if isinstance(given, ClientTimeouts):
        return given
    if given is None:
        return ClientTimeouts()
    if given <= 0:
        raise ValueError("timeout is more than 0 seconds")
    return ClientTimeouts(**{field.name: given for field in fields(ClientTimeouts)})


def _is_near(host: str) -> bool:
    """Whether the name says that the server is this machine (RFC 6761 §6.3)."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        name = host.lower().removesuffix(".")
        return name == "localhost" or name.endswith(".localhost")


def _own_name(stream: Stream) -> str:
    """RFC 5321 §4.1.4: a host name that others can find, or else the address as a literal."""
    name = socket.gethostname()
    try:
        if "." in name:
            return parse_domain(name)
    except AddressError:
        pass
    ip = stream.local.ip
    if stream.local == NOWHERE:  # a Unix socket
        return "localhost"
    return f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"
