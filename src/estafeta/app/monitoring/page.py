"""HTTP/1.1 for what the server tells of itself: two or three pages, GET and HEAD, nothing taken in (RFC 9110, 9112).

The octets are read and written by h11, an engine without I/O, over the streams and the listener of the net room: so
this has the limits and deadlines that all other listeners have, and no server's code is written twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from estafeta.mail.value import value
from estafeta.net.errors import NetError
from estafeta.net.stream import Stream

if TYPE_CHECKING:
    import h11

MAX_HEAD = 8 * 1024
"""Octets of a request's line and header: a scraper's have a few hundred."""
MAX_REQUESTS = 1000
"""Requests on one connection; a scraper keeps one for days."""
_ACCEPT = 1000
"""Characters of an Accept header that are looked at."""


@value
class Page:
    """What is answered."""

    status: int
    body: bytes
    media_type: str = "text/plain; charset=utf-8"


Find = Callable[[str, str], Awaitable[Page | None]]
"""The page of a path, for an Accept header; None where there is none."""


class PageServer:
    """Serves the pages that `find` gives."""

    def __init__(self, find: Find, request_after: float) -> None:
        """`request_after`: seconds that a client has for each whole request, and for reading its answer."""
        self._find = find
        self._request_after = request_after

    async def serve(self, stream: Stream) -> None:
        """One connection, from its first request to its end; whatever the client does, nothing is raised for it."""
        import h11

        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        with suppress(NetError):
            for _ in range(MAX_REQUESTS):
                # One deadline for the whole request: octets that trickle in gain no time.
                stream.set_deadline(self._request_after)
                if not await self._request(connection, stream):
                    return

    async def _request(self, connection: h11.Connection, stream: Stream) -> bool:
        """Answer one request; gives whether there may be another. Raises NetError."""
        import h11

        try:
            request = await _next(connection, stream)
            if not isinstance(request, h11.Request):
                return False
            page = await self._answer(request)
            end = await _next(connection, stream) if page.status != 413 else None
        except h11.RemoteProtocolError as error:
            if connection.our_state is h11.IDLE or connection.our_state is h11.SEND_RESPONSE:
                # RFC 9112 §3: what cannot be read, or is too long, is told so, and the connection ended.
                page = Page(error.error_status_hint, b"Bad request\n")
                await self._send(connection, stream, page, has_body=True, is_last=True)
            return False
        is_last = not isinstance(end, h11.EndOfMessage)
        if is_last and page.status != 413:
            page = Page(413, b"No content is taken\n")
        await self._send(connection, stream, page, has_body=request.method != b"HEAD", is_last=is_last)
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return False
        connection.start_next_cycle()
        return True

    async def _answer(self, request: h11.Request) -> Page:
        # The engine measures what has not come whole; this may have come at once.
        if len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers) > MAX_HEAD:
            return Page(431, b"Too much is said\n")
        if request.method not in (b"GET", b"HEAD"):
            return Page(405, b"Only GET and HEAD\n")
        names = {name for name, _ in request.headers}
        if b"transfer-encoding" in names or dict(request.headers).get(b"content-length", b"0") != b"0":
            return Page(413, b"No content is taken\n")
        path = request.target.partition(b"?")[0].decode("ascii", "replace")
        accept = b",".join(value for name, value in request.headers if name == b"accept")
        page = await self._find(path, accept.decode("ascii", "replace")[:_ACCEPT])
        return page if page is not None else Page(404, b"There is no such page\n")

    @staticmethod
    async def _send(
        connection: h11.Connection, stream: Stream, page: Page, *, has_body: bool, is_last: bool = False
    ) -> None:
        import h11

        headers = [
            ("Content-Type", page.media_type),
            ("Content-Length", str(len(page.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if page.status == 405:
            headers.append(("Allow", "GET, HEAD"))  # RFC 9110 §15.5.6
        if is_last:
            headers.append(("Connection", "close"))
        stream.send(connection.send(h11.Response(status_code=page.status, headers=headers)) or b"")
        if has_body:
            stream.send(connection.send(h11.Data(data=page.body)) or b"")
        stream.send(connection.send(h11.EndOfMessage()) or b"")
        await stream.drain()


async def _next(connection: h11.Connection, stream: Stream) -> object:
    """The next event of the client's. Raises NetError, RemoteProtocolError."""
    import h11

    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive())
    return event
