"""Listening sockets: one task for each connection, limits for each client, and an orderly end.

Accepting is the event loop's own and does nothing slow: TLS handshakes happen in the connection's task, a
client over the limits is refused before it has one. What a session raises ends that session and nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TypeAlias, cast

import structlog

from estafeta.net.address import NOWHERE, IpNetwork, PeerAddress, client_network, peer_address
from estafeta.net.binding import bound_sockets, bound_unix
from estafeta.net.counting import ListenerTally
from estafeta.net.errors import ConnectionLost, NetError, ProxyError
from estafeta.net.inherited import ListeningSockets
from estafeta.net.stream import SocketStream
from estafeta.net.tls import ServerTls
from estafeta.wire.proxy import ProxyFault, ProxyReader

Serve: TypeAlias = Callable[[SocketStream], Awaitable[None]]

# How long sessions that were told to end get to say so before they are cut.
_LAST_WORDS_AFTER = 5.0
# How often to look whether the sockets still listen.
_WATCH_AFTER = 1.0

_log = structlog.get_logger("estafeta.net.listener")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections one listener takes; durations in seconds."""

    connections: int = 2000
    """Open connections of one listener; further clients are refused with a temporary error. All listeners together
    take no more than the system's limit of open files has room for; `serve` raises that as far as it may."""
    per_client: int = 50
    """Open connections of one client address (IPv6: of one /64 network)."""
    exempt_networks: tuple[IpNetwork, ...] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
    )
    """Networks whose clients are not counted one by one; loopback by default."""
    handshake_after: float = 30.0
    """The longest TLS handshake."""
    proxy_after: float = 10.0
    """The longest wait for the header of a connection that a proxy makes: it has nothing to wait for itself."""
    backlog: int = 1024
    """Connections that the system may hold before they are accepted."""


class Room:
    """How many connections several listeners take together: no more than there are files for, and none while shut."""

    __slots__ = ("is_shut", "most", "taken", "turned_away")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.is_shut = False
        """New connections are refused, so that those which are open do not suffer."""
        self.turned_away = 0
        """Connections refused because it was shut, since the start."""


