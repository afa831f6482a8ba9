"""What there is in the store, in numbers, and a change that shows whether it still takes any."""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.records import Instant
from estafeta.store.statements import Statements

_sql = Statements("stored")


def oldest_queued(tx: Transaction) -> Instant | None:
    """When the oldest message of the queue was accepted; None where the queue is empty."""
    row = tx.one(_sql.oldest_queued)
    return None if row is None else row[0]


def content_files(tx: Transaction, after: str, limit: int) -> tuple[int, str | None]:
    """The octets of up to `limit` contents in files whose names come after one, and the last name of them.

    None for the name where there are no more.
    """
    row = tx.one(_sql.content_files, after=after, limit=limit)
    return (0, None) if row is None or row[0] is None else (row[0], row[1])


def probe(tx: Transaction) -> None:
    """Write a number that nobody reads: the commit of this needs the disk."""
    tx.do(_sql.probe)
