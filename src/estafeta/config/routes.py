"""What is wrong with the routes of the settings: each by itself, beside the others, and beside the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from estafeta.config.faults import Finding, Key
from estafeta.config.settings import Settings
from estafeta.mail.address import Address, AddressError, parse_domain
from estafeta.routing.routes import RouteAction, RouteRule

if TYPE_CHECKING:
    from estafeta.store.store import Transaction

MAX_TEXT = 400
"""Letters of an operator's reply: a reply line has 512 octets, code, status and CRLF included (RFC 5321 §4.5.3.1.5)."""


def alone(settings: Settings) -> Iterator[Finding]:
    """What the file alone can tell."""
    gateways = {gateway.name for gateway in settings.gateway}
    for index, route in enumerate(settings.route):
        key: Key = ("route", index)
        yield from _domain(key, route)
        yield from _senders(key, route)
        yield from _ends(key, route, gateways)
        yield from _openness(key, route)
        if any(earlier.covers(route) for earlier in settings.route[:index]):
            yield Finding(
                (*key, "domain"),
                "is never reached, because a route before it takes this mail",
                "Put the narrower route first.",
            )


def against_store(settings: Settings, transaction: Transaction) -> Iterator[Finding]:
    """What the store says: the accounts and domains that routes name."""
    from estafeta.store import domains

    for index, route in enumerate(settings.route):
        key: Key = ("route", index)
        if route.mailbox:
            yield from _account((*key, "mailbox"), route.mailbox, transaction)
        for at, sender in enumerate(route.senders):
            if not sender.startswith("@"):
                yield from _account((*key, "senders", at), sender, transaction)
            elif domains.find(transaction, sender[1:]) is None:
                yield Finding(
                    (*key, "senders", at),
                    f"{sender[1:]} is no domain of this server, so that it has no accounts",
                    f"Make it one with `estafeta domain add {sender[1:]}`, or take it out.",
                )


def _account(key: Key, text: str, transaction: Transaction) -> Iterator[Finding]:
    from estafeta.store import accounts

    account = accounts.find(transaction, Address.parse(text))
    if account is None:
        yield Finding(key, f"there is no account {text}", f"Make it with `estafeta account add {text}`.")
    elif not account.is_enabled:
        yield Finding(key, f"the account {text} is disabled", f"Enable it with `estafeta account enable {text}`.")


def _domain(key: Key, route: RouteRule) -> Iterator[Finding]:
    try:
        if route.domain != "*":
            _require_canonical(route.domain.removeprefix("."))
    except AddressError as error:
        yield Finding(
            (*key, "domain"),
            f"is not a domain name ({error})",
            'Write a name in lower case, ".example.org" for all names below it, or "*" for every other domain.',
        )


def _senders(key: Key, route: RouteRule) -> Iterator[Finding]:
    for at, sender in enumerate(route.senders):
        try:
            if sender.startswith("@"):
                _require_canonical(sender[1:])
            elif str(Address.parse(sender)) != sender:
                raise AddressError(f'write it as "{Address.parse(sender)}"')
        except AddressError as error:
            yield Finding(
                (*key, "senders", at),
                f"is not an account or a domain of accounts ({error})",
                'Write "name@domain" for one account, or "@domain" for all accounts of a domain.',
            )


def _ends(key: Key, route: RouteRule, gateways: set[str]) -> Iterator[Finding]:
    said = [name for name in ("mailbox", "gateway", "action") if getattr(route, name)]
    if not said:
        yield Finding(key, "does not say where the mail goes", "Add one of mailbox, gateway and action.")
    for name in said[1:]:
        yield Finding((*key, name), f"is said beside {said[0]}", "Leave one of them: a route has one end.")
    if route.mailbox:
        try:
            Address.parse(route.mailbox)
        except AddressError as error:
            yield Finding(
                (*key, "mailbox"), f"is not an address ({error})", "Write the address of an account, name@domain."
            )
    if route.gateway and route.gateway not in gateways:
        remedy = f"Name one of {', '.join(sorted(gateways))}." if gateways else "Add a table [[gateway]] of this name."
        yield Finding((*key, "gateway"), f"there is no gateway {route.gateway}", remedy, "gateway")
    if route.action is RouteAction.ON_DEMAND and route.domain == "*":
        yield Finding(
            (*key, "action"),
            "mail for all the world would wait for a customer who calls",
            "Name the domain of the customer.",
        )
    if route.text and route.action is not RouteAction.REFUSE:
        yield Finding((*key, "text"), "is said to nobody", 'Leave it out, or write action = "refuse".')
    elif not (route.text.isascii() and (route.text.isprintable()) and len(route.text) <= MAX_TEXT):
        yield Finding(
            (*key, "text"),
            "is nothing that a reply can say",
            f"Write one line of at most {MAX_TEXT} ASCII letters.",
        )


def _openness(key: Key, route: RouteRule) -> Iterator[Finding]:
    if not route.for_anyone:
        return
    if route.senders:
        yield Finding(
            (*key, "for_anyone"),
            "mail of certain senders only cannot be taken from everyone",
            "Leave out for_anyone, or senders.",
        )
    # A wildcard of a top-level domain is one for thousands of owners.
    if route.domain == "*" or (route.domain.startswith(".") and "." not in route.domain[1:]):
        yield Finding(
            (*key, "for_anyone"),
            f'mail for "{route.domain}" from everyone would make this an open relay',
            "Name the domains of yours that are kept elsewhere, each in a route of its own, or leave out for_anyone.",
        )


def _require_canonical(domain: str) -> None:
    """Raises AddressError for what is no domain, or is written otherwise than it is compared."""
    parsed = parse_domain(domain)
    if parsed != domain:
        raise AddressError(f'write it as "{parsed}"')
