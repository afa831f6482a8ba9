"""Streams without sockets: two connected ends in one process, for tests and for agents face to face.

A `MemoryStream` is the socket stream itself over transports that hand octets to each other: deadlines,
back-pressure, half-closed connections and resets are the real thing. TLS is agreed on, not spoken.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from estafeta.net.address import PeerAddress
from estafeta.net.errors import ConnectionLost, DeadlinePassed, TlsError
from estafeta.net.stream import HANDSHAKE_AFTER, SocketStream
from estafeta.net.tls import TlsFacts

CLIENT = PeerAddress("192.0.2.10", 40000)
SERVER = PeerAddress("192.0.2.25", 25)
# Octets on the way before the sender has to wait, as in asyncio's own transports.
WRITE_HIGH = 64 * 1024
# What both ends see as the binding of their channel.
CHANNEL_BINDING = bytes(range(32))


class MemoryTransport(asyncio.Transport):
    """One end's way to the other; octets sent within one turn of the event loop arrive together."""

    def __init__(self, stream: MemoryStream, local: PeerAddress, peer: PeerAddress) -> None:
        super().__init__(
            {"peername": (peer.ip, peer.port), "sockname": (local.ip, local.port)},
        )
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self.other: MemoryTransport | None = None
        self._on_the_way: list[bytes] = []
        self._octets = 0
        self._is_scheduled = False
        self._is_reading = True
        self._is_holding_writer = False
        self._is_ending = False
        self._is_closing = False
        self._is_lost = False

    def write(self, data: Any) -> None:
        """Put octets on the way to the other end."""
        if self._is_lost or self._is_ending or not data:
            return
        self._on_the_way.append(bytes(data))
        self._octets += len(data)
        if self._octets > WRITE_HIGH and not self._is_holding_writer:
            self._is_holding_writer = True
            self._stream.pause_writing()
        self._schedule()

    def write_eof(self) -> None:
        """After what is on the way, nothing more comes."""
        self._is_ending = True
        self._schedule()

    def can_write_eof(self) -> bool:
        """One direction can be closed alone, but not under TLS."""
        return self._stream.tls is None

    def close(self) -> None:
        """End when what is on the way has arrived."""
        self._is_closing = self._is_ending = True
        self._schedule()

    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._is_closing

    def abort(self) -> None:
        """End at once; the other end sees a reset."""
        self.cut(None, ConnectionResetError("reset by the other end"))

    def cut(self, own: Exception | None, others: Exception | None) -> None:
        """Take the line away; what was on the way is gone."""
        for end, reason in ((self, own), (self.other, others)):
            if end is not None and not end._is_lost:
                end._is_lost = end._is_closing = True
                end._on_the_way.clear()
                self._loop.call_soon(end._stream.connection_lost, reason)

    def pause_reading(self) -> None:
        """Let octets wait."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """Let octets come again."""
        self._is_reading = True
        if self.other is not None:
            self.other._schedule()

    def is_reading(self) -> bool:
        """Whether octets come."""
        return self._is_reading

    def _schedule(self) -> None:
        if not self._is_scheduled and not self._is_lost:
            self._is_scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_scheduled = False
        other = self.other
        if self._is_lost or other is None or not other._is_reading:
            return
        if self._on_the_way:
            octets = b"".join(self._on_the_way)
            self._on_the_way.clear()
            self._octets = 0
            other._stream.data_received(octets)
            if self._is_holding_writer:
                self._is_holding_writer = False
                self._stream.resume_writing()
        if self._is_ending:
            self._end(other)

    def _end(self, other: MemoryTransport) -> None:
        if self._is_closing:
            self._is_lost = True
            self._stream.connection_lost(None)
        if other._is_lost:
            return
        if not other._stream.eof_received() or (self._is_closing and other._is_ending):
            other.close()
        if self._is_closing:
            # Nobody is left to read what the other end may still send.
            other._is_lost = other._is_closing = True
            self._loop.call_soon(other._stream.connection_lost, None)


class MemoryStream(SocketStream):
    """One end of a connection that is only memory; `pair` makes two."""

    __slots__ = ("_offer", "_wire", "certificates")

    def __init__(self) -> None:
        super().__init__()
        self.certificates: tuple[bytes, ...] = ()
        """What this end shows the other in TLS, in DER form."""
        self._wire: MemoryTransport | None = None
        self._offer: asyncio.Future[str | None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        super().connection_made(transport)
        assert isinstance(transport, MemoryTransport)
        self._wire = transport

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """What the other end shows; see Stream.peer_chain."""
        if self._tls is None or self._wire is None or self._wire.other is None:
            return ()
        return self._wire.other._stream.certificates

    def cut(self) -> None:
        """Break the line: both ends see a reset."""
        if self._wire is not None:
            self._wire.cut(ConnectionResetError("cut"), ConnectionResetError("cut"))

    async def start_tls(
        self,
        context: ssl.SSLContext | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        timeout: float = HANDSHAKE_AFTER,
    ) -> None:
        """Agree on TLS with the other end, which must start it too; the context is not looked at."""
        if self._is_lost or self._wire is None or self._wire.other is None:
            raise ConnectionLost
        self.discard_pending()
        other = self._wire.other._stream
        if not self._offer.done():
            self._offer.set_result(None if server_side else server_hostname)
        try:
            async with asyncio.timeout(timeout):
                theirs = await asyncio.shield(other._offer)
        except TimeoutError as error:
            self.abort()
            raise DeadlinePassed("TLS handshake") from error
        if self._is_lost:
            raise TlsError("the other end left the handshake")
        name = theirs if server_side else server_hostname
        self._tls = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, name, CHANNEL_BINDING)


def pair(*, client: PeerAddress = CLIENT, server: PeerAddress = SERVER) -> tuple[MemoryStream, MemoryStream]:
    """Two connected ends, the client's and the server's; needs a running event loop."""
    ends = MemoryStream(), MemoryStream()
    first = MemoryTransport(ends[0], client, server)
    second = MemoryTransport(ends[1], server, client)
    first.other, second.other = second, first
    ends[0].connection_made(first)
    ends[1].connection_made(second)
    return ends
