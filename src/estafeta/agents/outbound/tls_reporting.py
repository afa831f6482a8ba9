"""Counting how TLS went with other hosts, and the daily reports to the domains that ask for them (RFC 8460).

Sessions are counted in memory and written now and then, not one by one. Each report leaves the store before it is
sent, and comes back only when nobody took it, so that no crash sends it twice.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from urllib.parse import unquote

import structlog

from estafeta.client.errors import Refused, TlsNotOffered
from estafeta.mail.address import Address, AddressError, ForwardPath, ReversePath
from estafeta.mail.envelope import Notify, Recipient, Sender
from estafeta.mail.tls_report import (
    AppliedPolicy,
    ReportFacts,
    TlsFailure,
    TlsFault,
    TlsResultKind,
    compressed,
    report_json,
    report_mail,
)
from estafeta.mail.value import value
from estafeta.net.dns import DnsStatus, Resolver
from estafeta.net.errors import TlsError
from estafeta.net.https import Https, HttpsError, HttpsUrl
from estafeta.net.tls import CertificateRefused
from estafeta.routing.security import HostDemand, fault_of_certificate
from estafeta.store import tls_results
from estafeta.store.errors import StoreClosed
from estafeta.store.store import Store, Transaction
from estafeta.store.tls_results import TlsResult

FLUSH_AFTER = 10.0
"""Seconds after which counts are written: what a crash may lose of them."""
FLUSH_SESSIONS = 1000
"""Sessions after which counts are written sooner."""
MAX_ENDPOINTS = 5
"""Places that one domain's report goes to."""
REPORT_AFTER = 3600
"""Seconds after the end of a day before its first reports: late counts of other processes are in then."""
REPORT_SPREAD = 4 * 3600
"""Seconds over which reports are spread, each domain at its own time (RFC 8460 §4.1)."""
KEPT_DAYS = 2
"""Full days after the day reported on in which a report is tried: 24 hours and more (RFC 8460 §5.5)."""
POST_AFTER = 30.0
"""Seconds for handing a report in by HTTPS."""
_DAY = 86_400
_MAX_ANSWER = 16 * 1024
_AT_ONCE = 8
_BATCH = 100

Submit = Callable[[Sender, tuple[Recipient, ...], bytes], Awaitable[None]]
"""Takes a mail object in for delivery; whatever it raises, the report is tried again later."""

_log = structlog.get_logger("estafeta.agents.tls_reporting")

