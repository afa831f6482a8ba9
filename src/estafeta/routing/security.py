"""What is asked of one host before mail goes to it: TLS or not, and whose certificate.

The operator's rule for the domain comes first, then DANE (RFC 7672), then MTA-STS (RFC 8461, which DANE goes before
by its §2), then TLS where it is offered (RFC 7435). A message that requires TLS (RFC 8689) raises what is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property

from estafeta.mail.reply import Reply
from estafeta.mail.tls_report import AppliedPolicy, PolicyKind, TlsFault, TlsResultKind
from estafeta.mail.value import value
from estafeta.net.chains import Authorities, load_chain
from estafeta.net.dane import check_tlsa, usable
from estafeta.net.dns import DnsStatus, Resolver, TlsaRecord
from estafeta.net.tls import CertificateFault, CertificateRefused, TlsClientSettings, client_context, matching_name
from estafeta.routing.hosts import Host, Hosts
from estafeta.routing.sts import StsAnswer, StsMode, StsPolicies, StsPolicy

MAX_TOLD = 50
"""Hosts of a policy, and TLSA records, that reports tell of."""
NOT_VERIFIED = "not verified"
"""How a certificate was verified that nobody asked about."""


class TlsLevel(StrEnum):
    """How much TLS is asked for."""

    NONE = "none"
    """None, even where it is offered."""
    MAY = "may"
    """Where it is offered, with any certificate."""
    MUST = "must"
    """Always, with any certificate."""
    VERIFY = "verify"
    """Always, with a certificate that is verified."""


@value
class TlsRule:
    """One `[[tls_policy]]` of the settings: the TLS that mail to a domain needs. The first rule that fits is taken.

    A rule goes before what the domain itself publishes by DANE and MTA-STS.
    """

    domain: str
    """A domain name (of recipients, or of a host that a route names), `.example.org` for all names below it, or `*`
    for all."""
    level: TlsLevel
    """none: in the clear; may: TLS where it is offered; must: always TLS, with any certificate; verify: always TLS,
    with a certificate of a trusted authority for one of `names`."""
    names: tuple[str, ...] = ()
    """With `verify`: host names the certificate may have, also as `.example.org` for all names below it; the name of
    the host in its MX record when empty."""

    def fits(self, domain: str) -> bool:
        """Whether this rule speaks of the domain (lower case, A-labels)."""
        if self.domain.startswith("."):
            return domain.endswith(self.domain)
        return self.domain in ("*", domain)


@dataclass(frozen=True, slots=True)
class DaneSettings:
    """Whether TLSA records are looked for."""

    enabled: bool = True
    """Check the certificates of hosts whose names and TLSA records DNSSEC vouches for (RFC 7672)."""


@value
class HostDemand:
    """What is asked of one host, and why."""

    level: TlsLevel
    reason: str
    """In words, for people."""
    server_name: str
    """The name that is asked for in the handshake (SNI)."""
    policy: AppliedPolicy
    """What a report to the domain calls it."""
    names: tuple[str, ...] = ()
    """Those that the certificate may have."""
    tlsa: tuple[TlsaRecord, ...] = ()
    """The records that the certificate is checked by; an authority's word counts where there are none."""
    refusal: Reply | None = None
    """The host must not be used now: this is why."""
    needs_requiretls: bool = False
    """After STARTTLS the host must announce REQUIRETLS, and MAIL has to say it (RFC 8689 §4.2.1)."""
    is_tested: bool = False
    """The certificate is only looked at for the report (RFC 8461 §5, mode testing)."""
    fault: TlsFault | None = None
    """What the report to the domain says of a session, however it goes."""

    @property
    def connection_key(self) -> str:
        """The same for demands that one connection fulfils, also those of other domains at the host."""
        tlsa = " ".join(f"{one.usage}.{one.selector}.{one.matching}.{one.data.hex()}" for one in self.tlsa)
        return f"{self.level} {self.server_name} {' '.join(self.names)} {tlsa}"


