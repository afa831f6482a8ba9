"""MTA-STS: the policies by which domains say which hosts take their mail, and that TLS must hold (RFC 8461).

A TXT record says that there is a policy, and which; HTTPS brings it. What was fetched holds as long as it says, in
the store too, so that neither a restart nor somebody in between makes it forgotten. One fetch a domain at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import structlog

from estafeta.mail.address import AddressError, parse_domain
from estafeta.mail.tls_report import TlsFault, TlsResultKind
from estafeta.mail.value import value
from estafeta.net.dns import DnsStatus, Resolver
from estafeta.net.errors import TlsError
from estafeta.net.https import Https, HttpsError, HttpsUrl
from estafeta.store import sts as kept
from estafeta.store.errors import StoreClosed, StoreError
from estafeta.store.records import Instant
from estafeta.store.store import Store
from estafeta.store.sts import KeptPolicy

MAX_POLICY = 64 * 1024
"""Octets of a policy file (RFC 8461 §3.3)."""
FETCH_AFTER = 60.0
"""Seconds that fetching a policy may take (RFC 8461 §3.3)."""
LONGEST_AGE = 31_557_600
"""Seconds that a policy holds at most: about a year (RFC 8461 §3.2)."""
SHORTEST_AGE = 300
"""A policy that says less holds so long all the same: mail for the domain must not fetch it every time."""
REFRESH_AFTER = 86_400.0
"""A policy in use is fetched again after a day, also under the same id (RFC 8461 §3.3)."""
FAILED_AFTER = 300.0
"""How long a failed fetch is not tried again (RFC 8461 §3.3 has "five minutes or longer")."""
ABSENT_AFTER = 300.0
"""How long it is remembered that the store has no policy: most domains have none."""
_REMEMBERED = 5000
_FETCHES = 20

_log = structlog.get_logger("estafeta.routing.sts")

# RFC 8461 §3.1: sts-text-record, with the semicolon that must follow the version.
_RECORD = re.compile(r"v=STSv1[ \t]*;(.*)", re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_FIELD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_MAX_AGE = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class MtaStsSettings:
    """Whether the policies of MTA-STS are kept."""

    enabled: bool = True
    """Ask for the policies of other domains, and keep them (RFC 8461)."""


class StsMode(StrEnum):
    """What a policy asks for (RFC 8461 §5)."""

    ENFORCE = "enforce"
    """No mail to hosts that do not fit."""
    TESTING = "testing"
    """Mail as without a policy, but failures are reported."""
    NONE = "none"
    """There was a policy, and is none any more."""


class StsError(ValueError):
    """What was fetched is no policy; the message says why."""


@value
class StsPolicy:
    """A policy (RFC 8461 §3.2)."""

    mode: StsMode
    mx: tuple[str, ...]
    """Names of hosts in lower case, also as `*.example.org`, where the asterisk is one label."""
    max_age: int
    """Seconds, as the policy says."""

    @staticmethod
    def parse(text: str) -> StsPolicy:
        """Read a policy file; unknown fields are passed over. Raises StsError."""
        fields: dict[str, str] = {}
        hosts: list[str] = []
        for line in text.replace("\r\n", "\n").split("\n"):
            if not line.strip(" \t"):
                continue
            name, colon, value = line.partition(":")
            if not colon or not _FIELD_NAME.fullmatch(name):
                raise StsError("a line is no field")
            value = value.strip(" \t")
            if name == "mx":
                hosts.append(_mx_pattern(value))
            else:
                # RFC 8461 §3.2: of fields said twice, all but the first are ignored.
                fields.setdefault(name, value)
        if fields.get("version") != "STSv1":
            raise StsError("not a policy of version STSv1")
        try:
            mode = StsMode(fields.get("mode", ""))
        except ValueError:
            raise StsError("no known mode") from None
        age = fields.get("max_age", "")
        if not _MAX_AGE.fullmatch(age):
            raise StsError("no max_age in seconds")
        if not hosts and mode is not StsMode.NONE:
            raise StsError("no mx")
        return StsPolicy(mode, tuple(dict.fromkeys(hosts)), int(age))

    @property
    def lines(self) -> tuple[str, ...]:
        """The policy in its lines, without what was passed over."""
        return (
            "version: STSv1",
            f"mode: {self.mode}",
            *(f"mx: {pattern}" for pattern in self.mx),
            f"max_age: {self.max_age}",
        )

    @property
    def holds_for(self) -> float:
        """Seconds that the policy holds after it was fetched."""
        return float(min(max(self.max_age, SHORTEST_AGE), LONGEST_AGE))

    def allows(self, host: str) -> bool:
        """Whether a host may take the mail (RFC 8461 §4.1)."""
        name = host.lower().removesuffix(".")
        _, dot, parent = name.partition(".")
        return name in self.mx or (bool(dot) and f"*.{parent}" in self.mx)


def _mx_pattern(text: str) -> str:
    wildcard = "*." if text.startswith("*.") else ""
    try:
        name = parse_domain(text.removeprefix("*."))
    except AddressError as error:
        raise StsError(f"an mx is no host: {error}") from error
    if name.startswith("["):
        raise StsError("an mx is no host: it is an address")
    return wildcard + name


def policy_id(records: tuple[str, ...]) -> str | None:
    """The id of the one record that announces a policy; None when there is none, or several (RFC 8461 §3.1)."""
    found = [match for match in map(_RECORD.fullmatch, records) if match is not None]
    if len(found) != 1:
        return None
    for field in found[0][1].split(";"):
        name, equals, value = field.strip(" \t").partition("=")
        if equals and name == "id":
            return value if _ID.fullmatch(value) else None
    return None


@value
class StsAnswer:
    """What is known of a domain's policy."""

    policy: StsPolicy | None
    """The policy that holds; None where there is none, or it says so itself (mode none)."""
    fault: TlsFault | None = None
    """Why a policy that was announced could not be had, for the report to the domain."""
    is_uncertain: bool = False
    """There may be a policy all the same: the DNS or the domain's server did not answer."""


