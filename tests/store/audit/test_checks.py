"""Each kind of damage to a store is found, and named rightly; nothing else is said."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from tests.store.audit.story import found_in

from estafeta.store.audit import CHECKS, Gap
from estafeta.store.audit.waiting import NEGLECTED_AFTER
from estafeta.store.ids import IdSource
from estafeta.store.repair.repairing import repair
from estafeta.store.store import DATABASE, Store, open_store

Damage = Callable[[apsw.Connection], object]

DELIVERED = "SELECT max(delivery_id) FROM messages WHERE delivery_id = message_id AND size < 4000"
"""The last message that is still where it was delivered."""
WAITING = "SELECT recipient_id FROM queued_recipients WHERE forward_path LIKE 'later@%'"
HELD = "SELECT recipient_id FROM queued_recipients WHERE destination = 'later:'"
SUBTRACT = (
    "UPDATE mailboxes SET messages = (SELECT count(*) FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id), "
    "octets = (SELECT coalesce(sum(size), 0) FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id), "
    "unseen = (SELECT count(*) FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id AND flags & 1 = 0), "
    "deleted = (SELECT count(*) FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id AND flags & 8 <> 0), "
    "deleted_octets = (SELECT coalesce(sum(size), 0) FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id "
    "AND flags & 8 <> 0), "
    "uid_next = 1 + (SELECT max(uid) FROM (SELECT uid FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id "
    "UNION ALL SELECT last_uid FROM expunged AS e WHERE e.mailbox_id = mailboxes.mailbox_id UNION ALL SELECT 0)), "
    "highest_modseq = highest_modseq + 9"
)
"""Makes all counters right again."""
UNUSED = (
    "DELETE FROM contents WHERE content_id NOT IN (SELECT content_id FROM messages) "
    "AND content_id NOT IN (SELECT content_id FROM queued_messages)"
)
MANY = 10.0**17


def gaps_after(data: Path, *damages: str | Damage) -> list[Gap]:
    """What an audit finds after damage was done to the database behind the store's back."""
    with_damage = apsw.Connection(str(data / DATABASE))
    try:
        for damage in damages:
            if isinstance(damage, str):
                before = with_damage.total_changes()
                with_damage.execute(damage)
                assert with_damage.total_changes() > before, f"no damage was done by {damage}"
            else:
                damage(with_damage)
    finally:
        with_damage.close()
    store = open_store(data, clock=time.time)
    try:
        return asyncio.run(found_in(store))
    finally:
        store.close()


def edit(entry: str, change: Callable[[dict[str, object]], object]) -> Damage:
    """Changes the facts of the entries that a condition names."""

    def damage(database: apsw.Connection) -> None:
        rows = database.execute(f"SELECT entry_id, facts FROM journal WHERE {entry}").fetchall()
        assert rows
        for entry_id, text in rows:
            facts = json.loads(str(text))
            change(facts)
            assert json.dumps(facts) != json.dumps(json.loads(str(text)))
            database.execute("UPDATE journal SET facts = ? WHERE entry_id = ?", (json.dumps(facts), entry_id))

    return damage


def double(table: str, where: str, **changed: str) -> Damage:
    """Puts rows into a table once more, with other values for some columns."""

    def damage(database: apsw.Connection) -> None:
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(changed.get(column, column) for column in columns)
        before = database.total_changes()
        database.execute(f"INSERT INTO {table} SELECT {values} FROM {table} WHERE {where}")
        assert database.total_changes() > before

    return damage


ACCEPTED = f"entry_id = message_id AND entry_id = ({DELIVERED})"
FAILED = "kind = 'attempt' AND facts LIKE '%\"fate\":\"failed\"%' AND facts LIKE '%notifications%'"
FIRST_FAILED = f"entry_id = (SELECT min(entry_id) FROM journal WHERE {FAILED})"
NOTICE = (
    "entry_id = (SELECT max(entry_id) FROM journal WHERE facts LIKE '%notification_of%' AND facts LIKE '%failed%' "
    "AND entry_id IN (SELECT delivery_id FROM messages))"
)
RELAYED = (
    "entry_id = (SELECT max(entry_id) FROM journal WHERE kind = 'attempt' AND facts LIKE '%\"ended\":\"relayed\"%')"
)
ONE_BOX = "mailbox_id = (SELECT min(mailbox_id) FROM mailboxes WHERE messages > 3)"
FILE = "file IS NOT NULL AND content_id = (SELECT min(content_id) FROM contents WHERE file IS NOT NULL)"


