"""One connection as its session sees it: octets in, octets out, a deadline, and TLS when asked for.

`Stream` is what the rooms above are written against, `SocketStream` the one over asyncio transports. It is a
plain `asyncio.Protocol`: octets that arrive wake at most one waiting task, octets that wait are taken without
a pause, and there is one timer a connection, armed again only when it fires too early.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from estafeta.net.address import NOWHERE, PeerAddress, peer_address
from estafeta.net.counting import ListenerTally
from estafeta.net.errors import ConnectFailed, ConnectionLost, DeadlinePassed, TlsError
from estafeta.net.tls import TlsFacts, handshake_error, peer_chain, tls_facts

# Octets received and not yet taken before reading stops: a read or a few of a transport (uvloop reads up to
# 256 KiB at once), so that a session that is busy with a commit does not make the peer wait.
READ_HIGH = 256 * 1024
HANDSHAKE_AFTER = 30.0
# How long close() lets the last octets and the TLS close_notify travel.
CLOSE_AFTER = 5.0
# A timer of the event loop may fire this much early.
_TIMER_GRAIN = 0.002
# The longest that the timer of a deadline sleeps at a time.
_LOOK_AFTER = 60.0


class Stream(Protocol):
    """A connection. One task at a time may receive, and one may drain.

    The deadline holds for every receive() and drain() until it is set anew.
    """

    @property
    def peer(self) -> PeerAddress:
        """The other end."""

    @property
    def local(self) -> PeerAddress:
        """This end."""

    @property
    def proxy(self) -> PeerAddress | None:
        """The proxy that speaks for the other end (PROXY protocol); None where there is none."""

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed about TLS; None in the clear."""

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the other end showed, in DER form, its own first; none in the clear."""

    @property
    def pending(self) -> int:
        """Octets received and not yet taken."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone, so that sending is in vain."""

    def set_deadline(self, seconds: float | None) -> None:
        """From now on wait for the peer no longer than `seconds` from now; None waits for ever."""

    async def receive(self) -> bytes:
        """What has arrived, at least one octet; b"" at the end of the stream, also after a reset.

        Raises DeadlinePassed.
        """

    def discard_pending(self) -> int:
        """Throw away what was received and not taken; gives the number of octets."""

    def send(self, octets: bytes) -> None:
        """Send, buffered; raises ConnectionLost when the connection is known to be gone."""

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was sent; raises ConnectionLost, DeadlinePassed."""

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        timeout: float = HANDSHAKE_AFTER,
    ) -> None:
        """Secure the connection; what was received before in the clear is thrown away (RFC 3207 §4.2).

        Raises TlsError, ConnectionLost or DeadlinePassed, and the connection is gone then.
        """

    def speak_for(self, peer: PeerAddress, local: PeerAddress) -> bool:
        """The other end turned out to be a proxy: these are the ends of the connection that it stands in.

        Gives False where that client has too many connections already.
        """

    def end_receiving(self) -> None:
        """From now on receive() gives b"", also to the task that waits in it; what is sent still goes out."""

    async def close(self) -> None:
        """Send what is buffered, say goodbye and close within a few seconds, also of a peer that does not read.

        Waits only for TLS and for octets that nobody has read; never raises.
        """

    def abort(self) -> None:
        """Cut the connection at once."""


_NOBODYS = ListenerTally()


class SocketStream(asyncio.Protocol):
    """A Stream over a transport of the event loop."""

    __slots__ = (
        "__weakref__",
        "_chunks",
        "_closed",
        "_deadline",
        "_drainer",
        "_is_eof",
        "_is_lost",
        "_is_read_paused",
        "_is_write_paused",
        "_local",
        "_loop",
        "_peer",
        "_pending",
        "_proxy",
        "_reader",
        "_timer",
        "_timer_at",
        "_tls",
        "_transport",
        "tally",
    )

    def __init__(self) -> None:
        self.tally = _NOBODYS
        """Where its octets are counted."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._pending = 0
        self._reader: asyncio.Future[None] | None = None
        self._drainer: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._is_eof = False
        self._is_lost = False
        self._is_read_paused = False
        self._is_write_paused = False
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._tls: TlsFacts | None = None
        self._peer = NOWHERE
        self._local: PeerAddress | None = None
        self._proxy: PeerAddress | None = None

    @property
    def peer(self) -> PeerAddress:
        """The other end."""
        return self._peer

    @property
    def local(self) -> PeerAddress:
        """This end."""
        if self._local is None:
            name = self._transport.get_extra_info("sockname") if self._transport is not None else None
            self._local = peer_address(name)
        return self._local

    @property
    def proxy(self) -> PeerAddress | None:
        """The proxy that speaks for the other end."""
        return self._proxy

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed about TLS; None in the clear."""
        return self._tls

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the other end showed, in DER form, its own first; none in the clear."""
        if self._transport is None or self._tls is None:
            return ()
        connection = self._transport.get_extra_info("ssl_object")
        return () if connection is None else peer_chain(connection)

    @property
    def pending(self) -> int:
        """Octets received and not yet taken."""
        return self._pending

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone, so that sending is in vain."""
        return self._is_lost

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._peer = peer_address(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        """Octets have arrived."""
        if self._closed is not None:
            return
        self._chunks.append(data)
        size = len(data)
        self._pending += size
        self.tally.received += size
        reader = self._reader
        if reader is not None:
            self._reader = None
            if not reader.done():
                reader.set_result(None)
        if self._pending > READ_HIGH and not self._is_read_paused and self._transport is not None:
            self._is_read_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer sends no more, and in the clear may still read: a half-closed connection is served."""
        self._is_eof = True
        self._wake_reader()
        if self._closed is not None:
            return False
        return self._tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_eof = self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake_reader()
        self._wake_drainer()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """The peer does not read as fast as we send."""
        self._is_write_paused = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._is_write_paused = False
        self._wake_drainer()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _wake_drainer(self) -> None:
        drainer, self._drainer = self._drainer, None
        if drainer is not None and not drainer.done():
            drainer.set_result(None)

    # What the session calls.

    def set_deadline(self, seconds: float | None) -> None:
        """From now on wait for the peer no longer than `seconds` from now; None waits for ever."""
        if seconds is None:
            self._deadline = None
            return
        deadline = self._deadline = self._loop.time() + seconds
        if self._timer is None:
            if not self._is_lost:
                self._arm(deadline)
        elif deadline < self._timer_at - _TIMER_GRAIN:
            self._timer.cancel()
            self._arm(deadline)

    def _arm(self, at: float) -> None:
        # A deadline far away is looked at on the way, so that a nearer one seldom needs another timer.
        self._timer_at = at = min(at, self._loop.time() + _LOOK_AFTER)
        self._timer = self._loop.call_at(at, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        deadline = self._deadline
        if deadline is None:
            return
        if deadline - self._loop.time() > _TIMER_GRAIN:
            self._arm(deadline)
            return
        for waiter in (self._reader, self._drainer):
            if waiter is not None and not waiter.done():
                waiter.set_exception(DeadlinePassed())
        self._reader = self._drainer = None

    def _check_deadline(self) -> None:
        # By the measure of the timer, which may have fired that little too early.
        if self._deadline is not None and self._deadline - self._loop.time() <= _TIMER_GRAIN:
            raise DeadlinePassed

    async def receive(self) -> bytes:
        """What has arrived; see Stream.receive."""
        if not self._chunks:
            if self._is_eof:
                return b""
            self._check_deadline()
            if self._reader is not None:
                raise RuntimeError("another task receives from this stream")
            self._reader = reader = self._loop.create_future()
            try:
                await reader
            finally:
                if self._reader is reader:
                    self._reader = None
            if not self._chunks:
                return b""
        chunks = self._chunks
        octets = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._pending = 0
        if self._is_read_paused:
            self._resume_reading()
        return octets

    def discard_pending(self) -> int:
        """Throw away what was received and not taken; gives the number of octets."""
        discarded = self._pending
        self._chunks.clear()
        self._pending = 0
        if self._is_read_paused:
            self._resume_reading()
        return discarded

    def put_back(self, octets: bytes) -> None:
        """What was received and is for somebody else: the next receive(), or a TLS handshake, begins with it."""
        if octets:
            self._chunks.insert(0, octets)
            self._pending += len(octets)

    def speak_for(self, peer: PeerAddress, local: PeerAddress) -> bool:
        """The other end turned out to be a proxy; see Stream.speak_for."""
        self._proxy, self._peer, self._local = self._proxy or self._peer, peer, local
        return True

    def end_receiving(self) -> None:
        """From now on receive() gives b""; see Stream.end_receiving."""
        self.discard_pending()
        self._is_eof = True
        self._wake_reader()

    def _resume_reading(self) -> None:
        self._is_read_paused = False
        if self._transport is not None and not self._is_lost:
            self._transport.resume_reading()

    def send(self, octets: bytes) -> None:
        """Send, buffered; raises ConnectionLost when the connection is known to be gone."""
        if self._is_lost or self._transport is None or self._closed is not None:
            raise ConnectionLost
        self.tally.sent += len(octets)
        self._transport.write(octets)

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was sent; raises ConnectionLost, DeadlinePassed."""
        if self._is_lost:
            raise ConnectionLost
        if not self._is_write_paused:
            return
        self._check_deadline()
        if self._drainer is not None:
            raise RuntimeError("another task drains this stream")
        self._drainer = drainer = self._loop.create_future()
        try:
            await drainer
        finally:
            if self._drainer is drainer:
                self._drainer = None
        if self._is_lost:
            raise ConnectionLost

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        timeout: float = HANDSHAKE_AFTER,
    ) -> None:
        """Secure the connection; see Stream.start_tls."""
        self.discard_pending()
        await self._handshake(context, server_side, server_hostname, timeout)

    async def secure(self, context: ssl.SSLContext, *, timeout: float = HANDSHAKE_AFTER) -> None:
        """Be the server of a connection that speaks TLS from its start; raises as start_tls does.

        What has arrived already is the beginning of the handshake.
        """
        if self._chunks:
            # Runs after loop.start_tls has put its protocol in our place, and before that begins: there, as
            # when reading runs ahead of it, octets wait for the handshake.
            self._loop.call_soon(self._hand_over)
        await self._handshake(context, True, None, timeout)

    def _hand_over(self) -> None:
        protocol = self._transport.get_protocol() if self._transport is not None else self
        if protocol is self or not self._chunks:
            return
        octets = b"".join(self._chunks)
        self._chunks.clear()
        self._pending = 0
        # Both loops' TLS protocols are buffered ones; uvloop's does not say so by its type.
        buffered = cast(asyncio.BufferedProtocol, protocol)
        while octets:
            buffer = memoryview(buffered.get_buffer(len(octets)))
            count = min(len(buffer), len(octets))
            buffer[:count] = octets[:count]
            buffered.buffer_updated(count)
            octets = octets[count:]

    async def _handshake(
        self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None, timeout: float
    ) -> None:
        if self._is_eof or self._transport is None:
            self.abort()
            raise ConnectionLost("before the TLS handshake")
        try:
            async with asyncio.timeout(timeout):
                transport = await self._loop.start_tls(
                    self._transport,
                    self,
                    context,
                    server_side=server_side,
                    server_hostname=server_hostname,
                    # The loop's own timer stands back: it cannot be told from a reset.
                    ssl_handshake_timeout=timeout + 60.0,
                    ssl_shutdown_timeout=CLOSE_AFTER,
                )
        except TimeoutError as error:
            self._gone()
            raise DeadlinePassed("TLS handshake") from error
        except ssl.SSLError as error:
            self._gone()
            raise handshake_error(error) from error
        except OSError as error:
            self._gone()
            raise ConnectionLost("TLS handshake") from error
        except BaseException:
            self._gone()
            raise
        connection = transport.get_extra_info("ssl_object") if transport is not None else None
        if transport is None or connection is None or transport.is_closing():
            self._gone()
            raise ConnectionLost("TLS handshake")
        self._transport = transport
        self._is_write_paused = False
        try:
            self._tls = tls_facts(connection, server_hostname)
        except TlsError:
            self._gone()
            raise

    def _gone(self) -> None:
        """A failed handshake: no transport will tell us any more."""
        self.abort()
        self.connection_lost(None)

    async def close(self) -> None:
        """Send what is buffered, say goodbye and close within a few seconds, also of a peer that does not read.

        Waits only for TLS and for octets that nobody has read; never raises.
        """
        transport = self._transport
        if transport is None or self._is_lost:
            return
        is_talking = not self._is_eof and self._tls is None and self._pending > 0
        if self._closed is None:
            self._closed = self._loop.create_future()
        self._deadline = None
        self.discard_pending()
        if self._tls is None and not is_talking:
            # What is buffered is sent while nobody waits, and cut when the peer does not take it.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(CLOSE_AFTER, transport.abort)
            transport.close()
            return
        timer = self._loop.call_later(CLOSE_AFTER, transport.abort)
        try:
            # A socket closed with octets unread is reset, and a reset overtakes what was sent last.
            if is_talking and transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
            await asyncio.shield(self._closed)
        finally:
            timer.cancel()
            if not self._is_lost:
                transport.abort()

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._transport is not None:
            self._transport.abort()


async def connect(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    timeout: float = HANDSHAKE_AFTER,
    local_address: str | None = None,
) -> SocketStream:
    """Connect, with TLS from the start when there is a `context`; `timeout` is for all of it.

    `server_hostname` is the name the certificate must have, `host` when None. Raises ConnectFailed, and of
    the handshake TlsError and ConnectionLost; DeadlinePassed.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout
    try:
        async with asyncio.timeout(timeout):
            _, stream = await loop.create_connection(
                SocketStream, host, port, local_addr=None if local_address is None else (local_address, 0)
            )
    except TimeoutError as error:
        raise DeadlinePassed(f"connecting to {host} port {port}") from error
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(f"{host} port {port}: {_connect_reason(error)}") from error
    if context is not None:
        await stream.start_tls(
            context, server_hostname=server_hostname or host, timeout=max(ends_at - loop.time(), 0.001)
        )
    return stream


def _connect_reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        # asyncio puts the address in front: "Connect call failed ('192.0.2.1', 25)".
        return error.strerror.partition("] ")[2] or error.strerror
    return str(error) or type(error).__name__