NO_POLICY = StsAnswer(None)


@value
class _Known:
    policy_id: str
    policy: StsPolicy
    expires_at: float

    @property
    def fetched_at(self) -> float:
        return self.expires_at - self.policy.holds_for


@value
class _Failed:
    fault: TlsFault
    until: float


_Entry = TypeVar("_Entry", _Known, _Failed, float)


class StsPolicies:
    """Finds the policy of a domain. `clock` gives seconds since 1970."""

    def __init__(self, resolver: Resolver, https: Https, store: Store, *, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._https = https
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._failed: OrderedDict[str, _Failed] = OrderedDict()
        self._fetches: dict[str, asyncio.Task[StsAnswer]] = {}
        self._places = asyncio.Semaphore(_FETCHES)

    async def find(self, domain: str) -> StsAnswer:
        """The policy for mail to a domain (lower case, A-labels); never raises."""
        announced = await self._resolver.txt(f"_mta-sts.{domain}")
        known = await self._recall(domain)
        wanted = policy_id(announced.records) if announced.status is DnsStatus.FOUND else None
        if wanted is None:
            # RFC 8461 §5.1: a policy holds for its time, whatever the DNS says meanwhile.
            if known is None and announced.status is DnsStatus.FAILED:
                return StsAnswer(None, is_uncertain=True)
            return _answer(known)
        failed = self._failed.get(domain)
        is_failed = failed is not None and failed.until > self._clock()
        if known is not None and wanted == known.policy_id:
            if known.fetched_at + REFRESH_AFTER <= self._clock() and not is_failed:
                self._fetch(domain, wanted)
            return _answer(known)
        if failed is not None and is_failed:
            return _answer(known) if known is not None else _unfetched(failed.fault)
        return await asyncio.shield(self._fetch(domain, wanted))

    async def close(self) -> None:
        """End what is being fetched."""
        fetches = list(self._fetches.values())
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)

    async def _recall(self, domain: str) -> _Known | None:
        """The policy that holds, from memory or the store."""
        now = self._clock()
        known = self._known.get(domain)
        if known is not None and known.expires_at > now:
            self._known.move_to_end(domain)
            return known
        if self._absent.get(domain, 0.0) > now:
            return None
        return await self._recall_kept(domain)

    async def _recall_kept(self, domain: str) -> _Known | None:
        """The policy in the store, which another process may have put there."""
        now = self._clock()
        try:
            found = await self._store.read(lambda tx: kept.find(tx, domain, now=Instant(now)))
            if found is not None:
                known = _Known(found.policy_id, StsPolicy.parse(found.text), found.expires_at)
                _remember(self._known, domain, known)
                return known
        except (StoreError, StsError) as error:
            _log.error("a policy of MTA-STS cannot be read", domain=domain, reason=str(error))
            return None
        _remember(self._absent, domain, now + ABSENT_AFTER)
        return None

    def _fetch(self, domain: str, wanted: str) -> asyncio.Task[StsAnswer]:
        """Begin to fetch, or join a fetch under way."""
        task = self._fetches.get(domain)
        if task is None:
            task = self._fetches[domain] = asyncio.create_task(self._renew(domain, wanted))
            task.add_done_callback(lambda _: self._fetches.pop(domain, None))
        return task

    async def _renew(self, domain: str, wanted: str) -> StsAnswer:
        known = await self._recall_kept(domain) or await self._recall(domain)
        now = self._clock()
        if known is not None and known.policy_id == wanted and known.fetched_at + REFRESH_AFTER > now:
            return _answer(known)  # another process has fetched it
        try:
            async with self._places:
                policy = await self._get(domain)
        except (HttpsError, StsError, TlsError) as error:
            # RFC 8461 §3.3: a policy that still holds goes on to; without one there is none.
            fault = TlsFault(_kind(error), str(error))
            _log.info("no policy of MTA-STS", domain=domain, reason=str(error))
            _remember(self._failed, domain, _Failed(fault, self._clock() + FAILED_AFTER))
            return _answer(known) if known is not None else _unfetched(fault)
        now = self._clock()
        self._failed.pop(domain, None)
        known = _Known(wanted, policy, now + policy.holds_for)
        _remember(self._known, domain, known)
        text = "\n".join(policy.lines)
        keeping = KeptPolicy(wanted, text, Instant(known.expires_at))
        with contextlib.suppress(StoreClosed):
            self._store.write_later(lambda tx: kept.keep(tx, domain, keeping, now=Instant(now)))
        return _answer(known)

    async def _get(self, domain: str) -> StsPolicy:
        url = HttpsUrl(f"mta-sts.{domain}", None, "/.well-known/mta-sts.txt")
        answer = await self._https.get(url, limit=MAX_POLICY, timeout=FETCH_AFTER)
        # RFC 8461 §3.3: redirects are not followed, and only 200 is a policy.
        if answer.status != 200:
            raise HttpsError(f"{url.host} answers {answer.status}")
        if answer.media_type != "text/plain":
            raise StsError(f"the policy is {answer.media_type or 'of no type'}, not text/plain"[:200])
        try:
            return StsPolicy.parse(answer.body.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise StsError("the policy is not UTF-8") from error


def _answer(known: _Known | None) -> StsAnswer:
    return NO_POLICY if known is None or known.policy.mode is StsMode.NONE else StsAnswer(known.policy)


def _unfetched(fault: TlsFault) -> StsAnswer:
    return StsAnswer(None, fault, is_uncertain=fault.kind is TlsResultKind.STS_POLICY_FETCH_ERROR)


def _kind(error: HttpsError | StsError | TlsError) -> TlsResultKind:
    if isinstance(error, StsError):
        return TlsResultKind.STS_POLICY_INVALID
    if isinstance(error, TlsError):
        return TlsResultKind.STS_WEBPKI_INVALID
    return TlsResultKind.STS_POLICY_FETCH_ERROR


def _remember(memory: OrderedDict[str, _Entry], domain: str, entry: _Entry) -> None:
    memory[domain] = entry
    memory.move_to_end(domain)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
