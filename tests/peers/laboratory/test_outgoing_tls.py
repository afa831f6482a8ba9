"""TLS on the way out: what domains publish by MTA-STS and DANE holds, and what a message or the operator demands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.peers.laboratory.certificates import certificate_for, tlsa
from tests.peers.laboratory.estafeta import IMPATIENT, LaboratoryServer, serving
from tests.peers.laboratory.isolation import Laboratory
from tests.peers.laboratory.names import Names
from tests.peers.laboratory.policies import PolicyHost, policy
from tests.peers.laboratory.received import below_trace, in_a_maildir, notification
from tests.peers.laboratory.scripted import DROP, EXTENSIONS, SILENCE, Play, ScriptedHost, server_context
from tests.peers.letters import letter

pytestmark = pytest.mark.peers

RIGHT, OTHER, EXPIRED, NO_TLS = "right", "other", "expired", ""
"""The certificate that a host shows."""


@dataclass(frozen=True)
class Domain:
    """A domain with one host, and what becomes of a message for it."""

    shows: str
    told: str
    """How the trace says that its certificate was verified, empty for in the clear; or the reply that puts it off."""
    sts: str = ""
    """Mode of its policy."""
    tlsa: str = ""
    """The certificate that its TLSA record is about."""
    usage: int = 3
    script: Mapping[str, Play] = field(default_factory=dict)

    @property
    def is_delivered(self) -> bool:
        return not self.told.startswith("451 ")


UNVERIFIED = "not verified"
# Each is a domain below example.com, which is not signed.
UNSIGNED = {
    "may": Domain(RIGHT, UNVERIFIED),
    "may-other": Domain(OTHER, UNVERIFIED),
    "may-no-tls": Domain(NO_TLS, ""),
    "may-refused": Domain(RIGHT, "", script={"STARTTLS": "454 4.7.0 no TLS today"}),
    "may-dropped": Domain(RIGHT, "", script={"TLS": DROP}),
    "may-silent": Domain(RIGHT, "", script={"TLS": SILENCE}),
    "sts": Domain(RIGHT, "by an authority, for mx.sts.example.com", "enforce"),
    "sts-no-tls": Domain(NO_TLS, "451 4.7.4", "enforce"),
    "sts-other": Domain(OTHER, "451 4.7.5", "enforce"),
    "sts-expired": Domain(EXPIRED, "451 4.7.5", "enforce"),
    "sts-unlisted": Domain(RIGHT, "451 4.7.5", "enforce"),
    "sts-testing-no-tls": Domain(NO_TLS, "", "testing"),
    "sts-testing-other": Domain(OTHER, UNVERIFIED, "testing"),
    "sts-none": Domain(NO_TLS, "", "none"),
    # Its policy comes with a certificate that does not count, so there is none.
    "sts-unfetched": Domain(NO_TLS, "", "enforce"),
    # Anybody can write records that nobody signs.
    "tlsa-unsigned": Domain(RIGHT, UNVERIFIED, tlsa=OTHER),
    "rule-must": Domain(OTHER, UNVERIFIED),
    "rule-must-no-tls": Domain(NO_TLS, "451 4.7.4"),
    "rule-verify": Domain(RIGHT, "by an authority, for mx.rule-verify.example.com"),
    "rule-verify-other": Domain(OTHER, "451 4.7.5"),
    "rule-none": Domain(RIGHT, ""),
}
# These are below signed.example.
SIGNED = {
    "no-tlsa": Domain(NO_TLS, ""),
    "dane": Domain(RIGHT, "DANE", tlsa=RIGHT),
    "dane-authority": Domain(RIGHT, "DANE", tlsa=RIGHT, usage=2),
    "dane-expired": Domain(EXPIRED, "DANE", tlsa=EXPIRED),
    "dane-wrong": Domain(RIGHT, "451 4.7.5", tlsa=OTHER),
    "dane-other-name": Domain(OTHER, "451 4.7.5", tlsa=OTHER, usage=2),
    "dane-no-tls": Domain(NO_TLS, "451 4.7.4", tlsa=RIGHT),
    "dane-unknown": Domain(RIGHT, "451 4.7.5"),
    # DANE goes before MTA-STS: the certificate is of no authority's for the name.
    "dane-and-sts": Domain(OTHER, "DANE", "enforce", tlsa=OTHER),
}
SETTINGS = f"""{IMPATIENT}
[[tls_policy]]
domain = "rule-must.example.com"
level = "must"
[[tls_policy]]
domain = "rule-must-no-tls.example.com"
level = "must"
[[tls_policy]]
domain = "rule-verify.example.com"
level = "verify"
[[tls_policy]]
domain = "rule-verify-other.example.com"
level = "verify"
[[tls_policy]]
domain = "rule-none.example.com"
level = "none"
"""
DOMAINS = {f"{name}.example.com": each for name, each in UNSIGNED.items()} | {
    f"{name}.signed.example": each for name, each in SIGNED.items()
}
REQUIRING = ("requiretls.signed.example", "no-requiretls.signed.example", "no-tls.signed.example")


@pytest.fixture(scope="module")
def world(laboratory: Laboratory, names: Names) -> Iterator[World]:
    """All hosts, policies and records."""
    with ExitStack() as stack:
        world = World(laboratory, stack)
        for domain, each in DOMAINS.items():
            world.add(domain, each)
        world.add(REQUIRING[0], Domain(RIGHT, "", tlsa=RIGHT), extensions=(*EXTENSIONS, "REQUIRETLS"))
        world.add(REQUIRING[1], Domain(RIGHT, "", tlsa=RIGHT))
        world.add(REQUIRING[2], Domain(NO_TLS, ""))
        world.start_policy_host()
        names.add("example.com", "\n".join(world.records("example.com")))
        names.add("signed.example", "\n".join(world.records("signed.example")), signed=True)
        names.add_broken("_tcp.mx.dane-unknown.signed.example")
        names.add("bogus.example", "@ MX 10 mx.may.example.com.\n", bogus=True)
        yield world


class World:
    """Domains, each with a host, and the web server of their policies."""

    def __init__(self, laboratory: Laboratory, stack: ExitStack) -> None:
        self._laboratory = laboratory
        self._stack = stack
        self._other = certificate_for(laboratory, "other.example")
        self._records: dict[str, list[str]] = {}
        self._policies: dict[str, str] = {}
        self.hosts: dict[str, ScriptedHost] = {}

    def add(self, domain: str, each: Domain, *, extensions: tuple[str, ...] = EXTENSIONS) -> None:
        certificates = {OTHER: self._other, EXPIRED: self._other}
        if RIGHT in (each.shows, each.tlsa):
            certificates[RIGHT] = certificate_for(self._laboratory, f"mx.{domain}")
        if EXPIRED in (each.shows, each.tlsa):
            certificates[EXPIRED] = certificate_for(self._laboratory, f"mx.{domain}", is_expired=True)
        context = server_context(certificates[each.shows]) if each.shows else None
        host = ScriptedHost(self._laboratory, each.script, extensions=extensions, context=context)
        self.hosts[domain] = self._stack.enter_context(host)
        records = self._records[domain] = [f"{domain}. MX 10 mx.{domain}.", f"mx.{domain}. A {host.address}"]
        if "dane-unknown" in domain:
            # Their server fails for it; without the delegation the signatures above would prove that there is nothing.
            records.append(f"_tcp.mx.{domain}. NS ns.signed.example.")
        if each.tlsa:
            records.append(f"_25._tcp.mx.{domain}. TLSA {tlsa(certificates[each.tlsa], each.usage)}")
        if each.sts:
            listed = "mx.elsewhere.example" if "unlisted" in domain else f"*.{domain}"
            self._policies[domain] = policy(each.sts, listed)
            records.append(f'_mta-sts.{domain}. TXT "v=STSv1; id=1;"')

    def start_policy_host(self) -> None:
        host = PolicyHost(self._laboratory, self._policies, unnamed=("sts-unfetched.example.com",))
        self.policy_host = self._stack.enter_context(host)
        for domain in self._policies:
            self._records[domain].append(f"mta-sts.{domain}. A {host.address}")

    def records(self, zone: str) -> list[str]:
        return [record for domain, each in self._records.items() if domain.endswith(f".{zone}") for record in each]


@pytest.fixture(scope="module")
def server(
    laboratory: Laboratory, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaboratoryServer]:
    yield from serving(LaboratoryServer(laboratory, tmp_path_factory.mktemp("server"), settings=SETTINGS))


@dataclass(frozen=True)
class Sent:
    """A letter that was handed in."""

    author: str
    recipient: str
    queue_id: str
    content: bytes


def send(server: LaboratoryServer, author: str, domain: str, *mail: str) -> Sent:
    recipient = f"luis@{domain}"
    content = letter(2, author=author, recipient=recipient, size=3000)
    return Sent(author, recipient, server.submit(author, recipient, content=content, mail=mail), content)


@pytest.fixture(scope="module")
def sent(server: LaboratoryServer) -> dict[str, Sent]:
    """A letter for each domain; all at once, for they wait for nothing else."""
    author = server.account("to-all")
    return {domain: send(server, author, domain) for domain in DOMAINS}


def told_of(server: LaboratoryServer, queue_id: str) -> dict[str, Any]:
    """What the trace tells of the one recipient at the first attempt."""
    (attempt, *_) = server.wait_for_attempts(queue_id)
    (told,) = attempt["recipients"]
    return {**told, "troubles": attempt.get("troubles", [])}


def assert_delivered(host: ScriptedHost, content: bytes) -> None:
    (taken,) = host.taken
    assert below_trace(in_a_maildir(taken.content)) == in_a_maildir(content)


@pytest.mark.parametrize("domain", DOMAINS)
def test_mail_goes_only_as_the_domain_wants_it(
    server: LaboratoryServer, world: World, sent: dict[str, Sent], domain: str
) -> None:
    each, letter_sent, host = DOMAINS[domain], sent[domain], world.hosts[domain]
    told = told_of(server, letter_sent.queue_id)
    if not each.is_delivered:
        assert (told["fate"], told["reply"][: len(each.told)]) == ("deferred", each.told), told
        assert host.taken == []
        assert [waiting["forward_path"] for waiting in server.queued(letter_sent.queue_id)] == [letter_sent.recipient]
        return
    assert told["fate"] == "relayed", told
    assert_delivered(host, letter_sent.content)
    if not each.told:
        assert "tls" not in told and host.taken[0].tls == ""
    else:
        assert told["tls"].startswith(f"{host.taken[0].tls} TLS_") and each.told in told["tls"], told
    assert server.queued(letter_sent.queue_id) == []


def test_a_policy_is_fetched_once(server: LaboratoryServer, world: World, sent: dict[str, Sent]) -> None:
    domain = "sts.example.com"
    server.wait_until_gone(sent[domain].queue_id)
    again = server.submit(sent[domain].author, f"again@{domain}", content=sent[domain].content)
    server.wait_until_gone(again)
    assert len(world.hosts[domain].taken) == 2
    assert world.policy_host.asked.count(f"mta-sts.{domain}") == 1


def test_mail_for_a_bogus_domain_waits(server: LaboratoryServer, world: World) -> None:
    letter_sent = send(server, server.account("to-bogus"), "bogus.example")
    told = told_of(server, letter_sent.queue_id)
    assert (told["fate"], told["stage"], told["reply"][:9]) == ("deferred", "DNS", "451 4.4.3")
    assert len(server.queued(letter_sent.queue_id)) == 1


# REQUIRETLS (RFC 8689).


def test_a_host_that_knows_requiretls_is_told_of_it(server: LaboratoryServer, world: World) -> None:
    domain = REQUIRING[0]
    letter_sent = send(server, server.account(f"requiring-{domain}"), domain, "REQUIRETLS")
    told = told_of(server, letter_sent.queue_id)
    assert told["fate"] == "relayed" and "DANE" in told["tls"], told
    assert_delivered(world.hosts[domain], letter_sent.content)
    assert " REQUIRETLS" in world.hosts[domain].taken[0].mail


def test_the_sender_hears_of_a_host_that_does_not_know_requiretls(server: LaboratoryServer, world: World) -> None:
    domain = REQUIRING[1]
    letter_sent = send(server, server.account(f"requiring-{domain}"), domain, "REQUIRETLS")
    (attempt,) = server.wait_until_gone(letter_sent.queue_id)
    (told,) = attempt["recipients"]
    assert told["fate"] == "failed" and told["reply"].startswith("550 5.7.30 "), told
    (message,) = server.wait_for_messages(letter_sent.author)
    heard = notification(message)
    assert heard.told == [(letter_sent.recipient, "failed", "5.7.30")]
    # RFC 8689 §5: the content does not come back, for the notification may go in the clear.
    assert letter_sent.content.partition(b"\r\n\r\n")[2] not in message
    assert world.hosts[domain].taken == []


def test_nothing_that_requires_tls_goes_in_the_clear(server: LaboratoryServer, world: World) -> None:
    domain = REQUIRING[2]
    letter_sent = send(server, server.account(f"requiring-{domain}"), domain, "REQUIRETLS")
    told = told_of(server, letter_sent.queue_id)
    assert told["fate"] in ("deferred", "failed") and ".7." in told["reply"], told
    assert all(not command.startswith("MAIL") for each in world.hosts[domain].sessions for command in each.commands)


def test_requiretls_needs_a_host_that_somebody_vouches_for(server: LaboratoryServer, world: World) -> None:
    before = len(world.hosts["may.example.com"].sessions)
    letter_sent = send(server, server.account("requiring-may"), "may.example.com", "REQUIRETLS")
    (attempt,) = server.wait_until_gone(letter_sent.queue_id)
    assert attempt["recipients"][0]["reply"].startswith("550 5.7.10 ")
    (message,) = server.wait_for_messages(letter_sent.author)
    assert notification(message).told == [(letter_sent.recipient, "failed", "5.7.10")]
    assert len(world.hosts["may.example.com"].sessions) == before
