"""Which hosts take the mail of a domain, in the order to try them: a function of what the DNS says.

RFC 5321 §5.1 (MX records, the implicit one, and this server among them), RFC 7505 (null MX), RFC 3463 (codes).
What the records of a stranger may cost is bounded: so many hosts, so many addresses, all looked up at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from itertools import chain, groupby, zip_longest
from typing import Any

from estafeta.mail.address import AddressError, parse_domain
from estafeta.mail.catalogue import recipients
from estafeta.mail.reply import Reply
from estafeta.mail.value import value
from estafeta.net.dns import Answer, DnsStatus, MxRecord, Resolver

MAX_HOSTS = 20
"""Hosts of one domain; the largest of the field publish five."""
MAX_ADDRESSES = 40
"""Addresses of all its hosts: two for each of the most hosts, as RFC 5321 §5.1 wants two tried."""

_MAX_TOLD = 30
_MAX_REASONS = 5
_LITERAL_TTL = 3600.0
_THIS_NETWORK = IPv4Network("0.0.0.0/8")

IsOwn = Callable[[str, str], bool]
"""Whether a host name, at an address or (empty) whatever its address, is this server."""
Shuffle = Callable[[list[Any]], None]


@value
class Host:
    """A host that takes mail."""

    name: str
    """As the MX record has it, or the domain itself; an address literal without its brackets."""
    addresses: tuple[str, ...]
    """In the order to try them: IPv6 and IPv4 in turn, equal ones shuffled. At least one."""
    preference: int
    is_authentic: bool
    """DNSSEC vouches for an address of it, so that TLSA records are worth a question (RFC 7672 §2.2)."""


@value
class Hosts:
    """The hosts of a domain, best preference first, equal ones shuffled. At least one."""

    domain: str
    hosts: tuple[Host, ...]
    is_authentic: bool
    """DNSSEC vouches for the names of the hosts: for the MX records, or the address where there are none."""
    is_implicit: bool
    """There are no MX records: the domain is its own host (RFC 5321 §5.1)."""
    ttl: float
    """Seconds that all this holds."""
    notes: tuple[str, ...]
    """Sentences for people: what was found, what was passed over and why."""


@value
class NoHosts:
    """No host takes mail of the domain, for ever (5yz) or for now (4yz)."""

    domain: str
    reply: Reply
    reason: str
    """For people, with what the DNS said."""
    notes: tuple[str, ...]


async def find_hosts(
    domain: str,
    resolver: Resolver,
    *,
    is_own: IsOwn,
    shuffle: Shuffle,
    ipv6: bool = True,
    allow_loopback: bool = False,
) -> Hosts | NoHosts:
    """The hosts for mail to `domain` (A-labels in lower case, or an address literal).

    `shuffle` puts a list in an order by chance. Without `ipv6` no such address is asked for. Loopback addresses,
    which strangers may publish to make this server talk to itself, are passed over unless `allow_loopback`.
    """
    search = _Search(domain, resolver, is_own, shuffle, ipv6, allow_loopback)
    return search.by_literal() if domain.startswith("[") else await search.by_name()


async def why_no_mail(domain: str, resolver: Resolver) -> Reply | None:
    """What is certain before any attempt: the domain does not exist, or says that it takes no mail.

    None for all others, and where the DNS does not tell; `domain` is a name in lower case and as A-labels.
    """
    answer = await resolver.mx(domain)
    if answer.status is DnsStatus.NO_NAME:
        return recipients.NO_SUCH_DOMAIN.with_(domain=domain)
    if answer.status is DnsStatus.FOUND and all(not record.exchange for record in answer.records):  # RFC 7505 §4.1
        return recipients.NULL_MX.with_(domain=domain)
    return None


async def find_host(name: str, resolver: Resolver, *, ipv6: bool = True) -> Hosts | NoHosts:
    """One host that the operator named, by its addresses alone: no MX record is asked for, loopback is allowed.

    `name` is a host name, an IP address or an address literal. A name that cannot be found is a mistake in the
    settings or passes, so the reply is never permanent.
    """
    literal = _address_in(name) if name.startswith("[") else _ip_address(name)
    if literal is not None:
        return Hosts(name, (Host(str(literal), (str(literal),), 0, False),), False, False, _LITERAL_TTL, ())
    # Not done of RFC 6761: the other special names are asked for like any.
    if name == "localhost":  # RFC 6761 §6.3: known without the DNS
        local = ("127.0.0.1", "::1") if ipv6 else ("127.0.0.1",)
        return Hosts(name, (Host(name, local, 0, False),), False, False, _LITERAL_TTL, ())
    found = await _look_up(name, resolver, ipv6=ipv6, allow_loopback=True)
    if not found.is_usable:
        status = "4.4.3" if found.is_temporary else "4.4.4"
        reply = Reply.of(451, "no address is known of the next host on the way", status)
        reason = f"no address is known of {name}: {'; '.join(found.reasons)}"
        return NoHosts(name, reply, reason, found.notes())
    host = found.host(0, lambda _: None, MAX_ADDRESSES)
    return Hosts(name, (host,), found.is_authentic, False, found.ttl, found.notes())


@value
class _Addresses:
    """What the DNS says of a host's addresses."""

    name: str
    ipv6: tuple[str, ...]
    ipv4: tuple[str, ...]
    is_authentic: bool
    is_temporary: bool
    """Something could not be found out."""
    ttl: float
    reasons: tuple[str, ...]
    """What is missing, failed or cannot be used."""
    canonical_name: str

    @property
    def is_usable(self) -> bool:
        return bool(self.ipv6 or self.ipv4)

    def has(self, is_own: IsOwn) -> bool:
        """Whether one of the addresses is this server."""
        return any(is_own(self.name, address) for address in (*self.ipv6, *self.ipv4))

    def host(self, preference: int, shuffle: Shuffle, most: int) -> Host:
        # The answers are kept for their TTL, and with them their order: without chance all mail would go to the
        # first address for so long. The families take turns, so that one that is cut off costs one wait.
        families = [list(self.ipv6), list(self.ipv4)]
        for family in families:
            shuffle(family)
        in_turn = [each for each in chain.from_iterable(zip_longest(*families)) if each is not None]
        return Host(self.name, tuple(in_turn[:most]), preference, self.is_authentic)

    def notes(self) -> tuple[str, ...]:
        if not self.is_usable:
            return (f"{self.name} is passed over: {'; '.join(self.reasons)}.",)
        alias = f", an alias of {self.canonical_name}," if self.canonical_name != self.name else ""
        signed = ", vouched for by DNSSEC" if self.is_authentic else ""
        told = [f"{self.name}{alias} has the addresses {_several((*self.ipv6, *self.ipv4))}{signed}."]
        return (*told, *(f"{self.name}: {reason}." for reason in self.reasons))


