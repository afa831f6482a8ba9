"""The resolver: a cache by TTL before the servers that are asked, and one question under way for all who wait.

RFC 1034 §3.6.2 (aliases), RFC 2308 (negative answers), RFC 4035 §3.2.3 (the flag AD), RFC 7672 §2.2 (who is believed).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.name
import dns.rcode
from dns.rdatatype import RdataType

from estafeta.mail.value import value
from estafeta.net.dns import Answer, DnsSettings, DnsStatus, MxRecord, TlsaRecord, TrustAd, failed
from estafeta.net.dnsmessage import MAX_CHAIN, Record, Response, name_of, records_of, text_of
from estafeta.net.nameservers import RESOLV_CONF, NameserverError, Nameservers

_DAY = 86_400
# RFC 2308 §5: one to three hours work well. The least of it: a name made in haste works within the hour.
_LONGEST_DENIAL = 3600
# That what the servers did is told, and not only that time is over.
_MARGIN = 0.5
# The cache counts an answer as one entry for each so many octets of its messages.
_ENTRY = 512

_Key = tuple[str, RdataType]


@value
class _Kept:
    answer: Answer[Any]
    until: float
    weight: int


class DnsResolver:
    """Asks DNS servers; answers are kept by their TTL, and a question under way is asked once for all who wait."""

    def __init__(
        self, settings: DnsSettings, monotonic: Callable[[], float], *, resolv_conf: Path = RESOLV_CONF
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._servers = Nameservers(
            settings.servers,
            port=settings.port,
            timeout=settings.timeout,
            tries=settings.tries,
            monotonic=monotonic,
            resolv_conf=resolv_conf,
        )
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._weight = 0
        self._under_way: dict[_Key, asyncio.Task[Answer[Any]]] = {}
        self._is_closed = False

    async def mx(self, name: str) -> Answer[MxRecord]:
        """See `Resolver`, as for all below."""
        return await self._find(name, RdataType.MX)

    async def ipv4(self, name: str) -> Answer[str]:
        """Type A."""
        return await self._find(name, RdataType.A)

    async def ipv6(self, name: str) -> Answer[str]:
        """Type AAAA."""
        return await self._find(name, RdataType.AAAA)

    async def txt(self, name: str) -> Answer[str]:
        """Type TXT."""
        return await self._find(name, RdataType.TXT)

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """Type TLSA."""
        return await self._find(name, RdataType.TLSA)

    async def close(self) -> None:
        """Those who wait get a failure."""
        self._is_closed = True
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, name: str, rdtype: RdataType) -> Answer[Any]:
        key = (name.lower().removesuffix("."), rdtype)
        kept = self._kept.get(key)
        if kept is not None and (left := kept.until - self._monotonic()) > 0:
            self._kept.move_to_end(key)
            return replace(kept.answer, ttl=left)
        if self._is_closed:
            return failed(key[0], "the server is being stopped")
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._resolve(key), name=f"dns {key[0]}")
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # A waiter that goes away takes nothing from the others.
        await asyncio.wait((task,))
        return failed(key[0], "the server is being stopped") if task.cancelled() else task.result()

    async def _resolve(self, key: _Key) -> Answer[Any]:
        text, rdtype = key
        name = name_of(text)
        if name is None:
            return Answer(DnsStatus.NO_NAME, (), text, False, _DAY, f"{text!r} is not a name that the DNS can hold")
        walk = _Walk(self._servers, name, rdtype, self._believes_ad())
        try:
            async with asyncio.timeout(self._servers.longest_wait + _MARGIN):
                answer = await walk.to_the_end()
        except TimeoutError:
            answer = failed(text, f"no answer within {self._servers.longest_wait:g} seconds")
        except NameserverError as error:
            answer = failed(text, f"the DNS does not tell of {text} ({error})")
        self._keep(key, answer, 1 + walk.size // _ENTRY)
        return answer

    # Not done of RFC 4035 §5: signatures are not checked here; that is for the server that is asked.
    def _believes_ad(self) -> bool:
        # RFC 7672 §2.2: only a resolver that nobody else can speak for.
        if self._settings.trust_ad is TrustAd.LOOPBACK:
            return self._servers.are_local
        return self._settings.trust_ad is TrustAd.ALWAYS

    def _keep(self, key: _Key, answer: Answer[Any], weight: int) -> None:
        before = self._kept.pop(key, None)
        self._weight -= before.weight if before is not None else 0
        if answer.ttl <= 0:
            return
        self._kept[key] = _Kept(answer, self._monotonic() + answer.ttl, weight)
        self._weight += weight
        while self._weight > self._settings.cache_entries:
            _, oldest = self._kept.popitem(last=False)
            self._weight -= oldest.weight


class _Walk:
    """From a name along its CNAMEs to the records, in as few questions as the servers' answers allow."""

    def __init__(self, servers: Nameservers, name: dns.name.Name, rdtype: RdataType, believes_ad: bool) -> None:
        self._servers = servers
        self._name = name
        self._rdtype = rdtype
        self._believes_ad = believes_ad
        self._passed = {name}
        self._is_authentic = believes_ad
        self._ttl = _DAY
        self.size = 0

    async def to_the_end(self) -> Answer[Any]:
        """The answer; raises NameserverError."""
        start = text_of(self._name)
        while True:
            response = await self._servers.ask(self._name, self._rdtype, wants_ad=self._believes_ad)
            self.size += response.size
            # RFC 4035 §3.2.3: AD speaks for the whole of answer and authority.
            self._is_authentic = self._is_authentic and response.is_authentic
            asked = self._name
            if not self._follow(response):
                return failed(start, f"the aliases of {start} go in a circle, or on for more than {MAX_CHAIN}")
            found = [each for each in response.answers if each.owner == self._name and each.rdtype == self._rdtype]
            if found and response.rcode == dns.rcode.NXDOMAIN:
                return failed(start, f"the DNS says of {text_of(self._name)} that it exists and that it does not")
            if found:
                self._hold_for(*(record.ttl for record in found))
                return self._ended(DnsStatus.FOUND, records_of(self._rdtype, (each.data for each in found)), "")
            if response.rcode == dns.rcode.NXDOMAIN:  # RFC 6604 §2: of the last name in the chain
                self._deny(response.soa)
                return self._ended(DnsStatus.NO_NAME, (), f"{text_of(self._name)} does not exist")
            if asked == self._name or response.soa is not None:
                self._deny(response.soa)
                detail = f"{text_of(self._name)} has no {self._rdtype.name} record"
                return self._ended(DnsStatus.NO_DATA, (), detail)
            # The chain leaves what the server told.

    def _follow(self, response: Response) -> bool:
        """Go along the CNAMEs of the response (RFC 1034 §3.6.2); False in a circle."""
        aliases: dict[dns.name.Name, Record] = {}
        for record in response.answers:
            if record.rdtype == RdataType.CNAME:
                aliases.setdefault(record.owner, record)
        while (alias := aliases.get(self._name)) is not None:
            self._hold_for(alias.ttl)
            target: dns.name.Name = alias.data.target  # type: ignore[attr-defined]
            if target in self._passed or len(self._passed) > MAX_CHAIN:
                return False
            self._passed.add(target)
            self._name = target
        return True

    def _deny(self, soa: Record | None) -> None:
        # RFC 2308 §5: the lesser of the SOA's TTL and its last field; not kept at all without a SOA.
        if soa is None:
            self._ttl = 0
        else:
            self._hold_for(soa.ttl, soa.data.minimum, _LONGEST_DENIAL)  # type: ignore[attr-defined]

    def _hold_for(self, *ttls: int) -> None:
        self._ttl = min(self._ttl, *ttls)

    def _ended(self, status: DnsStatus, records: tuple[Any, ...], detail: str) -> Answer[Any]:
        return Answer(status, records, text_of(self._name), self._is_authentic, self._ttl, detail)
