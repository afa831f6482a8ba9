"""Sessions are counted in a real store, and reported to the domains that ask for it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from tests.net.webserver import WebServer, answer, serving

from estafeta.agents.outbound.tls_reporting import (
    FLUSH_SESSIONS,
    KEPT_DAYS,
    MAX_ENDPOINTS,
    NOWHERE,
    Endpoints,
    TlsReporter,
    TlsReportSettings,
    endpoints,
    fault_of,
)
from estafeta.client.errors import Refused, TlsNotOffered
from estafeta.mail.address import Address, AddressError
from estafeta.mail.envelope import Notify, Recipient, Sender
from estafeta.mail.reply import Reply
from estafeta.mail.tls_report import AppliedPolicy, PolicyKind, TlsFault, TlsResultKind
from estafeta.net.errors import ConnectionLost, TlsError
from estafeta.net.https import HttpsUrl
from estafeta.net.tls import CertificateFault, CertificateRefused
from estafeta.routing.security import HostDemand, TlsLevel
from estafeta.store import tls_results
from estafeta.store.store import Store, open_store
from estafeta.store.tls_results import TlsResult

DAY = 86_400
TODAY = 20_000
NOON = TODAY * DAY + DAY / 2
AN_HOUR = 3600.0

DEMAND = HostDemand(TlsLevel.MAY, "", "mx.example.org", AppliedPolicy(PolicyKind.NONE, "example.org"))
STS = AppliedPolicy(PolicyKind.STS, "example.org", ("version: STSv1", "mode: enforce"), ("mx.example.org",))
ENFORCED = HostDemand(TlsLevel.VERIFY, "", "mx.example.org", STS)
EXPIRED = TlsFault(TlsResultKind.CERTIFICATE_EXPIRED, "certificate has expired")

ZONE = """
_smtp._tls.example.org. TXT "v=TLSRPTv1; rua=mailto:tls@reports.example"
_smtp._tls.example.net. TXT "v=TLSRPTv1;rua=https://in.example.net/v1/tls"
_smtp._tls.both.example. TXT "v=TLSRPTv1; rua=https://in.example.net/x,mailto:tls@reports.example"
in.example.net. A 127.0.0.1
"""


# What is told of what went wrong


@pytest.mark.rfc("8460 §4.3", "A failure has the name that reports have for it.")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CertificateRefused(CertificateFault.NAME, "x"), TlsResultKind.CERTIFICATE_HOST_MISMATCH),
        (CertificateRefused(CertificateFault.EXPIRED, "x"), TlsResultKind.CERTIFICATE_EXPIRED),
        (CertificateRefused(CertificateFault.UNTRUSTED, "x"), TlsResultKind.CERTIFICATE_NOT_TRUSTED),
        (CertificateRefused(CertificateFault.TLSA, "x"), TlsResultKind.TLSA_INVALID),
        (TlsError("wrong version number"), TlsResultKind.VALIDATION_FAILURE),
        (TlsNotOffered("no"), TlsResultKind.STARTTLS_NOT_SUPPORTED),
        (Refused("STARTTLS", Reply.of(454, "not now", "4.7.0")), TlsResultKind.STARTTLS_NOT_SUPPORTED),
        (Refused("hello", Reply.of(550, "go away")), None),
        (ConnectionLost("reset"), None),
    ],
)
def test_a_failure_has_the_name_that_reports_have_for_it(error: Exception, kind: TlsResultKind | None) -> None:
    told = fault_of(error)
    assert (None if told is None else told.kind) is kind


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CertificateRefused(CertificateFault.TLSA, "no TLSA record matches it"), "no TLSA record matches it"),
        (TlsError("wrong version number"), "wrong version number"),
        (Refused("STARTTLS", Reply.of(454, "not now", "4.7.0")), "454 4.7.0 not now"),
    ],
)
def test_the_reason_is_told_with_it(error: Exception, reason: str) -> None:
    told = fault_of(error)
    assert told is not None and told.reason == reason


# Where reports go


MAILTO = Endpoints((Address("tls", "example.org"),), ())


@pytest.mark.rfc("8460 §3", "A record says where reports go.")
@pytest.mark.parametrize(
    ("records", "found"),
    [
        (("v=TLSRPTv1; rua=mailto:tls@example.org",), MAILTO),
        (("v=TLSRPTv1;rua=mailto:tls@example.org;",), MAILTO),
        (("v=TLSRPTv1 ; x=1; rua = MAILTO:tls@example.org?subject=x ;",), MAILTO),
        (("v=spf1 -all", "v=TLSRPTv1; rua=mailto:tls@example.org"), MAILTO),
        (("v=TLSRPTv1; rua=mailto:tls@example.org, mailto:tls@example.org,ftp://x/,mailto:,https://",), MAILTO),
        (("v=TLSRPTv1; rua=mailto:t%6Cs%40example.org",), MAILTO),
        (("v=TLSRPTv1; rua=https://in.example.org/x",), Endpoints((), (HttpsUrl("in.example.org", None, "/x"),))),
        ((), NOWHERE),
        (("v=TLSRPTv1",), NOWHERE),
        (("v=TLSRPTv1;",), NOWHERE),
        (("v=TLSRPTv2; rua=mailto:tls@example.org",), NOWHERE),
        (("v=TLSRPTv1; rua=mailto:ä@example.org",), NOWHERE),
        (("v=TLSRPTv1; rua=mailto:tls@example.org%0D%0ABcc: x@example.org",), NOWHERE),
        (("v=TLSRPTv1; rua=http://in.example.org/x",), NOWHERE),
        (("v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@d.example"), NOWHERE),
    ],
)
def test_a_record_says_where_reports_go(records: tuple[str, ...], found: Endpoints) -> None:
    assert endpoints(records) == found


def test_only_so_many_places_are_told() -> None:
    many = ",".join(f"mailto:tls{number}@example.org" for number in range(1000))
    assert len(endpoints((f"v=TLSRPTv1; rua={many}",)).addresses) == MAX_ENDPOINTS


# Counting and reporting


@dataclass
class Office:
    """A reporter with all it needs, and what it hands in."""

    server: WebServer
    store: Store
    now: float = NOON
    handed_in: list[tuple[Sender, tuple[Recipient, ...], bytes]] = field(default_factory=list)
    failure: Exception | None = None

    def reporter(self, settings: TlsReportSettings | None = None) -> TlsReporter:
        return TlsReporter(
            settings or TlsReportSettings(contact="tls@mail.example.com", organization="Example & Co"),
            hostname="mail.example.com",
            store=self.store,
            resolver=self.server.resolver,
            https=self.server.https,
            submit=self.submit,
            clock=lambda: self.now,
        )

    async def submit(self, sender: Sender, recipients: tuple[Recipient, ...], octets: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.handed_in.append((sender, recipients, octets))

    async def counted(self, domain: str, day: int = TODAY) -> list[TlsResult]:
        def look(tx: Any) -> list[TlsResult]:
            found = tls_results.take(tx, day, domain)
            tls_results.count(tx, day, domain, found)
            return found

        return await self.store.write(look)

    async def some(self, reporter: TlsReporter, *domains: str) -> None:
        """Two sessions with each domain, one of which failed."""
        for domain in domains:
            reporter.record(domain, ENFORCED, host="mx.example.org")
            reporter.record(
                domain,
                ENFORCED,
                host="mx.example.org",
                receiving_ip="192.0.2.1",
                sending_ip="192.0.2.9",
                fault=EXPIRED,
            )
        reporter.flush()
        await self.store.write(lambda tx: None)


def at(day: int, hour: float) -> float:
    return (TODAY + day) * DAY + hour * AN_HOUR


Open = Callable[..., AbstractAsyncContextManager[Office]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("web")
    return path


@pytest.fixture
def open_office(folder: Path, tmp_path: Path) -> Iterator[Open]:
    @asynccontextmanager
    async def opened(says: bytes = answer("", status="201 Created")) -> AsyncIterator[Office]:
        store = open_store(tmp_path / "data", clock=lambda: NOON)
        try:
            async with serving(folder, ["in.example.net"], ZONE, says) as server:
                yield Office(server, store)
        finally:
            store.close()

    yield opened


def run(main: Any) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main

    asyncio.run(bounded())


def test_sessions_are_gathered_and_written_together(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            for number in range(FLUSH_SESSIONS - 1):
                reporter.record("example.org", DEMAND, host="mx.example.org", fault=EXPIRED if number < 10 else None)
            assert await office.counted("example.org") == []
            reporter.record("example.org", ENFORCED, host="mx.example.org")
            sts, good, bad = await office.counted("example.org")
            assert (good.sessions, bad.sessions, sts.sessions) == (FLUSH_SESSIONS - 11, 10, 1)
            assert (good.failure, sts.failure) == ("", "") and "certificate-expired" in bad.failure
            assert json.loads(sts.policy)["policy-type"] == "sts"
            # What comes after is added when the reporter ends.
            reporter.record("example.org", ENFORCED, host="mx.example.org")
            reporter.flush()
            assert (await office.counted("example.org"))[0].sessions == 2
            reporter.flush()

    run(main())


def test_after_some_seconds_a_few_are_written_too(open_office: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("estafeta.agents.outbound.tls_reporting.FLUSH_AFTER", 0.01)

    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            reporter.record("example.org", DEMAND, host="mx.example.org")
            while not await office.counted("example.org"):
                pass

    run(main())


def test_a_session_counts_for_the_day_it_was_on(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            office.now = at(1, 0) - 0.5
            reporter.record("example.org", DEMAND, host="mx.example.org")
            office.now = at(1, 0)
            reporter.record("example.org", DEMAND, host="mx.example.org")
            reporter.flush()
            assert [one.sessions for one in await office.counted("example.org", TODAY)] == [1]
            assert [one.sessions for one in await office.counted("example.org", TODAY + 1)] == [1]

    run(main())


def test_what_a_demand_has_to_tell_is_a_failure_unless_there_is_another(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            told = TlsFault(TlsResultKind.STS_POLICY_FETCH_ERROR, "answers 404")
            demand = HostDemand(TlsLevel.MAY, "", "mx", AppliedPolicy(PolicyKind.STS, "example.org"), fault=told)
            reporter.record("example.org", demand, host="mx.example.org")
            reporter.record("example.org", demand, host="mx.example.org", fault=EXPIRED)
            reporter.flush()
            kinds = [json.loads(one.failure)["result-type"] for one in await office.counted("example.org")]
            assert sorted(kinds) == ["certificate-expired", "sts-policy-fetch-error"]

    run(main())


def test_address_literals_are_nobody_to_report_to_and_a_reporter_can_be_off(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            reporter.record("[192.0.2.1]", DEMAND, host="192.0.2.1")
            reporter.flush()
            off = office.reporter(TlsReportSettings(enabled=False))
            await office.some(off, "example.org")
            due = await office.store.read(lambda tx: tls_results.due(tx, before=99_999, after=(-1, ""), limit=9))
            assert due == []

    run(main())


@pytest.mark.rfc("8460 §5.3", "A report goes by mail, once.")
def test_a_report_goes_by_mail_once(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            await office.some(reporter, "example.org")
            assert await reporter.report() == 0  # the day is not over
            office.now = at(1, 0.5)
            assert await reporter.report() == 0  # and others may still write their counts
            office.now = at(1, 6)
            assert await reporter.report() == 1
            ((sender, recipients, octets),) = office.handed_in
            assert str(sender.reverse_path) == "tls@mail.example.com"
            assert [(str(one.forward_path), one.notify) for one in recipients] == [
                ("tls@reports.example", frozenset({Notify.NEVER}))
            ]
            mail: Any = message_from_bytes(octets, policy=policy.default)
            _, attached = mail.iter_parts()
            report = json.loads(gzip.decompress(attached.get_content()))
            assert report["organization-name"] == "Example & Co"
            assert report["date-range"]["start-datetime"] == "2024-10-04T00:00:00Z"
            (told,) = report["policies"]
            assert told["policy"]["policy-domain"] == "example.org"
            assert told["summary"] == {"total-successful-session-count": 1, "total-failure-session-count": 1}
            assert told["failure-details"] == [
                {
                    "failed-session-count": 1,
                    "failure-reason-code": "certificate has expired",
                    "receiving-ip": "192.0.2.1",
                    "receiving-mx-hostname": "mx.example.org",
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "192.0.2.9",
                }
            ]
            for hour in (7, 30):
                office.now = at(1, hour)
                assert await office.reporter().report() == 0  # nor after a restart
            assert len(office.handed_in) == 1

    run(main())


@pytest.mark.rfc("8460 §5.4", "A report goes by HTTPS.")
def test_a_report_goes_by_https(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            await office.some(reporter, "example.net")
            office.now = at(1, 6)
            assert await reporter.report() == 1
            (request,) = office.server.requests
            head, _, body = request.partition(b"\r\n\r\n")
            assert head.startswith(b"POST /v1/tls HTTP/1.1\r\n")
            assert b"\r\nContent-Type: application/tlsrpt+gzip\r\n" in head
            report = json.loads(gzip.decompress(body))
            assert report["report-id"] == "2024-10-04.example.net@mail.example.com"
            assert office.handed_in == []

    run(main())


@pytest.mark.rfc("8460 §5.5", "A report that nobody takes is tried again for a day.")
def test_a_report_that_nobody_takes_is_tried_again_for_a_day(open_office: Open) -> None:
    async def main() -> None:
        async with open_office(answer("", status="503 Busy")) as office:
            reporter = office.reporter()
            office.failure = RuntimeError("no room")
            await office.some(reporter, "example.net", "example.org")
            for hour in (6, 12, 24):
                office.now = at(1, hour)
                assert await reporter.report() == 0
            assert len(office.server.requests) == 3
            office.failure = None
            office.server.says = answer("thanks")
            office.now = at(2, 5)
            assert await reporter.report() == 2
            assert len(office.handed_in) == 1

    run(main())


def test_after_some_days_a_report_is_given_up(open_office: Open) -> None:
    async def main() -> None:
        async with open_office(answer("", status="503 Busy")) as office:
            reporter = office.reporter()
            await office.some(reporter, "example.net")
            office.now = at(1 + KEPT_DAYS, 6)
            assert await reporter.report() == 0
            assert office.server.requests == []
            assert await office.counted("example.net") == []

    run(main())


@pytest.mark.rfc("8460 §3", "One place that takes a report is enough.")
def test_one_place_that_takes_a_report_is_enough(open_office: Open) -> None:
    async def main() -> None:
        async with open_office(answer("", status="500 Oops")) as office:
            reporter = office.reporter()
            await office.some(reporter, "both.example")
            office.now = at(1, 6)
            assert await reporter.report() == 1
            assert (len(office.server.requests), len(office.handed_in)) == (1, 1)
            assert await office.counted("both.example") == []

    run(main())


def test_who_does_not_ask_gets_none_and_who_cannot_be_asked_waits(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter()
            await office.some(reporter, "example.org", "quiet.example")
            office.server.resolver.failing = ["_smtp._tls.example.org"]
            office.now = at(1, 6)
            assert await reporter.report() == 0
            assert await office.counted("quiet.example") == []
            office.server.resolver.failing = ()
            assert await reporter.report() == 1

    run(main())


def test_two_processes_send_each_report_once(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            domains = [f"d{number}.example" for number in range(30)]
            office.server.resolver.load(
                "".join(f'_smtp._tls.{domain}. TXT "v=TLSRPTv1; rua=mailto:tls@{domain}"\n' for domain in domains)
            )
            await office.some(office.reporter(), *domains)
            office.now = at(1, 6)
            sent = await asyncio.gather(office.reporter().report(), office.reporter().report())
            assert sum(sent) == len(domains)
            to = sorted(str(recipients[0].forward_path) for _, recipients, _ in office.handed_in)
            assert to == sorted(f"tls@{domain}" for domain in domains)

    run(main())


@pytest.mark.rfc("8460 §4.1", "Reports are spread over hours.")
def test_reports_are_spread_over_hours(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            domains = [f"d{number}.example" for number in range(200)]
            office.server.resolver.load(
                "".join(f'_smtp._tls.{domain}. TXT "v=TLSRPTv1; rua=mailto:tls@{domain}"\n' for domain in domains)
            )
            reporter = office.reporter()
            await office.some(reporter, *domains)
            sent = []
            for hour in range(1, 6):
                office.now = at(1, hour)
                sent.append(await reporter.report())
            assert sent[0] < 10 and sum(sent) == 200
            assert all(number > 20 for number in sent[1:])

    run(main())


def test_without_settings_the_postmaster_of_the_host_reports(open_office: Open) -> None:
    async def main() -> None:
        async with open_office() as office:
            reporter = office.reporter(TlsReportSettings())
            await office.some(reporter, "example.org")
            office.now = at(1, 6)
            await reporter.report()
            assert str(office.handed_in[0][0].reverse_path) == "postmaster@mail.example.com"
            with pytest.raises(AddressError):
                office.reporter(TlsReportSettings(contact="no address"))

    run(main())
