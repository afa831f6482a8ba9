"""Logins against a real store: passwords, SCRAM, delays and locks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from estafeta.mail.address import Address
from estafeta.policy.guard import LoginGuard, LoginSettings
from estafeta.policy.login import (
    Authenticator,
    Login,
    LoginAccepted,
    LoginRefused,
    RefusalReason,
)
from estafeta.store import accounts, domains
from estafeta.store.records import HashedPassword, Instant
from estafeta.store.store import Store, open_store
from estafeta.wire.sasl import Challenge, client_mechanism, server_mechanism

ALICE = Address.parse("alice@example.org")
HOME, STRANGER, OTHER = "192.0.2.1", "198.51.100.7", "203.0.113.9"
SETTINGS = LoginSettings(slow_after=2, delay_first=1.0, delay_max=4.0, lock_after=6)


class Clock:
    """A clock that moves when told, or when somebody sleeps by it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def hashed() -> HashedPassword:
    return accounts.hash_password("correct horse")


@pytest.fixture
def store(tmp_path: Path, hashed: HashedPassword, clock: Clock) -> Iterator[Store]:
    store = open_store(tmp_path / "data", clock=clock)
    now = Instant(clock())

    async def fill() -> None:
        await store.write(lambda tx: domains.add(tx, "example.org", now=now))
        await store.write(lambda tx: accounts.add(tx, ALICE, password=hashed, now=now))

    asyncio.run(fill())
    yield store
    store.close()


T = TypeVar("T")
Make = Callable[[], Authenticator]


@pytest.fixture
def make(store: Store, clock: Clock) -> Make:
    """Makes authenticators, inside the event loop that is to run them."""
    guard = LoginGuard(SETTINGS, clock)
    return lambda: Authenticator(store, guard, secret=b"kept secret", sleep=clock.sleep)


async def plain(
    authenticator: Authenticator, identity: str, password: str, peer: str = HOME, authorization: str = ""
) -> Login:
    mechanism = server_mechanism("PLAIN", nonce="n", channel_binding=None)
    step = mechanism.step(f"{authorization}\0{identity}\0{password}".encode())
    login = await authenticator.resolve(step, mechanism, peer)
    assert not isinstance(login, Challenge)
    return login


async def scram(
    authenticator: Authenticator, identity: str, password: str, peer: str = HOME
) -> tuple[Login, list[bytes]]:
    server = server_mechanism("SCRAM-SHA-256", nonce="servernonce", channel_binding=None)
    client = client_mechanism("SCRAM-SHA-256", identity, password, nonce="clientnonce", channel_binding=None)
    response: bytes | None = client.initial()
    challenges: list[bytes] = []
    while True:
        step = await authenticator.resolve(server.step(response), server, peer)
        if not isinstance(step, Challenge):
            return step, challenges
        challenges.append(step.octets)
        response = client.step(step.octets)


def test_the_right_password_logs_in(make: Make) -> None:
    async def main() -> None:
        login = await plain(make(), "alice@example.org", "correct horse")
        assert isinstance(login, LoginAccepted)
        assert login.account.address == login.authorization == ALICE

    asyncio.run(main())


@pytest.mark.parametrize("identity", ["alice", "Alice@EXAMPLE.org", "alice@example.org"])
def test_a_login_name_is_an_address_in_any_case_or_a_local_part(identity: str, make: Make) -> None:
    async def main() -> None:
        assert isinstance(await plain(make(), identity, "correct horse"), LoginAccepted)
        login, _ = await scram(make(), identity, "correct horse")
        assert isinstance(login, LoginAccepted)

    asyncio.run(main())


def test_a_local_part_alone_means_nobody_when_there_are_two_domains(make: Make, store: Store) -> None:
    async def main() -> None:
        await store.write(lambda tx: domains.add(tx, "example.net", now=Instant(0.0)))
        login = await plain(make(), "alice", "correct horse")
        assert isinstance(login, LoginRefused) and login.reason is RefusalReason.BAD_CREDENTIALS

    asyncio.run(main())


@pytest.mark.parametrize("identity", ["alice", "nobody@example.org", "@", "nobody"])
def test_a_wrong_password_and_an_unknown_user_are_refused_alike(identity: str, make: Make) -> None:
    async def main() -> None:
        login = await plain(make(), identity, "wrong")
        assert isinstance(login, LoginRefused)
        assert (login.reason, login.identity) == (RefusalReason.BAD_CREDENTIALS, identity)
        login, challenges = await scram(make(), identity, "wrong")
        assert isinstance(login, LoginRefused)
        assert (login.reason, login.identity) == (RefusalReason.BAD_CREDENTIALS, identity)
        assert len(challenges) == 1

    asyncio.run(main())


@pytest.mark.rfc("5802 §9", "An unknown user's salt stays the same and looks like a real one.")
def test_an_unknown_users_salt_stays_the_same_and_looks_like_a_real_one(make: Make) -> None:
    async def main() -> None:
        [first] = (await scram(make(), "nobody@example.org", "x"))[1]
        [again] = (await scram(make(), "nobody@example.org", "y"))[1]
        [other] = (await scram(make(), "someone@example.org", "x"))[1]
        [real] = (await scram(make(), "alice@example.org", "x"))[1]
        assert first == again != other
        assert len(first) == len(real)
        assert first.rpartition(b",")[2] == real.rpartition(b",")[2]  # the iterations

    asyncio.run(main())


