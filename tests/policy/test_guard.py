"""What the guard of the logins counts, forgives and forgets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from estafeta.policy.guard import Admission, LoginGuard, LoginSettings

HOME, STRANGER, OTHER = "192.0.2.1", "198.51.100.7", "203.0.113.9"
SETTINGS = LoginSettings(slow_after=2, delay_first=1.0, delay_max=4.0, lock_after=6)


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(guard: LoginGuard, times: int, peer: str, account: str) -> None:
    for _ in range(times):
        guard.failed(peer, account)


def test_strangers_cannot_lock_the_owner_out_of_a_place_used_before(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    guard.succeeded(HOME, "alice")
    fail(guard, 50, STRANGER, "alice")
    assert guard.admit(HOME, "alice") == Admission(True)
    assert not guard.admit(OTHER, "alice").allowed
    assert not guard.admit(STRANGER, "bob").allowed


def test_a_place_used_before_has_a_limit_of_its_own_and_locks_nobody_else(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    guard.succeeded(HOME, "alice")
    fail(guard, SETTINGS.lock_after, HOME, "alice")
    assert not guard.admit(HOME, "alice").allowed
    assert guard.admit(OTHER, "alice").allowed
    assert guard.admit(HOME, "bob").allowed


def test_trust_in_a_place_ends(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    guard.succeeded(HOME, "alice")
    clock.now += SETTINGS.trusted_seconds
    fail(guard, SETTINGS.lock_after, STRANGER, "alice")
    assert not guard.admit(HOME, "alice").allowed


def test_ones_own_login_does_not_pay_for_guesses_at_others(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    for number in range(SETTINGS.lock_after):
        guard.failed(STRANGER, f"victim{number}")
        guard.succeeded(STRANGER, "mallory")
    assert not guard.admit(STRANGER, "victim").allowed


def test_ones_own_slips_are_forgiven_by_the_right_password(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    fail(guard, 4, HOME, "alice")
    guard.succeeded(HOME, "alice")
    assert guard.admit(HOME, "alice") == guard.admit(HOME, "bob") == Admission(True)
    assert guard.admit(OTHER, "alice") == Admission(True)


@pytest.mark.rfc("6177", "A /64 of IPv6 counts as one client.")
def test_a_whole_64_of_ipv6_is_one_client(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    for number in range(SETTINGS.lock_after):
        guard.failed(f"2001:db8::{number:x}", f"user{number}")
    assert not guard.admit("2001:db8::ffff", "alice").allowed
    assert guard.admit("2001:db8:0:1::1", "alice").allowed


def test_an_exempt_network_is_not_locked_but_its_accounts_are(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    fail(guard, 20, "127.0.0.1", "alice")
    assert guard.admit("127.0.0.1", "bob") == Admission(True)
    assert not guard.admit("127.0.0.1", "alice").allowed


def test_failures_are_forgotten_after_the_window(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    fail(guard, 5, HOME, "alice")
    assert guard.admit(HOME, "alice").delay == 4.0
    clock.now += SETTINGS.window_seconds
    assert guard.admit(HOME, "alice") == Admission(True)


def test_a_second_lock_comes_sooner(clock: Clock) -> None:
    guard = LoginGuard(SETTINGS, clock)
    fail(guard, SETTINGS.lock_after, HOME, "alice")
    clock.now += SETTINGS.lock_seconds
    fail(guard, SETTINGS.lock_after // 2, HOME, "alice")
    assert not guard.admit(HOME, "alice").allowed


def test_memory_is_bounded_and_the_oldest_is_forgotten_first(clock: Clock) -> None:
    guard = LoginGuard(replace(SETTINGS, remembered=100), clock)
    fail(guard, SETTINGS.lock_after, HOME, "alice")
    for number in range(1000):
        guard.failed(f"10.0.{number // 256}.{number % 256}", f"user{number}")
        guard.succeeded(f"10.1.{number // 256}.{number % 256}", f"user{number}")
    ledgers = (guard._by_account, guard._by_client, guard._by_pair, guard._trusted)
    assert all(len(ledger) <= 100 for ledger in ledgers)
    assert guard.admit(HOME, "alice").allowed
    assert guard.admit("10.0.3.231", "x").allowed
