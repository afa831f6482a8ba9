"""Reports on TLS: as the samples of others have them, and in a mail that others read."""

from __future__ import annotations

import gzip
import json
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from estafeta.mail.address import Address
from estafeta.mail.tls_report import (
    MAX_FAILURES,
    MAX_REASON,
    AppliedPolicy,
    PolicyKind,
    ReportFacts,
    TlsFailure,
    TlsFault,
    TlsResultKind,
    compressed,
    report_json,
    report_mail,
)

# 2016-04-01, the day of RFC 8460 appendix B.
DAY = 16_892
FACTS = ReportFacts("Company-X", "sts-reporting@company-x.example", "mail.company-x.example", "company-y.example", DAY)


def rows_of(sample: dict[str, Any]) -> list[tuple[str, str, int]]:
    """What would have been kept of the sessions that a report tells of."""
    rows: list[tuple[str, str, int]] = []
    for each in sample["policies"]:
        told = each["policy"]
        applied = AppliedPolicy(
            PolicyKind(told["policy-type"]),
            told["policy-domain"],
            tuple(told.get("policy-string", ())),
            tuple(told.get("mx-host", ())),
        ).text()
        rows.append((applied, "", each["summary"]["total-successful-session-count"]))
        for one in each["failure-details"]:
            failure = TlsFailure(
                TlsFault(TlsResultKind(one["result-type"]), one.get("failure-reason-code", "")),
                one["sending-mta-ip"],
                one["receiving-mx-hostname"],
                one.get("receiving-ip", ""),
            )
            rows.append((applied, failure.text(), one["failed-session-count"]))
    return rows


@pytest.mark.rfc("8460 §4", "A report has the form of a foreign reporter's.")
@pytest.mark.parametrize("name", ["rpt01.json", "rpt02.json"])
def test_a_sample_is_written_as_its_reporter_wrote_it(name: str, suites: Path) -> None:
    sample = json.loads((suites / "reports" / "tlsrpt" / name).read_text())
    for each in sample["policies"]:
        each["failure-details"].sort(key=lambda one: -one["failed-session-count"])
        for one in each["failure-details"]:
            one.pop("additional-information", None)  # pages about failures, which we have none of
    written = json.loads(report_json(FACTS, rows_of(sample)))
    assert written["policies"] == sample["policies"]
    assert written.keys() == sample.keys()


def test_a_day_is_told_from_its_first_to_its_last_second(suites: Path) -> None:
    sample = json.loads((suites / "reports" / "tlsrpt" / "rpt01.json").read_text())
    written = json.loads(report_json(FACTS, []))
    for name in ("organization-name", "contact-info", "date-range"):
        assert written[name] == sample[name]
    assert written["policies"] == []
    assert FACTS.file_name == "mail.company-x.example!company-y.example!1459468800!1459555199.json.gz"
    assert FACTS.report_id == "2016-04-01.company-y.example@mail.company-x.example"


def test_equal_policies_and_failures_are_equal_texts() -> None:
    applied = AppliedPolicy(PolicyKind.TLSA, "mx.example.org", ("3 1 1 00ff",))
    assert applied.text() == ('{"policy-domain":"mx.example.org","policy-string":["3 1 1 00ff"],"policy-type":"tlsa"}')
    failure = TlsFailure(TlsFault(TlsResultKind.STARTTLS_NOT_SUPPORTED), receiving_host="mx.example.org")
    assert failure.text() == '{"receiving-mx-hostname":"mx.example.org","result-type":"starttls-not-supported"}'


def test_what_strangers_say_in_a_reason_is_cut_and_made_printable() -> None:
    reason = "bad\r\nthing \x00 ä " + "x" * 10_000
    told = json.loads(TlsFailure(TlsFault(TlsResultKind.VALIDATION_FAILURE, reason)).text())["failure-reason-code"]
    assert told.startswith("bad??thing ? ä xxx") and len(told) == MAX_REASON


def test_of_very_many_failures_the_most_frequent_are_told_and_all_counted() -> None:
    applied = AppliedPolicy(PolicyKind.NONE, "example.org").text()
    kind = TlsFault(TlsResultKind.CERTIFICATE_EXPIRED)
    rows = [(applied, TlsFailure(kind, receiving_host=f"{n}.example.org").text(), n) for n in range(1, 1501)]
    (told,) = json.loads(report_json(FACTS, rows))["policies"]
    assert told["summary"]["total-failure-session-count"] == sum(range(1501))
    assert [one["failed-session-count"] for one in told["failure-details"]] == list(
        range(1500, 1500 - MAX_FAILURES, -1)
    )


@pytest.mark.rfc("8460 §5.3", "The mail is read by others.")
@pytest.mark.rfc("8689 §3", "A report says TLS-Required: No, so that it gets through although TLS fails.")
def test_the_mail_is_read_by_others() -> None:
    report = report_json(FACTS, [(AppliedPolicy(PolicyKind.NONE, "company-y.example").text(), "", 5)] * 3)
    octets = report_mail(FACTS, compressed(report), to=Address.parse("tls@reports.example"), at=1_459_560_000.0)
    assert b"\n" not in octets.replace(b"\r\n", b"")
    read: Any = message_from_bytes(octets, policy=policy.default)
    assert not read.defects
    assert (read["From"], read["To"]) == ("sts-reporting@company-x.example", "tls@reports.example")
    assert read["Date"].datetime.isoformat() == "2016-04-02T01:20:00+00:00"
    assert read["Subject"] == (
        "Report Domain: company-y.example Submitter: mail.company-x.example"
        " Report-ID: <2016-04-01.company-y.example@mail.company-x.example>"
    )
    assert read["TLS-Report-Domain"] == "company-y.example"
    assert read["TLS-Report-Submitter"] == "mail.company-x.example"
    assert (read["TLS-Required"], read["Auto-Submitted"]) == ("No", "auto-generated")
    assert (read.get_content_type(), read["Content-Type"].params["report-type"]) == ("multipart/report", "tlsrpt")
    text, attached = read.iter_parts()
    assert "company-y.example on 2016-04-01" in text.get_content()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == FACTS.file_name
    assert gzip.decompress(attached.get_content()) == report


def test_equal_reports_are_equal_octets() -> None:
    assert compressed(b"{}") == compressed(b"{}")
