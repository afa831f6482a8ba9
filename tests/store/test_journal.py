"""The journal finds what happened, and forgets when told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from estafeta.store import journal
from estafeta.store.records import EntryKind, Instant, JournalEntry, MessageId, SessionId
from estafeta.store.statements import Statement
from estafeta.store.store import Store, Transaction, open_store

Record = Callable[[Transaction, JournalEntry], None]
DAY = 86_400.0
COUNT_KEYS = Statement("count_keys", "how many keys there are", "SELECT count(*) FROM journal_keys")


def entry(
    at: float, *keys: str, message: int | None = None, session: int | None = None, **facts: object
) -> JournalEntry:
    return JournalEntry(
        EntryKind.ATTEMPT,
        Instant(at),
        None if session is None else SessionId(session),
        None if message is None else MessageId(message),
        facts,
        keys,
    )


class Clock:
    """Tells the time that it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(data: Path, clock: Clock) -> Iterator[Store]:
    store = open_store(data, clock=clock)
    yield store
    store.close()


@pytest.fixture
def record(clock: Clock) -> Record:
    """Records an entry at its own instant: retention goes by the time of the id."""

    def recorded(tx: Transaction, one: JournalEntry) -> None:
        clock.now = one.at
        journal.record(tx, one)

    return recorded


@pytest.fixture
def run(store: Store) -> Callable[[Callable[[Transaction], None]], None]:
    return lambda change: asyncio.run(store.write(change))


Run = Callable[[Callable[[Transaction], None]], None]


def test_entries_are_found_by_message_and_session(run: Run) -> None:
    def look(tx: Transaction) -> None:
        late = entry(20.0, message=5, session=1, reply="250 ok", note="größer")
        early = entry(10.0, message=5, session=2, hops=[1, 2, {"host": None}])
        for one in (late, early, entry(30.0, message=6, session=2)):
            journal.record(tx, one)
        assert journal.by_message(tx, 5) == [early, late]
        assert [one.at for one in journal.by_session(tx, 2)] == [10.0, 30.0]
        assert journal.by_message(tx, 99) == []

    run(look)


def test_entries_are_found_by_text_over_days_newest_first(run: Run) -> None:
    def look(tx: Transaction) -> None:
        for day in (1, 400, 2, 3):
            journal.record(tx, entry(day * DAY, "ann@example.org", f"<{day}@example.org>"))
        journal.record(tx, entry(3 * DAY, "bob@example.org"))
        days = [one.at / DAY for one in journal.by_key(tx, "Ann@Example.org", limit=10)]
        assert days == [400, 3, 2, 1]
        assert [one.at / DAY for one in journal.by_key(tx, "ann@example.org", limit=2)] == [400, 3]
        assert len(journal.by_key(tx, "<2@example.org>", limit=5)) == 1
        assert journal.by_key(tx, "nobody@example.org", limit=5) == []

    run(look)


def test_texts_with_one_hash_are_told_apart(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_hash", len)

    def look(tx: Transaction) -> None:
        journal.record(tx, entry(1.0, "ann@example.org"))
        journal.record(tx, entry(2.0, "bob@example.org"))
        assert [one.at for one in journal.by_key(tx, "ann@example.org", limit=5)] == [1.0]

    run(look)


def test_pruning_goes_in_steps_and_takes_the_keys_along(run: Run, record: Record) -> None:
    def look(tx: Transaction) -> None:
        for number in range(10):
            record(tx, entry(float(number), f"{number}@example.org", message=number))
        assert [journal.prune(tx, Instant(7.0), 5) for _ in range(3)] == [5, 2, 0]
        assert tx.run(COUNT_KEYS) == [(3,)]
        assert journal.by_key(tx, "6@example.org", limit=1) == []
        assert len(journal.by_message(tx, 7)) == 1

    run(look)


def test_redaction_blanks_the_named_facts_wherever_they_are(run: Run, record: Record) -> None:
    def look(tx: Transaction) -> None:
        facts: dict[str, Any] = {
            "peer": "192.0.2.1",
            "helo": None,
            "reply": "250 ok",
            "recipients": [{"forward_path": "ann@example.org", "reason": "account"}],
        }
        record(tx, entry(1.0, "ann@example.org", message=5, **facts))
        record(tx, entry(100.0, "ann@example.org", message=6, **facts))
        names = {"peer", "helo", "forward_path"}
        assert [journal.redact(tx, Instant(50.0), 10, names) for _ in range(2)] == [1, 0]
        (blanked,) = journal.by_message(tx, 5)
        assert blanked.facts == {
            "peer": "redacted",
            "helo": None,
            "reply": "250 ok",
            "recipients": [{"forward_path": "redacted", "reason": "account"}],
        }
        assert blanked.keys == ()
        assert journal.by_message(tx, 6)[0].facts == facts
        assert [one.message_id for one in journal.by_key(tx, "ann@example.org", limit=9)] == [6]

    run(look)


def test_redaction_in_steps_skips_none_of_the_same_instant(run: Run, record: Record) -> None:
    def look(tx: Transaction) -> None:
        for number in range(7):
            record(tx, entry(5.5, message=number, peer="192.0.2.1"))
        assert [journal.redact(tx, Instant(9.0), 3, ["peer"]) for _ in range(4)] == [3, 3, 1, 0]
        assert all(journal.by_message(tx, n)[0].facts == {"peer": "redacted"} for n in range(7))

    run(look)
