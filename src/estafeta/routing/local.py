"""Local routing: domains, accounts, subaddresses, aliases, lists and catch-alls, found in one snapshot of the store.

Aliases are followed to their ends. A member that leads back to an alias on its own way is passed over and
told; an alias of which nothing else is left is refused as a loop (RFC 3463 X.4.6). Beyond our domains the rules of
the operator say where mail goes, and where there is none the DNS does.
"""

from __future__ import annotations

from dataclasses import replace

from estafeta.mail.address import Address, ForwardPath
from estafeta.mail.catalogue import recipients
from estafeta.mail.lists import Listed
from estafeta.mail.value import value
from estafeta.routing.destinations import Destination, DestinationKind
from estafeta.routing.routes import (
    End,
    Expansion,
    Refused,
    Route,
    RouteAction,
    RouteRule,
    ToHost,
    ToMailbox,
    ToNowhere,
)
from estafeta.routing.srs import Srs, SrsFault, is_rewritten
from estafeta.store import accounts, aliases, domains, lists, mailboxes, moved
from estafeta.store.records import Account
from estafeta.store.store import Transaction

MAX_ALIAS_ENDS = 10_000
"""As many recipients as one alias may stand for; larger lists are for a list manager."""

MAX_ALIAS_DEPTH = 50
"""Aliases behind aliases; deeper ones count as a loop."""


@value
class LocalRules:
    """The settings that local routing follows."""

    rules: tuple[RouteRule, ...] = ()
    subaddress_separator: str = "+"
    postmaster: Address | None = None
    """Who gets mail for postmaster where no account or alias of the name exists."""
    srs: Srs | None = None
    """Leads notifications for rewritten reverse-paths back; None where none are led back."""


def resolve(
    tx: Transaction, path: ForwardPath, rules: LocalRules, *, account: Address | None = None, now: float
) -> Route:
    """Where mail for the forward-path goes that the account handed in, or somebody without a login.

    `now` is in seconds since 1970.
    """
    address = path.address
    if path.is_postmaster:
        return _postmaster(tx, rules, "", account)
    key = Address(address.local_part.lower(), address.domain)
    if not _ends_here(tx, key.domain, rules, account):
        return _beyond(tx, path, rules, account)
    walk = _Local(tx, rules, account)
    if rules.srs is not None and is_rewritten(address) and walk.find_named(key) is None:
        original = rules.srs.back(address, now)
        if isinstance(original, SrsFault):
            return Refused(recipients.UNKNOWN, f"SRS: {original}")
        # It may be in one of our domains again, and shorter each time.
        return _undone(resolve(tx, ForwardPath(original), rules, account=account, now=now))
    return walk.route(key)


def destination_of(path: ForwardPath, rules: LocalRules, account: Address | None = None) -> str | None:
    """What mail for a forward-path that is not for our mailboxes waits for, as `routing.destinations` reads it.

    None where a rule no longer sends it on: it ends here, or is refused.
    """
    domain = path.address.domain
    rule = _rule_for(domain, rules, account)
    if rule is None:
        return domain
    if rule.gateway:
        return str(Destination(DestinationKind.GATEWAY, rule.gateway))
    if rule.action is RouteAction.ON_DEMAND:
        return str(Destination(DestinationKind.ON_DEMAND, domain))
    return domain if rule.action is RouteAction.MX else None


# Not done of RFC 5233: the tests of subaddresses in Sieve, which there is none of here.
def without_tag(address: Address, rules: LocalRules) -> Address | None:
    """The address that a subaddress belongs to (RFC 5233): `user+tag` is `user`; None where there is no tag."""
    separator, local_part = rules.subaddress_separator, address.local_part
    at = local_part.find(separator, 1) if separator else -1
    return Address(local_part[:at], address.domain) if at > 0 else None


def find_loop(tx: Transaction, address: Address) -> bool:
    """Whether the alias leads back to itself by any of its members, or as a list by its owner."""
    walk = _Local(tx, LocalRules(), None)
    alias = walk.find_alias(address)
    if alias is None:
        return False
    walk.follow(alias, ())
    if alias.listed is not None and not walk.has_loop:
        # A notification to the owner must not become a post.
        walk = _Local(tx, LocalRules(), None)
        walk.follow(replace(alias, members=(alias.listed.owner,)), ())
    return walk.has_loop


# Not done of RFC 5321 §4.1.3: mail for a literal of this host's own address is not taken, for no literal is a domain of
# ours.
def _ends_here(tx: Transaction, domain: str, rules: LocalRules, account: Address | None) -> bool:
    """Whether the domain's addresses are looked for in the store: it is ours, and no rule names it.

    A rule that does sends its mail on though it is ours: accounts hand in here, mailboxes are on another host.
    """
    if domains.find(tx, domain) is None:
        return False
    rule = _rule_for(domain, rules, account)
    return rule is None or rule.domain != domain


def _rule_for(domain: str, rules: LocalRules, account: Address | None) -> RouteRule | None:
    return next((rule for rule in rules.rules if rule.fits(domain, account)), None)


