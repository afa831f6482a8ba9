"""Passwords that were right a while ago, by a clock that the test turns."""

from __future__ import annotations

import pytest

from estafeta.policy.remembered import MOST, RememberedPasswords


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


LOGIN = ("ana@example.org", "$argon2id$x", "correct horse", "192.0.2.7")


def test_a_login_is_remembered_for_its_time() -> None:
    clock = Clock()
    remembered = RememberedPasswords(300.0, clock)
    key = remembered.key(*LOGIN)
    assert not remembered.has(key)
    remembered.add(key)
    clock.now = 299.0
    assert remembered.has(key)
    clock.now = 300.0
    assert not remembered.has(key)
    assert len(remembered) == 0


@pytest.mark.parametrize("place", range(4))
def test_another_account_hash_password_or_network_is_not(place: int) -> None:
    remembered = RememberedPasswords(300.0, Clock())
    remembered.add(remembered.key(*LOGIN))
    other = [part + "x" if number == place else part for number, part in enumerate(LOGIN)]
    assert not remembered.has(remembered.key(*other))


def test_the_parts_of_a_login_do_not_run_into_each_other() -> None:
    remembered = RememberedPasswords(300.0, Clock())
    assert remembered.key("a", "b", "cd", "e") != remembered.key("a", "b", "c", "de")


def test_nothing_is_remembered_where_that_is_off_or_there_is_no_account() -> None:
    remembered = RememberedPasswords(0.0, Clock())
    remembered.add(remembered.key(*LOGIN))
    assert not remembered.has(remembered.key(*LOGIN))
    assert not remembered.has(None)


def test_the_oldest_are_forgotten_when_there_are_too_many() -> None:
    remembered = RememberedPasswords(300.0, Clock())
    keys = [remembered.key(str(number), "h", "p", "n") for number in range(MOST + 1)]
    for key in keys:
        remembered.add(key)
    assert len(remembered) == MOST
    assert not remembered.has(keys[0])
    assert remembered.has(keys[1])
