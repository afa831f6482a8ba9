"""Destinations that do not take mail are known until they do again."""

from __future__ import annotations

import pytest
from tests.store.queueing import NOW, write

from estafeta.store import destinations
from estafeta.store.errors import ConstraintViolated
from estafeta.store.records import DestinationState, Instant
from estafeta.store.store import Store, Transaction


def state(name: str, until: float = 60, failures: int = 1) -> DestinationState:
    return DestinationState(name, Instant(NOW + until), failures, "connect: timed out")


def test_the_last_failure_is_what_is_known(store: Store) -> None:
    def look(tx: Transaction) -> None:
        assert destinations.find(tx, "example.com") is None
        destinations.block(tx, state("example.com"))
        destinations.block(tx, state("example.com", 120, 2))
        assert destinations.find(tx, "example.com") == state("example.com", 120, 2)
        assert destinations.clear(tx, "example.com")
        assert not destinations.clear(tx, "example.com")
        assert destinations.find(tx, "example.com") is None

    write(store, look)


def test_only_those_are_blocked_whose_time_is_not_over(store: Store) -> None:
    def look(tx: Transaction) -> None:
        for number in range(5):
            destinations.block(tx, state(f"{number}.example", number))
        found = destinations.blocked(tx, now=Instant(NOW + 1), limit=9)
        assert [one.destination for one in found] == ["4.example", "3.example", "2.example"]
        assert len(destinations.blocked(tx, now=Instant(NOW + 1), limit=2)) == 2
        # Its failures are remembered for the next attempt.
        assert destinations.find(tx, "0.example") == state("0.example", 0)

    write(store, look)


def test_what_was_not_tried_for_long_is_forgotten_in_steps(store: Store) -> None:
    def look(tx: Transaction) -> None:
        for number in range(5):
            destinations.block(tx, state(f"{number}.example", number))
        steps = [destinations.prune(tx, Instant(NOW + 3), 2) for _ in range(3)]
        assert steps == [2, 1, 0]
        assert [destinations.find(tx, f"{n}.example") is None for n in range(5)] == [True] * 3 + [False] * 2

    write(store, look)


def test_a_block_without_a_failure_is_refused(store: Store) -> None:
    with pytest.raises(ConstraintViolated):
        write(store, lambda tx: destinations.block(tx, state("example.com", failures=0)))