class _Search:
    """One walk from a domain to its hosts; what it meets on the way goes into the notes."""

    def __init__(
        self, domain: str, resolver: Resolver, is_own: IsOwn, shuffle: Shuffle, ipv6: bool, allow_loopback: bool
    ) -> None:
        self._domain = domain
        self._resolver = resolver
        self._is_own = is_own
        self._shuffle = shuffle
        self._ipv6 = ipv6
        self._allow_loopback = allow_loopback
        self._notes: list[str] = []

    def by_literal(self) -> Hosts | NoHosts:
        """RFC 5321 §4.1.3: the address itself is the host."""
        address = _address_in(self._domain)
        if address is None:
            return self._none(550, "5.1.2", f"{self._domain} is not an address that mail can be sent to")
        reason = _why_unusable(address, self._allow_loopback)
        if isinstance(address, IPv6Address) and not self._ipv6:
            reason = "IPv6 is not used here"
        if reason:
            return self._none(550, "5.4.4", f"mail cannot be sent to {self._domain}", reason)
        text = str(address)
        if self._is_own(text, text):
            return self._none(554, "5.4.6", f"mail for {self._domain} loops back to this server")
        host = Host(text, (text,), 0, False)
        return Hosts(self._domain, (host,), False, False, _LITERAL_TTL, (f"{text} is given by the address itself.",))

    async def by_name(self) -> Hosts | NoHosts:
        """By MX records, or by the domain's own address where there are none."""
        answer = await self._resolver.mx(self._domain)
        if answer.name != self._domain and answer.status is not DnsStatus.FAILED:
            self._notes.append(f"{self._domain} is an alias of {answer.name}, which counts in its place.")
        match answer.status:
            case DnsStatus.FAILED:  # never the implicit MX: there may be records
                return self._none(
                    451, "4.4.3", f"the DNS does not tell where mail for {self._domain} goes", answer.detail
                )
            case DnsStatus.NO_NAME:
                return self._none(550, "5.1.2", f"the domain {self._domain} does not exist", answer.detail)
            case DnsStatus.NO_DATA:
                self._notes.append(f"{answer.name} has no MX record, so that it is its own host.")
                return await self._by_addresses([MxRecord(0, answer.name)], answer, is_implicit=True)
        self._tell(answer)
        if all(not record.exchange for record in answer.records):  # RFC 7505 §3
            return self._none(556, "5.1.10", f"the domain {self._domain} takes no mail", "it has a null MX record")
        candidates = self._candidates(answer.records)
        if not candidates:
            return self._none(550, "5.4.4", f"no MX record of {self._domain} names a host")
        return await self._by_addresses(candidates, answer, is_implicit=False)

    async def _by_addresses(
        self, candidates: list[MxRecord], answer: Answer[MxRecord], *, is_implicit: bool
    ) -> Hosts | NoHosts:
        left = self._better(candidates, lambda each: self._is_own(each.exchange, ""))
        if len(left) > MAX_HOSTS:
            self._notes.append(f"Only the first {MAX_HOSTS} of {len(left)} hosts count.")
        left = left[:MAX_HOSTS]
        looked_up = await asyncio.gather(
            *(
                _look_up(each.exchange, self._resolver, ipv6=self._ipv6, allow_loopback=self._allow_loopback)
                for each in left
            )
        )
        by_name = {found.name: found for found in looked_up}
        for found in looked_up:
            self._notes += found.notes()
        left = self._better(left, lambda each: by_name[each.exchange].has(self._is_own))
        if not left:
            return self._none(554, "5.4.6", f"mail for {self._domain} loops back to this server")
        usable = [each for each in left if by_name[each.exchange].is_usable]
        if not usable:
            return self._without_address([by_name[each.exchange] for each in left])
        most = MAX_ADDRESSES // len(usable)
        hosts = tuple(by_name[each.exchange].host(each.preference, self._shuffle, most) for each in usable)
        is_authentic = hosts[0].is_authentic if is_implicit else answer.is_authentic
        ttl = min(answer.ttl, *(found.ttl for found in looked_up))
        return Hosts(self._domain, hosts, is_authentic, is_implicit, ttl, tuple(self._notes))

    # Departs from RFC 5321 §5.1: a host that is named by an alias (CNAME) is taken.
    def _candidates(self, records: tuple[MxRecord, ...]) -> list[MxRecord]:
        """The records that name a host, each once, in the order of RFC 5321 §5.1."""
        best: dict[str, MxRecord] = {}
        unfit: dict[str, str] = {}
        for record in sorted(records, key=lambda record: record.preference):
            if reason := _why_no_host(record.exchange):
                unfit[record.exchange] = reason
            else:
                best.setdefault(record.exchange, record)
        for exchange, reason in list(unfit.items())[:_MAX_TOLD]:
            self._notes.append(f"The MX record {exchange or '.'} is passed over: {reason}.")
        candidates: list[MxRecord] = []
        for _, group in groupby(best.values(), key=lambda record: record.preference):
            equal = list(group)
            self._shuffle(equal)
            candidates += equal
        return candidates

    def _better(self, candidates: list[MxRecord], is_own: Callable[[MxRecord], bool]) -> list[MxRecord]:
        """RFC 5321 §5.1: only hosts that are preferred to this server, where it is one of them itself."""
        own = min((each.preference for each in candidates if is_own(each)), default=None)
        if own is None:
            return candidates
        gone = _several(each.exchange for each in candidates if each.preference >= own)
        self._notes.append(
            f"This server is itself a host of {self._domain}, with preference {own}; what is not better is left out:"
            f" {gone}."
        )
        return [each for each in candidates if each.preference < own]

    def _tell(self, answer: Answer[MxRecord]) -> None:
        by_preference = sorted(answer.records, key=lambda record: record.preference)
        told = _several([f"{record.exchange or '.'} ({record.preference})" for record in by_preference])
        signed = ", vouched for by DNSSEC" if answer.is_authentic else ""
        self._notes.append(f"{answer.name} has the MX records {told}{signed}, for {answer.ttl:.0f} more seconds.")

    def _without_address(self, passed_over: list[_Addresses]) -> NoHosts:
        reason = "; ".join(f"{found.name}: {', '.join(found.reasons)}" for found in passed_over[:_MAX_REASONS])
        if any(found.is_temporary for found in passed_over):
            return self._none(451, "4.4.3", f"the DNS does not tell the address of a host of {self._domain}", reason)
        return self._none(550, "5.4.4", f"no host of {self._domain} has an address that mail can be sent to", reason)

    def _none(self, code: int, status: str, text: str, reason: str = "") -> NoHosts:
        told = f"{text}: {reason}" if reason else text
        return NoHosts(self._domain, Reply.of(code, text, status), told, tuple(self._notes))


