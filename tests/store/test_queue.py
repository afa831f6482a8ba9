"""The queue as an operator sees it, and what it costs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import apsw
import pytest
from tests.store.queueing import (
    FAR,
    LATER,
    LEFT,
    ME,
    NOW,
    OTHER,
    Accept,
    accepting,
    deferred,
    names,
    relayed,
    two_envelopes,
    write,
)

from estafeta.mail.address import ReversePath
from estafeta.mail.envelope import Notify, OriginalRecipient, Ret
from estafeta.store import destinations, holders, leaving, queue, releasing
from estafeta.store.acceptance import accept
from estafeta.store.errors import NotFound
from estafeta.store.migrations import known_migrations
from estafeta.store.records import (
    DestinationState,
    Instant,
    QueueStatus,
)
from estafeta.store.several import listing
from estafeta.store.statements import Statement
from estafeta.store.store import Store, Transaction


def test_recipients_are_listed_oldest_first_and_by_status(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        first = acceptance(tx, relay=("a@example.com", "b@example.com"))
        second = acceptance(tx, relay=("c@example.com", "d@example.com"), holder=ME)
        accept(tx, first)
        accept(tx, second)
        queue.hold(tx, first.message_id)
        queue.settle(tx, ME, [deferred(second.queued[0])])
        assert names(queue.list_all(tx, limit=10)) == [
            "a@example.com",
            "b@example.com",
            "c@example.com",
            "d@example.com",
        ]
        assert names(queue.list_all(tx, limit=2)) == ["a@example.com", "b@example.com"]
        assert names(queue.list_all(tx, limit=9, status=QueueStatus.HELD)) == ["a@example.com", "b@example.com"]
        assert names(queue.list_all(tx, limit=9, status=QueueStatus.DEFERRED)) == ["c@example.com"]
        assert names(queue.list_all(tx, limit=9, status=QueueStatus.ACTIVE)) == ["d@example.com"]
        assert names(queue.list_all(tx, limit=1, message_id=second.message_id)) == ["c@example.com"]
        assert queue.list_all(tx, limit=9, message_id=second.message_id, status=QueueStatus.HELD) == []
        assert queue.count(tx) == {QueueStatus.ACTIVE: 1, QueueStatus.DEFERRED: 1, QueueStatus.HELD: 2}

    write(store, look)


def test_all_of_a_recipient_and_its_message_is_kept(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = acceptance(tx, relay=("a@example.com", '"a b"@example.com', "c@[192.0.2.1]"), prefix=b"List-Id: <x>\r\n")
        plain, second, third = made.queued
        message = replace(
            plain.message,
            reverse_path=ReversePath(None),
            account="ann@example.org",
            smtputf8=True,
            body=None,
            envid="QQ314159",
            ret=Ret.HDRS,
            requires_tls=True,
            priority=-9,
        )
        full = replace(
            second,
            message=message,
            destination="gateway:office",
            status=QueueStatus.HELD,
            original=OriginalRecipient("utf-8", "señor;x@example.com"),
            notify=frozenset({Notify.SUCCESS, Notify.DELAY}),
            attempts=3,
            last_reply="451 4.4.1 no",
            is_delay_told=True,
        )
        quiet = replace(third, message=message, notify=frozenset({Notify.NEVER}), holder=ME, review_at=None)
        plain = replace(plain, message=message, notify=frozenset())
        accept(tx, replace(made, queued=(plain, full, quiet)))
        assert queue.find(tx, made.message_id) == [plain, full, quiet]
        stored = tx.one(Statement("s", "as others read it", "SELECT notify FROM queued_recipients WHERE attempts = 3"))
        assert stored == ("SUCCESS,DELAY",)

    write(store, look)


def test_an_accepted_mail_object_is_found_under_all_its_envelopes(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = two_envelopes(acceptance, tx, content=b"octets")
        accept(tx, made)
        first, second = made.queued
        assert queue.find(tx, made.message_id) == [first, second]
        assert queue.find(tx, second.message.message_id) == [second]
        assert queue.find(tx, first.recipient_id) == [first]
        assert queue.find(tx, 99) == []
        assert queue.hold(tx, second.message.message_id) == 1
        assert queue.hold(tx, made.message_id) == 2
        assert queue.read_content(tx, store.content, first.message.message_id) == b"octets"
        assert queue.read_content(tx, store.content, second.message.message_id) == b"List-Id: <l.example.org>\r\noctets"

    write(store, look)


def test_one_recipient_or_all_of_a_message_are_held_released_and_retried(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = acceptance(tx, relay=("a@example.com", "b@example.com"))
        accept(tx, made)
        a, b = queue.find(tx, made.message_id)
        assert queue.hold(tx, a.recipient_id) == 1
        assert [one.status for one in queue.find(tx, made.message_id)] == [QueueStatus.HELD, b.status]
        assert queue.release(tx, made.message_id, now=LATER) == 1
        assert queue.find(tx, a.recipient_id)[0].next_attempt_at == LATER
        assert queue.find(tx, b.recipient_id) == [b]
        assert queue.retry(tx, made.message_id, now=LATER) == 2

    write(store, look)


def test_a_retry_unblocks_the_destinations(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, "a@a.example", "b@b.example", holder=ME)(tx)
        queue.settle(tx, ME, [deferred(one) for one in made.queued])
        for name in ("a.example", "b.example", "c.example"):
            destinations.block(tx, DestinationState(name, FAR, 2, "no answer"))
        assert queue.retry(tx, made.message_id, now=NOW) == 2
        assert queue.due_destinations(tx, after="", now=NOW, limit=9) == ["a.example", "b.example"]
        assert [one.destination for one in destinations.blocked(tx, now=NOW, limit=9)] == ["c.example"]
        assert {one.status for one in queue.find(tx, made.message_id)} == {QueueStatus.ACTIVE}

    write(store, look)


def test_what_is_held_while_it_is_tried_leaves_or_stays_held(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, "a@example.com", "b@example.com", "c@example.com", holder=ME)(tx)
        a, b, c = made.queued
        assert queue.hold(tx, made.message_id) == 3
        assert {one.holder for one in queue.find(tx, made.message_id)} == {ME}
        queue.settle(tx, ME, [*relayed(a), deferred(b)])
        queue.put_back(tx, ME, [c.recipient_id], review_after=60)
        found = queue.find(tx, made.message_id)
        assert [(one.status, one.holder, one.attempts) for one in found] == [
            (QueueStatus.HELD, None, 1),
            (QueueStatus.HELD, None, 0),
        ]
        assert queue.claim_all(tx, "example.com", ME, limit=9) == []
        assert queue.claim_to_review(tx, ME, now=FAR, limit=9) == []
        assert queue.release(tx, made.message_id, now=LATER) == 2
        assert len(queue.claim(tx, "example.com", ME, now=LATER, limit=9)) == 2

    write(store, look)


def test_a_claim_outlives_a_release_and_a_retry(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, "a@example.com", "b@example.com", holder=ME)(tx)
        a, b = made.queued
        queue.hold(tx, a.recipient_id)
        queue.release(tx, a.recipient_id, now=NOW)
        queue.retry(tx, b.recipient_id, now=NOW)
        assert queue.claim(tx, "example.com", OTHER, now=LATER, limit=9) == []
        assert len(queue.settle(tx, ME, relayed(a, b))) == 2
        assert tx.one(LEFT) == (0, 0, 0)

    write(store, look)


def test_what_was_held_beyond_its_time_is_tried_before_it_is_looked_at(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, "a@example.com")(tx)
        queue.hold(tx, made.message_id)
        queue.release(tx, made.message_id, now=LATER)
        assert queue.claim_to_review(tx, ME, now=Instant(LATER + 3599), limit=9) == []
        assert len(queue.claim(tx, "example.com", ME, now=LATER, limit=9)) == 1

    write(store, look)


def test_a_removed_recipient_leaves_the_others(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = acceptance(tx, relay=("a@example.com", "b@example.com", "c@example.com"), content=b"octets")
        a, b, c = made.queued
        accept(tx, replace(made, queued=(a, replace(b, holder=ME), replace(c, holder=OTHER))))
        a, b, c = queue.find(tx, made.message_id)
        assert queue.remove(tx, a.recipient_id) == [a]
        assert queue.read_content(tx, store.content, made.message_id) == b"octets"
        assert queue.remove(tx, made.message_id) == [b, c]
        with pytest.raises(NotFound):
            queue.read_content(tx, store.content, made.message_id)
        assert queue.settle(tx, ME, relayed(b)) == []
        assert tx.one(LEFT) == (0, 0, 0)

    write(store, look)


@pytest.mark.parametrize(
    "deed",
    [
        lambda tx: queue.hold(tx, 99),
        lambda tx: queue.release(tx, 99, now=LATER),
        lambda tx: queue.retry(tx, 99, now=LATER),
        lambda tx: queue.remove(tx, 99),
    ],
)
def test_what_is_not_in_the_queue_is_said_so(store: Store, deed: Callable[[Transaction], object]) -> None:
    with pytest.raises(NotFound, match="is not in the queue"):
        asyncio.run(store.write(deed))


# What it costs.

QUICK = [
    *(
        queue._sql.all[name]
        for name in (
            "due_destinations",
            "levels",
            "due_recipients",
            "unclaimed_recipients",
            "recipients_to_review",
            "waiting_recipients",
            "claim",
            "claimed",
            "defer",
            "put_back",
            "redirect",
            "make_level_due",
            "is_queued",
            "release_message",
            "count_held",
            "next_review",
        )
    ),
    *releasing._sql.all.values(),
    *leaving._sql.all.values(),
    *(holders._sql.all[name] for name in ("next_with_claims", "give_back")),
]


@pytest.mark.parametrize("statement", QUICK, ids=lambda statement: statement.name)
def test_nothing_that_is_done_again_and_again_reads_or_sorts_the_queue(statement: Statement) -> None:
    connection = apsw.Connection(":memory:")
    for migration in known_migrations():
        connection.execute(migration.script).fetchall()
    text = listing(statement, [1])[0].text
    values = dict.fromkeys(re.findall(r":(\w+)", text), 1)
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    assert any("SEARCH" in step for step in steps)
    assert not [step for step in steps if "TEMP B-TREE" in step]
    tables = {"queue", "queued_recipients", "queued_messages", "contents", "messages", "r", "n", "m", "o"}
    assert not [step for step in steps if step.startswith("SCAN") and step.split()[1] in tables]
    connection.close()