def _recipients(facts: dict[str, object]) -> list[dict[str, object]]:
    found = facts["recipients"]
    assert isinstance(found, list)
    return found


def without(key: str) -> Callable[[dict[str, object]], object]:
    return lambda facts: facts.pop(key)


def with_(**more: object) -> Callable[[dict[str, object]], object]:
    return lambda facts: facts.update(more)


MAIL: dict[str, tuple[set[str], tuple[str | Damage, ...]]] = {
    "a delivered message vanishes, and the counters know nothing of it": (
        {"lost"},
        (f"DELETE FROM messages WHERE delivery_id = ({DELIVERED})", SUBTRACT, UNUSED),
    ),
    "a delivered message vanishes with its row alone": (
        {"lost", "counters", "uids", "content-unused"},
        (f"DELETE FROM messages WHERE delivery_id = ({DELIVERED})",),
    ),
    "a recipient was never delivered to": (
        {"ends"},
        (
            edit(ACCEPTED, with_(delivered=[])),
            f"DELETE FROM messages WHERE delivery_id = ({DELIVERED})",
            SUBTRACT,
            UNUSED,
        ),
    ),
    "a queued message vanishes whole": (
        {"lost"},
        (
            f"DELETE FROM queued_messages WHERE message_id = (SELECT message_id FROM queued_recipients "
            f"WHERE recipient_id = ({WAITING}))",
            f"DELETE FROM queued_recipients WHERE recipient_id = ({WAITING})",
            UNUSED,
        ),
    ),
    "a queued recipient vanishes": (
        {"lost", "queue-empty"},
        (f"DELETE FROM queued_recipients WHERE recipient_id = ({WAITING})",),
    ),
    "an envelope vanishes": (
        {"lost", "stray", "content-unused"},
        (
            f"DELETE FROM queued_messages WHERE message_id = (SELECT message_id FROM queued_recipients "
            f"WHERE recipient_id = ({WAITING}))",
        ),
    ),
    "a recipient left without any record": ({"lost"}, (f"DELETE FROM journal WHERE {RELAYED}",)),
    "a recipient was settled twice": (
        {"twice"},
        (double("journal", RELAYED, entry_id="entry_id + 4000"),),
    ),
    "a recipient that was relayed is in the queue again": (
        {"twice"},
        (
            edit(
                "kind = 'attempt' AND facts LIKE '%later@%'",
                lambda facts: facts.update(recipients=[each | {"fate": "relayed"} for each in _recipients(facts)]),
            ),
        ),
    ),
    "what was refused is in a mailbox": (
        {"never-accepted"},
        (
            double("contents", f"content_id = ({DELIVERED})", content_id="content_id + 4000"),
            double(
                "messages",
                f"delivery_id = ({DELIVERED})",
                delivery_id="delivery_id + 4000",
                message_id="message_id + 4000",
                content_id="content_id + 4000",
                uid="uid + 1",
                modseq="modseq + 1",
            ),
            SUBTRACT,
        ),
    ),
    "a message is in a mailbox to which it was not addressed": (
        {"never-accepted"},
        (
            double(
                "messages",
                f"delivery_id = ({DELIVERED})",
                mailbox_id="(SELECT max(mailbox_id) FROM mailboxes WHERE mailbox_id <> messages.mailbox_id)",
                uid="100",
                modseq="1",
            ),
            "INSERT INTO expunged SELECT mailbox_id, 1, uid_next, 99 FROM mailboxes "
            "WHERE mailbox_id = (SELECT mailbox_id FROM messages WHERE uid = 100)",
            SUBTRACT,
        ),
    ),
    "a recipient is in the queue whom nobody named": (
        {"never-accepted"},
        (
            double(
                "queued_recipients",
                f"recipient_id = ({WAITING})",
                recipient_id="recipient_id + 4000",
                forward_path="'other@example.net'",
            ),
        ),
    ),
    "a message is in the queue that nobody accepted": (
        {"never-accepted"},
        (
            double("contents", f"content_id = ({DELIVERED})", content_id="content_id + 4000"),
            double(
                "queued_messages",
                f"message_id = (SELECT message_id FROM queued_recipients WHERE recipient_id = ({WAITING}))",
                message_id=f"({DELIVERED}) + 4000",
                content_id=f"({DELIVERED}) + 4000",
                size=f"(SELECT size FROM contents WHERE content_id = ({DELIVERED}))",
            ),
            double(
                "queued_recipients",
                f"recipient_id = ({WAITING})",
                recipient_id="recipient_id + 4000",
                message_id=f"({DELIVERED}) + 4000",
            ),
        ),
    ),
    "a sender was not told": ({"untold", "told-twice"}, (edit(FIRST_FAILED, without("notifications")),)),
    "a sender cannot be told because of a fault": (
        {"untold", "told-twice"},
        (edit(FIRST_FAILED, with_(notifications=["none could be made, incident 12345678"])),),
    ),
    "a notification that is named was never accepted": (
        {"untold", "never-accepted"},
        (f"DELETE FROM journal WHERE {NOTICE}",),
    ),
    "a notification says nothing of the failure": ({"untold"}, (edit(NOTICE, with_(action="delayed")),)),
    "a notification was made twice": (
        {"told-twice"},
        (
            double(
                "contents",
                f"content_id = (SELECT entry_id FROM journal WHERE {NOTICE})",
                content_id="content_id + 4000",
                octets="coalesce(octets, zeroblob(size))",
                file="NULL",
            ),
            double(
                "messages",
                f"delivery_id = (SELECT entry_id FROM journal WHERE {NOTICE})",
                delivery_id="delivery_id + 4000",
                message_id="message_id + 4000",
                content_id="content_id + 4000",
                uid="(SELECT uid_next FROM mailboxes AS b WHERE b.mailbox_id = messages.mailbox_id)",
            ),
            double("journal", NOTICE, entry_id="entry_id + 4000", message_id="entry_id + 4000"),
            lambda database: edit(NOTICE, with_(delivered=[_last_delivered(database)]))(database),
            SUBTRACT,
        ),
    ),
    "two outcomes name one notification": (
        {"told-twice", "twice"},
        (double("journal", FIRST_FAILED, entry_id="entry_id + 4000"),),
    ),
    "a notification is about another message": (
        {"told-wrongly"},
        (edit(NOTICE, with_(notification_of="0000000000001")),),
    ),
    "nobody could be told": (
        {"told-wrongly"},
        (
            edit(
                "entry_id = message_id AND entry_id = (SELECT message_id FROM journal WHERE " + FIRST_FAILED + ")",
                with_(reverse_path=""),
            ),
        ),
    ),
    "a notification is about a notification": (
        {"told-wrongly"},
        (
            edit(
                "entry_id = message_id AND entry_id = (SELECT message_id FROM journal WHERE " + FIRST_FAILED + ")",
                with_(notification_of="0000000000001"),
            ),
        ),
    ),
    "an entry cannot be read": (
        {"journal"},
        (f"UPDATE journal SET facts = 'nonsense' WHERE {ACCEPTED}",),
    ),
    "a later entry cannot be read": (
        {"journal", "lost"},
        (f"UPDATE journal SET facts = '[]' WHERE {RELAYED}",),
    ),
}


