"""Whatever is sent to the port of the health pages, in whatever cuts: nothing is raised, the same is answered, others
(h11) can read it as HTTP, and a page is given only to who asks for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import h11
from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces

from estafeta.app.monitoring.page import Page, PageServer
from estafeta.net.errors import ConnectionLost

BODY = b"all is well\n"


class Stream:
    """A client that says what it says, and goes."""

    def __init__(self, octets: bytes, cut: int) -> None:
        self._pieces = pieces(octets, cut)
        self.sent = bytearray()

    def set_deadline(self, seconds: float) -> None:
        """There is all the time."""

    async def receive(self) -> bytes:
        """The next piece; nothing at the end."""
        return next(self._pieces, b"")

    def send(self, octets: bytes) -> None:
        """Towards the client."""
        self.sent += octets

    async def drain(self) -> None:
        """The client may not listen for ever."""
        if len(self.sent) > 100_000:
            raise ConnectionLost("enough")


async def find(path: str, accept: str) -> Page | None:
    """One page."""
    return Page(200, BODY) if path == "/health" else None


def finished(work: Coroutine[Any, Any, None]) -> None:
    """Work that never waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def answers(octets: bytes, cut: int) -> bytes:
    """All that is answered, checked."""
    stream = Stream(octets, cut)
    finished(PageServer(find, 5.0).serve(stream))  # type: ignore[arg-type]
    return bytes(stream.sent)


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    said = answers(given.octets, given.cut)
    for cut in {WHOLE, OCTETS} - {given.cut}:
        assert answers(given.octets, cut) == said
    assert said.count(b"HTTP/1.1 200 ") <= given.octets.count(b"/health")
    if said:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        client.receive_data(said)
        assert isinstance(client.next_event(), h11.Response)