class Security:
    """Finds what is asked of hosts, and checks what they show. `clock` gives seconds since 1970.

    `sts` None: nobody asks for policies of MTA-STS. Raises TlsError when the client's files cannot be used.
    """

    def __init__(
        self,
        resolver: Resolver,
        sts: StsPolicies | None,
        *,
        rules: Sequence[TlsRule] = (),
        dane: DaneSettings = DaneSettings(),
        client: TlsClientSettings = TlsClientSettings(),  # noqa: B008 - frozen
        clock: Callable[[], float],
    ) -> None:
        self._resolver = resolver
        self._sts = sts
        self._rules = tuple(rules)
        self._dane = dane
        self._client = client
        self._clock = clock
        self._any = client_context(verify=False, certificate=client.certificate, key=client.key)
        self._authorities: Authorities | None = None
        if client.ca_file is not None:
            _ = self._verifying  # a file that cannot be used is said now

    @cached_property
    def _verifying(self) -> ssl.SSLContext:
        """Made when a host is to be verified: loading the system's authorities takes 70 ms of a start."""
        context = client_context(self._client.ca_file, certificate=self._client.certificate, key=self._client.key)
        context.check_hostname = False  # the name is checked afterwards, against all that the demand allows
        return context

    # Before connecting

    async def demand_for(
        self, domain: str, hosts: Hosts, host: Host, *, port: int = 25, requires_tls: bool = False
    ) -> HostDemand:
        """What mail to a domain (A-labels in lower case, or an address literal) asks of one of its hosts.

        `domain` is that of the recipients, or the name of the host that a route goes to. `requires_tls`: the message
        came with REQUIRETLS, and its reverse-path is not null (RFC 8689 §5). Never raises.
        """
        rule = next((each for each in self._rules if each.fits(domain)), None)
        demand = _by_rule(rule, domain, host) if rule is not None else await self._published(domain, hosts, host, port)
        if not requires_tls or demand.refusal is not None:
            return demand
        if hosts.is_authentic or (rule is not None and rule.level is TlsLevel.VERIFY and rule.names):
            return _raised(demand, domain)
        return await self._vouched(demand, domain, host)

    async def _published(self, domain: str, hosts: Hosts, host: Host, port: int) -> HostDemand:
        demand: HostDemand | None = None
        # RFC 7672 §2.2.1: without authentic names there is nothing that TLSA records could vouch for.
        if self._dane.enabled and hosts.is_authentic and host.is_authentic:
            demand = await self._by_dane(hosts, host, port)
        if demand is None:
            demand = await self._by_sts(domain, host)
        return demand or _optional(domain, host, "TLS where it is offered")

    async def _by_dane(self, hosts: Hosts, host: Host, port: int) -> HostDemand | None:
        # RFC 7672 §2.2.2: the name at the end of the CNAMEs is asked about first, then the host's own.
        canonical = await self._resolver.ipv4(host.name)
        bases = (canonical.name, host.name) if canonical.is_authentic else (host.name,)
        for base in dict.fromkeys(bases):
            answer = await self._resolver.tlsa(f"_{port}._tcp.{base}")
            policy = AppliedPolicy(PolicyKind.TLSA, base, tuple(map(_tlsa_text, answer.records[:MAX_TOLD])))
            if answer.status is DnsStatus.FAILED:
                # RFC 7672 §2.1.1, §2.1.2: somebody may keep the records from us, so the host is as good as down.
                return HostDemand(
                    TlsLevel.VERIFY,
                    "DANE: the TLSA records cannot be looked up",
                    base,
                    policy,
                    refusal=Reply.of(451, f"the TLSA records of {base} cannot be looked up", "4.7.5"),
                    fault=TlsFault(TlsResultKind.DNSSEC_INVALID, answer.detail),
                )
            if answer.status is not DnsStatus.FOUND or not answer.is_authentic:
                continue
            if not usable(answer.records):
                # RFC 7672 §2.2: the domain wants TLS, and says of the certificate nothing that counts.
                return HostDemand(
                    TlsLevel.MUST,
                    "DANE: no TLSA record is usable, so any certificate will do",
                    base,
                    policy,
                    fault=TlsFault(TlsResultKind.TLSA_INVALID, "no TLSA record is usable"),
                )
            names = tuple(dict.fromkeys((base, host.name, hosts.domain)))  # RFC 7672 §3.2.2
            return HostDemand(TlsLevel.VERIFY, "DANE", base, policy, names, answer.records)
        return None

    async def _by_sts(self, domain: str, host: Host) -> HostDemand | None:
        answer = await self._sts_answer(domain)
        policy = answer.policy
        if policy is None:
            if answer.fault is None:
                return None
            demand = _optional(domain, host, f"TLS where it is offered; no MTA-STS policy: {answer.fault.reason}")
            return replace(demand, policy=AppliedPolicy(PolicyKind.STS, domain), fault=answer.fault)
        applied = _sts_policy(domain, policy)
        is_allowed = policy.allows(host.name)
        fault = (
            None if is_allowed else TlsFault(TlsResultKind.VALIDATION_FAILURE, f"{host.name} is no mx of the policy")
        )
        if policy.mode is StsMode.TESTING:
            if self._authorities is None:
                self._authorities = await asyncio.to_thread(Authorities, self._client.ca_file)
            demand = _optional(domain, host, "MTA-STS, mode testing: TLS where it is offered")
            return replace(demand, policy=applied, names=(host.name,), is_tested=True, fault=fault)
        refusal = None
        if not is_allowed:
            refusal = Reply.of(451, f"{host.name} is none of the hosts in the MTA-STS policy of {domain}", "4.7.5")
        return HostDemand(
            TlsLevel.VERIFY,
            "MTA-STS, mode enforce",
            host.name,
            applied,
            (host.name,),
            refusal=refusal,
            fault=fault,
        )

    async def _sts_answer(self, domain: str) -> StsAnswer:
        if self._sts is None or domain.startswith("["):
            return StsAnswer(None)
        return await self._sts.find(domain)

    async def _vouched(self, demand: HostDemand, domain: str, host: Host) -> HostDemand:
        """The demand of a message that requires TLS, where DNSSEC does not vouch for the name of the host."""
        # Without MX records it is the domain itself, or what the operator's route says.
        if host.name == domain or domain.startswith("["):
            return _raised(demand, domain)
        answer = await self._sts_answer(domain)
        if answer.policy is not None and answer.policy.allows(host.name):
            return _raised(demand, domain)
        if answer.is_uncertain:
            refusal = Reply.of(
                451, "the message requires TLS, and the MTA-STS policy cannot be found out now", "4.7.10"
            )
        else:
            text = f"the message requires TLS, and neither DNSSEC nor MTA-STS vouches for {host.name}"
            refusal = Reply.of(550, text, "5.7.10")
        return replace(demand, refusal=refusal)

    def context_for(self, demand: HostDemand) -> ssl.SSLContext:
        """The context of the handshake that the demand asks for. The contexts are made once."""
        return self._verifying if demand.level is TlsLevel.VERIFY and not demand.tlsa else self._any

    # After the handshake

    def verified(self, demand: HostDemand, chain: Sequence[bytes]) -> str:
        """How the certificate of a session under TLS was verified, in words; the chain is in DER form, leaf first.

        The handshake must have had the context of `context_for`. Raises CertificateRefused.
        """
        if demand.tlsa:
            return check_tlsa(demand.tlsa, chain, demand.names, self._now())
        if demand.level is TlsLevel.VERIFY:
            name = matching_name(load_chain(chain[:1])[0], demand.names)
            return f"by an authority, for {name}"
        return NOT_VERIFIED

    def tested(self, demand: HostDemand, chain: Sequence[bytes]) -> TlsFault | None:
        """What a policy in mode testing would have refused, for the report; None for any other demand."""
        if not demand.is_tested or self._authorities is None:
            return None
        try:
            self._authorities.check(chain, demand.names, self._now())
        except CertificateRefused as error:
            return fault_of_certificate(error)
        return None

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


