"""The queue: every recipient belongs to a message, has a next attempt, and is nobody's for ever.

What only takes long is no gap: where a process must have looked at something and did not, it has had many times as
long as it needs.
"""

from __future__ import annotations

from collections.abc import Iterator

from estafeta.store.audit.boxes import oldest_entry
from estafeta.store.audit.gap import Cursor, Gap, Ledger, Step, at_instant
from estafeta.store.engine import Transaction
from estafeta.store.ids import IdSource
from estafeta.store.statements import Statements

_sql = Statements("audit")

_ROWS = 1000
NEGLECTED_AFTER = 3600.0
"""Seconds after which a claim of a dead process, or a recipient to be looked at, is neglected; a living process looks
every few seconds."""
ALIVE_AT_MOST = 3600.0
"""Seconds for which a process can have said that it is alive: it says so for one minute."""
BLOCKED_AT_MOST = 2 * 86_400.0
"""Seconds for which a destination can have been left alone: that is one hour at most."""
WAITS_AT_MOST = 10 * 365 * 86_400.0
"""Seconds that anything can be meant to wait."""
_LATER = "later:"
"""Where mail waits that is held until its time."""
_ID_MILLISECONDS = 21
"""Bits of an id below its time."""


def look_at_messages(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Look at some envelopes."""
    rows = tx.run(_sql.queued_messages, after=-1 if cursor is None else cursor, limit=_ROWS)
    oldest = oldest_entry(tx) if rows else 0
    gaps = []
    for message_id, content_id, size, real_size, entry, has_recipients in rows:
        name = IdSource.text(message_id)
        if real_size is None:
            gaps.append(
                Gap("content-missing", name, "its content is not there: it cannot go out; look in a backup for it")
            )
        elif real_size != size:
            gaps.append(
                Gap(
                    "content-size",
                    name,
                    f"the queue says {size} octets, and it has {real_size}: hosts are told a wrong size",
                )
            )
        if not has_recipients:
            gaps.append(
                Gap("queue-empty", name, "it is in the queue without any recipient: it takes room, and goes nowhere")
            )
        if entry is None and content_id >= oldest:
            says = f"it is in the queue, and the journal does not know of {IdSource.text(content_id)}"
            gaps.append(Gap("never-accepted", name, says))
    return Step(gaps, rows[-1][0] if len(rows) == _ROWS else None)


_REPAIR = "stop the server, and `estafeta repair` puts it right"


def look_at_recipients(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Look at some recipients."""
    now = ledger.now
    rows = tx.run(_sql.queued_recipients, after=-1 if cursor is None else cursor, now=now, limit=_ROWS)
    row = tx.one(_sql.oldest_alive, now=now)
    alive_since = None if row is None or row[0] is None else (row[0] >> _ID_MILLISECONDS) / 1000
    # Whether a process has relayed for long enough to have seen everything.
    is_served = alive_since is not None and alive_since < now - NEGLECTED_AFTER
    gaps: list[Gap] = []
    for row in rows:
        gaps += _gaps_of(row, now, is_served)
    return Step(gaps, rows[-1][0] if len(rows) == _ROWS else None)


def _gaps_of(row: tuple[object, ...], now: float, is_served: bool) -> Iterator[Gap]:
    recipient_id, path, destination, status, next_at, review_at, holder, message_id, release_at, alive = row
    assert isinstance(recipient_id, int)
    name, who = IdSource.text(recipient_id), f"<{path}> by way of {destination}"
    if message_id is None:
        yield Gap("stray", name, f"{who}: its message is not in the queue; {_REPAIR}")
        return
    latest = now + WAITS_AT_MOST
    times = (next_at,) if review_at is None else (next_at, review_at)
    if status != "held" and any(isinstance(each, int | float) and each > latest for each in times):
        yield Gap("never-tried", name, f"{who} has no next attempt; `estafeta queue retry {name}` makes it due")
    if destination == _LATER and release_at is None:
        yield Gap("never-tried", name, f"{who} is held for a time that is nowhere said; `estafeta queue retry {name}`")
    if status == "held" or not is_served:
        return
    neglected = now - NEGLECTED_AFTER
    is_due = isinstance(next_at, int | float) and next_at < neglected
    if holder is not None and alive is None and is_due:
        yield Gap("claim", name, f"{who} is claimed by a dead process, and nobody takes it over; restart the server")
    if holder is None and isinstance(review_at, int | float) and review_at < neglected:
        says = f"{who} was to be looked at at {at_instant(review_at)}, and nobody did; restart the server"
        yield Gap("neglected", name, says)


def look_at_places(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Look at destinations that are left alone, and processes that count as alive."""
    gaps = []
    for destination, until in tx.run(_sql.blocked_for_ever, until=ledger.now + BLOCKED_AT_MOST, limit=_ROWS):
        says = f"it is not tried before {at_instant(until)}; `estafeta queue flush {destination}` tries it now"
        gaps.append(Gap("blocked", str(destination), says))
    for holder_id, until in tx.run(_sql.alive_for_ever, until=ledger.now + ALIVE_AT_MOST):
        says = f"its claims are not taken over before {at_instant(until)}; stop all servers, and start one"
        gaps.append(Gap("claim", f"process {IdSource.text(holder_id)}", says))
    return Step(gaps, None)


def look_at_addresses(tx: Transaction, ledger: Ledger, cursor: Cursor) -> Step:
    """Look at what some addresses of ours name."""
    rows = tx.run(_sql.addresses, after=cursor or "", limit=_ROWS)
    gaps = []
    for address, domain_id, account_id, account in rows:
        lacks = "domain" if domain_id is None else "account" if account_id is not None and account is None else None
        if lacks is not None:
            gaps.append(Gap("stray", str(address), f"its {lacks} is not there; {_REPAIR}"))
    return Step(gaps, rows[-1][0] if len(rows) == _ROWS else None)
