"""Processes that relay. Each gives signs of life; what a dead one had claimed is given back for others to take.

A claim whose holder has no row is a dead one's too, so that rows of dead holders can go before their claims.
"""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.records import HolderId, Instant
from estafeta.store.statements import Statements

_sql = Statements("holders")

_STEP = 1000
"""Claims that one change gives back when a process leaves: some milliseconds."""


def register(tx: Transaction, now: Instant, seconds: float) -> HolderId:
    """A process begins to relay; it is alive for so long, and longer when it renews that."""
    holder = HolderId(tx.ids.next_id())
    tx.do(_sql.add, holder=holder, until=now + seconds)
    return holder


def renew(tx: Transaction, holder: HolderId, until: Instant) -> bool:
    """A sign of life. False when it comes too late: what the process had claimed is, or will be, another's."""
    return bool(tx.do(_sql.renew, holder=holder, until=until))


def leave(tx: Transaction, holder: HolderId, review_after: float) -> None:
    """A process ends. What it still has is given back at once, or, where that is much, by `release_dead`."""
    tx.do(_sql.remove, holder=holder)
    tx.do(_sql.give_back, holder=holder, review_after=review_after, limit=_STEP)


def release_dead(tx: Transaction, now: Instant, limit: int, review_after: float) -> int:
    """Give back up to `limit` claims of processes whose time is over, or that are unknown; gives how many.

    Repeat until 0. Recipients never looked at are due for that `review_after` seconds after their acceptance.
    Takes time by the number of processes where nothing is to be given back.
    """
    tx.do(_sql.remove_dead, now=now)
    alive = {holder for (holder,) in tx.run(_sql.alive)}
    released, after = 0, -1
    while released < limit:
        row = tx.one(_sql.next_with_claims, after=after)
        if row is None or row[0] is None:
            break
        (after,) = row
        if after not in alive:
            released += tx.do(_sql.give_back, holder=after, review_after=review_after, limit=limit - released)
    return released
