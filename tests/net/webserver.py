"""A web server of its own on loopback, with a real certificate, that says what it is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from estafeta.net.authority import issue
from estafeta.net.https import Https
from estafeta.net.listener import ConnectionLimits, listen
from estafeta.net.stream import SocketStream
from estafeta.net.tls import ServerTls, client_context
from estafeta.net.zones import ZoneResolver

Say = Callable[[SocketStream], Awaitable[None]]


@dataclass
class WebServer:
    """What the running server is asked, and what it says."""

    resolver: ZoneResolver
    https: Https
    port: int = 0
    says: bytes | Say = b""
    """One answer for all, octet by octet as it goes out, or a function that writes to the stream."""
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)


def answer(body: bytes | str, media_type: str = "text/plain", status: str = "200 OK", *fields: str) -> bytes:
    """A whole HTTP answer."""
    octets = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(octets)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + octets


@asynccontextmanager
async def serving(folder: Path, names: Sequence[str], zone: str, says: bytes | Say = b"") -> AsyncIterator[WebServer]:
    """Serve with a certificate for these names; the zone has to say where they are."""
    issued = issue(folder, names)
    resolver = ZoneResolver(zone)

    async def serve(stream: SocketStream) -> None:
        stream.set_deadline(10)
        request = b""
        while b"\r\n\r\n" not in request:
            octets = await stream.receive()
            if not octets:
                return
            request += octets
        length = re.search(rb"Content-Length: (\d+)", request)
        while length and len(request.partition(b"\r\n\r\n")[2]) < int(length[1]):
            request += await stream.receive()
        server.requests.append(request)
        server.asked.set()
        if isinstance(server.says, bytes):
            stream.send(server.says)
            await stream.drain()
        else:
            await server.says(stream)

    listener = await listen(
        "127.0.0.1",
        0,
        serve,
        tls=ServerTls(issued.certificate, issued.key),
        limits=ConnectionLimits(per_client=1000),
    )
    https = Https(resolver, context=client_context(issued.authority), port=listener.port, may_ask=lambda _: True)
    server = WebServer(resolver, https, listener.port, says)
    try:
        yield server
    finally:
        listener.close()
        await listener.drain(0)