def test_an_unknown_users_password_is_hashed_all_the_same(store: Store, clock: Clock) -> None:
    async def main() -> None:
        runs = 0

        async def run_in_thread(function: Callable[[], T]) -> T:
            nonlocal runs
            runs += 1
            return function()

        guard = LoginGuard(SETTINGS, clock)
        authenticator = Authenticator(store, guard, secret=b"s", sleep=clock.sleep, run_in_thread=run_in_thread)
        await authenticator.login("nobody", "warm up", HOME)  # the first of all makes nobody's hash
        runs = 0
        await authenticator.login("alice", "wrong", HOME)
        known, runs = runs, 0
        await authenticator.login("nobody", "wrong", HOME)
        assert runs == known == 1

    asyncio.run(main())


@pytest.mark.rfc("4422 §3.4.1", "An authorization identity may only be the account's own.")
def test_nobody_acts_for_another(make: Make) -> None:
    async def main() -> None:
        authenticator = make()
        refused = await plain(authenticator, "alice", "correct horse", authorization="bob@example.org")
        assert isinstance(refused, LoginRefused) and refused.reason is RefusalReason.BAD_CREDENTIALS
        own = await plain(authenticator, "alice", "correct horse", authorization="ALICE@example.org")
        assert isinstance(own, LoginAccepted)

    asyncio.run(main())


def test_only_the_right_password_learns_that_an_account_is_disabled(make: Make, store: Store) -> None:
    async def main() -> None:
        await store.write(lambda tx: accounts.set_enabled(tx, ALICE, False))
        authenticator = make()
        for login in (
            await plain(authenticator, "alice", "correct horse"),
            (await scram(authenticator, "alice", "correct horse"))[0],
        ):
            assert isinstance(login, LoginRefused) and login.reason is RefusalReason.DISABLED
        wrong = await plain(authenticator, "alice", "wrong")
        assert isinstance(wrong, LoginRefused) and wrong.reason is RefusalReason.BAD_CREDENTIALS

    asyncio.run(main())


def test_failures_slow_down_then_lock_and_the_lock_ends(make: Make, clock: Clock) -> None:
    async def main() -> None:
        authenticator = make()
        for _ in range(SETTINGS.lock_after):
            login = await plain(authenticator, "alice", "wrong", STRANGER)
            assert isinstance(login, LoginRefused) and login.reason is RefusalReason.BAD_CREDENTIALS
        assert clock.slept == [1.0, 2.0, 4.0, 4.0]
        for mechanism in (plain, scram):
            outcome = await mechanism(authenticator, "alice", "correct horse", OTHER)
            locked = outcome[0] if isinstance(outcome, tuple) else outcome
            assert isinstance(locked, LoginRefused) and locked.reason is RefusalReason.LOCKED
            assert locked.retry_after == SETTINGS.lock_seconds
        clock.now += SETTINGS.lock_seconds
        assert isinstance(await plain(authenticator, "alice", "correct horse", OTHER), LoginAccepted)

    asyncio.run(main())


def test_guesses_side_by_side_get_no_more_tries_than_one_after_the_other(make: Make, clock: Clock) -> None:
    async def main() -> None:
        authenticator = make()
        logins = await asyncio.gather(
            *(plain(authenticator, "alice", f"guess {number}", STRANGER) for number in range(20))
        )
        reasons = [login.reason for login in logins if isinstance(login, LoginRefused)]
        tried = reasons.count(RefusalReason.BAD_CREDENTIALS)
        # what is in the hands of the hashing threads at the moment of the lock is still answered
        assert SETTINGS.lock_after <= tried <= SETTINGS.lock_after + authenticator._checks._value
        assert tried + reasons.count(RefusalReason.LOCKED) == 20

    asyncio.run(main())


def test_a_proof_that_comes_after_the_lock_is_not_confirmed(make: Make) -> None:
    async def main() -> None:
        authenticator = make()
        server = server_mechanism("SCRAM-SHA-256", nonce="servernonce", channel_binding=None)
        client = client_mechanism("SCRAM-SHA-256", "alice", "correct horse", nonce="clientnonce", channel_binding=None)
        first = await authenticator.resolve(server.step(client.initial()), server, STRANGER)
        assert isinstance(first, Challenge)
        for _ in range(SETTINGS.lock_after):
            await plain(authenticator, "alice", "wrong", STRANGER)
        last = await authenticator.resolve(server.step(client.step(first.octets)), server, STRANGER)
        assert isinstance(last, LoginRefused) and last.reason is RefusalReason.LOCKED

    asyncio.run(main())


def test_a_malformed_exchange_is_refused_and_not_counted(make: Make, clock: Clock) -> None:
    async def main() -> None:
        authenticator = make()
        for _ in range(20):
            mechanism = server_mechanism("PLAIN", nonce="n", channel_binding=None)
            login = await authenticator.resolve(mechanism.step(b"nonsense"), mechanism, HOME)
            assert isinstance(login, LoginRefused) and login.identity == ""
        assert isinstance(await plain(authenticator, "alice", "correct horse"), LoginAccepted)
        assert clock.slept == []

    asyncio.run(main())


def test_a_store_that_fails_is_a_temporary_refusal(make: Make, store: Store) -> None:
    store.close()

    async def main() -> None:
        login = await plain(make(), "alice", "correct horse")
        assert isinstance(login, LoginRefused) and login.reason is RefusalReason.TEMPORARY

    asyncio.run(main())


def test_too_many_waiting_logins_are_told_to_come_back(store: Store, clock: Clock) -> None:
    async def main() -> None:
        guard = LoginGuard(replace(SETTINGS, checks_waiting=3), clock)
        authenticator = Authenticator(store, guard, secret=b"s", sleep=clock.sleep)
        logins = await asyncio.gather(*(authenticator.login("alice", "correct horse", HOME) for _ in range(6)))
        assert sum(isinstance(login, LoginAccepted) for login in logins) == 3
        refused = [login.reason for login in logins if isinstance(login, LoginRefused)]
        assert refused == [RefusalReason.TEMPORARY] * 3

    asyncio.run(main())
