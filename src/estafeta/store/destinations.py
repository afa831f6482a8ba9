"""Destinations that as a whole do not take mail now, so that all processes leave them alone."""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.records import DestinationState, Instant
from estafeta.store.statements import Statements

_sql = Statements("destinations")


def block(tx: Transaction, state: DestinationState) -> None:
    """Leave a destination alone until a time; takes the place of what was known of it."""
    tx.do(
        _sql.block,
        destination=state.destination,
        blocked_until=state.blocked_until,
        failures=state.failures,
        last_reply=state.last_reply,
    )


def clear(tx: Transaction, destination: str) -> bool:
    """It takes mail again, or is to be tried; gives whether it had a row."""
    return bool(tx.do(_sql.clear, destination=destination))


def find(tx: Transaction, destination: str) -> DestinationState | None:
    """What is known of a destination that failed last, blocked still or not; None of all others."""
    row = tx.one(_sql.find, destination=destination)
    return None if row is None else DestinationState(*row)


def blocked(tx: Transaction, *, now: Instant, limit: int) -> list[DestinationState]:
    """The destinations that are left alone now, those that are for longest first."""
    return [DestinationState(*row) for row in tx.run(_sql.blocked, now=now, limit=limit)]


def prune(tx: Transaction, before: Instant, limit: int) -> int:
    """Forget up to `limit` destinations whose block was over before a time; gives how many. Repeat until 0.

    Nothing is tried there any more, or it would have been blocked again or cleared.
    """
    return tx.do(_sql.prune, before=before, limit=limit)