def _last_delivered(database: apsw.Connection) -> list[object]:
    """Where the newest delivery of a notification is."""
    row = database.execute(
        "SELECT m.mailbox_id, m.uid FROM messages AS m JOIN journal AS j ON j.entry_id = m.delivery_id "
        "WHERE j.facts LIKE '%notification_of%' ORDER BY m.uid DESC LIMIT 1"
    ).fetchall()[0]
    return [IdSource.text(int(str(row[0]))), row[1]]


ROWS: dict[str, tuple[set[str], tuple[str | Damage, ...]]] = {
    **{
        f"{counter} is wrong": ({"counters"}, (f"UPDATE mailboxes SET {counter} = {counter} + 1 WHERE {ONE_BOX}",))
        for counter in ("messages", "octets", "unseen", "deleted", "deleted_octets")
    },
    "UIDs would be given twice": ({"uids"}, (f"UPDATE mailboxes SET uid_next = uid_next - 1 WHERE {ONE_BOX}",)),
    "UIDs were left out": ({"uids"}, (f"UPDATE mailboxes SET uid_next = uid_next + 1 WHERE {ONE_BOX}",)),
    "MODSEQs would be given twice": (
        {"modseqs"},
        ("UPDATE mailboxes SET highest_modseq = 1 WHERE highest_modseq > 1 AND messages > 1",),
    ),
    "a message that is there is noted as expunged": (
        {"uids"},
        (f"INSERT INTO expunged SELECT mailbox_id, 1, max(uid), max(uid) FROM messages WHERE {ONE_BOX}",),
    ),
    "an expunge was not noted": ({"uids", "lost"}, ("DELETE FROM expunged",)),
    "a mailbox lacks its account": ({"stray"}, (f"UPDATE mailboxes SET account_id = 1 WHERE {ONE_BOX}",)),
    "a mailbox is gone, its messages are not": ({"stray"}, (f"DELETE FROM mailboxes WHERE {ONE_BOX}",)),
    "an address lacks its account": (
        {"stray"},
        ("UPDATE addresses SET account_id = 1 WHERE address = 'ana@example.org'",),
    ),
    "an address lacks its domain": (
        {"stray"},
        ("UPDATE addresses SET domain_id = 1 WHERE address = 'ana@example.org'",),
    ),
    "a content is gone that a mailbox needs": (
        {"content-missing"},
        (f"DELETE FROM contents WHERE content_id = ({DELIVERED})",),
    ),
    "a content is gone that the queue needs": (
        {"content-missing"},
        (
            f"DELETE FROM contents WHERE content_id = (SELECT message_id FROM queued_recipients "
            f"WHERE recipient_id = ({HELD}))",
        ),
    ),
    "a content is there that nobody needs": (
        {"content-unused"},
        (double("contents", f"content_id = ({DELIVERED})", content_id="1"),),
    ),
    "a content lost octets": (
        {"content-size"},
        (f"UPDATE contents SET octets = substr(octets, 2) WHERE content_id = ({DELIVERED})",),
    ),
    "a message says another size": (
        {"content-size", "counters"},
        (f"UPDATE messages SET size = size + 1 WHERE delivery_id = ({DELIVERED})",),
    ),
    "the queue says another size": ({"content-size"}, ("UPDATE queued_messages SET size = size + 1",)),
    "a recipient has no next attempt": (
        {"never-tried"},
        (f"UPDATE queued_recipients SET next_attempt_at = {MANY} WHERE recipient_id = ({WAITING})",),
    ),
    "a recipient is never looked at": (
        {"never-tried"},
        (f"UPDATE queued_recipients SET review_at = {MANY} WHERE recipient_id = ({WAITING})",),
    ),
    "mail is held until no time": ({"never-tried"}, ("UPDATE queued_messages SET hold = NULL, release_at = NULL",)),
    "a destination is blocked for ever": (
        {"blocked"},
        (f"INSERT INTO destinations VALUES ('example.net', {MANY}, 1, '451 later')",),
    ),
}


