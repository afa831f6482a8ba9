"""The routes of forward-paths, remembered for as long as the directory in the store stays as it was.

Every change of domains, accounts and aliases gives the directory a new version. What is remembered belongs
to one version; an acceptance names it, and the commit fails where it is no longer the newest. So nothing is
delivered by a stale route, and nobody has to tell the server of a change.
"""

from __future__ import annotations

from collections.abc import Callable

from estafeta.mail.address import Address, ForwardPath
from estafeta.routing import local
from estafeta.routing.local import LocalRules
from estafeta.routing.routes import Expansion, Refused, Route
from estafeta.routing.srs import is_rewritten
from estafeta.store import accounts, aliases, directory, domains
from estafeta.store.store import Store, Transaction

REMEMBERED = 10_000
"""Ends of routes kept in memory: about 5 MB, and the recipients of a busy day on a small machine."""

_Key = ForwardPath | tuple[ForwardPath, Address | None]
"""With the account only where rules ask for it: in the usual case a route is one look away."""


class Directory:
    """Finds routes, from memory where it can."""

    def __init__(self, store: Store, rules: LocalRules, clock: Callable[[], float]) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._asks_for_account = any(rule.senders for rule in rules.rules)
        self._routes: dict[_Key, Route] = {}
        self._ends = 0
        self._identities: dict[Address, frozenset[Address]] = {}
        self.version = -1

    def remembered(self, path: ForwardPath, account: Address | None = None) -> Route | None:
        """The route if it is in memory. Refusals never are: a new account works at once."""
        return self._routes.get((path, account) if self._asks_for_account else path)

    async def resolve(self, path: ForwardPath, account: Address | None = None) -> Route:
        """The route of the forward-path for mail that the account hands in, by the newest version of the directory."""
        rules, now = self._rules, self._clock()
        version, route = await self._store.read(
            lambda tx: (directory.version(tx), local.resolve(tx, path, rules, account=account, now=now))
        )
        self._turn_to(version)
        # A way back is open for some days only.
        if not isinstance(route, Refused) and not (rules.srs is not None and is_rewritten(path.address)):
            self._remember((path, account) if self._asks_for_account else path, route)
        return route

    def _remember(self, key: _Key, route: Route) -> None:
        ends = len(route.ends) if isinstance(route, Expansion) else 1
        if self._ends + ends > REMEMBERED:
            self._routes.clear()
            self._ends = 0
        if key not in self._routes:  # another session may have asked meanwhile
            self._ends += ends
        self._routes[key] = route

    async def identities(self, account: Address) -> frozenset[Address]:
        """The addresses that the account may send as: its own, and each alias that it is a member of."""
        known = self._identities.get(account)
        if known is not None:
            return known

        def query(tx: Transaction) -> tuple[int, frozenset[Address]]:
            return directory.version(tx), frozenset((account, *aliases.members_of(tx, account)))

        version, found = await self._store.read(query)
        self._turn_to(version)
        if len(self._identities) >= REMEMBERED:
            self._identities.clear()
        self._identities[account] = found
        return found

    async def may_send_as(self, account: Address, address: Address) -> bool:
        """Whether the account may name this address as its own, subaddresses included."""
        identities = await self.identities(account)
        key = Address(address.local_part.lower(), address.domain)
        if key in identities:
            return True
        user = local.without_tag(key, self._rules)
        if user is None or user not in identities:
            return False

        def is_taken(tx: Transaction) -> bool:
            return accounts.find(tx, key) is not None or aliases.find(tx, key) is not None

        # As in routing, an account or alias that has the separator in its very name is nobody's subaddress.
        return not await self._store.read(is_taken)

    async def is_ours(self, domain: str) -> bool:
        """Whether mail for the domain ends here."""
        return await self._store.read(lambda tx: domains.find(tx, domain) is not None)

    async def expand(self, address: Address) -> tuple[Address, ...] | None:
        """The members of an alias; None where there is no such alias."""
        alias = await self._store.read(lambda tx: aliases.find(tx, address))
        return alias.members if alias else None

    async def has_room(self, account: Address, size: int) -> bool:
        """Whether the account's quota leaves room for a message of so many octets."""
        found = await self._store.read(lambda tx: accounts.find(tx, account))
        if found is None:
            return False
        octets = found.quota_octets is None or found.used_octets + size <= found.quota_octets
        return octets and (found.quota_messages is None or found.used_messages < found.quota_messages)

    def forget(self) -> None:
        """The directory has changed: what is in memory is stale."""
        self._routes.clear()
        self._ends = 0
        self._identities.clear()
        self.version = -1

    def _turn_to(self, version: int) -> None:
        if version != self.version:
            self.forget()
            self.version = version
