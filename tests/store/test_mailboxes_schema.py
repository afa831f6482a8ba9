"""What older schemas had in mailboxes is there in the seventh, with flags, keywords and counters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from estafeta.store import mailboxes, messages, subscriptions
from estafeta.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from estafeta.store.migrations import known_migrations
from estafeta.store.records import AccountId, Instant, MailboxId
from estafeta.store.store import DATABASE, Transaction, open_store

NOW = Instant(1_700_000_000.0)

# As the sixth version wrote them.
OLD = r"""
INSERT INTO accounts (account_id, is_enabled, created_at) VALUES (1, 1, 0.0);
INSERT INTO contents (content_id, size, octets) VALUES (10, 6, x'6f6374657473'), (20, 1, x'78');
INSERT INTO mailboxes
    (mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets)
VALUES (2, 1, 'INBOX', NULL, 77, 6, 9, 3, 13), (3, 1, 'Trash', '\Trash', 78, 1, 1, 0, 0);
INSERT INTO messages
    (mailbox_id, uid, delivery_id, message_id, content_id, prefix, modseq, flags, internal_at, size)
VALUES
    (2, 1, 10, 10, 10, x'', 2, '', 100.0, 6),
    (2, 3, 20, 20, 20, x'', 3, '\Seen \Deleted', 200.0, 1),
    (2, 5, 30, 10, 10, x'', 9, '\Answered \Draft \Flagged', 300.0, 6);
"""


@pytest.fixture
def old(data: Path) -> Path:
    """A data directory of the sixth schema with an INBOX of three messages."""
    sixth = [each for each in known_migrations() if each.number <= 6]
    open_store(data, clock=lambda: NOW, migrations=sixth).close()
    connection = apsw.Connection(str(data / DATABASE))
    connection.execute("PRAGMA foreign_keys = on").fetchall()
    connection.execute(OLD).fetchall()
    connection.close()
    return data


def test_mail_is_kept_by_the_migration(old: Path) -> None:
    store = open_store(old, clock=lambda: NOW)

    def look(tx: Transaction) -> None:
        inbox = mailboxes.inbox(tx, AccountId(1))
        assert (inbox.uid_validity, inbox.uid_next, inbox.highest_modseq) == (77, 6, 9)
        assert (inbox.messages, inbox.octets, inbox.unseen, inbox.deleted, inbox.deleted_octets) == (3, 13, 2, 1, 1)
        found = messages.list_of(tx, inbox.mailbox_id)
        assert [(one.uid, one.flags, one.modseq, one.internal_at, one.saved_at) for one in found] == [
            (1, 0, 2, 100.0, 100.0),
            (3, SEEN | DELETED, 3, 200.0, 200.0),
            (5, ANSWERED | DRAFT | FLAGGED, 9, 300.0, 300.0),
        ]
        assert messages.read_content(tx, store.content, inbox.mailbox_id, 5) == b"octets"
        assert subscriptions.of(tx, AccountId(1)) == {"INBOX", "Trash"}
        # What was expunged before is not known.
        assert inbox.expunged_after == 9

    def change(tx: Transaction) -> None:
        inbox = MailboxId(2)
        messages.change_flags(tx, inbox, [(1, 1)], add=messages.flag_mask(tx, inbox, ["$Junk"]))
        messages.expunge(tx, inbox, [5])
        assert messages.read_content(tx, store.content, inbox, 1) == b"octets"
        assert [one.uid for one in messages.list_of(tx, inbox)] == [1, 3]

    try:
        asyncio.run(store.read(look))
        asyncio.run(store.write(change))
    finally:
        store.close()