@pytest.mark.parametrize("damage", [*MAIL, *ROWS])
def test_damage_is_found_and_named(data: Path, damage: str) -> None:
    names, done = (MAIL | ROWS)[damage]
    gaps = gaps_after(data, *done)
    assert {gap.check for gap in gaps} == names, "\n".join(map(str, gaps))
    for gap in gaps:
        assert gap.subject and gap.says and "\n" not in str(gap)


def test_what_is_lost_is_named_with_its_place(data: Path) -> None:
    def remove(database: apsw.Connection) -> None:
        [row] = database.execute(f"SELECT delivery_id, mailbox_id, uid FROM messages WHERE delivery_id = ({DELIVERED})")
        lost.append(row)
        database.execute("DELETE FROM messages WHERE mailbox_id = ? AND uid = ?", row[1:])

    lost: list[tuple[int, int, int]] = []
    [gap] = [each for each in gaps_after(data, remove) if each.check == "lost"]
    assert gap.subject == IdSource.text(lost[0][0])
    assert f"UID {lost[0][2]} in INBOX of " in gap.says and "@example.org" in gap.says


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_file_that_is_not_as_it_was_is_found(data: Path, is_gone: bool) -> None:
    database = apsw.Connection(str(data / DATABASE))
    [(name, size)] = database.execute(f"SELECT file, size FROM contents WHERE {FILE}")
    database.close()
    path = data / "content" / name[-2:] / name
    if is_gone:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    [gap] = gaps_after(data)
    assert (gap.check, gap.subject) == ("content-file", f"content {name_of_content(data, name)}")
    assert ("is not there" if is_gone else f"has {size - 1} octets in place of {size}") in gap.says


