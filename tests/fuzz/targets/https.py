"""Whatever a web server answers, in whatever cuts: it is refused with HttpsError or read the same, no more is held than
the limits say, and who else reads it as HTTP (h11) reads the same status and the same body."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import h11
from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces

from estafeta.net.https import MAX_HEAD, HttpsAnswer, HttpsError, HttpsUrl, _Answer

LIMIT = 1000
"""Octets of a body."""
URL = 0
"""Flag: the octets are a URL."""


class Stream:
    """Gives what has arrived, piece by piece."""

    def __init__(self, octets: bytes, cut: int) -> None:
        self._pieces = pieces(octets, cut)

    async def receive(self) -> bytes:
        """The next piece; nothing at the end."""
        return next(self._pieces, b"")


def finished(work: Coroutine[Any, Any, HttpsAnswer]) -> HttpsAnswer:
    """What comes of work that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        assert isinstance(end.value, HttpsAnswer)
        return end.value
    raise AssertionError("it waits")


def read(octets: bytes, cut: int) -> HttpsAnswer | str:
    """The answer, or why there is none."""
    answer = _Answer(Stream(octets, cut), LIMIT)  # type: ignore[arg-type]
    try:
        return finished(answer.read())
    except HttpsError as error:
        return str(error)
    finally:
        assert len(answer._buffer) <= MAX_HEAD + LIMIT + max(cut, len(octets) if cut == WHOLE else 0)


def read_by_others(octets: bytes) -> HttpsAnswer | None:
    """As h11 reads it; None where it does not."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x"), ("Connection", "close")]))
    connection.send(h11.EndOfMessage())
    status, media_type, body = 0, b"", bytearray()
    connection.receive_data(octets)
    has_ended = False
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return None
        if isinstance(event, h11.Response):
            status = event.status_code
            media_type = next((value for name, value in event.headers if name == b"content-type"), b"")
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return HttpsAnswer(status, media_type.decode("latin-1").partition(";")[0].strip().lower(), bytes(body))
        elif event is h11.NEED_DATA and not has_ended:
            has_ended = True
            connection.receive_data(b"")
        elif not isinstance(event, h11.InformationalResponse):
            return None


def check_url(text: str) -> None:
    """A URL of a stranger's, and one of the operator's."""
    for parse in (HttpsUrl.parse, HttpsUrl.parse_own):
        try:
            url = parse(text)
        except HttpsError:
            continue
        assert url.target.startswith("/") and url.target.isascii() and url.target.isprintable()
        assert " " not in url.target and url.host and url.host == url.host.lower()
        assert url.port is None or 0 < url.port < 65536
        host = f"[{url.host}]" if ":" in url.host else url.host
        again = (
            f"{'http' if url.is_plain else 'https'}://{host}{'' if url.port is None else f':{url.port}'}{url.target}"
        )
        assert parse(again) == url


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    if given.has(URL):
        check_url(given.octets.decode("utf-8", "replace"))
        return
    found = read(given.octets, given.cut)
    for other in {WHOLE, OCTETS} - {given.cut}:
        assert read(given.octets, other) == found
    if isinstance(found, HttpsAnswer):
        assert len(found.body) <= LIMIT and 200 <= found.status < 600
        others = read_by_others(given.octets)
        assert others is None or (others.status, others.body) == (found.status, found.body), (others, found)
