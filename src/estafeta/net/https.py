"""HTTPS for what mail needs of it: one GET or POST a connection, small, bounded, never redirected (RFC 9110, 9112).

Addresses come from the resolver, so that the answers and the cache are those of the mail; the certificate is
checked for the host. Strangers choose whom this talks to, so everything they answer has a limit.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from estafeta.mail.value import value
from estafeta.net.dns import DnsStatus, Resolver
from estafeta.net.errors import NetError, TlsError
from estafeta.net.stream import SocketStream, connect
from estafeta.net.tls import client_context

MAX_HEAD = 16 * 1024
"""Octets of a status line and its header: what widely used servers send stays below 8 KiB."""
MAX_ADDRESSES = 4
"""Addresses of a host that are tried."""
MAX_INTERIM = 5
"""Answers of 1yz before the one that counts (RFC 9110 §15.2); most servers send none."""
_CONNECT_AFTER = 10.0
_LINE = 256

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?")
# RFC 9110 §5.1, §5.5; what is no field may be one to somebody else (RFC 9112 §5.1, §11.2).
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n]*)")
_PATH = re.compile(r"/[!-~]*")


class HttpsError(NetError):
    """No answer that can be used; the message says why."""


@value
class HttpsAnswer:
    """What the server said."""

    status: int
    media_type: str
    """The Content-Type without its parameters, in lower case; empty where there is none."""
    body: bytes


@value
class HttpsUrl:
    """Where a request goes."""

    host: str
    """A host name in lower case; of the operator's own URLs also an IP address."""
    port: int | None
    """None where it was not said."""
    target: str
    """Path and query."""
    is_plain: bool = False
    """Without TLS, to this machine alone."""

    @staticmethod
    def parse(text: str) -> HttpsUrl:
        """Read an https URL with a host name, as strangers may write it; raises HttpsError."""
        scheme, host, port, target = _split(text)
        if scheme != "https":
            raise HttpsError("not an https URL of a host")
        if len(host) > 253 or not _HOST.fullmatch(host) or host.rpartition(".")[2].isdecimal():
            raise HttpsError("not an https URL of a host name")
        return HttpsUrl(host, port, target)

    @staticmethod
    def parse_own(text: str) -> HttpsUrl:
        """Read a URL that the operator wrote; raises HttpsError.

        It may name an address, a host without a domain, and by http this machine.
        """
        scheme, host, port, target = _split(text)
        near = addresses_here(host)
        if scheme == "http" and near and all(ip_address(each).is_loopback for each in near):
            return HttpsUrl(host, port or 80, target, is_plain=True)
        if scheme != "https":
            raise HttpsError("http is for this machine only" if scheme == "http" else "not an https URL")
        if not near and (len(host) > 253 or not (_HOST.fullmatch(host) or _LABEL.fullmatch(host))):
            raise HttpsError("not an https URL of a host")
        return HttpsUrl(host, port, target)