def name_of_content(data: Path, file: str) -> str:
    database = apsw.Connection(str(data / DATABASE))
    [(content_id,)] = database.execute("SELECT content_id FROM contents WHERE file = ?", (file,))
    database.close()
    return IdSource.text(int(str(content_id)))


# What only a running server can leave undone: a store that is opened alone forgets who relayed.


@pytest.fixture
def opened(data: Path) -> Iterator[Store]:
    store = open_store(data, clock=time.time)
    yield store
    store.close()


def found_after(store: Store, *statements: str) -> list[Gap]:
    path = store.content._folder.parent / DATABASE
    database = apsw.Connection(str(path))
    for statement in statements:
        before = database.total_changes()
        database.execute(statement)
        assert database.total_changes() > before
    database.close()
    return asyncio.run(found_in(store))


def living(seconds: float) -> str:
    """A process that began to relay so long ago, and is alive."""
    now = time.time()
    return f"INSERT INTO holders VALUES ({IdSource.smallest_at(now - seconds)}, {now + 30})"


CLAIMED = f"UPDATE queued_recipients SET holder_id = 7, next_attempt_at = {time.time() - 2 * NEGLECTED_AFTER} "
OVERDUE = f"UPDATE queued_recipients SET review_at = {time.time() - 2 * NEGLECTED_AFTER} "
ONE = f"WHERE recipient_id = ({WAITING})"


def test_a_claim_that_nobody_takes_over_is_found(opened: Store) -> None:
    [gap] = found_after(opened, CLAIMED + ONE, living(2 * NEGLECTED_AFTER))
    assert gap.check == "claim" and "later@" in gap.says


def test_a_claim_is_no_gap_while_nobody_relays_or_somebody_has_just_begun(opened: Store) -> None:
    assert found_after(opened, CLAIMED + ONE, OVERDUE + ONE) == []
    assert found_after(opened, living(NEGLECTED_AFTER / 2)) == []


def test_a_claim_of_a_living_process_is_no_gap(opened: Store) -> None:
    of_it = f"UPDATE queued_recipients SET holder_id = (SELECT max(holder_id) FROM holders) {ONE}"
    assert found_after(opened, CLAIMED + ONE, living(2 * NEGLECTED_AFTER), of_it) == []


def test_what_nobody_looks_at_is_found(opened: Store) -> None:
    [gap] = found_after(opened, OVERDUE + ONE, living(2 * NEGLECTED_AFTER))
    assert gap.check == "neglected"


def test_what_is_held_by_an_operator_is_no_gap(opened: Store) -> None:
    held = f"UPDATE queued_recipients SET status = 'held' {ONE}"
    assert found_after(opened, OVERDUE + ONE, held, living(2 * NEGLECTED_AFTER)) == []


def test_a_process_that_is_alive_for_ever_is_found(opened: Store) -> None:
    [gap] = found_after(opened, f"INSERT INTO holders VALUES (7, {time.time() + 86_400})")
    assert (gap.check, gap.subject) == ("claim", "process 0000000000007")


def test_every_kind_of_gap_was_seen() -> None:
    seen = {name for names, _ in (MAIL | ROWS).values() for name in names} | {"claim", "neglected", "content-file"}
    assert seen == {name for check in CHECKS for name in check.gaps}


def test_the_operator_can_read_what_each_gap_means() -> None:
    page = (Path(__file__).parents[3] / "docs" / "care.md").read_text()
    told = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert {name for check in CHECKS for name in check.gaps} <= told


@pytest.mark.parametrize("damage", ["messages is wrong", "UIDs would be given twice", "MODSEQs would be given twice"])
def test_repair_puts_right_what_audit_says_it_does(data: Path, damage: str) -> None:
    _, done = ROWS[damage]
    gaps = gaps_after(data, *done)
    assert gaps and all("`estafeta repair` puts it right" in gap.says for gap in gaps)
    assert repair(data, clock=time.time).is_changed
    assert gaps_after(data) == []
