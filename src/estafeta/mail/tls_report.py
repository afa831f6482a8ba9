"""Reports on TLS to the domains that ask for them: what is counted, the JSON of it, and the mail that carries it.

All shapes are those of RFC 8460 §4 and §5.3. A policy and the facts of a failure are kept as JSON texts of a fixed
form, so that equal ones are equal texts and can be counted.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from estafeta.mail.address import Address
from estafeta.mail.trace import date_time
from estafeta.mail.value import value

MAX_FAILURES = 1000
"""Failures told one by one under one policy: a megabyte of JSON at most, and far more hosts than a domain has."""
MAX_REASON = 200
"""Letters of a reason; part of it can come from the other host."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode


class TlsResultKind(StrEnum):
    """What went wrong (RFC 8460 §4.3, the registry "STARTTLS Validation Result Types")."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


class PolicyKind(StrEnum):
    """Under what a session was had (RFC 8460 §4.4, `policy-type`)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


@value
class TlsFault:
    """Something that a domain should be told of."""

    kind: TlsResultKind
    reason: str = ""
    """In words (`failure-reason-code`)."""


@value
class AppliedPolicy:
    """The policy of a domain that a session was had under."""

    kind: PolicyKind
    domain: str
    """Where it is published: of STS the domain of the recipients, of DANE the host (RFC 8460 §1.1)."""
    strings: tuple[str, ...] = ()
    """The lines of the STS policy, or the TLSA records as `3 1 1 0F...`."""
    mx_hosts: tuple[str, ...] = ()
    """The patterns of the STS policy."""

    def text(self) -> str:
        """As it is kept."""
        return _encode(self._facts())

    def _facts(self) -> dict[str, object]:
        facts: dict[str, object] = {"policy-type": self.kind.value}
        if self.strings:
            facts["policy-string"] = list(self.strings)
        facts["policy-domain"] = self.domain
        if self.mx_hosts:
            facts["mx-host"] = list(self.mx_hosts)
        return facts


@value
class TlsFailure:
    """One way in which sessions failed."""

    fault: TlsFault
    sending_ip: str = ""
    receiving_host: str = ""
    """The name of the host in the MX records."""
    receiving_ip: str = ""

    def text(self) -> str:
        """As it is kept."""
        facts = {
            "result-type": self.fault.kind.value,
            "sending-mta-ip": self.sending_ip,
            "receiving-mx-hostname": self.receiving_host,
            "receiving-ip": self.receiving_ip,
            "failure-reason-code": "".join(c if c.isprintable() else "?" for c in self.fault.reason[:MAX_REASON]),
        }
        return _encode({name: value for name, value in facts.items() if value})


@value
class ReportFacts:
    """What a report says beside its counts."""

    organization: str
    contact: str
    submitter: str
    """The name of this host."""
    domain: str
    """The domain that is reported to."""
    day: int
    """The UTC day that is reported on, in days since 1970."""

    @property
    def report_id(self) -> str:
        """The same for each try, so that who gets a report twice can tell."""
        return f"{self._begins_at:%Y-%m-%d}.{self.domain}@{self.submitter}"

    @property
    def file_name(self) -> str:
        """RFC 8460 §5.1."""
        begin = self.day * 86_400
        return f"{self.submitter}!{self.domain}!{begin}!{begin + 86_399}.json.gz"

    @property
    def _begins_at(self) -> datetime:
        return datetime.fromtimestamp(self.day * 86_400, UTC)


def report_json(facts: ReportFacts, results: Iterable[tuple[str, str, int]]) -> bytes:
    """The report of texts that were kept: policy, failure (the empty text for none) and number of sessions."""
    begin = facts._begins_at
    policies: dict[str, _Tally] = {}
    for policy, failure, sessions in results:
        policies.setdefault(policy, _Tally()).add(failure, sessions)
    report = {
        "organization-name": facts.organization,
        "date-range": {
            "start-datetime": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
            "end-datetime": f"{begin + timedelta(seconds=86_399):%Y-%m-%dT%H:%M:%SZ}",
        },
        "contact-info": facts.contact,
        "report-id": facts.report_id,
        "policies": [{"policy": json.loads(policy), **tally.facts()} for policy, tally in policies.items()],
    }
    return json.dumps(report, indent=1).encode("ascii")


class _Tally:
    """The counts under one policy."""

    def __init__(self) -> None:
        self._successes = 0
        self._failed = 0
        self._failures: list[tuple[str, int]] = []

    def add(self, failure: str, sessions: int) -> None:
        if failure:
            self._failed += sessions
            self._failures.append((failure, sessions))
        else:
            self._successes += sessions

    def facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "summary": {
                "total-successful-session-count": self._successes,
                "total-failure-session-count": self._failed,
            }
        }
        if self._failures:
            most = sorted(self._failures, key=lambda one: -one[1])[:MAX_FAILURES]
            facts["failure-details"] = [
                {**json.loads(failure), "failed-session-count": sessions} for failure, sessions in most
            ]
        return facts


def compressed(report: bytes) -> bytes:
    """The report as `application/tlsrpt+gzip`; equal reports give equal octets."""
    return gzip.compress(report, mtime=0)


def report_mail(facts: ReportFacts, packed: bytes, *, to: Address, at: float) -> bytes:
    """The mail that carries a compressed report (RFC 8460 §5.3); `at` is its date in seconds since 1970."""
    boundary = f"=_tls_report_{facts.day}"  # `=_` is in none of the parts
    head = [
        f"From: <{facts.contact}>",
        f"To: <{to}>",
        f"Date: {date_time(at)}",
        f"Subject: Report Domain: {facts.domain}",
        f" Submitter: {facts.submitter}",
        f" Report-ID: <{facts.report_id}>",
        f"Message-ID: <{facts.report_id}>",
        f"TLS-Report-Domain: {facts.domain}",
        f"TLS-Report-Submitter: {facts.submitter}",
        # RFC 8460 §3: a report gets through although TLS fails. RFC 8689 §3 is how to say so.
        "TLS-Required: No",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type="tlsrpt";',
        f' boundary="{boundary}"',
    ]
    text = [
        f"This is an aggregate TLS report from {facts.submitter},",
        f"about {facts.domain} on {facts._begins_at:%Y-%m-%d} (UTC).",
    ]
    attachment = [
        "Content-Type: application/tlsrpt+gzip",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{facts.file_name}"',
    ]
    lines = [
        *head,
        "",
        f"--{boundary}",
        'Content-Type: text/plain; charset="us-ascii"',
        "",
        *text,
        "",
        f"--{boundary}",
        *attachment,
        "",
        *base64.encodebytes(packed).decode("ascii").splitlines(),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode()