def _split(text: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port, and path with query; raises HttpsError."""
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError as error:
        raise HttpsError("not a URL") from error
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if "@" in parts.netloc or port == 0:
        raise HttpsError("not an https URL of a host")
    if not _PATH.fullmatch(target):
        raise HttpsError("not a path in an https URL")
    return parts.scheme.lower(), host, port, target


def addresses_here(host: str) -> tuple[str, ...]:
    """The addresses of a host that the DNS is not asked for: an address itself, and `localhost`."""
    if host == "localhost":
        return ("127.0.0.1", "::1")
    try:
        return (str(ip_address(host)),)
    except ValueError:
        return ()


def is_elsewhere(ip: str) -> bool:
    """Whether an address can be another host: this machine's own services are not for strangers to ask."""
    address = ip_address(ip)
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


class Https:
    """Asks servers over HTTPS. `port` is that of URLs without one; `may_ask` tells which addresses are asked."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        context: ssl.SSLContext | None = None,
        port: int = 443,
        may_ask: Callable[[str], bool] = is_elsewhere,
    ) -> None:
        self._resolver = resolver
        self._context = context
        self._port = port
        self._may_ask = may_ask

    async def get(self, url: HttpsUrl, *, limit: int, timeout: float) -> HttpsAnswer:
        """GET. `limit`: octets of the largest body taken; `timeout`: seconds for all of it, DNS included.

        Redirects are not followed (RFC 8461 §3.3). Raises TlsError where the certificate is not accepted,
        HttpsError for everything else.
        """
        return await self._ask(url, _head("GET", url), limit, timeout)

    async def post(
        self,
        url: HttpsUrl,
        media_type: str,
        octets: bytes,
        *,
        limit: int,
        timeout: float,
        fields: Sequence[str] = (),
    ) -> HttpsAnswer:
        """POST, with further lines of the header; see `get`."""
        head = _head("POST", url, f"Content-Type: {media_type}", f"Content-Length: {len(octets)}", *fields)
        return await self._ask(url, head + octets, limit, timeout)

    async def _ask(self, url: HttpsUrl, request: bytes, limit: int, timeout: float) -> HttpsAnswer:
        try:
            async with asyncio.timeout(timeout):
                stream = await self._connect(url)
                try:
                    stream.send(request)
                    await stream.drain()
                    return await _Answer(stream, limit).read()
                finally:
                    stream.abort()
        except TimeoutError as error:
            raise HttpsError(f"{url.host}: no whole answer within {timeout:g} seconds") from error
        except (TlsError, HttpsError):
            raise
        except NetError as error:
            raise HttpsError(f"{url.host}: {error or 'the connection was lost'}") from error

    async def _connect(self, url: HttpsUrl) -> SocketStream:
        if self._context is None and not url.is_plain:
            self._context = await asyncio.to_thread(client_context)  # to read the system's authorities takes a while
        failure: NetError | None = None
        for address in await self._addresses(url.host):
            try:
                return await connect(
                    address,
                    self._port if url.port is None else url.port,
                    context=None if url.is_plain else self._context,
                    server_hostname=url.host,
                    timeout=_CONNECT_AFTER,
                )
            except NetError as error:
                failure = error
        assert failure is not None
        raise failure

    async def _addresses(self, host: str) -> list[str]:
        if here := addresses_here(host):
            return self._allowed(host, here)
        answers = await asyncio.gather(self._resolver.ipv6(host), self._resolver.ipv4(host))
        found = [address for answer in answers for address in answer.records[:MAX_ADDRESSES]]
        if found:
            return self._allowed(host, found)
        failed = next((answer for answer in answers if answer.status is DnsStatus.FAILED), None)
        raise HttpsError(f"{host}: {failed.detail if failed else 'has no address'}")

    def _allowed(self, host: str, found: Sequence[str]) -> list[str]:
        allowed = [address for address in found if self._may_ask(address)]
        if not allowed:
            raise HttpsError(f"{host}: its address {found[0]} is none of another host")
        return allowed


def _head(method: str, url: HttpsUrl, *fields: str) -> bytes:
    name = f"[{url.host}]" if ":" in url.host else url.host
    host = name if url.port in (None, 80 if url.is_plain else 443) else f"{name}:{url.port}"
    lines = [
        f"{method} {url.target} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: Estafeta",
        "Accept-Encoding: identity",
        "Connection: close",
        *fields,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Answer:
    """Reads one answer from a stream."""

    def __init__(self, stream: SocketStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._buffer = bytearray()

    async def read(self) -> HttpsAnswer:
        for _ in range(MAX_INTERIM + 1):
            status, fields = await self._head()
            if status >= 200:
                break
        else:
            raise HttpsError("the answer does not come to an end")
        media_type = fields.get("content-type", "").partition(";")[0].strip().lower()
        if status in (204, 304):
            return HttpsAnswer(status, media_type, b"")
        if fields.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise HttpsError("the answer is encoded")
        return HttpsAnswer(status, media_type, await self._body(fields))

    async def _more(self) -> bool:
        octets = await self._stream.receive()
        self._buffer += octets
        return bool(octets)

    async def _head(self) -> tuple[int, dict[str, str]]:
        searched = 0
        while (end := self._buffer.find(b"\r\n\r\n", searched)) < 0:
            searched = max(0, len(self._buffer) - 3)
            if len(self._buffer) > MAX_HEAD:
                raise HttpsError("the header of the answer is too long")
            if not await self._more():
                raise HttpsError("the answer ends in its header")
        if end > MAX_HEAD:
            raise HttpsError("the header of the answer is too long")
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        status = _STATUS_LINE.fullmatch(first)
        if status is None:
            raise HttpsError("the answer is not HTTP")
        fields: dict[str, str] = {}
        for line in lines:
            field = _FIELD.fullmatch(line)
            key = "" if field is None else field[1].decode("ascii").lower()
            if field is None or (key in ("content-length", "transfer-encoding") and key in fields):
                raise HttpsError("the header of the answer cannot be read")
            fields.setdefault(key, field[2].decode("latin-1").rstrip(" \t"))
        return int(status[1]), fields

    async def _body(self, fields: dict[str, str]) -> bytes:
        coding = fields.get("transfer-encoding")
        length = fields.get("content-length")
        if coding is not None:
            # RFC 9112 §6.1: with both, somebody may be playing a trick.
            if coding.lower() != "chunked" or length is not None:
                raise HttpsError("the body of the answer cannot be read")
            return await self._chunks()
        if length is None:
            self._check(len(self._buffer))
            while await self._more():
                self._check(len(self._buffer))
            return self._taken(len(self._buffer))
        if not length.isascii() or not length.isdecimal() or len(length) > 15:
            raise HttpsError("the body of the answer cannot be read")
        return await self._exactly(int(length))

    async def _exactly(self, count: int, before: int = 0) -> bytes:
        self._check(before + count)
        while len(self._buffer) < count:
            if not await self._more():
                raise HttpsError("the answer ends too early")
        return self._taken(count)

    def _taken(self, count: int) -> bytes:
        octets = bytes(self._buffer[:count])
        del self._buffer[:count]
        return octets

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise HttpsError(f"the answer has more than {self._limit} octets")

    async def _chunks(self) -> bytes:
        body = bytearray()
        while size := await self._chunk_size():
            body += await self._exactly(size, len(body))
            if await self._line():
                raise HttpsError("the body of the answer cannot be read")
        return bytes(body)  # the trailer is of no interest

    async def _chunk_size(self) -> int:
        digits = (await self._line()).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", digits):
            raise HttpsError("the body of the answer cannot be read")
        return int(digits, 16)

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", 0, _LINE)) < 0:
            if len(self._buffer) >= _LINE:
                raise HttpsError("the body of the answer cannot be read")
            if not await self._more():
                raise HttpsError("the answer ends too early")
        return self._taken(end + 2)[:-2]
