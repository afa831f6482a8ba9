"""A stream that begins with octets that were received already: what a turned connection goes on with."""

from __future__ import annotations

import ssl

from estafeta.net.address import PeerAddress
from estafeta.net.stream import HANDSHAKE_AFTER, Stream
from estafeta.net.tls import TlsFacts


class BegunStream:
    """A Stream over another one, of which `octets` were taken too early."""

    def __init__(self, octets: bytes, stream: Stream) -> None:
        self._octets = octets
        self._stream = stream

    @property
    def peer(self) -> PeerAddress:
        """The other end."""
        return self._stream.peer

    @property
    def local(self) -> PeerAddress:
        """This end."""
        return self._stream.local

    @property
    def proxy(self) -> PeerAddress | None:
        """The proxy in between."""
        return self._stream.proxy

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed about TLS; None in the clear."""
        return self._stream.tls

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the other end showed."""
        return self._stream.peer_chain

    @property
    def pending(self) -> int:
        """Octets received and not yet taken."""
        return len(self._octets) + self._stream.pending

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone, so that sending is in vain."""
        return self._stream.is_lost

    def set_deadline(self, seconds: float | None) -> None:
        """See Stream.set_deadline."""
        self._stream.set_deadline(seconds)

    async def receive(self) -> bytes:
        """What was taken too early, then what arrives."""
        if self._octets:
            octets, self._octets = self._octets, b""
            return octets
        return await self._stream.receive()

    def discard_pending(self) -> int:
        """Throw away what was received and not taken; gives the number of octets."""
        discarded, self._octets = len(self._octets), b""
        return discarded + self._stream.discard_pending()

    def send(self, octets: bytes) -> None:
        """See Stream.send."""
        self._stream.send(octets)

    async def drain(self) -> None:
        """See Stream.drain."""
        await self._stream.drain()

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        timeout: float = HANDSHAKE_AFTER,
    ) -> None:
        """See Stream.start_tls."""
        self._octets = b""
        await self._stream.start_tls(context, server_side=server_side, server_hostname=server_hostname, timeout=timeout)

    def speak_for(self, peer: PeerAddress, local: PeerAddress) -> bool:
        """See Stream.speak_for."""
        return self._stream.speak_for(peer, local)

    def end_receiving(self) -> None:
        """See Stream.end_receiving."""
        self._octets = b""
        self._stream.end_receiving()

    async def close(self) -> None:
        """See Stream.close."""
        await self._stream.close()

    def abort(self) -> None:
        """Cut the connection at once."""
        self._stream.abort()