# RFC 8460 §3: tlsrpt-record, with the semicolon that must follow the version.
_RECORD = re.compile(r"v=TLSRPTv1[ \t]*;(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TlsReportSettings:
    """Whether other domains are told how TLS with their hosts went."""

    enabled: bool = True
    """Count sessions, and send daily reports to the domains that ask for them (RFC 8460)."""
    contact: str = ""
    """The mail address in reports and of their sender; postmaster at the hostname when empty."""
    organization: str = ""
    """The name in reports of who runs this server; the hostname when empty."""


def fault_of(error: BaseException) -> TlsFault | None:
    """What a report says of a connection that failed; None when that had nothing to do with TLS."""
    if isinstance(error, CertificateRefused):
        return fault_of_certificate(error)
    if isinstance(error, TlsError):
        return TlsFault(TlsResultKind.VALIDATION_FAILURE, str(error))
    if isinstance(error, TlsNotOffered):
        return TlsFault(TlsResultKind.STARTTLS_NOT_SUPPORTED)
    if isinstance(error, Refused) and error.what == "STARTTLS":
        return TlsFault(TlsResultKind.STARTTLS_NOT_SUPPORTED, str(error.reply))
    return None


@value
class Endpoints:
    """Where a domain wants its reports."""

    addresses: tuple[Address, ...]
    urls: tuple[HttpsUrl, ...]


NOWHERE = Endpoints((), ())


def endpoints(records: tuple[str, ...]) -> Endpoints:
    """Read the TXT records of `_smtp._tls.<domain>` (RFC 8460 §3); what cannot be read or used is passed over."""
    found = [match for match in map(_RECORD.fullmatch, records) if match is not None]
    if len(found) != 1:
        return NOWHERE
    for field in found[0][1].split(";"):
        name, equals, value = field.strip(" \t").partition("=")
        if equals and name.rstrip(" \t") == "rua":
            return _uris(value.split(",", MAX_ENDPOINTS)[:MAX_ENDPOINTS])
    return NOWHERE


def _uris(texts: list[str]) -> Endpoints:
    addresses: dict[Address, None] = {}
    urls: dict[HttpsUrl, None] = {}
    for text in texts:
        scheme, _, rest = text.strip(" \t").partition(":")
        try:
            if scheme.lower() == "mailto":
                address = Address.parse(unquote(rest.partition("?")[0]))
                if address.is_ascii:
                    addresses[address] = None
            elif scheme.lower() == "https":
                urls[HttpsUrl.parse(text.strip(" \t"))] = None
        except (AddressError, HttpsError):
            continue
    return Endpoints(tuple(addresses), tuple(urls))


@lru_cache(maxsize=1024)
def _policy_text(policy: AppliedPolicy) -> str:
    return policy.text()


class TlsReporter:
    """Counts sessions and sends reports. `clock` gives seconds since 1970.

    Raises AddressError when the contact of the settings is no address.
    """

    def __init__(
        self,
        settings: TlsReportSettings,
        *,
        hostname: str,
        store: Store,
        resolver: Resolver,
        https: Https,
        submit: Submit,
        clock: Callable[[], float],
    ) -> None:
        self._hostname = hostname
        self._organization = settings.organization or hostname
        self._contact = Address.parse(settings.contact or f"postmaster@{hostname}")
        self._is_enabled = settings.enabled
        self._store = store
        self._resolver = resolver
        self._https = https
        self._submit = submit
        self._clock = clock
        self._counts: Counter[tuple[int, str, str, str]] = Counter()
        self._gathered = 0
        self._timer: asyncio.TimerHandle | None = None

    # Counting

    def record(
        self,
        domain: str,
        demand: HostDemand,
        *,
        host: str,
        receiving_ip: str = "",
        sending_ip: str = "",
        fault: TlsFault | None = None,
    ) -> None:
        """Count a session with a host of a domain, or the try at one: without a fault, TLS was had as demanded.

        What the demand itself has to tell counts as a failure where there is no other.
        """
        if not self._is_enabled or domain.startswith("["):
            return
        told = fault or demand.fault
        failure = "" if told is None else TlsFailure(told, sending_ip, host, receiving_ip).text()
        self._counts[int(self._clock()) // _DAY, domain, _policy_text(demand.policy), failure] += 1
        self._gathered += 1
        if self._gathered >= FLUSH_SESSIONS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        """Have written what was counted; to be called at the end too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._counts:
            return
        by_domain: dict[tuple[int, str], list[TlsResult]] = {}
        for (day, domain, policy, failure), sessions in self._counts.items():
            by_domain.setdefault((day, domain), []).append(TlsResult(policy, failure, sessions))
        self._counts = Counter()
        self._gathered = 0

        def change(tx: Transaction) -> None:
            for (day, domain), results in by_domain.items():
                tls_results.count(tx, day, domain, results)

        try:
            self._store.write_later(change)
        except StoreClosed:
            _log.warning("counts for TLS reports are lost", sessions=sum(map(len, by_domain.values())))

    # Reporting

    # Not done of RFC 8460 §3: reports by mail are not signed.
    # Departs from RFC 8460: sessions that carry reports are counted too.
    async def report(self) -> int:
        """Send the reports that are due and not sent yet; gives how many were. To be called every hour or so.

        Raises StoreError.
        """
        now = self._clock()
        today = int(now) // _DAY
        await self._store.write(lambda tx: tls_results.remove_before(tx, today - KEPT_DAYS))
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(day: int, domain: str) -> bool:
            async with places:
                return await self._report(day, domain)

        sent = 0
        after = (-1, "")
        while True:
            batch = await self._store.read(partial(tls_results.due, before=today, after=after, limit=_BATCH))
            if not batch:
                return sent
            due = [(day, domain) for day, domain in batch if now >= _due_at(day, domain)]
            sent += sum(await asyncio.gather(*(one(day, domain) for day, domain in due)))
            after = batch[-1]

    async def _report(self, day: int, domain: str) -> bool:
        answer = await self._resolver.txt(f"_smtp._tls.{domain}")
        if answer.status is DnsStatus.FAILED:
            return False
        wanted = endpoints(answer.records)
        results = await self._store.write(lambda tx: tls_results.take(tx, day, domain))
        if not results or wanted == NOWHERE:
            return False
        facts = ReportFacts(self._organization, str(self._contact), self._hostname, domain, day)
        rows = [(result.policy, result.failure, result.sessions) for result in results]
        packed = await asyncio.to_thread(lambda: compressed(report_json(facts, rows)))
        # RFC 8460 §3: each may be tried, and one that takes it is enough.
        took = [await self._post(url, packed) for url in wanted.urls]
        took += [await self._mail(address, facts, packed) for address in wanted.addresses]
        if any(took):
            _log.info("TLS report sent", domain=domain, day=day, endpoints=sum(took))
            return True
        await self._store.write(lambda tx: tls_results.count(tx, day, domain, results))
        return False

    async def _post(self, url: HttpsUrl, packed: bytes) -> bool:
        try:
            answer = await self._https.post(
                url, "application/tlsrpt+gzip", packed, limit=_MAX_ANSWER, timeout=POST_AFTER
            )
        except (HttpsError, TlsError) as error:
            _log.info("TLS report not taken", endpoint=f"https://{url.host}", reason=str(error))
            return False
        is_taken = 200 <= answer.status < 300
        if not is_taken:
            _log.info("TLS report not taken", endpoint=f"https://{url.host}", reason=f"status {answer.status}")
        return is_taken

    async def _mail(self, address: Address, facts: ReportFacts, packed: bytes) -> bool:
        octets = report_mail(facts, packed, to=address, at=self._clock())
        recipient = Recipient(ForwardPath(address), notify=frozenset({Notify.NEVER}))
        try:
            await self._submit(Sender(ReversePath(self._contact)), (recipient,), octets)
        except Exception as error:  # whatever it is, other reports go on
            _log.error("TLS report not handed in", endpoint=f"mailto:{address}", reason=str(error))
            return False
        return True


def _due_at(day: int, domain: str) -> int:
    return (day + 1) * _DAY + REPORT_AFTER + zlib.crc32(domain.encode()) % REPORT_SPREAD