_KINDS = {
    CertificateFault.NAME: TlsResultKind.CERTIFICATE_HOST_MISMATCH,
    CertificateFault.EXPIRED: TlsResultKind.CERTIFICATE_EXPIRED,
    CertificateFault.UNTRUSTED: TlsResultKind.CERTIFICATE_NOT_TRUSTED,
    CertificateFault.TLSA: TlsResultKind.TLSA_INVALID,
}


def fault_of_certificate(error: CertificateRefused) -> TlsFault:
    """A certificate that was refused, as reports call it (RFC 8460 §4.3)."""
    return TlsFault(_KINDS[error.fault], str(error).partition(": ")[2])


def _by_rule(rule: TlsRule, domain: str, host: Host) -> HostDemand:
    names = (rule.names or (host.name,)) if rule.level is TlsLevel.VERIFY else ()
    reason = f"rule of the operator for {rule.domain}: {rule.level}"
    return HostDemand(rule.level, reason, host.name, AppliedPolicy(PolicyKind.NONE, domain), names)


def _optional(domain: str, host: Host, reason: str) -> HostDemand:
    return HostDemand(TlsLevel.MAY, reason, host.name, AppliedPolicy(PolicyKind.NONE, domain))


def _raised(demand: HostDemand, domain: str) -> HostDemand:
    """The demand of a message that requires TLS, whose host's name somebody vouches for (RFC 8689 §4.2.1)."""
    if demand.level is TlsLevel.NONE:
        text = f"the message requires TLS, and a rule here sends to {domain} without"
        return replace(demand, refusal=Reply.of(550, text, "5.7.10"))
    return replace(
        demand,
        level=TlsLevel.VERIFY,
        names=demand.names or (demand.server_name,),
        needs_requiretls=True,
        is_tested=False,
        reason=f"{demand.reason}; REQUIRETLS",
    )


def _sts_policy(domain: str, policy: StsPolicy) -> AppliedPolicy:
    shown = replace(policy, mx=policy.mx[:MAX_TOLD])
    return AppliedPolicy(PolicyKind.STS, domain, shown.lines, shown.mx)


def _tlsa_text(record: TlsaRecord) -> str:
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()[:128]}"
