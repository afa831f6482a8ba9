"""The DNS servers that this machine asks: which they are, and one question put to them over UDP and TCP.

Each question goes out from a port of its own (RFC 5452 §9.2). A server that is silent or fails is followed by the
next; one that was silent comes last for a while, so that a dead server costs its wait once and not each time.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import dns.name
import dns.rcode
from dns.rdatatype import RdataType

from estafeta.net.dnsmessage import Question, Response, UnreadableResponse, read_response
from estafeta.net.errors import NetError

RESOLV_CONF = Path("/etc/resolv.conf")

# resolv.conf(5): no more than three are used.
_MOST_SERVERS = 3
_LOOK_AFTER = 5.0
_SILENT_FOR = 60.0
# Each is a socket; more wait for their turn.
_MOST_AT_ONCE = 200
# A response over TCP may have 64 KiB by its grammar. No set of records that mail asks for comes near this.
_MOST_OCTETS = 16 * 1024


class NameserverError(NetError):
    """No server gave an answer; the message says of each why."""


class Nameservers:
    """The servers given, or those of the system as long as none are; read again when they change."""

    def __init__(
        self,
        servers: tuple[str, ...],
        *,
        port: int,
        timeout: float,
        tries: int,
        monotonic: Callable[[], float],
        resolv_conf: Path = RESOLV_CONF,
    ) -> None:
        self._given = servers
        self._port = port
        self._timeout = timeout
        self._tries = tries
        self._monotonic = monotonic
        self._resolv_conf = resolv_conf
        self._servers = servers
        self._looked_at: float | None = None
        self._changed: object = None
        self._silent: dict[str, float] = {}
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of the servers that are asked."""
        now = self._monotonic()
        if not self._given and (self._looked_at is None or now - self._looked_at >= _LOOK_AFTER):
            self._looked_at = now
            self._read_again()
        return self._servers

    @property
    def are_local(self) -> bool:
        """Whether all of them are this machine itself, so that nobody can change answers on the way."""
        return all(_is_loopback(server) for server in self.servers)

    @property
    def longest_wait(self) -> float:
        """Seconds after which `ask` has ended: each server is asked once at least."""
        return self._timeout * max(self._tries, len(self.servers))

    async def ask(self, name: dns.name.Name, rdtype: RdataType, *, wants_ad: bool) -> Response:
        """Ask until a server says what there is (NOERROR) or that the name does not exist (NXDOMAIN).

        Raises NameserverError.
        """
        async with self._turns:
            return await self._ask_each(name, rdtype, wants_ad)

    async def _ask_each(self, name: dns.name.Name, rdtype: RdataType, wants_ad: bool) -> Response:
        now = self._monotonic()
        waiting = sorted(self.servers, key=lambda server: self._silent.get(server, now) > now)
        failures: dict[str, str] = {}
        for _ in range(max(self._tries, len(waiting))):
            if not waiting:  # each has said something
                break
            server = waiting.pop(0)
            try:
                async with asyncio.timeout(self._timeout):
                    response = await self._ask_one(server, name, rdtype, wants_ad)
            except TimeoutError:
                failures[server] = f"no answer within {self._timeout:g} seconds"
                self._silent[server] = self._monotonic() + _SILENT_FOR
                waiting.append(server)
            except OSError as error:
                failures[server] = (error.strerror or str(error)).lower()
            except asyncio.IncompleteReadError:
                failures[server] = "it closed the connection"
            except UnreadableResponse as error:
                failures[server] = f"an answer that cannot be read: {error}"
            else:
                self._silent.pop(server, None)
                if failure := _failure_in(response):
                    failures[server] = failure
                    continue
                return response
        raise NameserverError("; ".join(f"{server}: {failure}" for server, failure in failures.items()))

    async def _ask_one(self, server: str, name: dns.name.Name, rdtype: RdataType, wants_ad: bool) -> Response:
        question = Question(secrets.randbits(16), name, rdtype)
        octets = question.encode(wants_ad=wants_ad)
        response = await _over_udp(server, self._port, question, octets)
        if response.rcode == dns.rcode.FORMERR:  # RFC 6891 §7: it may not know EDNS
            octets = question.encode(wants_ad=wants_ad, with_edns=False)
            response = await _over_udp(server, self._port, question, octets)
        if response.is_truncated:  # RFC 7766 §5
            response = await _over_tcp(server, self._port, question, octets)
        return response

    def _read_again(self) -> None:
        try:
            stat = self._resolv_conf.stat()
            changed = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if changed != self._changed:
                self._servers = read_resolv_conf(self._resolv_conf.read_text("utf-8", "replace"))
                self._changed = changed
        except OSError:
            self._servers = self._servers or read_resolv_conf("")


def read_resolv_conf(text: str) -> tuple[str, ...]:
    """The servers that a resolv.conf(5) names; this machine where it names none."""
    lines = [line.split() for line in text.splitlines()]
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    return tuple(servers[:_MOST_SERVERS]) or ("127.0.0.1",)


def _is_loopback(server: str) -> bool:
    try:
        return ip_address(server).is_loopback
    except ValueError:
        return False


def _failure_in(response: Response) -> str:
    """Why the response says nothing about the name; empty where it does."""
    if response.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return response.verdict
    if response.is_referral:
        return "it names other servers instead of an answer; it must be one that asks them itself"
    if response.is_truncated:
        return "its answer is cut short"
    return ""


class _Asking(asyncio.DatagramProtocol):
    """Waits for the datagram that answers the question; others are not from the server that was asked."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.said: asyncio.Future[Response | Exception] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.said.done():
            return
        try:
            response = read_response(data, self._question)
        except UnreadableResponse as error:
            self.said.set_result(error)
            return
        if response is not None:
            self.said.set_result(response)

    def error_received(self, exc: Exception) -> None:
        if not self.said.done():
            self.said.set_result(exc)


async def _over_udp(server: str, port: int, question: Question, octets: bytes) -> Response:
    loop = asyncio.get_running_loop()
    transport, asking = await loop.create_datagram_endpoint(lambda: _Asking(question), remote_addr=(server, port))
    try:
        transport.sendto(octets)
        said = await asking.said
    finally:
        transport.close()
    if isinstance(said, Exception):
        raise said
    return said


# Departs from RFC 7766 §6.2.1: each question has a connection of its own.
# Departs from RFC 7766 §8: an answer of more than 16 KiB is a failure.
async def _over_tcp(server: str, port: int, question: Question, octets: bytes) -> Response:
    reader, writer = await asyncio.open_connection(server, port)
    try:
        writer.write(len(octets).to_bytes(2, "big") + octets)  # RFC 1035 §4.2.2
        size = int.from_bytes(await reader.readexactly(2), "big")
        if size > _MOST_OCTETS:
            raise UnreadableResponse(f"it has {size} octets, more than {_MOST_OCTETS}")
        response = read_response(await reader.readexactly(size), question)
    finally:
        writer.close()
    if response is None:
        raise UnreadableResponse("it answers another question")
    return response
