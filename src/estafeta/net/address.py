"""Addresses of the ends of a connection, and the network that counts as one client."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from estafeta.mail.value import value

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network


@value
class PeerAddress:
    """An IP address as text (no zone, IPv4 never mapped into IPv6) and a port."""

    ip: str
    port: int

    @property
    def address(self) -> IpAddress:
        """The IP address as a value."""
        return _address(self.ip)

    @property
    def is_loopback(self) -> bool:
        """Whether this is the machine itself."""
        return _address(self.ip).is_loopback

    @property
    def network(self) -> str:
        """What counts as one client: see `client_network`."""
        return client_network(self.ip)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


NOWHERE = PeerAddress("0.0.0.0", 0)  # noqa: S104 - the unspecified address, nothing is bound to it
"""The address of a connection that was gone before it could be asked."""


def peer_address(name: object) -> PeerAddress:
    """Read what a transport calls `peername` or `sockname`; NOWHERE when it does not say."""
    if not isinstance(name, tuple) or len(name) < 2:
        return NOWHERE
    return PeerAddress(_plain_ip(str(name[0])), int(name[1]))


_address = lru_cache(maxsize=4096)(ip_address)
"""Read once for a host's connections, 3 us each."""


@lru_cache(maxsize=4096)
def _plain_ip(text: str) -> str:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=4096)
def client_network(ip: str) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address.

    A /64 is what one subscriber gets (RFC 6177), with 2^64 addresses to choose from.
    """
    address = ip_address(ip.partition("%")[0])
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))