class Listener:
    """One listening port and the connections that came through it. Made by `listen`."""

    def __init__(
        self,
        serve: Serve,
        tls: ServerTls | None,
        limits: ConnectionLimits,
        refuse: bytes,
        proxies: tuple[IpNetwork, ...] = (),
        room: Room | None = None,
    ) -> None:
        self._serve = serve
        self._tls = tls
        self._limits = limits
        self._refuse = refuse
        self.shut = refuse
        """What a client is told in the clear while the room is shut."""
        self._proxies = proxies
        self._room = room or Room(limits.connections)
        self._sockets: list[socket.socket] = []
        self._serving: list[tuple[asyncio.AbstractServer, socket.socket]] = []
        self._watch: asyncio.TimerHandle | None = None
        self._revival: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: set[SocketStream] = set()
        self._by_client: dict[str, int] = {}
        self._addresses: tuple[PeerAddress, ...] = ()
        self._is_closed = False
        self.tally = ListenerTally()
        """What is counted of it; another may be given right after it was made."""
        self._is_counted = lru_cache(maxsize=4096)(self._find_is_counted)
        self._is_proxy = lru_cache(maxsize=4096)(self._find_is_proxy)

    @property
    def addresses(self) -> tuple[PeerAddress, ...]:
        """The addresses that are listened on."""
        return self._addresses

    @property
    def port(self) -> int:
        """The port; what the system chose when 0 was asked for."""
        return self._addresses[0].port

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._tasks)

    @property
    def refused(self) -> int:
        """Connections refused for the limits since the start."""
        return self.tally.refused

    @property
    def is_accepting(self) -> bool:
        """Whether clients can connect: it was not closed, and the event loop has not given up a port of it."""
        return bool(self._serving) and all(used.fileno() >= 0 for _, used in self._serving)

    def close(self) -> None:
        """Stop accepting; what is open stays open."""
        self._is_closed = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for server, _ in self._serving:
            server.close()
        self._serving.clear()
        for kept in self._sockets:
            kept.close()
        self._sockets.clear()

    async def drain(self, timeout: float) -> bool:
        """Stop accepting, wait for the sessions to end by themselves, then cancel those that are left.

        Gives whether all had ended in time. A cancelled session may still send a few last octets.
        """
        self.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_LAST_WORDS_AFTER)
        for stream in tuple(self._streams):
            stream.abort()
        return not left

    def _accepted(self, stream: _ServedStream, transport: asyncio.Transport) -> None:
        """Admit a connection and give it its task, or refuse it."""
        is_proxied = bool(self._proxies) and self._is_proxy(stream.peer.ip)
        room = self._room
        is_full = self._is_closed or len(self._tasks) >= self._limits.connections or room.taken >= room.most
        # Of a proxy's connection it is not known yet who the client is.
        if room.is_shut or is_full or not (is_proxied or self._enter(stream)):
            self.tally.refused += 1
            room.turned_away += room.is_shut
            text = self.shut if room.is_shut else self._refuse
            if self._tls is None and text:
                transport.write(text)
                transport.close()
            else:
                transport.abort()
            return
        self.tally.taken += 1
        task = asyncio.get_running_loop().create_task(self._run(stream, is_proxied))
        self._tasks.add(task)
        self._streams.add(stream)
        room.taken += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.taken -= 1

    async def start(self, sockets: list[socket.socket]) -> None:
        """Listen on sockets that are bound, which are the listener's from now on. Raises OSError."""
        self._sockets = sockets
        self._addresses = tuple(peer_address(one.getsockname()) for one in sockets)
        try:
            for one in sockets:
                await self._serve_socket(one)
        except BaseException:
            self.close()
            raise

    async def _serve_socket(self, kept: socket.socket) -> None:
        # The loop gets a copy: uvloop closes its own when accept() fails, and the port must survive that.
        used = kept.dup()
        try:
            loop, backlog = asyncio.get_running_loop(), self._limits.backlog
            if used.family == socket.AF_UNIX:
                server = await loop.create_unix_server(lambda: _ServedStream(self), sock=used, backlog=backlog)
            else:
                server = await loop.create_server(lambda: _ServedStream(self), sock=used, backlog=backlog)
        except BaseException:
            used.close()
            raise
        self._serving.append((server, used))

    def watch(self) -> None:
        """Look now and then whether the event loop still accepts, and have it begin again where it does not."""
        self._watch = asyncio.get_running_loop().call_later(_WATCH_AFTER, self._look)

    def _look(self) -> None:
        if self._is_closed:
            return
        if any(used.fileno() < 0 for _, used in self._serving):
            self._revival = asyncio.get_running_loop().create_task(self._revive())
        else:
            self.watch()

    async def _revive(self) -> None:
        for number, (server, used) in enumerate(self._serving):
            if used.fileno() >= 0:
                continue
            _log.error("accepting failed, listening again", address=str(self._addresses[number]))
            server.close()
            try:
                await self._serve_socket(self._sockets[number])
            except OSError as error:
                _log.error("cannot listen yet", address=str(self._addresses[number]), reason=str(error))
                break
            if self._is_closed:
                self.close()
                return
            self._serving[number] = self._serving.pop()
        if not self._is_closed:
            self.watch()

    def _find_is_counted(self, ip: str) -> bool:
        address = ip_address(ip)
        return not any(address in network for network in self._limits.exempt_networks)

    def _find_is_proxy(self, ip: str) -> bool:
        address = ip_address(ip)
        return any(address in network for network in self._proxies)

    async def _run(self, stream: _ServedStream, is_proxied: bool) -> None:
        try:
            if is_proxied and not await self._take_header(stream):
                self._turn_away(stream)
                return
            if self._tls is not None:
                await stream.secure(self._tls.context, timeout=self._limits.handshake_after)
            await self._serve(stream)
        except ProxyError as error:
            # One of the operator's own machines does not do as both were told.
            _log.warning("no PROXY header", peer=str(stream.peer), local=str(stream.local), reason=str(error))
        except NetError as error:
            # The network's everyday: a client that went away, a scanner that speaks no TLS.
            _log.info("connection ended", peer=str(stream.peer), reason=f"{type(error).__name__}: {error}")
        except Exception as error:
            _log.exception(
                "session failed",
                incident=getattr(error, "incident", None) or secrets.token_hex(6),
                peer=str(stream.peer),
                local=str(stream.local),
            )
        finally:
            try:
                await stream.close()
            finally:
                self._streams.discard(stream)
                self._leave(stream)

    async def _take_header(self, stream: _ServedStream) -> bool:
        """Read the PROXY header that this connection must begin with; gives whether the client is admitted.

        Raises ProxyError, ConnectionLost, DeadlinePassed.
        """
        stream.set_deadline(self._limits.proxy_after)
        reader = ProxyReader()
        try:
            while (found := reader.feed(await _some(stream))) is None:
                pass
        except ProxyFault as error:
            raise ProxyError(str(error)) from None
        stream.set_deadline(None)
        header, rest = found
        stream.put_back(rest)
        if header.source is None or header.destination is None:
            return self._enter(stream)
        source, destination = header.source, header.destination
        return stream.speak_for(
            peer_address((source.ip, source.port)), peer_address((destination.ip, destination.port))
        )

    def _enter(self, stream: _ServedStream) -> bool:
        """Count the connection as its client's, and no longer as another's; gives False where he has too many."""
        self._leave(stream)
        ip = stream.peer.ip
        if not self._is_counted(ip):
            return True
        client = client_network(ip)
        open_now = self._by_client.get(client, 0)
        if open_now >= self._limits.per_client:
            return False
        self._by_client[client] = open_now + 1
        stream.counted_as = client
        return True

    def _turn_away(self, stream: SocketStream) -> None:
        self.tally.refused += 1
        if self._tls is None and self._refuse:
            stream.send(self._refuse)
        else:
            stream.abort()

    def _leave(self, stream: _ServedStream) -> None:
        client, stream.counted_as = stream.counted_as, ""
        if not client:
            return
        left = self._by_client[client] - 1
        if left:
            self._by_client[client] = left
        else:
            del self._by_client[client]


