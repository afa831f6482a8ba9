"""HTTPS over real TLS on loopback: what is taken from a server, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.net.webserver import answer, serving

from estafeta.net.errors import TlsError
from estafeta.net.https import MAX_HEAD, Https, HttpsAnswer, HttpsError, HttpsUrl, is_elsewhere
from estafeta.net.stream import SocketStream
from estafeta.net.tls import client_context
from estafeta.net.zones import ZoneResolver

Run = Callable[[Coroutine[Any, Any, None]], None]

HOST = "www.example.org"
ZONE = f"{HOST}. A 127.0.0.1\nother.example. A 127.0.0.1\n"
URL = HttpsUrl(HOST, None, "/file.txt?x=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("web")
    return path


def test_get_asks_once_and_gives_the_answer(run: Run, folder: Path) -> None:
    async def main() -> None:
        async with serving(folder, [HOST], ZONE, answer("hello\n", "Text/Plain; charset=utf-8")) as server:
            found = await server.https.get(URL, limit=100, timeout=10)
            assert found == HttpsAnswer(200, "text/plain", b"hello\n")
            (request,) = server.requests
            assert request.startswith(b"GET /file.txt?x=1 HTTP/1.1\r\nHost: www.example.org\r\n")
            assert b"\r\nConnection: close\r\n" in request and request.endswith(b"\r\n\r\n")

    run(main())


def test_post_carries_the_body(run: Run, folder: Path) -> None:
    async def main() -> None:
        async with serving(folder, [HOST], ZONE, answer("", status="201 Created")) as server:
            octets = bytes(range(256)) * 1000
            url = HttpsUrl(HOST, server.port, "/in")
            found = await server.https.post(url, "application/tlsrpt+gzip", octets, limit=100, timeout=10)
            assert (found.status, found.body) == (201, b"")
            head, _, body = server.requests[0].partition(b"\r\n\r\n")
            assert head.startswith(b"POST /in HTTP/1.1\r\n") and body == octets
            assert b"Host: www.example.org:%d\r\n" % server.port in head
            assert b"\r\nContent-Type: application/tlsrpt+gzip\r\n" in head

    run(main())


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.rfc("9110 §15.2", "Answers of 1yz before the one that counts are passed over.")
@pytest.mark.rfc("9112 §6.3", "Bodies are read by their length, in chunks and to the end.")
@pytest.mark.parametrize(
    ("says", "body"),
    [
        (CHUNKED + b"5\r\nhello\r\n1;x=y\r\n\n\r\n0\r\n\r\n", b"hello\n"),
        (CHUNKED + b"0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", b"0123456789"),
        (b"HTTP/1.0 200\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer("after it"), b"after it"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (answer("", "text/plain", "200 OK", "X-Long: " + "x" * 8000), b""),
        (answer("x" * 100), b"x" * 100),
    ],
)
def test_each_form_of_body_is_read(says: bytes, body: bytes, run: Run, folder: Path) -> None:
    async def main() -> None:
        async with serving(folder, [HOST], ZONE, says) as server:
            assert (await server.https.get(URL, limit=100, timeout=10)).body == body

        async def dripping(stream: SocketStream) -> None:
            for at in range(0, len(says), 7):
                stream.send(says[at : at + 7])
                await asyncio.sleep(0)

        async with serving(folder, [HOST], ZONE, dripping) as server:
            assert (await server.https.get(URL, limit=100, timeout=10)).body == body

    run(main())


@pytest.mark.rfc("9112 §6.1", "An answer with a length and chunks too is refused.")
@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (answer("x" * 101), "more than 100 octets"),
        (CHUNKED + b"50\r\n" + b"x" * 80 + b"\r\n50\r\n", "more than 100 octets"),
        (CHUNKED + b"FFFFFFFF\r\n", "more than 100 octets"),
        (PLAIN + b"\r\n" + b"x" * 101, "more than 100 octets"),
        (PLAIN + b"Content-Length: 99999999999999\r\n\r\n", "more than 100 octets"),
        (PLAIN + b"Content-Length: -1\r\n\r\n", "cannot be read"),
        (PLAIN + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "cannot be read"),
        (PLAIN + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "cannot be read"),
        (PLAIN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "cannot be read"),
        (PLAIN + b"no field\r\n\r\n", "cannot be read"),
        (PLAIN + b"X: y\nContent-Length: 1\r\n\r\nx", "cannot be read"),
        (PLAIN + b"Content-Length : 1\r\n\r\nxyz", "cannot be read"),
        (PLAIN + b"X: y\r\n Content-Length: 1\r\n\r\nxyz", "cannot be read"),
        (CHUNKED + b"x\r\n", "cannot be read"),
        (CHUNKED + b"5\r\nhelloX\r\n0\r\n\r\n", "cannot be read"),
        (CHUNKED + b"5" + b";" * 300 + b"\r\n", "cannot be read"),
        (CHUNKED + b"5\r\nhel", "ends too early"),
        (PLAIN + b"Content-Length: 6\r\n\r\nhello", "ends too early"),
        (PLAIN + b"Content-Encoding: gzip\r\n\r\nhello", "encoded"),
        (PLAIN + b"X: " + b"x" * MAX_HEAD, "header of the answer is too long"),
        (PLAIN, "ends in its header"),
        (b"", "ends in its header"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 999 What\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 10, "does not come to an end"),
    ],
)
def test_what_is_too_much_or_no_answer_is_refused(says: bytes, reason: str, run: Run, folder: Path) -> None:
    async def main() -> None:
        async with serving(folder, [HOST], ZONE, says) as server:
            with pytest.raises(HttpsError, match=reason):
                await server.https.get(URL, limit=100, timeout=10)

    run(main())


@pytest.mark.rfc("8461 §3.3", "A redirect is not followed.")
@pytest.mark.rfc("9110 §15.4", "A redirect is given as it is.")
def test_a_redirect_is_given_as_it_is_and_not_followed(run: Run, folder: Path) -> None:
    async def main() -> None:
        says = answer("", "text/plain", "301 Moved", f"Location: https://{HOST}/elsewhere")
        async with serving(folder, [HOST], ZONE, says) as server:
            assert (await server.https.get(URL, limit=100, timeout=10)).status == 301
            assert len(server.requests) == 1

    run(main())


def test_a_server_that_is_slow_is_left_at_the_deadline(run: Run, folder: Path) -> None:
    async def main() -> None:
        async def slow(stream: SocketStream) -> None:
            stream.send(b"HTTP/1.1 200 OK\r\n")
            await stream.receive()  # until the client leaves

        async with serving(folder, [HOST], ZONE, slow) as server:
            with pytest.raises(HttpsError, match=r"no whole answer within 0\.3 seconds"):
                await server.https.get(URL, limit=100, timeout=0.3)

    run(main())


def test_the_certificate_must_be_for_the_host_and_by_an_authority(run: Run, folder: Path) -> None:
    async def main() -> None:
        async with serving(folder, [HOST], ZONE, answer("x")) as server:
            with pytest.raises(TlsError, match="Hostname mismatch"):
                await server.https.get(HttpsUrl("other.example", None, "/"), limit=100, timeout=10)
            trusting_others = Https(server.resolver, context=client_context(), port=server.port, may_ask=lambda _: True)
            with pytest.raises(TlsError, match="certificate not accepted"):
                await trusting_others.get(URL, limit=100, timeout=10)
            assert server.requests == []

    run(main())


def test_each_address_is_tried(run: Run, folder: Path) -> None:
    async def main() -> None:
        # Nobody listens at the first two.
        zone = f"{HOST}. AAAA ::1\n{HOST}. A 127.0.0.9\n{HOST}. A 127.0.0.1\n"
        async with serving(folder, [HOST], zone, answer("x")) as server:
            assert (await server.https.get(URL, limit=100, timeout=10)).body == b"x"
            server.resolver.load(f"{HOST}. A 127.0.0.9\n")
            with pytest.raises(HttpsError, match=r"127\.0\.0\.9 port \d+"):
                await server.https.get(URL, limit=100, timeout=10)

    run(main())


def test_without_an_address_nothing_is_asked(run: Run) -> None:
    async def main() -> None:
        resolver = ZoneResolver(ZONE, failing=["failing.example"])
        https = Https(resolver, context=client_context())
        with pytest.raises(HttpsError, match=r"nothing\.example: has no address"):
            await https.get(HttpsUrl("nothing.example", None, "/"), limit=1, timeout=10)
        with pytest.raises(HttpsError, match=r"failing\.example: "):
            await https.get(HttpsUrl("failing.example", None, "/"), limit=1, timeout=10)
        # A stranger's name may lead to this machine; its services are not the stranger's to ask.
        with pytest.raises(HttpsError, match=r"127\.0\.0\.1 is none of another host"):
            await https.get(URL, limit=1, timeout=10)

    run(main())


def test_which_addresses_are_another_host() -> None:
    for ip in ("127.0.0.1", "127.8.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "224.0.0.1"):
        assert not is_elsewhere(ip), ip
    for ip in ("192.0.2.1", "10.0.0.1", "2001:db8::1"):
        assert is_elsewhere(ip), ip


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://example.org", HttpsUrl("example.org", None, "/")),
        ("https://Example.ORG./", HttpsUrl("example.org", None, "/")),
        ("HTTPS://a.example.org:8443/v1/tlsrpt?x=1&y", HttpsUrl("a.example.org", 8443, "/v1/tlsrpt?x=1&y")),
    ],
)
def test_a_url_is_read(text: str, url: HttpsUrl) -> None:
    assert HttpsUrl.parse(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "http://example.org/",
        "https:///x",
        "https://localhost/",
        "https://192.0.2.1/",
        "https://[2001:db8::1]/",
        "https://[::1/",
        "https://user@example.org/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:x/",
        "https://example..org/",
        "https://exämple.org/",
        "https://example.org/a b",
        "https://example.org/ä",
        "https://" + "a" * 64 + ".org/",
        "https://" + "a." * 130 + "org/",
    ],
)
def test_what_is_no_url_of_a_host_is_refused(text: str) -> None:
    with pytest.raises(HttpsError):
        HttpsUrl.parse(text)
