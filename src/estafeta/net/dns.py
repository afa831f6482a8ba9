"""What the DNS says, as values, and whom the rooms above ask: a `Resolver`.

That a name does not exist, that it has no record of a type, and that nothing could be found out are three
different answers and never exceptions, for mail is returned after the first two and waits after the third.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from estafeta.mail.value import value

T = TypeVar("T")

FAILURE_TTL = 5.0
"""Seconds that a failure is remembered, so that many messages do not ask again at once (RFC 2308 §7, RFC 9520 §3.2)."""


class DnsStatus(StrEnum):
    """What an answer amounts to."""

    FOUND = "found"
    NO_DATA = "no data"
    """The name exists, and has no record of the type."""
    NO_NAME = "no name"
    """The name does not exist (NXDOMAIN)."""
    FAILED = "failed"
    """Nobody knows: no answer, a failing server, an answer that failed validation, aliases in a circle."""


@value
class MxRecord:
    """RFC 1035 §3.3.9; the exchange in lower case without the root's dot, empty for the null MX (RFC 7505)."""

    preference: int
    exchange: str


@value
class TlsaRecord:
    """RFC 6698 §2.1: certificate usage, selector, matching type, and the certificate association data."""

    usage: int
    selector: int
    matching: int
    data: bytes


@value
class Answer(Generic[T]):
    """What was found out about one name and type; records only where the status is FOUND."""

    status: DnsStatus
    records: tuple[T, ...]
    name: str
    """The canonical name, at the end of all CNAMEs; in lower case without the root's dot."""
    is_authentic: bool
    """A validating resolver that may be believed vouches for the answer, a negative one included (RFC 4035)."""
    ttl: float
    """Seconds that the answer holds from now on; 0 for once."""
    detail: str
    """For people: what is missing or failed; empty when found."""


class Resolver(Protocol):
    """Answers questions about names in lower case, A-labels, without the root's dot. Nothing here raises."""

    async def mx(self, name: str) -> Answer[MxRecord]:
        """The mail exchanges, in the order of the answer."""

    async def ipv4(self, name: str) -> Answer[str]:
        """The addresses of type A."""

    async def ipv6(self, name: str) -> Answer[str]:
        """The addresses of type AAAA, in the shortest form."""

    async def txt(self, name: str) -> Answer[str]:
        """The texts, the strings of each record as one; what is not UTF-8 is replaced."""

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """The TLSA records of a name such as `_25._tcp.mx.example.org`."""

    async def close(self) -> None:
        """End what is under way; later questions fail."""


class TrustAd(StrEnum):
    """Whose word counts that an answer was validated by DNSSEC."""

    LOOPBACK = "loopback"
    """The servers', if all of them are on this machine: they must validate, or not pass the flag AD on."""
    ALWAYS = "always"
    """The servers', wherever they are: the way to them must be one that nobody else can write on."""
    NEVER = "never"
    """Nobody's; DANE is off then."""


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """How names are looked up."""

    servers: tuple[str, ...] = ()
    """IP addresses of the DNS servers, which must resolve for others; those of the system when empty."""
    port: int = 53
    """The port of these servers."""
    timeout: float = 5.0
    """Seconds to wait for an answer of one server."""
    tries: int = 2
    """How often a question is sent, in turn to the servers; to each of them once at least."""
    cache_entries: int = 10_000
    """Answers that are kept as long as they hold; one larger than 512 octets counts as several. About 10 MB."""
    trust_ad: TrustAd = TrustAd.LOOPBACK
    """Whether the servers are believed when they say that an answer is authentic, as DANE needs it: `loopback` (if
    all of them are on this machine), `always` or `never`."""


def failed(name: str, detail: str) -> Answer[Any]:
    """That nothing could be found out."""
    return Answer(DnsStatus.FAILED, (), name, False, FAILURE_TTL, detail)
