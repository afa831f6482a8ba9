"""Local routing: domains, accounts, subaddresses, aliases and catch-alls, found in one snapshot of the store.

Aliases are followed to their ends. A member that leads back to an alias on its own way is passed over and
told; an alias of which nothing else is left is refused as a loop (RFC 3463 X.4.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.reply import Reply
from estafeta.routing.routes import Expansion, Refused, Route, RouteRule, ToHost, ToMailbox
from estafeta.store import accounts, aliases, domains, mailboxes
from estafeta.store.records import Account
from estafeta.store.store import Transaction

MAX_ALIAS_ENDS = 10_000
"""As many recipients as one alias may stand for; larger lists are for a list manager."""

MAX_ALIAS_DEPTH = 50
"""Aliases behind aliases; deeper ones count as a loop."""

NO_SUCH_MAILBOX = Reply.of(550, "no such mailbox here", "5.1.1")
_DISABLED = Reply.of(550, "mailbox disabled", "5.2.1")
_LOOP = Reply.of(550, "alias leads back to itself", "5.4.6")
_TOO_LARGE = Reply.of(550, "alias stands for too many recipients", "5.3.4")
_BAD_RULE = Reply.of(451, "local configuration error, try again later", "4.3.5")


@dataclass(frozen=True, slots=True)
class LocalRules:
    """The settings that local routing follows."""

    rules: tuple[RouteRule, ...] = ()
    subaddress_separator: str = "+"
    postmaster: Address | None = None
    """Who gets mail for postmaster where no account or alias of the name exists."""


def resolve(tx: Transaction, path: ForwardPath, rules: LocalRules) -> Route:
    """Where mail for the forward-path goes."""
    address = path.address
    if path.is_postmaster:
        return _postmaster(tx, rules, "")
    key = Address(address.local_part.lower(), address.domain)
    if domains.find(tx, key.domain) is None:
        return _beyond(tx, path, rules)
    return _Local(tx, rules).route(key)


def without_tag(address: Address, rules: LocalRules) -> Address | None:
    """The address that a subaddress belongs to (RFC 5233): `user+tag` is `user`; None where there is no tag."""
    separator, local_part = rules.subaddress_separator, address.local_part
    at = local_part.find(separator, 1) if separator else -1
    return Address(local_part[:at], address.domain) if at > 0 else None


def find_loop(tx: Transaction, address: Address) -> bool:
    """Whether the alias leads back to itself by any of its members."""
    walk = _Local(tx, LocalRules())
    alias = aliases.find(tx, address)
    if alias is not None:
        walk.follow(alias.address, alias.members, ())
    return walk.has_loop


def _beyond(tx: Transaction, path: ForwardPath, rules: LocalRules) -> Route:
    domain = path.address.domain
    for rule in rules.rules:
        if rule.fits(domain):
            account = accounts.find(tx, Address.parse(rule.mailbox))
            if account is None:
                return Refused(_BAD_RULE, f"route for {rule.domain}: no account {rule.mailbox}")
            return _to_inbox(tx, account, f"route for {rule.domain}", is_relaying=True)
    return ToHost(domain, path, "domain is not ours")


def _to_inbox(tx: Transaction, account: Account, reason: str, *, is_relaying: bool = False) -> ToMailbox | Refused:
    if not account.is_enabled:
        return Refused(_DISABLED, f"account {account.address} is disabled")
    mailbox = mailboxes.inbox(tx, account.account_id)
    has_quota = account.quota_octets is not None or account.quota_messages is not None
    return ToMailbox(mailbox.mailbox_id, account.address, reason, is_relaying, has_quota)


def _postmaster(tx: Transaction, rules: LocalRules, domain: str) -> Route:
    # RFC 5321 §4.5.1: postmaster is taken wherever mail is: by an account or alias of the name, by the operator's
    # word, or by the oldest account.
    if not domain:
        for each in sorted(domains.list_all(tx), key=lambda found: found.created_at):
            route = _Local(tx, rules).known(Address("postmaster", each.name))
            if not isinstance(route, Refused):
                return route
    if rules.postmaster is not None:
        address, told = Address("postmaster", domain), "postmaster's mail, by the settings"
        # Whoever leads back to postmaster from there comes to the oldest account, and no further.
        ends = _Local(tx, replace(rules, postmaster=None)).follow(address, (rules.postmaster,), ())
        if len(ends) == 1 and isinstance(ends[0], ToMailbox):
            return replace(ends[0], reason=told, is_relaying=False)
        if 0 < len(ends) <= MAX_ALIAS_ENDS:
            return Expansion(address, tuple(ends), told)
    by_age = sorted(accounts.list_all(tx), key=lambda account: account.created_at)
    chosen = next((each for each in by_age if each.is_enabled and each.address.domain == domain), None)
    chosen = chosen or next((each for each in by_age if each.is_enabled), None)
    if chosen is None:
        return Refused(NO_SUCH_MAILBOX, "there is no account to take postmaster's mail")
    return _to_inbox(tx, chosen, "postmaster's mail, by the oldest account")


class _Local:
    """One walk through accounts and aliases of our domains."""

    def __init__(self, tx: Transaction, rules: LocalRules) -> None:
        self._tx = tx
        self._rules = rules
        self.has_loop = False
        self._passed_over: list[str] = []
        self._deferred: Refused | None = None
        self._followed: set[Address] = set()

    def route(self, key: Address) -> Route:
        if key.local_part == "postmaster" and self._find(key) is None:
            return _postmaster(self._tx, self._rules, key.domain)
        return self.known(key)

    def known(self, key: Address) -> Route:
        """The route by an account, an alias or a catch-all."""
        found = self._find(key)
        if isinstance(found, Account):
            reason = "account" if found.address == key else f"subaddress of {found.address}"
            return _to_inbox(self._tx, found, reason)
        if found is None:
            return Refused(NO_SUCH_MAILBOX, f"no account or alias {key}")
        alias, members = found
        ends = self.follow(alias, members, ())
        if len(ends) > MAX_ALIAS_ENDS:
            return Refused(_TOO_LARGE, f"alias {alias} has more than {MAX_ALIAS_ENDS} ends")
        if self._deferred is not None:  # a member that can only be reached later: so is the whole alias
            return Refused(self._deferred.reply, f"alias {alias}: {self._deferred.reason}")
        if not ends:
            return Refused(_LOOP if self.has_loop else NO_SUCH_MAILBOX, f"alias {alias} has no end")
        passed_over = (["a loop"] if self.has_loop else []) + self._passed_over
        reason = f"alias {alias}" + (f", passed over: {'; '.join(passed_over[:10])}" if passed_over else "")
        return Expansion(alias, tuple(ends), reason)

    def _find(self, key: Address) -> Account | tuple[Address, tuple[Address, ...]] | None:
        """An account, or an alias with its members: by the whole address, without its tag, by catch-all."""
        for candidate in (key, without_tag(key, self._rules)):
            if candidate is None:
                break
            account = accounts.find(self._tx, candidate)
            if account is not None:
                return account
            alias = aliases.find(self._tx, candidate)
            if alias is not None:
                return alias.address, alias.members
        domain = domains.find(self._tx, key.domain)
        if domain is not None and domain.catch_all is not None and key.local_part != "postmaster":
            return Address("*", key.domain), (domain.catch_all,)
        return None

    def follow(self, alias: Address, members: Sequence[Address], way: tuple[Address, ...]) -> list[ToMailbox | ToHost]:
        """The ends of an alias, each once; `way` holds the aliases that led here."""
        ends: dict[object, ToMailbox | ToHost] = {}
        way = (*way, alias)
        self._followed.add(alias)
        for member in members:
            if len(ends) > MAX_ALIAS_ENDS:
                break
            for end in self._ends_of(member, way):
                key = end.mailbox_id if isinstance(end, ToMailbox) else end.address
                ends.setdefault(key, end)
        return list(ends.values())

    def _ends_of(self, member: Address, way: tuple[Address, ...]) -> list[ToMailbox | ToHost]:
        key = Address(member.local_part.lower(), member.domain)
        if domains.find(self._tx, key.domain) is None:
            return self._taken(_beyond(self._tx, ForwardPath(member), self._rules))
        found = self._find(key)
        if isinstance(found, Account):
            return self._taken(_to_inbox(self._tx, found, f"alias {way[0]}"))
        if found is None and key.local_part == "postmaster" and key not in way:
            return self._taken(_postmaster(self._tx, self._rules, key.domain))
        if found is None:
            return self._taken(Refused(NO_SUCH_MAILBOX, f"no account or alias {key}"))
        if found[0] in way or len(way) > MAX_ALIAS_DEPTH:
            self.has_loop = True
            return []
        if found[0] in self._followed:  # by another way: its ends are there already
            return []
        return self.follow(found[0], found[1], way)

    def _taken(self, route: Route) -> list[ToMailbox | ToHost]:
        """The ends of a member's route; a refusal is remembered."""
        if isinstance(route, Expansion):
            return list(route.ends)
        if not isinstance(route, Refused):
            return [route]
        if route.reply.is_transient:
            self._deferred = route
        else:
            self._passed_over.append(route.reason)
        return []
