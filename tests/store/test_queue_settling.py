"""The queue: what becomes of recipients, messages and contents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.store.queueing import (
    FAR,
    LATER,
    LEFT,
    ME,
    NOW,
    OTHER,
    Accept,
    AddAccount,
    accepting,
    deferred,
    names,
    relayed,
    two_envelopes,
    write,
)

from estafeta.store import mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import NotFound
from estafeta.store.records import (
    Acceptance,
    Fate,
    Instant,
    QueueStatus,
    Settlement,
)
from estafeta.store.store import Store, Transaction


def test_each_recipient_of_a_message_comes_to_its_own_end(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, *[f"{n}@example.com" for n in range(5)], holder=ME)(tx)
        a, b, c, d, e = made.queued
        settled = queue.settle(
            tx,
            ME,
            [
                *relayed(a),
                Settlement(b.recipient_id, Fate.FAILED, "550 5.1.1 no"),
                Settlement(c.recipient_id, Fate.EXPIRED),
                Settlement(d.recipient_id, Fate.DELIVERED),
                deferred(e),
            ],
        )
        assert sorted(settled) == [one.recipient_id for one in made.queued]
        (waiting,) = queue.find(tx, made.message_id)
        assert waiting == replace(
            e,
            status=QueueStatus.DEFERRED,
            attempts=1,
            next_attempt_at=LATER,
            review_at=FAR,
            last_reply="451 4.3.0 later",
            holder=None,
        )
        assert tx.one(LEFT) == (1, 1, 1)
        (again,) = queue.claim(tx, "example.com", ME, now=LATER, limit=9)
        queue.settle(tx, ME, relayed(again))
        assert tx.one(LEFT) == (0, 0, 0)

    write(store, look)


@pytest.mark.parametrize("together", [1, 3, 200])
def test_a_message_leaves_with_its_last_recipient_however_they_are_settled(
    store: Store, acceptance: Accept, together: int
) -> None:
    """One after the other in one group, some at a time, or more than one statement takes."""
    (made,) = write(store, accepting(acceptance, *[f"{n}@example.com" for n in range(150)], holder=ME))
    assert isinstance(made, Acceptance)
    rows = made.queued

    def settling(start: int) -> Callable[[Transaction], object]:
        return lambda tx: queue.settle(tx, ME, relayed(*rows[start : start + together]))

    settled = write(store, *[settling(start) for start in range(0, 149, together)])
    expected = 150 if together > 1 else 149
    assert sum(len(each) for each in settled if isinstance(each, list)) == expected
    left = (150 - expected, int(expected < 150), int(expected < 150))
    assert write(store, lambda tx: tx.one(LEFT)) == [left]


def test_settling_twice_in_one_group_counts_once(store: Store, acceptance: Accept) -> None:
    (made,) = write(store, accepting(acceptance, "a@example.com", "b@example.com", holder=ME))
    assert isinstance(made, Acceptance)
    a, b = made.queued
    results = write(
        store,
        lambda tx: queue.settle(tx, ME, [deferred(a)]),
        lambda tx: queue.settle(tx, ME, relayed(a)),
        lambda tx: queue.settle(tx, ME, relayed(b)),
        lambda tx: queue.settle(tx, ME, [deferred(b)]),
        lambda tx: queue.settle(tx, ME, [deferred(b), *relayed(a, b)]),
    )
    assert results == [[a.recipient_id], [], [b.recipient_id], [], []]
    (left,) = write(store, lambda tx: queue.list_all(tx, limit=9))
    assert isinstance(left, list)
    assert [(one.recipient_id, one.attempts) for one in left] == [(a.recipient_id, 1)]


def test_what_was_accepted_in_the_same_group_can_be_settled_in_it(store: Store, acceptance: Accept) -> None:
    def change(tx: Transaction) -> list[int]:
        made = accepting(acceptance, "a@example.com", "b@example.com", holder=ME)(tx)
        other = accepting(acceptance, "c@example.com", holder=ME)(tx)
        a, b = made.queued
        # (What is raised in here would run the group again in another way, so it is looked at outside.)
        return [len(queue.settle(tx, ME, rows)) for rows in (relayed(b), [deferred(a)], relayed(*other.queued))]

    assert write(store, change, change) == [[1, 1, 1], [1, 1, 1]]
    assert write(store, lambda tx: tx.one(LEFT)) == [(2, 2, 2)]


def test_a_change_that_fails_takes_only_its_own_settlements_back(store: Store, acceptance: Accept) -> None:
    (made,) = write(store, accepting(acceptance, "a@example.com", "b@example.com", "c@example.com", holder=ME))
    assert isinstance(made, Acceptance)
    a, b, c = made.queued

    def failing(tx: Transaction) -> None:
        queue.settle(tx, ME, relayed(b))
        raise KeyError("b")

    async def scenario() -> list[object]:
        changes = [
            store.write(lambda tx: queue.settle(tx, ME, relayed(a))),
            store.write(failing),
            store.write(lambda tx: queue.settle(tx, ME, [deferred(c)])),
        ]
        return [*await asyncio.gather(*changes, return_exceptions=True)]

    first, second, third = asyncio.run(scenario())
    assert (first, type(second), third) == ([a.recipient_id], KeyError, [c.recipient_id])
    (left,) = write(store, lambda tx: [(one.recipient_id, one.holder) for one in queue.list_all(tx, limit=9)])
    assert left == [(b.recipient_id, ME), (c.recipient_id, None)]


def test_another_ones_claim_and_what_is_gone_are_left_alone(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, "a@example.com", "b@example.com", "c@example.com", holder=ME)(tx)
        a, b, c = made.queued
        queue.put_back(tx, ME, [a.recipient_id, b.recipient_id], review_after=60)
        assert len(queue.claim(tx, "example.com", OTHER, now=NOW, limit=1)) == 1
        queue.remove(tx, c.recipient_id)
        before = queue.list_all(tx, limit=9)
        assert queue.settle(tx, ME, [*relayed(a, c), deferred(b)]) == []
        queue.put_back(tx, ME, [a.recipient_id, c.recipient_id], review_after=1)
        queue.redirect(tx, holder=ME, recipient_ids=[a.recipient_id, c.recipient_id], to="example.net")
        assert queue.list_all(tx, limit=9) == before
        assert [one.holder for one in before] == [OTHER, None]

    write(store, look)


def test_a_review_neither_counts_nor_unsays_what_was_told(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, "a@example.com", holder=ME)(tx)
        (one,) = made.queued
        queue.settle(tx, ME, [deferred(one, is_delay_told=True)])
        (one,) = queue.claim_to_review(tx, ME, now=FAR, limit=9)
        queue.settle(tx, ME, [deferred(one, reply=None, review_at=None, next_attempt_at=NOW, counts_as_attempt=False)])
        (after,) = queue.find(tx, one.recipient_id)
        assert after == replace(one, next_attempt_at=NOW, holder=None)
        assert (after.attempts, after.is_delay_told, after.last_reply) == (1, True, "451 4.3.0 later")

    write(store, look)


def test_what_was_not_tried_is_put_back_as_it_was(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = accepting(acceptance, "a@example.com", "b@example.com", holder=ME)(tx)
        old = accepting(acceptance, "c@example.com")(tx)
        claimed = queue.claim(tx, "example.com", ME, now=NOW, limit=9)
        ids = [one.recipient_id for one in (*made.queued, *claimed)]
        queue.put_back(tx, ME, ids, review_after=60)
        assert queue.find(tx, old.message_id) == list(old.queued)
        expected = [replace(one, holder=None, review_at=Instant(NOW + 60)) for one in made.queued]
        assert queue.find(tx, made.message_id) == expected
        queue.put_back(tx, ME, [], review_after=60)

    write(store, look)


def test_recipients_are_redirected_and_none_goes_twice_or_nowhere(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = acceptance(tx, relay=("a@example.com", "b@example.com", "a@example.com"), holder=ME)
        a, b, again = made.queued
        again = replace(again, destination="gateway:office", holder=None, review_at=FAR)
        accept(tx, replace(made, queued=(a, b, again)))
        ids = [a.recipient_id, b.recipient_id]
        queue.redirect(tx, holder=ME, recipient_ids=ids, to="gateway:office")
        found = queue.find(tx, made.message_id)
        assert [(one.recipient_id, one.destination, one.holder) for one in found] == [
            (b.recipient_id, "gateway:office", None),
            (again.recipient_id, "gateway:office", None),
        ]
        assert names(queue.claim(tx, "gateway:office", ME, now=NOW, limit=9)) == ["b@example.com", "a@example.com"]
        queue.redirect(tx, holder=ME, recipient_ids=[b.recipient_id], to="gateway:office")
        assert len(queue.find(tx, made.message_id)) == 2

    write(store, look)


def test_content_stays_while_a_mailbox_or_another_envelope_has_it(
    store: Store, acceptance: Accept, add_account: AddAccount
) -> None:
    def look(tx: Transaction) -> None:
        account = add_account(tx, "ann@example.org")
        made = two_envelopes(acceptance, tx, to=("ann@example.org",), content=b"octets", holder=ME)
        accept(tx, made)
        x, y = made.queued
        queue.settle(tx, ME, relayed(x))
        assert tx.one(LEFT) == (1, 1, 1)
        assert queue.read_content(tx, store.content, y.message.message_id).endswith(b"octets")
        queue.settle(tx, ME, relayed(y))
        assert tx.one(LEFT) == (0, 0, 1)
        inbox = mailboxes.inbox(tx, account.account_id)
        assert messages.read_content(tx, store.content, inbox.mailbox_id, 1).endswith(b"octets")
        messages.expunge(tx, inbox.mailbox_id, [1])
        assert tx.one(LEFT) == (0, 0, 0)

    write(store, look)


@pytest.mark.parametrize("is_one_call", [True, False])
def test_a_file_goes_with_the_last_envelope_that_names_it(store: Store, acceptance: Accept, is_one_call: bool) -> None:
    content = store.content.write(b"octets")
    assert content.file is not None

    def change(tx: Transaction) -> Acceptance:
        made = two_envelopes(acceptance, tx, content=content, holder=ME)
        accept(tx, made)
        return made

    (made,) = write(store, change)
    assert isinstance(made, Acceptance)
    x, y = made.queued
    if is_one_call:
        write(store, lambda tx: queue.settle(tx, ME, relayed(x, y)))
    else:
        write(store, lambda tx: queue.settle(tx, ME, relayed(x)))
        assert store.content.read(content.file) == b"octets"
        write(store, lambda tx: queue.settle(tx, ME, relayed(y)))
    assert write(store, lambda tx: tx.one(LEFT)) == [(0, 0, 0)]
    with pytest.raises(NotFound):
        store.content.read(content.file)
