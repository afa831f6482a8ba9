"""Failed logins, counted by client and by account: first they slow down, then they lock out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Generic, TypeVar

from estafeta.mail.value import value
from estafeta.net.address import IpNetwork, client_network


class Mechanism(StrEnum):
    """Mechanisms that take a password."""

    SCRAM_SHA_256 = "SCRAM-SHA-256"
    """The password is proved and not sent; the server proves itself too (RFC 7677)."""
    SCRAM_SHA_1 = "SCRAM-SHA-1"
    """The same with an older hash (RFC 5802)."""
    PLAIN = "PLAIN"
    """The password is sent, over TLS (RFC 4616)."""
    LOGIN = "LOGIN"
    """The same, as old clients do it."""
    CRAM_MD5 = "CRAM-MD5"
    """The password is proved with a weak hash (RFC 2195), and its keys in the store are as good as itself."""


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """How failed logins are answered; durations in seconds.

    Failures are counted by client address (IPv6 by /64) and by account.
    """

    slow_after: int = 3
    """Failures after which each further attempt has to wait."""
    delay_first: float = 1.0
    """The first wait; it doubles with each further failure."""
    delay_max: float = 16.0
    """The longest wait."""
    lock_after: int = 10
    """Failures of one account, or from one client address, after which it is locked."""
    lock_seconds: float = 900.0
    """How long a lock lasts. An account stays open to the addresses that it logged in from before."""
    window_seconds: float = 3600.0
    """Failures are forgotten when none followed for this long."""
    trusted_seconds: float = 2_592_000.0
    """How long an address counts as the owner's own after a login from it."""
    exempt_networks: tuple[IpNetwork, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """Networks where many users share an address, as behind web mail: accounts are locked, clients not."""
    remembered: int = 10_000
    """Addresses, and accounts, whose failures are kept in memory; beyond it the oldest are forgotten."""
    mechanisms: tuple[Mechanism, ...] = (Mechanism.SCRAM_SHA_256, Mechanism.PLAIN, Mechanism.LOGIN)
    """The mechanisms that take a password. An account can use SCRAM-SHA-1 and CRAM-MD5 when its password was given, or
    sent by PLAIN or LOGIN, while they were in this list: only then their keys are made."""
    only_proved: tuple[str, ...] = ()
    """Accounts, and domains as in "@example.org", that must not send their password: PLAIN and LOGIN are answered 534
    5.7.9, other mechanisms only prove that the client knows it."""
    remember_seconds: float = 300.0
    """How long a password that was right is not hashed again, for the same account from the same address; 0 hashes it
    each time."""
    channel_binding: bool = False
    """Offer SCRAM-SHA-256-PLUS, bound to the TLS connection by tls-server-end-point (RFC 5929). Off by default:
    clients that know only other bindings, such as mutt with GNU SASL, choose it where it is offered, and fail."""
    checks_waiting: int = 500
    """Logins that may wait for their password to be checked; more are told to come back later."""


@value
class Admission:
    """Whether a login may be tried, and after how many seconds."""

    allowed: bool
    delay: float = 0.0
    retry_after: float = 0.0
    """When not allowed: the seconds until it will be."""
    reason: str = ""
    """What is locked, in words for the journal."""


@dataclass(slots=True)
class _Failures:
    count: int
    last_at: float
    locked_until: float = 0.0


_Key = TypeVar("_Key")


class _Ledger(Generic[_Key]):
    """Failures by key, the last to fail at the end; the first are forgotten when there are too many."""

    def __init__(self, settings: LoginSettings) -> None:
        self._settings = settings
        self._failures: OrderedDict[_Key, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def find(self, key: _Key, now: float) -> _Failures | None:
        found = self._failures.get(key)
        if found is None:
            return None
        if max(found.last_at + self._settings.window_seconds, found.locked_until) <= now:
            del self._failures[key]
            return None
        return found

    def add(self, key: _Key, now: float) -> None:
        found = self.find(key, now)
        if found is None:
            found = self._failures[key] = _Failures(0, now)
        self._failures.move_to_end(key)
        found.count += 1
        found.last_at = now
        if found.count >= self._settings.lock_after:
            found.locked_until = now + self._settings.lock_seconds
            # The next lock takes half as many failures.
            found.count //= 2
        while len(self._failures) > self._settings.remembered:
            self._failures.popitem(last=False)

    def forgive(self, key: _Key, count: int) -> None:
        found = self._failures.get(key)
        if found is None:
            return
        found.count -= count
        if found.count <= 0 and not found.locked_until:
            del self._failures[key]

    def forget(self, key: _Key) -> int:
        found = self._failures.pop(key, None)
        return 0 if found is None else found.count


class LoginGuard:
    """Counts failures by client and by account; slows down, then locks.

    A client that logged into an account before is judged by its own failures with that account alone:
    strangers lock neither the account nor a shared address for it.
    """

    def __init__(self, settings: LoginSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._by_client = _Ledger[str](settings)
        self._by_account = _Ledger[str](settings)
        self._by_pair = _Ledger[tuple[str, str]](settings)
        self._trusted: OrderedDict[tuple[str, str], float] = OrderedDict()

    @property
    def settings(self) -> LoginSettings:
        """What the guard goes by."""
        return self._settings

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds, as the guard counts them."""
        return self._clock

    def is_known(self, peer_ip: str, account: str) -> bool:
        """Whether the account was logged into from the client's network before."""
        return self._is_trusted((client_network(peer_ip), account.lower()), self._clock())

    def admit(self, peer_ip: str, account: str) -> Admission:
        """Whether a client may try a password of an account now."""
        now = self._clock()
        client, name = client_network(peer_ip), account.lower()
        judged: list[tuple[str, _Failures | None]] = []
        if self._is_trusted((client, name), now):
            judged.append(("client and account", self._by_pair.find((client, name), now)))
        else:
            judged.append(("account", self._by_account.find(name, now)))
            if not self._is_exempt(peer_ip):
                judged.append(("client", self._by_client.find(client, now)))
        delay = 0.0
        for what, failures in judged:
            if failures is None:
                continue
            if failures.locked_until > now:
                return Admission(False, 0.0, failures.locked_until - now, f"{what} locked after failed logins")
            delay = max(delay, self._delay(failures.count))
        return Admission(True, delay)

    def failed(self, peer_ip: str, account: str) -> None:
        """A wrong password was tried."""
        now = self._clock()
        client, name = client_network(peer_ip), account.lower()
        pair = (client, name)
        self._by_pair.add(pair, now)
        if self._is_trusted(pair, now):
            return
        self._by_account.add(name, now)
        if not self._is_exempt(peer_ip):
            self._by_client.add(client, now)

    def succeeded(self, peer_ip: str, account: str) -> None:
        """The right password was given: the failures of this client with this account were its owner's."""
        now = self._clock()
        client, name = client_network(peer_ip), account.lower()
        pair = (client, name)
        was_trusted = self._is_trusted(pair, now)
        forgiven = self._by_pair.forget(pair)
        if forgiven and not was_trusted:
            self._by_account.forgive(name, forgiven)
            self._by_client.forgive(client, forgiven)
        self._trusted[pair] = now
        self._trusted.move_to_end(pair)
        while len(self._trusted) > self._settings.remembered:
            self._trusted.popitem(last=False)

    def _is_trusted(self, pair: tuple[str, str], now: float) -> bool:
        at = self._trusted.get(pair)
        return at is not None and now - at < self._settings.trusted_seconds

    def _is_exempt(self, peer_ip: str) -> bool:
        address = ip_address(peer_ip)
        return any(address in network for network in self._settings.exempt_networks)

    def _delay(self, failures: int) -> float:
        settings = self._settings
        if failures < settings.slow_after:
            return 0.0
        # Past 30 doublings any first delay has long met the longest.
        doubled = settings.delay_first * 2.0 ** min(failures - settings.slow_after, 30)
        return min(doubled, settings.delay_max)
