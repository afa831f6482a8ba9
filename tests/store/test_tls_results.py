"""Results of TLS are counted by day and domain, and taken once."""

from __future__ import annotations

import asyncio

from estafeta.store import tls_results
from estafeta.store.store import Store, Transaction
from estafeta.store.tls_results import TlsResult


def test_equal_results_add_up(store: Store) -> None:
    def change(tx: Transaction) -> None:
        for _ in range(3):
            tls_results.count(tx, 5, "example.org", [TlsResult("p", "", 10), TlsResult("p", "f", 1)])
        tls_results.count(tx, 5, "example.org", [TlsResult("q", "", 7)])
        tls_results.count(tx, 6, "example.org", [TlsResult("p", "", 100)])
        tls_results.count(tx, 5, "example.net", [TlsResult("p", "", 1000)])

    def look(tx: Transaction) -> list[TlsResult]:
        return tls_results.take(tx, 5, "example.org")

    asyncio.run(store.write(change))
    assert asyncio.run(store.write(look)) == [TlsResult("p", "", 30), TlsResult("p", "f", 3), TlsResult("q", "", 7)]
    assert asyncio.run(store.write(look)) == []


def test_what_is_due_is_given_in_order_in_steps(store: Store) -> None:
    def change(tx: Transaction) -> None:
        for day in (4, 3, 5):
            for domain in ("b.example", "a.example"):
                tls_results.count(tx, day, domain, [TlsResult("p", failure, 1) for failure in ("", "f", "g")])

    asyncio.run(store.write(change))

    def look(tx: Transaction) -> None:
        found = []
        after = (-1, "")
        while step := tls_results.due(tx, before=5, after=after, limit=3):
            found.append(step)
            after = step[-1]
        assert found == [
            [(3, "a.example"), (3, "b.example"), (4, "a.example")],
            [(4, "b.example")],
        ]

    asyncio.run(store.read(look))


def test_old_days_are_removed(store: Store) -> None:
    def change(tx: Transaction) -> None:
        for day in (3, 4, 5):
            tls_results.count(tx, day, "example.org", [TlsResult("p", "", 1)])
        assert tls_results.remove_before(tx, 5) == 2
        assert tls_results.due(tx, before=9, after=(-1, ""), limit=9) == [(5, "example.org")]

    asyncio.run(store.write(change))
