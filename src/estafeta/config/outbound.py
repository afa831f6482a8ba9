"""What is wrong with the settings of mail that leaves: gateways, limits, policies, addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from estafeta.agents.outbound.gateways.settings import problems
from estafeta.agents.promises import MOST_SECONDS
from estafeta.config.faults import Finding, Key
from estafeta.config.settings import Settings
from estafeta.mail.address import Address, AddressError, parse_domain

_POLICY = re.compile(r"[0-9A-Za-z._-]{1,20}")  # RFC 6710 §7: priority-profile


def alone(settings: Settings) -> Iterator[Finding]:
    """What the file alone can tell."""
    for problem in problems(settings.gateway):
        yield Finding(("gateway", problem.index, *problem.key.split(".")), problem.problem, problem.remedy)
    yield from _addresses_of_this_machine(settings)
    yield from _retries(settings)
    yield from _limits(settings)
    yield from _policies(settings)
    yield from _notifications(settings)
    yield from _customers(settings)
    yield from _promises(settings)
    for index, server in enumerate(settings.dns.servers):
        if not _is_ip(server):
            yield Finding(
                ("dns", "servers", index), "is not an IP address", 'Write addresses, as in ["127.0.0.1", "::1"].'
            )
    if settings.tls_report.contact:
        yield from _mail_address(("tls_report", "contact"), settings.tls_report.contact)


def _addresses_of_this_machine(settings: Settings) -> Iterator[Finding]:
    for name, version in (("ipv4_address", 4), ("ipv6_address", 6)):
        text = getattr(settings.relay, name)
        if text and not (_is_ip(text) and ipaddress.ip_address(text).version == version):
            yield Finding(("relay", name), f"is not an IPv{version} address", "Leave it out to let the system choose.")
    if settings.relay.hello:
        yield from _domain(("relay", "hello"), settings.relay.hello)


def _retries(settings: Settings) -> Iterator[Finding]:
    relay = settings.relay
    if not relay.retry_after:
        yield Finding(("relay", "retry_after"), "has no wait", "Write one or more, in seconds, as in [300, 900, 3600].")
    for index, wait in enumerate(relay.retry_after):
        if wait < 1:
            yield Finding(("relay", "retry_after", index), f"is too small: {wait:g}", "The least is 1 second.")
    if relay.jitter >= 1:
        yield Finding(("relay", "jitter"), f"is too large: {relay.jitter:g}", "Write a part of 1, as in 0.1.")
    if relay.port > 65535:
        yield Finding(("relay", "port"), f"is too large: {relay.port}", "The greatest is 65535.")
    if relay.first_concurrency > relay.concurrency:
        yield Finding(("relay", "first_concurrency"), "is more than concurrency", "Make it as large at most.")


def _limits(settings: Settings) -> Iterator[Finding]:
    for index, limit in enumerate(settings.destination_limit):
        key: Key = ("destination_limit", index)
        if limit.concurrency < 1:
            yield Finding((*key, "concurrency"), f"is too small: {limit.concurrency}", "The least is 1.")
        if limit.recipients_per_minute < 0:
            yield Finding(
                (*key, "recipients_per_minute"), f"is too small: {limit.recipients_per_minute}", "0 is no limit."
            )
        kind, colon, name = limit.domain.partition(":")
        if colon and kind == "gateway":
            if name not in {gateway.name for gateway in settings.gateway}:
                yield Finding((*key, "domain"), f"there is no gateway {name}", "Name one of [[gateway]].", "gateway")
        elif limit.domain != "*":
            yield from _domain((*key, "domain"), limit.domain.removeprefix("."))


def _policies(settings: Settings) -> Iterator[Finding]:
    for index, rule in enumerate(settings.tls_policy):
        key: Key = ("tls_policy", index)
        if rule.domain != "*":
            yield from _domain((*key, "domain"), rule.domain.removeprefix("."))
        for at, name in enumerate(rule.names):
            yield from _domain((*key, "names", at), name.removeprefix("."))
        if rule.names and rule.level.value != "verify":
            yield Finding((*key, "names"), f"means nothing with level {rule.level}", 'Remove it, or write "verify".')


def _notifications(settings: Settings) -> Iterator[Finding]:
    if settings.notifications.author:
        yield from _mail_address(("notifications", "author"), settings.notifications.author)
    for sender in settings.notifications.languages:
        key: Key = ("notifications", "languages", sender)
        if sender.startswith("@"):
            yield from _domain(key, sender[1:])
        else:
            yield from _mail_address(key, sender)


def _customers(settings: Settings) -> Iterator[Finding]:
    for index, customer in enumerate(settings.on_demand.customer):
        key: Key = ("on_demand", "customer", index)
        yield from _mail_address((*key, "account"), customer.account)
        for at, domain in enumerate(customer.domains):
            yield from _domain((*key, "domains", at), domain)


def _promises(settings: Settings) -> Iterator[Finding]:
    promises = settings.promises
    for name in ("deliver_by_at_least", "hold_for"):
        if getattr(promises, name) > MOST_SECONDS:
            yield Finding(("promises", name), "is too large", f"The greatest is {MOST_SECONDS} (RFC 2852, RFC 4865).")
    if promises.highest_priority > 9:
        yield Finding(("promises", "highest_priority"), "is too large", "Priorities go up to 9 (RFC 6710 §3).")
    if promises.priority_policy and not _POLICY.fullmatch(promises.priority_policy):
        yield Finding(
            ("promises", "priority_policy"),
            "is not the name of a policy",
            "Write 1 to 20 letters, digits, dots, - or _, as in MIXER (RFC 6710 §7).",
        )
    for sender, priority in promises.highest_priorities.items():
        key: Key = ("promises", "highest_priorities", sender)
        if sender != sender.lower():
            yield Finding(key, "is not written as it is compared", f'Write it as "{sender.lower()}".')
        elif sender.startswith("@"):
            yield from _domain(key, sender[1:])
        else:
            yield from _mail_address(key, sender)
        if priority > 9:
            yield Finding(key, f"is too large: {priority}", "Priorities go up to 9 (RFC 6710 §3).")
    for index, domain in enumerate(promises.priority_field_to):
        if domain != "*":
            yield from _domain(("promises", "priority_field_to", index), domain.removeprefix("."))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _domain(key: Key, text: str) -> Iterator[Finding]:
    try:
        name = parse_domain(text)
    except AddressError as error:
        yield Finding(key, f"is not a domain name ({error})", 'Write it in lower case, as in "example.org".')
    else:
        if name != text:
            yield Finding(key, "is not written as it is compared", f'Write it as "{name}".')


def _mail_address(key: Key, text: str) -> Iterator[Finding]:
    try:
        Address.parse(text)
    except AddressError as error:
        yield Finding(key, f"is not an address ({error})", "Write it as name@domain.")