async def _look_up(name: str, resolver: Resolver, *, ipv6: bool, allow_loopback: bool) -> _Addresses:
    """Both families of addresses; one that cannot be found out does not hinder the other."""
    questions = [resolver.ipv6(name), resolver.ipv4(name)] if ipv6 else [resolver.ipv4(name)]
    answers = await asyncio.gather(*questions)
    usable: list[str] = []
    reasons = [answer.detail for answer in answers if answer.status is DnsStatus.FAILED]
    for text in chain.from_iterable(answer.records for answer in answers):
        if reason := _why_unusable(ip_address(text), allow_loopback):
            reasons.append(f"{text} is not used, because {reason}")
        else:
            usable.append(text)
    if not usable and not reasons:
        reasons = list(dict.fromkeys(answer.detail for answer in answers))
    found = [answer for answer in answers if answer.status is DnsStatus.FOUND]
    return _Addresses(
        name,
        tuple(text for text in usable if ":" in text),
        tuple(text for text in usable if ":" not in text),
        any(answer.is_authentic for answer in found),
        any(answer.status is DnsStatus.FAILED for answer in answers),
        min(answer.ttl for answer in answers),
        tuple(reasons[:_MAX_TOLD]),
        found[0].name if found else name,
    )


def _why_no_host(exchange: str) -> str:
    """Why an MX record's exchange cannot be a host; empty where it can."""
    if not exchange:
        return "a null MX stands alone (RFC 7505 §3)"
    if _ip_address(exchange) is not None:
        return "it is an IP address, where a name must be (RFC 5321 §5.1)"
    try:
        parse_domain(exchange)
    except AddressError:
        return "it is not the name of a host"
    return ""


def _why_unusable(address: IPv4Address | IPv6Address, allow_loopback: bool) -> str:
    """Why no mail is sent to an address that a stranger published; empty where it may be."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return "it is an IPv4 address in the form of IPv6"
    if address.is_loopback:
        return "" if allow_loopback else "it is this machine's own, wherever it is read"
    if address.is_unspecified or (isinstance(address, IPv4Address) and address in _THIS_NETWORK):
        return "it stands for no host"
    if address.is_multicast or (isinstance(address, IPv4Address) and address.is_reserved):
        return "it is not the address of one host"
    if address.is_link_local:
        return "it is valid on one link only"
    return ""


def _ip_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _address_in(literal: str) -> IPv4Address | IPv6Address | None:
    """The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]`; None in a literal of another kind."""
    inner = literal.removeprefix("[").removesuffix("]")
    if inner[:5].lower() == "ipv6:":
        inner = inner[5:]
    return _ip_address(inner)


def _several(texts: Iterable[str]) -> str:
    """A list for people, its end left out where it is long."""
    listed = list(texts)
    more = len(listed) - _MAX_TOLD
    return ", ".join(listed[:_MAX_TOLD]) + (f" and {more} more" if more > 0 else "")
