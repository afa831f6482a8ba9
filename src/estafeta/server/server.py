"""An SMTP or LMTP server in a few lines: it listens, speaks the protocol, and gives each message to a handler.

The engine, the listener and the streams are those of the post office. There is no store, no queue and no relay: what is
not done by the handler is not done.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from estafeta.mail.address import AddressError, parse_domain
from estafeta.mail.catalogue import connections
from estafeta.net.address import IpNetwork, PeerAddress
from estafeta.net.errors import NetError
from estafeta.net.listener import Listener, listen, listen_unix
from estafeta.net.stream import SocketStream
from estafeta.net.tls import ServerTls
from estafeta.server.conversation import Conversation, Service
from estafeta.server.handler import Handler, OnMessage, handler_of, is_overridden
from estafeta.server.limits import ServerLimits
from estafeta.server.logins import Logins, PasswordOf
from estafeta.server.security import Security
from estafeta.wire.sasl import TOKEN_MECHANISMS, offered
from estafeta.wire.smtp.session import ServerOptions

if TYPE_CHECKING:
    from estafeta.server.threads import ThreadedServer

_log = logging.getLogger("estafeta.server")

_FULL = connections.TOO_MANY_CONNECTIONS.encode(with_status=False)  # RFC 2034 §4


class Server:
    """Serves one port. `async with` starts it and stops it; `serve_forever` does so until it is cancelled."""

    def __init__(
        self,
        handler: Handler | OnMessage,
        *,
        host: str | None = "127.0.0.1",
        port: int = 0,
        unix_socket: str | Path | None = None,
        hostname: str | None = None,
        lmtp: bool = False,
        tls: ServerTls | ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        require_tls: bool = False,
        passwords: Mapping[str, str] | PasswordOf | None = None,
        mechanisms: Iterable[str] | None = None,
        require_login: bool = False,
        login_without_tls: bool = False,
        message_size: int = 32 * 1024 * 1024,
        smtputf8: bool = True,
        chunking: bool = True,
        dsn: bool = False,
        proxies: Iterable[str | IpNetwork] = (),
        limits: ServerLimits | None = None,
    ) -> None:
        """`handler` decides about mail; an async function of a message will do.

        `host` is an IP address or name to listen on, None for all addresses; `port` 0 takes a free one. `unix_socket`
        is a path to listen on instead. `hostname` is what the server calls itself, this machine's name when None.

        `tls` is the certificate for STARTTLS, or with `implicit_tls` for TLS from the start; `require_tls` refuses all
        else before it. `passwords`, a mapping or an async function of an identity, lets users log in with every
        mechanism, of `mechanisms` when given; without, the handler's `on_login` and `on_keys` do. Passwords are taken
        in the clear from this machine only, unless `login_without_tls`.

        `message_size` is in octets. `dsn` tells clients that the handler sends the notifications they ask for.
        Connections from the networks of `proxies` must begin with a PROXY header, and are those of the client that it
        names. Raises ValueError for what does not fit together.
        """
        chosen = handler_of(handler)
        security = Security(tls, implicit_tls, require_tls, require_login, login_without_tls)
        logins = Logins(chosen, passwords, mechanisms)
        if require_login and not logins.mechanisms:
            raise ValueError("a login is required, and nobody can log in: give passwords=, or a handler with on_login")
        if message_size < 1:
            raise ValueError("message_size is at least one octet")
        self._host = host
        self._asked_port = port
        self._path = None if unix_socket is None else Path(unix_socket)
        self._limits = limits or ServerLimits()
        name = _own_name() if hostname is None else hostname
        parse_domain(name)
        self._service = Service(chosen, logins, security, self._limits, name, message_size, lmtp)
        self._smtputf8 = smtputf8
        self._chunking = chunking
        self._dsn = dsn
        self._proxies = tuple(ip_network(each) if isinstance(each, str) else each for each in proxies)
        self._near, self._far = self._options(is_near=True), self._options(is_near=login_without_tls)
        self._listener: Listener | None = None
        self._conversations: set[Conversation] = set()
        self._is_closing = False
        self._stopped: asyncio.Event | None = None

    @property
    def handler(self) -> Handler:
        """Who decides about mail."""
        return self._service.handler

    @property
    def hostname(self) -> str:
        """What the server calls itself."""
        return self._service.hostname

    @property
    def addresses(self) -> tuple[PeerAddress, ...]:
        """The addresses that are listened on; none before the start."""
        return () if self._listener is None else self._listener.addresses

    @property
    def host(self) -> str:
        """The IP address that is listened on, the first of several. Raises RuntimeError when the server is not
        running."""
        return self._running.addresses[0].ip

    @property
    def port(self) -> int:
        """The port; what the system chose where 0 was asked for. Raises RuntimeError when the server is not running."""
        return self._running.port

    @property
    def connections(self) -> int:
        """Open connections."""
        return 0 if self._listener is None else self._listener.connections

    @property
    def _running(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the server is not running")
        return self._listener

    async def start(self) -> None:
        """Listen. Raises OSError, naming address and port, when they cannot be had."""
        if self._listener is not None:
            raise RuntimeError("the server is running already")
        self._is_closing = False
        self._stopped = asyncio.Event()
        # TLS from the start is spoken by `_serve`, which knows contexts of every make.
        refuse = b"" if self._service.security.is_implicit else _FULL
        limits = self._limits.connections
        if self._path is not None:
            self._listener = await listen_unix(self._path, self._serve, limits=limits, refuse=refuse)
        else:
            self._listener = await listen(
                self._host, self._asked_port, self._serve, limits=limits, refuse=refuse, proxies=self._proxies
            )

    async def stop(self) -> None:
        """Take no more connections, let what is under way end within `limits.stop_after`, cut the rest."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._is_closing = True
        listener.close()
        for conversation in tuple(self._conversations):
            conversation.close_if_idle()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        await listener.drain(self._limits.stop_after)
        if self._stopped is not None:
            self._stopped.set()

    async def serve_forever(self) -> None:
        """Serve until `stop` is called or the task is cancelled; starts the server where that was not done."""
        if self._listener is None:
            await self.start()
        stopped = self._stopped
        assert stopped is not None
        try:
            await stopped.wait()
        finally:
            await self.stop()

    def in_thread(self) -> ThreadedServer:
        """The server in a thread of its own, for programs and tests without an event loop."""
        from estafeta.server.threads import ThreadedServer

        return ThreadedServer(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, stream: SocketStream) -> None:
        security = self._service.security
        if security.is_implicit:
            assert security.context is not None
            try:
                await stream.secure(security.context, timeout=self._limits.connections.handshake_after)
            except NetError as error:
                _log.info("no TLS with %s: %s", stream.peer, error)
                return
        is_near = self._path is not None or stream.peer.is_loopback
        options = self._near if is_near else self._far
        conversation = Conversation(self._service, stream, options, lambda: self._is_closing)
        self._conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self._conversations.discard(conversation)

    def _options(self, *, is_near: bool) -> ServerOptions:
        """What is offered to clients on this machine, and to others."""
        service, security = self._service, self._service.security
        logins = service.logins.mechanisms
        tokens = tuple(name for name in logins if name in TOKEN_MECHANISMS)
        in_clear = is_near and not security.is_required
        return ServerOptions(
            service.hostname,
            lmtp=service.is_lmtp,
            message_size=service.message_size,
            smtputf8=self._smtputf8,
            starttls=security.tls is not None and not security.is_implicit,
            mechanisms=(*offered(logins, True, security.channel_binding), *tokens) if security.tls is not None else (),
            insecure_mechanisms=(*offered(logins, True, None), *tokens) if in_clear else (),
            expn=is_overridden(service.handler, "on_expand"),
            chunking=self._chunking,
            dsn=self._dsn,
            requiretls=False,
            recipients=self._limits.recipients,
            transactions=self._limits.messages,
        )


def _own_name() -> str:
    """This machine's name, where it can be said in SMTP."""
    try:
        return parse_domain(socket.gethostname())
    except AddressError:
        return "localhost"
