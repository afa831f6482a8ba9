"""The PROXY protocol, versions 1 and 2, read and written (HAProxy's "The PROXY protocol", §2).

A proxy in front of a server says in a header, before anything else, which client it speaks for. The reader takes no
octet behind the header and never more than the form allows: 107 octets of version 1 (§2.1), MAX_V2 of version 2.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from estafeta.mail.value import value

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
"""How version 2 begins; no protocol of mail begins so (§2.2)."""
MAX_V1: Final = 107
"""The longest line of version 1 with its CRLF (§2.1)."""
MAX_V2: Final = 4096
"""Octets of a header of version 2 that are taken. It may have 65551, but addresses need 216 at most, TLVs little."""

_FIXED: Final = 16
# §2.1: decimal, without leading zeros
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_V1_START: Final = b"PROXY "

_CRC32C: Final = 0x03
_CRC_FIELD: Final = 3 + 4


class ProxyFault(ValueError):
    """What stands at the start of the connection is no header: close it, and say nothing."""


class _Command(IntEnum):
    """§2.2: whose connection it is."""

    LOCAL = 0
    PROXY = 1


class _Family(IntEnum):
    """§2.2: the address family, and how many octets its addresses and ports take."""

    UNSPECIFIED = 0
    INET = 1
    INET6 = 2
    UNIX = 3

    @property
    def size(self) -> int:
        """Octets of both ends."""
        return (0, 12, 36, 216)[self]


@value
class Endpoint:
    """One end of the client's connection to the proxy."""

    ip: str
    port: int


@value
class ProxyHeader:
    """Who the connection is for. No ends (LOCAL, UNKNOWN, UNIX, datagrams): it is the proxy's own (§2.1, §2.2)."""

    version: int
    source: Endpoint | None = None
    """The client."""
    destination: Endpoint | None = None
    """Where the client connected to."""


class ProxyReader:
    """Takes the header off the start of a connection."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = b""

    def feed(self, octets: bytes) -> tuple[ProxyHeader, bytes] | None:
        """More octets; gives the header and what stands behind it once it is whole. Raises ProxyFault."""
        self._octets = held = self._octets + octets
        if SIGNATURE.startswith(held[: len(SIGNATURE)]):
            return _read_v2(held)
        if _V1_START.startswith(held[: len(_V1_START)]):
            return _read_v1(held)
        raise ProxyFault("no PROXY header")


def _read_v1(held: bytes) -> tuple[ProxyHeader, bytes] | None:
    end = held.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(held) >= MAX_V1:
            raise ProxyFault("version 1: line too long")
        return None
    rest = held[end + 2 :]
    try:
        words = held[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyFault("version 1: not ASCII") from None
    if words[1] == "UNKNOWN":  # what follows is ignored
        return ProxyHeader(1), rest
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyFault("version 1: not a protocol, two addresses and two ports")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        source, destination = str(kind(words[2])), str(kind(words[3]))
    except ValueError as error:
        raise ProxyFault(f"version 1: {error}") from None
    return ProxyHeader(1, Endpoint(source, _port(words[4])), Endpoint(destination, _port(words[5]))), rest


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ProxyFault("version 1: bad port")
    return int(text)


def _read_v2(held: bytes) -> tuple[ProxyHeader, bytes] | None:
    if len(held) < _FIXED:
        return None
    version, command = held[12] >> 4, held[12] & 15
    family, transport = held[13] >> 4, held[13] & 15
    # §2.2: other values must not be taken
    if version != 2 or command not in tuple(_Command) or family not in tuple(_Family) or transport > 2:
        raise ProxyFault(f"version 2: unknown kind {held[12]:02x} {held[13]:02x}")
    size = int.from_bytes(held[14:16], "big")
    if _FIXED + size > MAX_V2:
        raise ProxyFault(f"version 2: {size} octets of header")
    if len(held) < _FIXED + size:
        return None
    header, rest = held[: _FIXED + size], held[_FIXED + size :]
    if command == _Command.LOCAL:  # §2.2: whatever it says of addresses is discarded
        return ProxyHeader(2), rest
    if size < _Family(family).size:
        raise ProxyFault("version 2: too short for its addresses")
    if family != _Family.UNSPECIFIED:
        _check_extras(header, _FIXED + _Family(family).size)
    if transport != 1 or family not in (_Family.INET, _Family.INET6):
        return ProxyHeader(2), rest
    return ProxyHeader(2, *_ends(header[_FIXED:], 4 if family == _Family.INET else 16)), rest


def _ends(octets: bytes, width: int) -> tuple[Endpoint, Endpoint]:
    ports = octets[2 * width : 2 * width + 4]
    return (
        Endpoint(str(ip_address(octets[:width])), int.from_bytes(ports[:2], "big")),
        Endpoint(str(ip_address(octets[width : 2 * width])), int.from_bytes(ports[2:], "big")),
    )


def _check_extras(header: bytes, at: int) -> None:
    """Pass over the TLVs; the checksum, where there is one, must be right (§2.2.3)."""
    while at < len(header):
        value = at + 3
        after = value + int.from_bytes(header[at + 1 : value], "big")
        if value > len(header) or after > len(header):
            raise ProxyFault("version 2: a TLV is longer than the header")
        if header[at] == _CRC32C:
            if after - value != 4:
                raise ProxyFault("version 2: bad checksum")
            blank = header[:value] + bytes(4) + header[after:]
            if crc32c(blank) != int.from_bytes(header[value:after], "big"):
                raise ProxyFault("version 2: wrong checksum")
        at = after


def write_v1(source: Endpoint | None, destination: Endpoint | None) -> bytes:
    """The line of version 1; UNKNOWN without both ends or where their families differ."""
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    first, second = ip_address(source.ip), ip_address(destination.ip)
    if first.version != second.version:
        return b"PROXY UNKNOWN\r\n"
    return f"PROXY TCP{first.version} {first} {second} {source.port} {destination.port}\r\n".encode("ascii")


def write_v2(source: Endpoint | None, destination: Endpoint | None, *, checksum: bool = False) -> bytes:
    """The header of version 2; LOCAL without both ends or where their families differ. `checksum`: with CRC32c."""
    command, family, ends = _Command.LOCAL, _Family.UNSPECIFIED, b""
    if source is not None and destination is not None:
        first, second = ip_address(source.ip), ip_address(destination.ip)
        if first.version == second.version:
            command, family = _Command.PROXY, _Family.INET if first.version == 4 else _Family.INET6
            ports = source.port.to_bytes(2, "big") + destination.port.to_bytes(2, "big")
            ends = first.packed + second.packed + ports
    size = len(ends) + (_CRC_FIELD if checksum else 0)
    transport = 1 if ends else 0
    header = SIGNATURE + bytes((0x20 | command, family << 4 | transport)) + size.to_bytes(2, "big") + ends
    if not checksum:
        return header
    header += bytes((_CRC32C, 0, 4))
    return header + crc32c(header + bytes(4)).to_bytes(4, "big")


def crc32c(octets: bytes) -> int:
    """The CRC of RFC 9260 appendix A, which the header's checksum is."""
    table, crc = _crc32c_table(), 0xFFFFFFFF
    for octet in octets:
        crc = crc >> 8 ^ table[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF


@cache
def _crc32c_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        crc = octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)
