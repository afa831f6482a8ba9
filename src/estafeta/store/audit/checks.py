"""The table of checks, and an audit: all of them, step by step beside a running server, or on one snapshot.

Each step is a short read, and what it finds holds on its own snapshot; what steps together make doubtful is looked at
again on one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from estafeta.mail.value import value
from estafeta.store.audit import boxes, contents, mail, waiting
from estafeta.store.audit.gap import Cursor, Gap, Ledger, Look
from estafeta.store.engine import Transaction
from estafeta.store.ids import IdSource
from estafeta.store.records import Instant
from estafeta.store.store import Store


@value
class Check:
    """One kind of look at the store, and the gaps that it names."""

    about: str
    look: Look
    gaps: tuple[str, ...]


CHECKS = (
    Check(
        "accepted mail",
        mail.look,
        ("lost", "twice", "ends", "never-accepted", "untold", "told-twice", "told-wrongly", "journal"),
    ),
    Check("counters of mailboxes", boxes.look_at_counters, ("counters", "uids", "modseqs", "stray")),
    Check(
        "messages in mailboxes",
        boxes.look_at_rows,
        ("content-missing", "content-size", "stray", "never-accepted"),
    ),
    Check("contents", contents.look, ("content-unused", "content-size", "content-file")),
    Check(
        "messages in the queue",
        waiting.look_at_messages,
        ("content-missing", "content-size", "queue-empty", "never-accepted"),
    ),
    Check("recipients in the queue", waiting.look_at_recipients, ("stray", "never-tried", "claim", "neglected")),
    Check("destinations and processes", waiting.look_at_places, ("blocked", "claim")),
    Check("addresses", waiting.look_at_addresses, ("stray",)),
)


class Audit:
    """One audit of one store, a step at a time; `messages` and `recipients` count what was looked at so far."""

    def __init__(
        self, now: Instant, *, since: Instant | None = None, measure: Callable[[str], int | None] | None = None
    ) -> None:
        """`since`: mail that was accepted before is not looked at; the other checks are of all that is there.

        `measure` gives the size of a content's file, or None where there is none; files are not looked at without it.
        """
        self._ledger = Ledger(now, IdSource.smallest_at(since) if since is not None else 0, measure)
        self._left = list(CHECKS)
        self._cursor: Cursor = None

    @property
    def is_over(self) -> bool:
        """All was looked at."""
        return not self._left

    @property
    def messages(self) -> int:
        """Accepted messages."""
        return self._ledger.messages

    @property
    def recipients(self) -> int:
        """Their recipients, as RCPT named them."""
        return self._ledger.recipients

    def step(self, tx: Transaction) -> list[Gap]:
        """Look a little further: some milliseconds. Raises StoreError."""
        step = self._left[0].look(tx, self._ledger, self._cursor)
        self._cursor = step.cursor
        if step.cursor is None:
            del self._left[0]
        return step.gaps


async def audit(store: Store, now: Instant, *, since: Instant | None = None) -> AsyncIterator[Gap]:
    """The gaps in the ledger of a store, its files included; others may use it meanwhile. Raises StoreError."""
    audit = Audit(now, since=since, measure=store.content.measure)
    while not audit.is_over:
        for gap in await store.read(audit.step):
            yield gap


def audit_now(tx: Transaction, now: Instant, *, measure: Callable[[str], int | None] | None = None) -> list[Gap]:
    """The gaps on one snapshot, on which nothing changes meanwhile; `measure` as for Audit. Raises StoreError."""
    audit = Audit(now, measure=measure)
    gaps: list[Gap] = []
    while not audit.is_over:
        gaps += audit.step(tx)
    return gaps
