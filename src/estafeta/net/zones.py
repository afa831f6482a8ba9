"""A resolver whose whole world is the text of a zone file (RFC 1035 §5), for tests and for machines without a DNS.

The text may hold several zones: `$ORIGIN` and `$TTL` as usual, and names without a dot at their end are below the
root until the first `$ORIGIN`. What is not in the text does not exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl
from dns.rdatatype import RdataType

from estafeta.net.dns import Answer, DnsStatus, MxRecord, TlsaRecord, failed
from estafeta.net.dnsmessage import MAX_CHAIN, name_of, records_of, text_of

_TTL = 300


class ZoneResolver:
    """The `Resolver` that is asked in place of the real one."""

    def __init__(
        self,
        text: str,
        *,
        failing: Collection[str] | Callable[[str, str], bool] = (),
        authentic: bool | Collection[str] = False,
    ) -> None:
        """Raises ValueError where the text is not a zone file.

        `failing` holds what nothing can be found out about: `mx.example.org`, or `mx.example.org AAAA` for one type,
        or it is asked with name and type. `authentic` says whether answers are, or of which names they are.
        """
        self.failing = failing
        self.authentic = authentic
        self.queries: Counter[tuple[str, str]] = Counter()
        """How often each name and type was asked for."""
        self.load(text)

    def load(self, text: str) -> None:
        """From now on this is what there is. Raises ValueError."""
        records = list(_read(text))
        self._sets: dict[tuple[dns.name.Name, RdataType], list[dns.rdata.Rdata]] = {}
        self._ttls: dict[tuple[dns.name.Name, RdataType], int] = {}
        self._names: set[dns.name.Name] = set()
        for owner, ttl, data in records:
            key = (owner, data.rdtype)
            self._sets.setdefault(key, []).append(data)
            self._ttls[key] = min(ttl, self._ttls.get(key, ttl))
            while owner not in self._names:  # RFC 8020 §2: what has a name below it exists
                self._names.add(owner)
                owner = owner.parent() if owner != dns.name.root else owner

    async def mx(self, name: str) -> Answer[MxRecord]:
        """See `Resolver`, as for all below."""
        return self._find(name, RdataType.MX)

    async def ipv4(self, name: str) -> Answer[str]:
        """Type A."""
        return self._find(name, RdataType.A)

    async def ipv6(self, name: str) -> Answer[str]:
        """Type AAAA."""
        return self._find(name, RdataType.AAAA)

    async def txt(self, name: str) -> Answer[str]:
        """Type TXT."""
        return self._find(name, RdataType.TXT)

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """Type TLSA."""
        return self._find(name, RdataType.TLSA)

    async def close(self) -> None:
        """Nothing is under way."""

    def _find(self, text: str, rdtype: RdataType) -> Answer[Any]:
        self.queries[text, rdtype.name] += 1
        name = name_of(text)
        if name is None:
            return Answer(DnsStatus.NO_NAME, (), text, False, _TTL, f"{text!r} is not a name that the DNS can hold")
        ttl, is_authentic = 2**31, True
        for _ in range(MAX_CHAIN + 1):
            at = text_of(name)
            is_authentic = is_authentic and self._is_authentic(at)
            if self._fails(at, rdtype.name):
                return failed(text, f"the DNS does not tell of {at}")
            found, alias = self._sets.get((name, rdtype)), self._sets.get((name, RdataType.CNAME))
            if found is not None:
                ttl = min(ttl, self._ttls[name, rdtype])
                return Answer(DnsStatus.FOUND, records_of(rdtype, found), at, is_authentic, ttl, "")
            if alias is None:
                ttl = min(ttl, self._denial_of(name))
                if name in self._names:
                    return Answer(DnsStatus.NO_DATA, (), at, is_authentic, ttl, f"{at} has no {rdtype.name} record")
                return Answer(DnsStatus.NO_NAME, (), at, is_authentic, ttl, f"{at} does not exist")
            ttl = min(ttl, self._ttls[name, RdataType.CNAME])
            name = alias[0].target  # type: ignore[attr-defined]
        return failed(text, f"the aliases of {text} go in a circle")

    def _fails(self, name: str, rdtype: str) -> bool:
        if callable(self.failing):
            return self.failing(name, rdtype)
        return name in self.failing or f"{name} {rdtype}" in self.failing

    def _is_authentic(self, name: str) -> bool:
        return self.authentic if isinstance(self.authentic, bool) else name in self.authentic

    def _denial_of(self, name: dns.name.Name) -> int:
        """Seconds that it holds that something is not there: by the SOA above (RFC 2308 §5)."""
        while True:
            for soa in self._sets.get((name, RdataType.SOA), ()):
                minimum: int = soa.minimum  # type: ignore[attr-defined]
                return min(self._ttls[name, RdataType.SOA], minimum)
            if name == dns.name.root:
                return _TTL
            name = name.parent()


def _read(text: str) -> Iterator[tuple[dns.name.Name, int, dns.rdata.Rdata]]:
    """Owner, TTL and data of each record."""
    tokens = dns.tokenizer.Tokenizer(text)
    try:
        yield from _records(tokens)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"near line {tokens.where()[1]}: {str(error) or type(error).__name__}") from error


def _records(tokens: dns.tokenizer.Tokenizer) -> Iterator[tuple[dns.name.Name, int, dns.rdata.Rdata]]:
    origin, usual_ttl, owner = dns.name.root, _TTL, dns.name.root
    while not (token := tokens.get(want_leading=True)).is_eof():
        if token.is_eol():
            continue
        if token.value == "$ORIGIN":
            origin = tokens.get_name(origin)
            tokens.get_eol()
            continue
        if token.value == "$TTL":
            usual_ttl = tokens.get_ttl()
            tokens.get_eol()
            continue
        if not token.is_whitespace():
            owner = tokens.as_name(token, origin)
            token = tokens.get()
        else:  # the owner of the line before; or an empty line
            token = tokens.get()
            if token.is_eol_or_eof():
                continue
        ttl = usual_ttl
        while (word := token.value).isdigit() or word.upper() == "IN":  # RFC 1035 §5.1: [TTL] [class] or [class] [TTL]
            ttl = int(word) if word.isdigit() else ttl
            token = tokens.get()
        data = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(word), tokens, origin, False)
        yield owner, ttl, data
