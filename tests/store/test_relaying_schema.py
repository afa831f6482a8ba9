"""What the first schema had queued is still queued in the second."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from tests.store.queueing import LATER, LEFT, ME, NOW, relayed

from estafeta.store import queue
from estafeta.store.migrations import known_migrations
from estafeta.store.records import Instant, QueueStatus
from estafeta.store.store import DATABASE, Transaction, open_store

# As the first version wrote them.
OLD = """
INSERT INTO contents (content_id, size, octets) VALUES (10, 6, x'6f6374657473'), (20, 1, x'78');
INSERT INTO queued_messages VALUES (10, 10, 'Ann@example.org', 1, '8BITMIME', 1699999000.0, 6);
INSERT INTO queued_messages VALUES (20, 20, '', 0, NULL, 1699999001.0, 1);
INSERT INTO queued_recipients VALUES
    (11, 10, 'a@example.com', 'example.com', 'active', 0, 1699999000.0, NULL, NULL, NULL),
    (12, 10, 'b@example.com', 'example.com', 'deferred', 2, 1699999500.0, '451 later', 7, 1699999600.0),
    (21, 20, '"c d"@example.net', 'example.net', 'held', 1, 1699999500.0, NULL, NULL, NULL);
"""


@pytest.fixture
def old(data: Path) -> Path:
    """A data directory of the first schema with three queued recipients."""
    open_store(data, clock=lambda: NOW, migrations=known_migrations()[:1]).close()
    connection = apsw.Connection(str(data / DATABASE))
    connection.execute("PRAGMA foreign_keys = on").fetchall()
    connection.execute(OLD).fetchall()
    connection.close()
    return data


def test_queued_mail_is_relayed_after_the_migration(old: Path) -> None:
    store = open_store(old, clock=lambda: NOW)

    def look(tx: Transaction) -> None:
        a, b, c = queue.list_all(tx, limit=9)
        assert [str(one.forward_path) for one in (a, b, c)] == ["a@example.com", "b@example.com", '"c d"@example.net']
        assert [(one.status, one.attempts, one.last_reply) for one in (a, b, c)] == [
            (QueueStatus.ACTIVE, 0, None),
            (QueueStatus.DEFERRED, 2, "451 later"),
            (QueueStatus.HELD, 1, None),
        ]
        assert (str(a.message.reverse_path), a.message.smtputf8, a.message.body) == (
            "Ann@example.org",
            True,
            "8BITMIME",
        )
        assert c.message.reverse_path.is_null and c.message.body is None
        assert (a.message.accepted_at, a.review_at, b.next_attempt_at) == (
            Instant(1_699_999_000.0),
            Instant(1_700_013_400.0),
            Instant(1_699_999_500.0),
        )
        assert {one.holder for one in (a, b, c)} == {None}
        assert queue.read_content(tx, store.content, a.message.message_id) == b"octets"
        claimed = queue.claim(tx, "example.com", ME, now=NOW, limit=9)
        assert claimed == queue.find(tx, 10)
        queue.settle(tx, ME, relayed(*claimed))
        queue.release(tx, c.recipient_id, now=LATER)
        queue.settle(tx, ME, relayed(*queue.claim(tx, "example.net", ME, now=LATER, limit=9)))
        assert tx.one(LEFT) == (0, 0, 0)

    try:
        asyncio.run(store.write(look))
    finally:
        store.close()


def test_the_migrated_database_is_whole_and_keeps_its_rules(old: Path) -> None:
    open_store(old, clock=lambda: NOW).close()
    connection = apsw.Connection(str(old / DATABASE))
    try:
        connection.execute("PRAGMA foreign_keys = on").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for breach in (
            "DELETE FROM queued_messages WHERE message_id = 10",
            "DELETE FROM contents WHERE content_id = 10",
            "UPDATE queued_recipients SET review_at = NULL",
            "UPDATE queued_recipients SET status = 'lost'",
            "UPDATE queued_messages SET priority = 10",
            "UPDATE queued_recipients SET forward_path = 'same@example.com'",
        ):
            with pytest.raises(apsw.ConstraintError):
                connection.execute(breach).fetchall()
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema").fetchall()}
        assert not {name for name in names if str(name).startswith("relayed")}
    finally:
        connection.close()
