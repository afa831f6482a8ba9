"""What the second schema had queued is still queued in the third, without promises; and what promises are kept as."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.store.queueing import LATER, LEFT, ME, NOW, Accept, accepting, deferred, relayed, write

from estafeta.mail.envelope import ByMode
from estafeta.store import queue
from estafeta.store.acceptance import accept
from estafeta.store.migrations import known_migrations, schema_version
from estafeta.store.records import Acceptance, Deadline, Instant, QueueStatus
from estafeta.store.store import DATABASE, Store, Transaction, open_store

# As the second version wrote them: two envelopes of one content, one recipient claimed by a process that is dead.
OLD = """
INSERT INTO contents (content_id, size, octets) VALUES (10, 6, x'6f6374657473');
INSERT INTO queued_messages VALUES
    (10, 10, 'Ann@example.org', 1699999000.0, 6, 'ann@example.org', 0, '8BITMIME', 'E1', 'HDRS', 0, 3, x''),
    (12, 10, 'list@example.org', 1699999000.0, 8, NULL, 0, NULL, NULL, NULL, 0, 0, x'7878');
INSERT INTO queued_recipients VALUES
    (11, 10, 'a@example.com', 'example.com', 'rfc822;A@example.org', 'DELAY', 'active', 3, 0, 1699999000.0,
        1700013400.0, 0, NULL, NULL),
    (13, 12, 'b@example.com', 'example.com', NULL, NULL, 'deferred', 0, 2, 1699999500.0, 1700431000.0, 1,
        '451 later', 7),
    (14, 12, 'c@example.com', 'example.com', NULL, NULL, 'held', 0, 0, 1699999500.0, 1700431000.0, 0, NULL, NULL);
"""


@pytest.fixture
def old(data: Path) -> Path:
    """A data directory of the second schema with three queued recipients."""
    open_store(data, clock=lambda: NOW, migrations=known_migrations()[:2]).close()
    connection = apsw.Connection(str(data / DATABASE))
    connection.execute("PRAGMA foreign_keys = on").fetchall()
    connection.execute(OLD).fetchall()
    connection.close()
    return data


def test_queued_mail_goes_on_after_the_migration(old: Path) -> None:
    store = open_store(old, clock=lambda: NOW)

    def look(tx: Transaction) -> None:
        a, b, c = queue.list_all(tx, limit=9)
        assert [(one.status, one.attempts, one.is_delay_told, one.is_by_told) for one in (a, b, c)] == [
            (QueueStatus.ACTIVE, 0, False, False),
            (QueueStatus.DEFERRED, 2, True, False),
            (QueueStatus.HELD, 0, False, False),
        ]
        assert {(one.message.deliver_by, one.message.hold, one.message.release_at) for one in (a, b, c)} == {
            (None, None, None)
        }
        assert (a.message.priority, a.message.envid, a.message.account) == (3, "E1", "ann@example.org")
        assert a.message.begins_at == a.message.accepted_at == Instant(1_699_999_000.0)
        assert b.message.prefix == b"xx"
        claimed = queue.claim(tx, "example.com", ME, now=NOW, limit=9)
        assert [one.recipient_id for one in claimed] == [11]
        queue.settle(tx, ME, relayed(*claimed))
        assert tx.one(LEFT) == (2, 1, 1)

    try:
        asyncio.run(store.write(look))
    finally:
        store.close()


def test_the_migrated_database_keeps_its_rules(old: Path) -> None:
    open_store(old, clock=lambda: NOW).close()
    connection = apsw.Connection(str(old / DATABASE))
    try:
        assert schema_version(connection) >= 3
        connection.execute("PRAGMA foreign_keys = on").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for breach in (
            "UPDATE queued_messages SET by_mode = 'N'",
            "UPDATE queued_messages SET by_mode = 'X', deliver_by_at = 1.0",
            "UPDATE queued_messages SET hold = 'for;1'",
            "UPDATE queued_messages SET release_at = 1.0",
            "UPDATE queued_recipients SET is_by_told = 2",
        ):
            with pytest.raises(apsw.ConstraintError):
                connection.execute(breach).fetchall()
        connection.execute(
            "UPDATE queued_messages SET by_mode = 'RT', deliver_by_at = 1.0, hold = 'x', release_at = 2.0"
        )
    finally:
        connection.close()
    assert list(old.glob("before-schema-*.sqlite3"))


PROMISES = [
    {"deliver_by": Deadline(Instant(NOW + 60.5), ByMode.RETURN)},
    {"deliver_by": Deadline(Instant(NOW - 60), ByMode.NOTIFY, True)},
    {"hold": "for;3600", "release_at": Instant(NOW + 3600)},
    {
        "hold": "until;2030-01-01T00:00:00Z",
        "release_at": LATER,
        "deliver_by": Deadline(Instant(LATER + 1), ByMode.NOTIFY),
    },
]


def promising(acceptance: Accept, **promise: object) -> Callable[[Transaction], Acceptance]:
    def change(tx: Transaction) -> Acceptance:
        made = acceptance(tx, relay=("a@example.com",))
        [one] = made.queued
        made = replace(made, queued=(replace(one, message=replace(one.message, **promise)),))  # type: ignore[arg-type]
        accept(tx, made)
        return made

    return change


@pytest.mark.parametrize("promise", PROMISES)
def test_promises_are_kept_as_they_were_made(store: Store, acceptance: Accept, promise: dict[str, object]) -> None:
    [made] = write(store, promising(acceptance, **promise))
    assert isinstance(made, Acceptance)

    def look(tx: Transaction) -> None:
        [one] = queue.list_all(tx, limit=9)
        assert one == made.queued[0]
        [claimed] = queue.claim(tx, "example.com", ME, now=NOW, limit=9)
        assert claimed.message == made.queued[0].message
        queue.settle(tx, ME, [deferred(claimed, is_by_told=True)])
        [one] = queue.list_all(tx, limit=9)
        assert (one.is_by_told, one.is_delay_told) == (True, False)
        queue.claim_all(tx, "example.com", ME, limit=9)
        queue.settle(tx, ME, [deferred(claimed, is_delay_told=True)])
        [one] = queue.list_all(tx, limit=9)
        assert (one.is_by_told, one.is_delay_told) == (True, True)

    write(store, look)


def test_what_an_account_has_held_is_counted(store: Store, acceptance: Accept) -> None:
    held = {"hold": "for;60", "release_at": Instant(NOW + 60)}
    write(
        store,
        promising(acceptance, account="ana@example.org", **held),
        promising(acceptance, account="ana@example.org", **held),
        promising(acceptance, account="luis@example.org", **held),
        promising(acceptance, account="ana@example.org"),
        accepting(acceptance, "b@example.com"),
    )

    def counted(tx: Transaction) -> list[int]:
        whom = (("ana@example.org", 0), ("ana@example.org", 60), ("luis@example.org", 59), ("nobody@example.org", 0))
        return [queue.count_held(tx, account, now=Instant(NOW + later)) for account, later in whom]

    assert write(store, counted) == [[2, 0, 1, 0]]


def test_the_next_look_is_known_of_what_nobody_has(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        assert queue.next_review(tx) is None
        accept(tx, acceptance(tx, relay=("a@example.com",)))
        assert queue.next_review(tx) == NOW + 14_400
        queue.claim_all(tx, "example.com", ME, limit=9)
        assert queue.next_review(tx) is None

    write(store, look)
