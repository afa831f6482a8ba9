"""Buckets of tokens, and what of an account's mail waits where."""

from __future__ import annotations

import pytest

from estafeta.agents.outbound.rates import Account, Meter


def test_a_tenth_may_come_at_once_and_then_the_number_in_its_time() -> None:
    meter = Meter(60, 60.0, now=0.0)
    meter.take(6)
    assert meter.wait(0.0) == pytest.approx(1.0)
    assert meter.wait(0.5) == pytest.approx(0.5)
    assert meter.wait(1.0) == 0
    meter.take(1)
    assert not meter.is_full(6.5)
    assert meter.is_full(7.0)


def test_a_group_passes_whole_and_is_paid_for_afterwards() -> None:
    meter = Meter(60, 60.0, now=0.0)
    meter.take(30)
    assert meter.wait(0.0) == pytest.approx(25.0)


def test_an_account_has_a_minute_of_its_mail_in_memory() -> None:
    account = Account(600, now=0.0)
    account.waiting = 69
    assert account.has_room
    account.waiting = 70
    assert not account.has_room


def test_what_is_sent_back_waits_one_behind_the_other() -> None:
    account = Account(60, now=0.0)
    account.waiting = 2
    assert [account.send_back(1, 0.0), account.send_back(2, 0.0), account.send_back(1, 60.0)] == [180, 300, 300]


def test_an_account_is_forgotten_when_nothing_of_it_waits_anywhere() -> None:
    account = Account(60, now=0.0)
    assert account.is_idle(0.0)
    account.send_back(3, 0.0)
    assert not account.is_idle(179.0)
    assert account.is_idle(180.0)
    account.waiting = 1
    assert not account.is_idle(180.0)
