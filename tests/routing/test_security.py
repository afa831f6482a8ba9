"""What is asked of hosts, from zone files and policies; and what their certificates are taken for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.net.certificates import PEM, Certified, certify

from estafeta.mail.reply import Reply
from estafeta.mail.tls_report import PolicyKind, TlsFault, TlsResultKind
from estafeta.net.errors import TlsError
from estafeta.net.https import Https
from estafeta.net.listener import listen
from estafeta.net.stream import SocketStream, connect
from estafeta.net.tls import CertificateFault, CertificateRefused, ServerTls, TlsClientSettings, client_context
from estafeta.net.zones import ZoneResolver
from estafeta.routing.hosts import Host, Hosts, find_host, find_hosts
from estafeta.routing.security import NOT_VERIFIED, DaneSettings, HostDemand, Security, TlsLevel, TlsRule
from estafeta.routing.sts import StsPolicies
from estafeta.store import sts as kept
from estafeta.store.records import Instant
from estafeta.store.store import Store, open_store
from estafeta.store.sts import KeptPolicy

NOW = 1_780_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)

ROOT = certify("root", is_authority=True, signs=True, now=AT)
LEAF = certify("leaf", ROOT, names=("mx1.example.org",), now=AT)
DIGEST = hashlib.sha256(LEAF.spki).hexdigest()

ZONE = """
example.org.       MX 10 mx1.example.org.
example.org.       MX 20 mx2.example.net.
mx1.example.org.   A 192.0.2.1
mx1.example.org.   AAAA 2001:db8::1
mx2.example.net.   A 192.0.2.2
implicit.example.  A 192.0.2.3
"""
TLSA = f"_25._tcp.mx1.example.org. TLSA 3 1 1 {DIGEST}\n"
STS = '_mta-sts.example.org. TXT "v=STSv1; id=1"\n'


def policy(mode: str, *hosts: str) -> str:
    return "\n".join(["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), "max_age: 86400"])


class Asking:
    """Asks about the hosts of a domain."""

    def __init__(self, store: Store, ca_file: Path) -> None:
        self.store = store
        self.ca_file = ca_file
        self.sts_policy = ""
        self.rules: tuple[TlsRule, ...] = ()
        self.dane = True
        self.resolver = ZoneResolver(ZONE)

    def zone(self, text: str = "", *, authentic: bool | list[str] = True, failing: tuple[str, ...] = ()) -> None:
        self.resolver = ZoneResolver(ZONE + text, authentic=authentic, failing=failing)

    def security(self) -> Security:
        https = Https(self.resolver, context=client_context(self.ca_file))
        return Security(
            self.resolver,
            StsPolicies(self.resolver, https, self.store, clock=lambda: NOW),
            rules=self.rules,
            dane=DaneSettings(self.dane),
            client=TlsClientSettings(ca_file=self.ca_file),
            clock=lambda: NOW,
        )

    async def hosts(self, domain: str) -> Hosts:
        hosts = await find_hosts(domain, self.resolver, is_own=lambda name, ip: False, shuffle=lambda some: None)
        assert isinstance(hosts, Hosts), hosts
        return hosts

    async def ask(
        self, domain: str = "example.org", number: int = 0, *, port: int = 25, requires_tls: bool = False
    ) -> HostDemand:
        if self.sts_policy:
            keeping = KeptPolicy("1", self.sts_policy, Instant(NOW + 86_400))
            await self.store.write(lambda tx: kept.keep(tx, "example.org", keeping, now=Instant(NOW)))
        hosts = await self.hosts(domain)
        host = hosts.hosts[number]
        return await self.security().demand_for(domain, hosts, host, port=port, requires_tls=requires_tls)

    def __call__(
        self, domain: str = "example.org", number: int = 0, *, port: int = 25, requires_tls: bool = False
    ) -> HostDemand:
        return asyncio.run(self.ask(domain, number, port=port, requires_tls=requires_tls))


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ROOT.certificate.public_bytes(PEM))
    store = open_store(tmp_path / "data", clock=lambda: NOW)
    yield Asking(store, ca_file)
    store.close()


def code(reply: Reply | None) -> str:
    return "" if reply is None else f"{reply.code} {reply.status}"


# Nothing published


@pytest.mark.rfc("7435", "To hosts without a policy TLS is used where it is offered, with any certificate.")
def test_where_nothing_is_published_tls_is_used_where_it_is_offered(asking: Asking) -> None:
    demand = asking()
    assert (demand.level, demand.refusal, demand.fault) == (TlsLevel.MAY, None, None)
    assert demand.server_name == "mx1.example.org"
    assert (demand.policy.kind, demand.policy.domain) == (PolicyKind.NONE, "example.org")
    assert asking("[192.0.2.1]").level is TlsLevel.MAY


# The operator's rules


@pytest.mark.parametrize(
    ("rule", "domain", "level"),
    [
        (TlsRule("example.org", TlsLevel.NONE), "example.org", TlsLevel.NONE),
        (TlsRule("example.org", TlsLevel.MUST), "example.org", TlsLevel.MUST),
        (TlsRule("example.org", TlsLevel.VERIFY), "example.org", TlsLevel.VERIFY),
        (TlsRule("*", TlsLevel.MUST), "example.org", TlsLevel.MUST),
        (TlsRule(".example", TlsLevel.MUST), "implicit.example", TlsLevel.MUST),
        (TlsRule(".example.org", TlsLevel.MUST), "example.org", TlsLevel.MAY),
        (TlsRule("example.com", TlsLevel.MUST), "example.org", TlsLevel.MAY),
        (TlsRule("[192.0.2.1]", TlsLevel.MUST), "[192.0.2.1]", TlsLevel.MUST),
    ],
)
def test_a_rule_speaks_of_its_domains(rule: TlsRule, domain: str, level: TlsLevel, asking: Asking) -> None:
    asking.rules = (rule,)
    assert asking(domain).level is level


def test_the_first_rule_goes_before_others_and_before_what_is_published(asking: Asking) -> None:
    asking.zone(TLSA + STS)
    asking.sts_policy = policy("enforce", "elsewhere.example")
    asking.rules = (TlsRule("example.org", TlsLevel.MAY), TlsRule("*", TlsLevel.NONE))
    demand = asking()
    assert (demand.level, demand.tlsa, demand.refusal) == (TlsLevel.MAY, (), None)
    assert demand.reason == "rule of the operator for example.org: may"


def test_a_rule_to_verify_names_the_host_or_what_it_says(asking: Asking) -> None:
    asking.rules = (TlsRule("example.org", TlsLevel.VERIFY),)
    assert asking().names == ("mx1.example.org",)
    asking.rules = (TlsRule("example.org", TlsLevel.VERIFY, (".example.org", "other.example")),)
    assert asking().names == (".example.org", "other.example")


# DANE


@pytest.mark.rfc("7672 §2.2", "TLSA records are asked for where DNSSEC vouches for the names.")
def test_tlsa_records_are_asked_for_when_dnssec_vouches_for_the_names(asking: Asking) -> None:
    asking.zone(TLSA)
    demand = asking()
    assert (demand.level, demand.reason, demand.refusal) == (TlsLevel.VERIFY, "DANE", None)
    assert [record.data.hex() for record in demand.tlsa] == [DIGEST]
    assert demand.names == ("mx1.example.org", "example.org")
    assert demand.policy.kind is PolicyKind.TLSA and demand.policy.domain == "mx1.example.org"
    assert demand.policy.strings == (f"3 1 1 {DIGEST}",)
    # The other host has none.
    assert asking(number=1).level is TlsLevel.MAY
    # They are published for a port.
    assert asking(port=2525).level is TlsLevel.MAY


@pytest.mark.rfc("7672 §2.2.1", "What is not authentic all along is no DANE.")
@pytest.mark.parametrize(
    "authentic",
    [
        False,
        ["mx1.example.org", "_25._tcp.mx1.example.org"],  # the MX records are not
        ["example.org", "_25._tcp.mx1.example.org"],  # the addresses are not
        ["example.org", "mx1.example.org"],  # the TLSA records are not
    ],
)
def test_what_is_not_authentic_all_along_is_no_dane(authentic: bool | list[str], asking: Asking) -> None:
    asking.zone(TLSA, authentic=authentic)
    assert asking().level is TlsLevel.MAY


def test_dane_can_be_switched_off(asking: Asking) -> None:
    asking.zone(TLSA)
    asking.dane = False
    assert asking().level is TlsLevel.MAY


@pytest.mark.rfc("7672 §2.1.1", "A lookup that fails is not taken for the absence of records.")
@pytest.mark.rfc("7672 §2.1.2", "A host whose TLSA records cannot be looked up is not used.")
def test_a_host_whose_tlsa_records_cannot_be_looked_up_is_not_used(asking: Asking) -> None:
    asking.zone(TLSA, failing=("_25._tcp.mx1.example.org",))
    demand = asking()
    assert code(demand.refusal) == "451 4.7.5"
    assert demand.fault is not None and demand.fault.kind is TlsResultKind.DNSSEC_INVALID
    assert asking(number=1).refusal is None
    # Where DNSSEC does not vouch for the host, nobody is asked (RFC 7672 §2.2.2).
    asking.zone(TLSA, failing=("_25._tcp.mx1.example.org",), authentic=["example.org"])
    assert asking().refusal is None


@pytest.mark.rfc("7672 §2.2", "Records that are all unusable demand TLS, with any certificate.")
def test_records_that_are_all_unusable_demand_tls_with_any_certificate(asking: Asking) -> None:
    asking.zone(f"_25._tcp.mx1.example.org. TLSA 1 1 1 {DIGEST}\n")
    demand = asking()
    assert (demand.level, demand.tlsa, demand.refusal) == (TlsLevel.MUST, (), None)
    assert demand.fault is not None and demand.fault.kind is TlsResultKind.TLSA_INVALID
    asking.zone(TLSA + f"_25._tcp.mx1.example.org. TLSA 1 1 1 {DIGEST}\n")
    assert asking().level is TlsLevel.VERIFY


def test_one_connection_does_for_domains_with_equal_demands_and_no_others(asking: Asking) -> None:
    shared = "one.example. MX 1 mx1.example.org.\ntwo.example. MX 1 mx1.example.org.\n"
    asking.zone(shared, authentic=False)
    assert asking("one.example").connection_key == asking("two.example").connection_key
    asking.rules = (TlsRule("two.example", TlsLevel.VERIFY),)
    assert asking("one.example").connection_key != asking("two.example").connection_key
    asking.rules = ()
    before = asking("one.example").connection_key
    asking.zone(shared + TLSA)
    assert before != asking("one.example").connection_key


@pytest.mark.rfc("7672 §2.2.2", "The end of a CNAME is asked about first.")
def test_the_end_of_a_cname_is_asked_about_first(asking: Asking) -> None:
    alias = "alias.example. CNAME mx1.example.org.\ncname.example. MX 1 alias.example.\n"
    asking.zone(TLSA + alias)
    demand = asking("cname.example")
    assert demand.tlsa and demand.server_name == "mx1.example.org"
    assert demand.names == ("mx1.example.org", "alias.example", "cname.example")
    asking.zone(alias + TLSA.replace("mx1.example.org", "alias.example"))
    demand = asking("cname.example")
    assert demand.tlsa and demand.server_name == "alias.example"


def test_a_domain_without_mx_is_its_own_host_also_for_dane(asking: Asking) -> None:
    asking.zone(TLSA.replace("mx1.example.org", "implicit.example"))
    assert asking("implicit.example").names == ("implicit.example",)


# MTA-STS


@pytest.mark.rfc("8461 §5", "In mode enforce only the policy's hosts with good certificates take the mail.")
def test_a_policy_to_enforce_wants_its_hosts_and_their_certificates(asking: Asking) -> None:
    asking.zone(STS, authentic=False)
    asking.sts_policy = policy("enforce", "*.example.org")
    demand = asking()
    assert (demand.level, demand.refusal, demand.names) == (TlsLevel.VERIFY, None, ("mx1.example.org",))
    assert demand.policy.kind is PolicyKind.STS and demand.policy.domain == "example.org"
    assert demand.policy.mx_hosts == ("*.example.org",) and "mode: enforce" in demand.policy.strings
    other = asking(number=1)
    assert code(other.refusal) == "451 4.7.5"
    assert other.fault == TlsFault(TlsResultKind.VALIDATION_FAILURE, "mx2.example.net is no mx of the policy")


@pytest.mark.rfc("8461 §5", "In mode testing nothing is demanded, and what fails is told.")
def test_a_policy_in_testing_demands_nothing_and_tells_of_what_fails(asking: Asking) -> None:
    asking.zone(STS, authentic=False)
    asking.sts_policy = policy("testing", "*.example.org")
    demand = asking()
    assert (demand.level, demand.is_tested, demand.fault) == (TlsLevel.MAY, True, None)
    other = asking(number=1)
    assert (other.level, other.refusal) == (TlsLevel.MAY, None)
    assert other.fault is not None and other.fault.kind is TlsResultKind.VALIDATION_FAILURE


@pytest.mark.rfc("8461 §2", "DANE goes before MTA-STS.")
def test_dane_goes_before_mta_sts(asking: Asking) -> None:
    asking.zone(TLSA + STS)
    asking.sts_policy = policy("enforce", "mx2.example.net")
    demand = asking()
    assert (demand.reason, demand.refusal) == ("DANE", None)
    assert asking(number=1).reason == "MTA-STS, mode enforce"


def test_a_policy_that_cannot_be_fetched_is_none_and_is_reported(asking: Asking) -> None:
    asking.zone(STS + "mta-sts.example.org. A 127.0.0.1\n", authentic=False)
    demand = asking()
    assert (demand.level, demand.refusal) == (TlsLevel.MAY, None)
    assert demand.fault is not None and demand.fault.kind is TlsResultKind.STS_POLICY_FETCH_ERROR
    assert (demand.policy.kind, demand.policy.strings) == (PolicyKind.STS, ())


# REQUIRETLS


@pytest.mark.rfc("8689 §4.2.1", "A message that requires TLS goes only to hosts somebody vouches for.")
@pytest.mark.parametrize(
    ("zone", "authentic", "sts", "rule", "number", "refusal"),
    [
        ("", True, "", None, 0, ""),
        (TLSA, True, "", None, 0, ""),
        ("", False, "", None, 0, "550 5.7.10"),
        (STS, False, policy("enforce", "*.example.org"), None, 0, ""),
        (STS, False, policy("testing", "*.example.org"), None, 0, ""),
        (STS, False, policy("testing", "*.example.org"), None, 1, "550 5.7.10"),
        (STS, False, policy("enforce", "*.example.org"), None, 1, "451 4.7.5"),
        (STS + "mta-sts.example.org. A 127.0.0.1\n", False, "", None, 0, "451 4.7.10"),
        ("", False, "", TlsRule("*", TlsLevel.VERIFY), 0, "550 5.7.10"),
        ("", False, "", TlsRule("*", TlsLevel.VERIFY, (".example.org",)), 0, ""),
        ("", True, "", TlsRule("*", TlsLevel.VERIFY), 0, ""),
        ("", True, "", TlsRule("*", TlsLevel.MAY), 0, ""),
        ("", True, "", TlsRule("*", TlsLevel.NONE), 0, "550 5.7.10"),
        (STS, False, policy("enforce", "*.example.org"), TlsRule("*", TlsLevel.MAY), 0, ""),
    ],
)
def test_a_message_that_requires_tls_goes_only_to_hosts_somebody_vouches_for(
    zone: str, authentic: bool, sts: str, rule: TlsRule | None, number: int, refusal: str, asking: Asking
) -> None:
    asking.zone(zone, authentic=authentic)
    asking.sts_policy = sts
    asking.rules = () if rule is None else (rule,)
    demand = asking(number=number, requires_tls=True)
    assert code(demand.refusal) == refusal
    if not refusal:
        assert demand.level is TlsLevel.VERIFY and demand.needs_requiretls and not demand.is_tested
        assert demand.names
        assert bool(demand.tlsa) is (zone == TLSA)
        assert not asking(number=number).needs_requiretls


def test_the_name_of_a_domain_without_mx_needs_nobody_to_vouch_for_it(asking: Asking) -> None:
    demand = asking("implicit.example", requires_tls=True)
    assert (demand.refusal, demand.level, demand.names) == (None, TlsLevel.VERIFY, ("implicit.example",))


def test_the_host_of_a_route_is_what_the_operator_named(asking: Asking) -> None:
    async def main() -> None:
        hosts = await find_host("mx1.example.org", asking.resolver)
        assert isinstance(hosts, Hosts)
        security = asking.security()
        demand = await security.demand_for("mx1.example.org", hosts, hosts.hosts[0], requires_tls=True)
        assert (demand.refusal, demand.names) == (None, ("mx1.example.org",))

    asyncio.run(main())


def test_unusable_tlsa_records_do_not_do_for_a_message_that_requires_tls(asking: Asking) -> None:
    asking.zone(f"_25._tcp.mx1.example.org. TLSA 1 1 1 {DIGEST}\n")
    demand = asking(requires_tls=True)
    assert (demand.level, demand.tlsa, demand.names) == (TlsLevel.VERIFY, (), ("mx1.example.org",))


def test_a_lookup_that_fails_is_no_reason_to_return_a_message_that_requires_tls(asking: Asking) -> None:
    asking.zone(authentic=False, failing=("_mta-sts.example.org",))
    assert code(asking(requires_tls=True).refusal) == "451 4.7.10"


# After the handshake

Shake = Callable[[HostDemand, tuple[Certified, ...]], str]


@pytest.fixture
def shake(asking: Asking, tmp_path: Path) -> Shake:
    """Connects to a host that shows a chain, as a demand asks for it; gives how it was verified."""

    def shaken(demand: HostDemand, chain: tuple[Certified, ...]) -> str:
        certificate, key = chain[0].write(tmp_path, *chain[1:])

        async def serve(stream: SocketStream) -> None:
            await stream.receive()

        async def main() -> str:
            security = asking.security()
            listener = await listen("127.0.0.1", 0, serve, tls=ServerTls(certificate, key))
            try:
                context = security.context_for(demand)
                stream = await connect(
                    "127.0.0.1", listener.port, context=context, server_hostname=demand.server_name, timeout=5
                )
                try:
                    return security.verified(demand, stream.peer_chain)
                finally:
                    await stream.close()
            finally:
                await listener.drain(0)

        return asyncio.run(main())

    return shaken


# OpenSSL goes by the real clock, so these chains do too.
TODAY = datetime.now(UTC)
ANCHOR = certify("anchor", is_authority=True, signs=True, now=TODAY)
GOOD = certify("good", ANCHOR, names=("mx1.example.org",), now=TODAY)
OTHER = certify("other", ANCHOR, names=("other.example",), now=TODAY)
UNKNOWN = certify("unknown", names=("mx1.example.org",), now=TODAY)


@pytest.mark.parametrize(
    ("level", "chain", "how"),
    [
        (TlsLevel.MAY, (UNKNOWN,), NOT_VERIFIED),
        (TlsLevel.MUST, (OTHER, ANCHOR), NOT_VERIFIED),
        (TlsLevel.VERIFY, (GOOD,), "by an authority, for mx1.example.org"),
        (TlsLevel.VERIFY, (GOOD, ANCHOR), "by an authority, for mx1.example.org"),
        (TlsLevel.VERIFY, (OTHER,), CertificateFault.NAME),
        (TlsLevel.VERIFY, (UNKNOWN,), CertificateFault.UNTRUSTED),
    ],
)
def test_a_rule_is_kept_in_the_handshake_and_after_it(
    level: TlsLevel, chain: tuple[Certified, ...], how: str | CertificateFault, asking: Asking, shake: Shake
) -> None:
    asking.ca_file.write_bytes(ANCHOR.certificate.public_bytes(PEM))
    asking.rules = (TlsRule("*", level),)
    if not isinstance(how, CertificateFault):
        assert shake(asking(), chain) == how
        return
    with pytest.raises(CertificateRefused) as refused:
        shake(asking(), chain)
    assert refused.value.fault is how


def test_the_tlsa_records_decide_and_no_authority(asking: Asking, shake: Shake) -> None:
    digest = hashlib.sha256(UNKNOWN.spki).hexdigest()
    asking.zone(f"_25._tcp.mx1.example.org. TLSA 3 1 1 {digest}\n")
    assert shake(asking(), (UNKNOWN,)) == "DANE-EE 3 1 1"
    with pytest.raises(CertificateRefused, match="no TLSA record matches it"):
        shake(asking(), (GOOD, ANCHOR))


def test_what_testing_would_have_refused_is_told(asking: Asking) -> None:
    asking.zone(STS, authentic=False)
    asking.sts_policy = policy("testing", "*.example.org")
    expired = certify("expired", ROOT, names=("mx1.example.org",), now=AT, days=(-9, -1))
    other = certify("other", ROOT, names=("other.example",), now=AT)
    alone = certify("alone", names=("mx1.example.org",), now=AT)

    async def main() -> None:
        hosts = await asking.hosts("example.org")
        security = asking.security()
        keeping = KeptPolicy("1", asking.sts_policy, Instant(NOW + 86_400))
        await asking.store.write(lambda tx: kept.keep(tx, "example.org", keeping, now=Instant(NOW)))
        demand = await security.demand_for("example.org", hosts, hosts.hosts[0])
        assert security.tested(demand, (LEAF.der, ROOT.der)) is None
        for one, kind in (
            (expired, TlsResultKind.CERTIFICATE_EXPIRED),
            (other, TlsResultKind.CERTIFICATE_HOST_MISMATCH),
            (alone, TlsResultKind.CERTIFICATE_NOT_TRUSTED),
        ):
            fault = security.tested(demand, (one.der,))
            assert fault is not None and fault.kind is kind and fault.reason
            assert security.verified(demand, (one.der,)) == NOT_VERIFIED

    asyncio.run(main())


def test_nothing_is_told_where_nothing_is_tested(asking: Asking) -> None:
    async def main() -> None:
        hosts = await asking.hosts("implicit.example")
        demand = await asking.security().demand_for("implicit.example", hosts, hosts.hosts[0])
        assert asking.security().tested(demand, ()) is None

    asyncio.run(main())


def test_files_that_cannot_be_used_are_found_at_the_start(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    for client in (TlsClientSettings(certificate=nothing), TlsClientSettings(ca_file=nothing)):
        with pytest.raises(TlsError, match=r"nothing\.pem: No such file"):
            Security(ZoneResolver(""), None, dane=DaneSettings(), client=client, clock=lambda: NOW)


def test_without_mta_sts_its_records_are_not_asked_for(asking: Asking) -> None:
    async def main() -> None:
        asking.zone(STS, authentic=False)
        security = Security(asking.resolver, None, dane=DaneSettings(), client=TlsClientSettings(), clock=lambda: NOW)
        host = Host("mx1.example.org", ("192.0.2.1",), 10, False)
        hosts = Hosts("example.org", (host,), False, False, 60.0, ())
        assert (await security.demand_for("example.org", hosts, host)).level is TlsLevel.MAY
        assert asking.resolver.queries["_mta-sts.example.org", "TXT"] == 0

    asyncio.run(main())
