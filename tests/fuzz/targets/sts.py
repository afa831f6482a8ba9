"""Whatever a domain publishes of MTA-STS and TLSRPT, and whatever hosts say of failures: a policy is refused with
StsError or says the same when it is written, and a report is JSON in ASCII in a mail that others read."""

from __future__ import annotations

import gzip
import json
from email import message_from_bytes, policy

from tests.fuzz.inputs import Input

from estafeta.agents.outbound.tls_reporting import MAX_ENDPOINTS, endpoints
from estafeta.mail.address import Address, AddressError, parse_domain
from estafeta.mail.tls_report import (
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
from estafeta.routing.sts import LONGEST_AGE, SHORTEST_AGE, StsError, StsMode, StsPolicy, policy_id

RECORDS, REASON = range(2)
"""Flags: TXT records, a line each; what a host said; otherwise a policy."""
_FACTS = ReportFacts("us", "tls@example.net", "mx.example.net", "example.org", 20_000)


def check_policy(text: str) -> None:
    """A policy file."""
    try:
        read = StsPolicy.parse(text)
    except StsError as error:
        assert str(error).isprintable() or not text.isprintable()
        return
    assert StsPolicy.parse("\n".join(read.lines)) == read == StsPolicy.parse("\r\n".join(read.lines) + "\r\n")
    assert SHORTEST_AGE <= read.holds_for <= LONGEST_AGE
    assert read.mx or read.mode is StsMode.NONE
    for pattern in read.mx:
        host = pattern.removeprefix("*.")
        assert read.allows(pattern.replace("*", "a", 1).upper() + ".") and host == parse_domain(host)
        # RFC 8461 §4.1: the asterisk is one label.
        assert host == pattern or not read.allows("b.a." + host) or f"*.a.{host}" in read.mx or "b.a." + host in read.mx
    check_report(AppliedPolicy(PolicyKind.STS, "example.org", read.lines, read.mx), "")


def check_records(records: tuple[str, ...]) -> None:
    """TXT records."""
    found = policy_id(records)
    assert found is None or (
        found.isalnum() and found.isascii() and len(found) <= 32 and any(found in r for r in records)
    )
    wanted = endpoints(records)
    assert len(wanted.addresses) + len(wanted.urls) <= MAX_ENDPOINTS
    for address in wanted.addresses:
        assert Address.parse(str(address)) == address


def check_report(applied: AppliedPolicy, reason: str) -> None:
    """A report on sessions under a policy, and its mail."""
    failure = TlsFailure(TlsFault(TlsResultKind.VALIDATION_FAILURE, reason), "192.0.2.1", "mx.example.org", "::1")
    made = report_json(_FACTS, [(applied.text(), failure.text(), 3), (applied.text(), "", 4)])
    assert made.isascii()
    (told,) = json.loads(made)["policies"]
    assert tuple(told["policy"].get("policy-string", ())) == applied.strings
    said = told["failure-details"][0].get("failure-reason-code", "")
    assert said.isprintable() and len(said) <= MAX_REASON
    mail = report_mail(_FACTS, compressed(made), to=Address("tls", "example.org"), at=0)
    _, attached = message_from_bytes(mail, policy=policy.default).iter_parts()
    assert gzip.decompress(attached.get_content()) == made


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    text = given.octets.decode("utf-8", "replace")
    if given.has(RECORDS):
        check_records(tuple(text.split("\n")))
    elif given.has(REASON):
        check_report(AppliedPolicy(PolicyKind.NONE, "example.org"), text)
    else:
        check_policy(text)
    try:
        domain = parse_domain(text)
    except AddressError:
        return
    assert parse_domain(domain) == domain