async def _some(stream: SocketStream) -> bytes:
    """At least one octet. Raises ConnectionLost at the end."""
    octets = await stream.receive()
    if not octets:
        raise ConnectionLost("before the PROXY header")
    return octets


class _ServedStream(SocketStream):
    """A stream that reports to its listener when its connection is there."""

    __slots__ = ("_listener", "counted_as")

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self.tally = listener.tally
        self.counted_as = ""
        """The client whose connections it is one of; empty where they are not counted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        super().connection_made(transport)
        self._listener._accepted(self, cast(asyncio.Transport, transport))

    def speak_for(self, peer: PeerAddress, local: PeerAddress) -> bool:
        """The other end is a proxy; the client that it speaks for has limits of his own."""
        super().speak_for(peer, local)
        return self._listener._enter(self)


async def listen(
    host: str | None,
    port: int,
    serve: Serve,
    *,
    tls: ServerTls | None = None,
    limits: ConnectionLimits | None = None,
    refuse: bytes = b"",
    reuse_port: bool = False,
    proxies: tuple[IpNetwork, ...] = (),
    room: Room | None = None,
    sockets: ListeningSockets | None = None,
) -> Listener:
    """Listen on an IP address or host name (None: all addresses) and run `serve` for each connection.

    With `tls` connections are secured from their start. `refuse` is what a client over the limits is told in
    the clear. `reuse_port` lets several processes share the port. Connections from the networks of `proxies` must
    begin with a PROXY header, before TLS too, and count as the client's that it names; in those of others such a
    header is not read. Listeners that share a `room` take no more together than it has, and nothing while it is shut.
    A socket of `sockets` is used where one has this address and port. The connection is closed when `serve` returns or
    raises. Raises OSError naming address and port when they cannot be had.
    """
    listener = Listener(serve, tls, limits or ConnectionLimits(), refuse, proxies, room)
    if sockets is None:
        await listener.start(await bound_sockets(host, port, reuse_port=reuse_port))
    else:
        await listener.start(await sockets.take(host, port, reuse_port=reuse_port))
    listener.watch()
    return listener


async def listen_unix(
    path: Path, serve: Serve, *, limits: ConnectionLimits | None = None, refuse: bytes = b""
) -> Listener:
    """Listen on a Unix socket, otherwise as `listen`; a socket that was left behind is removed first.

    Clients have no address, so they are not counted one by one. Who stops the listener removes the socket. Raises
    OSError naming the path.
    """
    known = limits or ConnectionLimits()
    exempt = (*known.exempt_networks, ip_network(NOWHERE.ip))
    listener = Listener(serve, None, replace(known, exempt_networks=exempt), refuse)
    await listener.start([bound_unix(path)])
    listener.watch()
    return listener
