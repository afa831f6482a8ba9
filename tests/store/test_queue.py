"""What an operator does with the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from estafeta.store import queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import NotFound
from estafeta.store.records import Acceptance, Instant, QueueStatus
from estafeta.store.store import Store, Transaction

Accept = Callable[..., Acceptance]
LATER = Instant(1_800_000_000.0)


def test_recipients_are_listed_oldest_first_and_by_status(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        first = acceptance(tx, relay=("a@example.com", "b@example.com"))
        second = acceptance(tx, relay=("c@example.com",))
        accept(tx, first)
        accept(tx, second)
        queue.hold(tx, first.message_id)
        listed = [str(one.forward_path) for one in queue.list_all(tx, limit=10)]
        assert listed == ["a@example.com", "b@example.com", "c@example.com"]
        assert len(queue.list_all(tx, limit=2)) == 2
        assert len(queue.list_all(tx, limit=9, status=QueueStatus.HELD)) == 2
        assert len(queue.list_all(tx, limit=9, message_id=second.message_id)) == 1
        assert queue.list_all(tx, limit=9, message_id=second.message_id, status=QueueStatus.HELD) == []
        assert queue.count(tx) == {QueueStatus.ACTIVE: 1, QueueStatus.DEFERRED: 0, QueueStatus.HELD: 2}

    asyncio.run(store.write(look))


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

    asyncio.run(store.write(look))


def test_a_removed_recipient_leaves_the_others(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = acceptance(tx, relay=("a@example.com", "b@example.com"), content=b"octets")
        accept(tx, made)
        a, b = queue.find(tx, made.message_id)
        assert queue.remove(tx, a.recipient_id) == [a]
        assert queue.read_content(tx, store.content, made.message_id) == b"octets"
        assert queue.remove(tx, made.message_id) == [b]
        with pytest.raises(NotFound):
            queue.read_content(tx, store.content, made.message_id)

    asyncio.run(store.write(look))


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