def _beyond(tx: Transaction, path: ForwardPath, rules: LocalRules, account: Address | None) -> Route:
    rule = _rule_for(path.address.domain, rules, account)
    if rule is None:
        return ToHost(path.address.domain, path, "domain is not ours")
    reason = f"route for {rule.domain}" + (f" from {account}" if rule.senders else "")
    if rule.mailbox:
        found = accounts.find(tx, Address.parse(rule.mailbox))
        if found is None:
            return Refused(recipients.BAD_ROUTE, f"{reason}: no account {rule.mailbox}")
        return _to_inbox(tx, found, reason, is_relaying=not rule.for_anyone)
    if rule.action is RouteAction.DISCARD:
        return ToNowhere(reason, rule.for_anyone)
    destination = destination_of(path, rules, account)
    if destination is None:
        told = recipients.REFUSED_BY_ROUTE.with_(text=rule.text) if rule.text else recipients.DOMAIN_NOT_TAKEN
        return Refused(told, reason)
    return ToHost(destination, path, reason, for_anyone=rule.for_anyone)


def _undone(route: Route) -> Route:
    """The route of an original reverse-path: open to everyone, for the hash has said that it is a way back."""
    told = f"SRS undone: {route.reason}"
    if isinstance(route, ToHost | ToNowhere):
        return replace(route, reason=told, for_anyone=True)
    if isinstance(route, ToMailbox):
        return replace(route, reason=told, is_relaying=False)
    return replace(route, reason=told)


def _to_inbox(tx: Transaction, account: Account, reason: str, *, is_relaying: bool = False) -> ToMailbox | Refused:
    if not account.is_enabled:
        return Refused(recipients.DISABLED, f"account {account.address} is disabled")
    mailbox = mailboxes.inbox(tx, account.account_id)
    has_quota = account.quota_octets is not None or account.quota_messages is not None
    return ToMailbox(mailbox.mailbox_id, account.address, reason, is_relaying, has_quota)


def _postmaster(tx: Transaction, rules: LocalRules, domain: str, account: Address | None) -> Route:
    # RFC 5321 §4.5.1: postmaster is taken wherever mail is: by an account or alias of the name, by the operator's
    # word, or by the oldest account.
    # Departs from RFC 5321 §4.5.1: where an account named postmaster is disabled, or an alias of the name has no end,
    # postmaster is refused at that domain.
    # Not done of RFC 2142: abuse, hostmaster and the others are there when an alias makes them.
    home = domain
    if not domain:
        for each in sorted(domains.list_all(tx), key=lambda found: found.created_at):
            home = home or each.name
            route = _Local(tx, rules, account).known(Address("postmaster", each.name))
            if not isinstance(route, Refused):
                return route
    if rules.postmaster is not None:
        alias, told = _Alias(Address("postmaster", home), (rules.postmaster,)), "postmaster's mail, by the settings"
        # Whoever leads back to postmaster from there comes to the oldest account, and no further.
        ends = _Local(tx, replace(rules, postmaster=None), account).follow(alias, ())
        if len(ends) == 1 and isinstance(ends[0], ToMailbox):
            return replace(ends[0], reason=told, is_relaying=False)
        if 0 < len(ends) <= MAX_ALIAS_ENDS:
            return Expansion(alias.address, tuple(ends), told)
    by_age = sorted(accounts.list_all(tx), key=lambda found: found.created_at)
    chosen = next((each for each in by_age if each.is_enabled and each.address.domain == domain), None)
    chosen = chosen or next((each for each in by_age if each.is_enabled), None)
    if chosen is None:
        return Refused(recipients.UNKNOWN, "there is no account to take postmaster's mail")
    return _to_inbox(tx, chosen, "postmaster's mail, by the oldest account")


@value
class _Alias:
    """An address that stands for others: an alias, a list, a catch-all, or postmaster by the settings."""

    address: Address
    members: tuple[Address, ...]
    listed: Listed | None = None
    is_forwarded: bool | None = None
    """Its user has moved to its only member, and mail goes on to there or is not taken; None for other aliases."""

    @property
    def is_left(self) -> bool:
        """Its user has moved, and mail is not taken."""
        return self.is_forwarded is False


def _left(alias: _Alias) -> Refused:
    """The refusal of an address whose user has moved (RFC 5321 §3.4)."""
    told = recipients.HAS_MOVED.with_(address=str(alias.members[0]))
    return Refused(told, f"{alias.address} has moved to {alias.members[0]}")


