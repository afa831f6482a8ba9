"""A DNS server on loopback that says what a test tells it to, over UDP and TCP, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SOA = "ns.example.org. host.example.org. 1 7200 3600 86400 60"


@dataclass
class Asked:
    """One question as it came."""

    message: dns.message.QueryMessage
    is_tcp: bool = False
    source: Any = None
    """Where a datagram came from."""

    @property
    def text(self) -> str:
        """`MX example.org`."""
        question = self.message.question[0]
        return f"{dns.rdatatype.to_text(question.rdtype)} {question.name.to_text(omit_final_dot=True)}"


Say = Callable[[Asked], list[bytes]]
"""The datagrams that answer; over TCP the first is sent, or the connection closed where there is none."""


def reply(
    asked: Asked,
    *records: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    authority: tuple[str, ...] = (),
    is_authentic: bool = False,
    flags: int = 0,
) -> dns.message.Message:
    """A response with records such as `example.org. 300 MX 10 mx.example.org.`, those of a set one after another."""
    message = dns.message.make_response(asked.message, recursion_available=True)
    message.set_rcode(rcode)
    message.flags |= flags | (dns.flags.AD if is_authentic else 0)
    for section, texts in ((message.answer, records), (message.authority, authority)):
        for text in texts:
            owner, ttl, rdtype, data = text.split(maxsplit=3)
            found = dns.rrset.from_text(owner, int(ttl), "IN", rdtype, data)
            known = next((each for each in section if (each.name, each.rdtype) == (found.name, found.rdtype)), None)
            if known is None:
                section.append(found)
            else:
                known.add(found[0])
    return message


def denial(asked: Asked, rcode: dns.rcode.Rcode, soa: str = f"example.org. 900 SOA {SOA}") -> list[bytes]:
    """No such name, or nothing of the type."""
    return [reply(asked, rcode=rcode, authority=(soa,)).to_wire()]


def records(*texts: str, is_authentic: bool = False) -> Say:
    """Answers with those of the records that have the name and type asked for, or are CNAMEs; else there is no data."""

    def say(asked: Asked) -> list[bytes]:
        rdtype, name = asked.text.split()
        fitting = [text for text in texts if text.split()[0] == f"{name}." and text.split()[2] in (rdtype, "CNAME")]
        if not fitting:
            return denial(asked, dns.rcode.NOERROR)
        return [reply(asked, *fitting, is_authentic=is_authentic).to_wire(max_size=65535)]

    return say


def failing(rcode: dns.rcode.Rcode) -> Say:
    """Answers with a failure."""
    return lambda asked: [reply(asked, rcode=rcode).to_wire()]


def silent(asked: Asked) -> list[bytes]:
    """Never answers."""
    return []


@dataclass
class DnsServer:
    """What it says may be changed while it runs."""

    address: str
    port: int
    say: Say
    asked: list[Asked] = field(default_factory=list)

    @property
    def questions(self) -> list[str]:
        """What it was asked, in order."""
        return [each.text for each in self.asked]

    def answers(self, octets: bytes, *, is_tcp: bool, source: Any) -> list[bytes]:
        message = dns.message.from_wire(octets)
        assert isinstance(message, dns.message.QueryMessage)
        asked = Asked(message, is_tcp, source)
        self.asked.append(asked)
        return self.say(asked)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's is no asyncio.DatagramTransport by its class

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for octets in self._server.answers(data, is_tcp=False, source=addr):
            self._transport.sendto(octets, addr)


@asynccontextmanager
async def dns_server(say: Say, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[DnsServer]:
    """Serves at the address; port 0 takes one that is free for both UDP and TCP."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        for octets in server.answers(await reader.readexactly(size), is_tcp=True, source=None)[:1]:
            writer.write(len(octets).to_bytes(2, "big") + octets)
        writer.close()

    listener = await asyncio.start_server(serve, address, port)
    server = DnsServer(address, listener.sockets[0].getsockname()[1], say)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(server), local_addr=(address, server.port), family=socket.AF_INET
    )
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        await listener.wait_closed()