class _Local:
    """One walk through accounts and aliases of our domains."""

    def __init__(self, tx: Transaction, rules: LocalRules, account: Address | None) -> None:
        self._tx = tx
        self._rules = rules
        self._account = account
        self.has_loop = False
        self._passed_over: list[str] = []
        self._deferred: Refused | None = None
        self._followed: set[Address] = set()

    def route(self, key: Address) -> Route:
        if key.local_part == "postmaster" and self._find(key) is None:
            return _postmaster(self._tx, self._rules, key.domain, self._account)
        return self.known(key)

    def known(self, key: Address) -> Route:
        """The route by an account, an alias or a catch-all."""
        found = self._find(key)
        if isinstance(found, Account):
            reason = "account" if found.address == key else f"subaddress of {found.address}"
            return _to_inbox(self._tx, found, reason)
        if found is None:
            return Refused(recipients.UNKNOWN, f"no account or alias {key}")
        if found.is_left:
            return _left(found)
        told = f"{'alias' if found.listed is None else 'list'} {found.address}"
        ends = self.follow(found, ())
        if len(ends) > MAX_ALIAS_ENDS:
            return Refused(recipients.ALIAS_TOO_LARGE, f"{told} has more than {MAX_ALIAS_ENDS} ends")
        if self._deferred is not None:  # a member that can only be reached later: so is the whole alias
            return Refused(self._deferred.reply, f"{told}: {self._deferred.reason}")
        if not ends:
            return Refused(recipients.ALIAS_LOOP if self.has_loop else recipients.UNKNOWN, f"{told} has no end")
        passed_over = (["a loop"] if self.has_loop else []) + self._passed_over
        reason = told + (f", passed over: {'; '.join(passed_over[:10])}" if passed_over else "")
        return Expansion(found.address, tuple(ends), reason, found.members[0] if found.is_forwarded else None)

    def find_named(self, key: Address) -> Account | _Alias | None:
        """An account or an alias: by the whole address, or without its tag."""
        for candidate in (key, without_tag(key, self._rules)):
            if candidate is None:
                break
            found = accounts.find(self._tx, candidate) or self.find_alias(candidate)
            if found is not None:
                return found
        return None

    def find_alias(self, address: Address) -> _Alias | None:
        """The alias of this very address with its members, and what it is as a list."""
        alias = aliases.find(self._tx, address)
        if alias is None:
            return None
        found = moved.find(self._tx, address)
        if found is not None:
            return _Alias(alias.address, alias.members, None, found.is_forwarded)
        return _Alias(alias.address, alias.members, lists.find(self._tx, address))

    def _find(self, key: Address) -> Account | _Alias | None:
        """Who is named so, or else who catches all."""
        found = self.find_named(key)
        if found is not None:
            return found
        domain = domains.find(self._tx, key.domain)
        if domain is not None and domain.catch_all is not None and key.local_part != "postmaster":
            return _Alias(Address("*", key.domain), (domain.catch_all,))
        return None

    def follow(self, alias: _Alias, way: tuple[Address, ...], listed: Listed | None = None) -> list[End]:
        """The ends of an alias, each once: the first way that leads to an end says how it is reached.

        `way` holds the aliases that led here, `listed` the nearest list among them.
        """
        ends: dict[object, End] = {}
        way, listed = (*way, alias.address), alias.listed or listed
        self._followed.add(alias.address)
        for member in alias.members:
            if len(ends) > MAX_ALIAS_ENDS:
                break
            for end in self._ends_of(member, way, listed):
                ends.setdefault(_identity(end), end)
        return list(ends.values())

    def _ends_of(self, member: Address, way: tuple[Address, ...], listed: Listed | None) -> list[End]:
        key = Address(member.local_part.lower(), member.domain)
        if not _ends_here(self._tx, key.domain, self._rules, self._account):
            return self._taken(_beyond(self._tx, ForwardPath(member), self._rules, self._account), way, listed)
        found = self._find(key)
        if isinstance(found, Account):
            return self._taken(_to_inbox(self._tx, found, f"alias {way[0]}"), way, listed)
        if found is None and key.local_part == "postmaster" and key not in way:
            return self._taken(_postmaster(self._tx, self._rules, key.domain, self._account), way, listed)
        if found is None:
            return self._taken(Refused(recipients.UNKNOWN, f"no account or alias {key}"), way, listed)
        if found.is_left:
            return self._taken(_left(found), way, listed)
        if found.address in way or len(way) > MAX_ALIAS_DEPTH:
            self.has_loop = True
            return []
        if found.address in self._followed:  # by another way: its ends are there already
            return []
        return self.follow(found, way, listed)

    # Departs from RFC 5321 §3.9: an end of an alias that is nobody is left out, and nobody is told.
    def _taken(self, route: Route, way: tuple[Address, ...], listed: Listed | None) -> list[End]:
        """The ends of a member's route; a refusal is remembered."""
        if isinstance(route, Refused):
            if route.reply.is_transient:
                self._deferred = route
            else:
                self._passed_over.append(route.reason)
            return []
        ends = route.ends if isinstance(route, Expansion) else (route,)
        return [_reached(end, way[-1], listed) for end in ends]


def _identity(end: End) -> object:
    """What makes two ends the same."""
    if isinstance(end, ToMailbox):
        return end.mailbox_id
    return end.address if isinstance(end, ToHost) else ToNowhere


def _reached(end: End, alias: Address, listed: Listed | None) -> End:
    """The end as reached through an alias and a list; what is nearer to it stays."""
    if isinstance(end, ToHost):
        return replace(end, alias=end.alias or alias, listed=end.listed or listed)
    if isinstance(end, ToMailbox) and listed is not None:
        return replace(end, listed=end.listed or listed)
    return end
