"""The queue: who gets what, and nobody what another has."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.queueing import (
    FAR,
    LATER,
    ME,
    NOW,
    OTHER,
    Accept,
    accepting,
    deferred,
    names,
    write,
)

import estafeta
from estafeta.store import destinations, queue
from estafeta.store.acceptance import accept
from estafeta.store.records import (
    DestinationState,
    HolderId,
    Instant,
    QueuedRecipient,
    QueueStatus,
)
from estafeta.store.store import Store, Transaction, open_store


def test_what_is_due_is_claimed_by_priority_and_then_by_time(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        for number, priority in enumerate((0, 4, -9, 0, 9)):
            made = acceptance(tx, relay=(f"p{priority}n{number}@example.com",), priority=priority)
            (one,) = made.queued
            accept(tx, replace(made, queued=(replace(one, next_attempt_at=Instant(NOW - number)),)))
        accepting(acceptance, "else@example.net")(tx)
        first = queue.claim(tx, "example.com", ME, now=NOW, limit=4)
        assert names(first) == ["p9n4@example.com", "p4n1@example.com", "p0n3@example.com", "p0n0@example.com"]
        assert {one.holder for one in first} == {ME}
        assert names(queue.claim(tx, "example.com", OTHER, now=NOW, limit=4)) == ["p-9n2@example.com"]
        assert queue.claim(tx, "example.com", OTHER, now=NOW, limit=4) == []
        assert {one.holder for one in queue.list_all(tx, limit=9)} == {ME, OTHER, None}

    write(store, look)


def test_what_is_not_due_held_or_blocked_is_not_claimed(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        later = acceptance(tx, relay=("later@example.com",), priority=9)
        accept(tx, replace(later, queued=(replace(later.queued[0], next_attempt_at=Instant(NOW + 1)),)))
        held = accepting(acceptance, "held@example.com", priority=8)(tx)
        queue.hold(tx, held.message_id)
        accepting(acceptance, "due@example.com")(tx)
        destinations.block(tx, DestinationState("example.com", Instant(NOW + 9), 3, "no answer"))
        assert queue.claim(tx, "example.com", ME, now=NOW, limit=9) == []
        assert queue.due_destinations(tx, after="", now=NOW, limit=9) == []
        assert names(queue.claim(tx, "example.com", ME, now=Instant(NOW + 9), limit=9)) == [
            "later@example.com",
            "due@example.com",
        ]
        queue.put_back(tx, ME, [one.recipient_id for one in queue.list_all(tx, limit=9)], review_after=1)
        destinations.clear(tx, "example.com")
        assert names(queue.claim(tx, "example.com", ME, now=NOW, limit=9)) == ["due@example.com"]

    write(store, look)


def test_a_host_that_calls_gets_all_but_what_is_held(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        later = acceptance(tx, relay=("later@example.com",), priority=1)
        accept(tx, replace(later, queued=(replace(later.queued[0], next_attempt_at=FAR),)))
        held = accepting(acceptance, "held@example.com")(tx)
        queue.hold(tx, held.message_id)
        accepting(acceptance, "due@example.com", "due@example.net")(tx)
        destinations.block(tx, DestinationState("example.com", FAR, 3, "no answer"))
        assert names(queue.claim_all(tx, "example.com", ME, limit=1)) == ["later@example.com"]
        assert names(queue.claim_all(tx, "example.com", ME, limit=9)) == ["due@example.com"]
        assert queue.claim_all(tx, "example.com", ME, limit=9) == []

    write(store, look)


def test_destinations_with_something_due_are_told_one_after_the_other(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        accepting(acceptance, *[f"{n}@d{n}.example" for n in range(9)], *[f"x{n}@d1.example" for n in range(50)])(tx)
        claimed = queue.claim(tx, "d2.example", ME, now=NOW, limit=9)
        queue.hold(tx, queue.claim(tx, "d3.example", ME, now=NOW, limit=9)[0].recipient_id)
        queue.put_back(tx, ME, [queue.list_all(tx, limit=1, status=QueueStatus.HELD)[0].recipient_id], review_after=1)
        queue.settle(tx, ME, [deferred(queue.claim(tx, "d4.example", ME, now=NOW, limit=9)[0])])
        destinations.block(tx, DestinationState("d5.example", LATER, 1, "no answer"))
        destinations.block(tx, DestinationState("d6.example", Instant(NOW - 1), 1, "no answer"))
        due = ["d0.example", "d1.example", "d6.example", "d7.example", "d8.example"]
        assert queue.due_destinations(tx, after="", now=NOW, limit=9) == due
        assert queue.due_destinations(tx, after="", now=NOW, limit=2) == due[:2]
        assert queue.due_destinations(tx, after="d1.example", now=NOW, limit=2) == due[2:4]
        assert queue.due_destinations(tx, after="d8.example", now=NOW, limit=2) == []
        assert queue.due_destinations(tx, after="", now=Instant(NOW - 1), limit=9) == []
        assert len(queue.due_destinations(tx, after="", now=LATER, limit=9)) == 7
        assert names(claimed) == ["2@d2.example"]

    write(store, look)


def test_what_is_due_is_seen_behind_a_higher_priority_that_is_not(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        for priority in (9, 5, -9):
            made = acceptance(tx, relay=(f"p{priority}@a.example", f"p{priority}@b.example"), priority=priority)
            times = (NOW if priority == -9 else FAR, NOW if priority == 5 else FAR)
            rows = [replace(one, next_attempt_at=at) for one, at in zip(made.queued, times, strict=True)]
            accept(tx, replace(made, queued=tuple(rows)))
        assert queue.due_destinations(tx, after="", now=NOW, limit=9) == ["a.example", "b.example"]
        assert names(queue.claim(tx, "a.example", ME, now=NOW, limit=9)) == ["p-9@a.example"]
        assert names(queue.claim(tx, "b.example", ME, now=NOW, limit=9)) == ["p5@b.example"]
        assert queue.due_destinations(tx, after="", now=NOW, limit=9) == []

    write(store, look)


def test_what_must_be_looked_at_is_claimed_unless_it_is_claimed_or_held(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        made = acceptance(tx, relay=tuple(f"{n}@example.com" for n in range(5)))
        rows = [replace(one, review_at=Instant(NOW - number)) for number, one in enumerate(made.queued)]
        rows[0] = replace(rows[0], review_at=Instant(NOW + 1))
        rows[2] = replace(rows[2], holder=OTHER)
        accept(tx, replace(made, queued=tuple(rows)))
        queue.hold(tx, rows[3].recipient_id)
        found = queue.claim_to_review(tx, ME, now=NOW, limit=9)
        assert names(found) == ["4@example.com", "1@example.com"]
        assert [one.holder for one in queue.find(tx, made.message_id)] == [None, ME, OTHER, None, ME]
        told = deferred(found[0], reply=None, next_attempt_at=NOW, counts_as_attempt=False, is_delay_told=True)
        assert queue.settle(tx, ME, [told]) == [found[0].recipient_id]
        (after,) = queue.find(tx, found[0].recipient_id)
        assert after == replace(rows[4], review_at=FAR, is_delay_told=True)

    write(store, look)


def test_a_destination_is_made_due_in_steps(store: Store, acceptance: Accept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_STEP", 3)

    def look(tx: Transaction) -> None:
        for priority in (0, 3):
            made = acceptance(tx, relay=tuple(f"{n}@example.com" for n in range(4)), priority=priority)
            rows = tuple(replace(one, next_attempt_at=FAR) for one in made.queued)
            accept(tx, replace(made, queued=rows))
        destinations.block(tx, DestinationState("example.com", FAR, 3, "no answer"))
        steps = [queue.make_destination_due(tx, "example.com", now=NOW) for _ in range(4)]
        assert steps == [3, 3, 2, 0]
        destinations.clear(tx, "example.com")
        assert len(queue.claim(tx, "example.com", ME, now=NOW, limit=9)) == 8

    write(store, look)


def test_two_open_stores_never_claim_the_same(store: Store, data: Path, acceptance: Accept) -> None:
    write(store, accepting(acceptance, *[f"{n}@example.com" for n in range(100)]))
    second = open_store(data, clock=lambda: NOW)

    async def scenario() -> list[list[QueuedRecipient]]:
        def claiming(holder: HolderId) -> Callable[[Transaction], list[QueuedRecipient]]:
            return lambda tx: queue.claim(tx, "example.com", holder, now=NOW, limit=7)

        claims = [(store, ME), (second, OTHER)] * 10
        return await asyncio.gather(*[where.write(claiming(holder)) for where, holder in claims])

    try:
        claimed = asyncio.run(scenario())
    finally:
        second.close()
    ids = [one.recipient_id for each in claimed for one in each]
    assert len(ids) == len(set(ids)) == 100


# A process that claims until nothing is left, a write for each claim.
CLAIMER = """
import asyncio, json, sys
from pathlib import Path
from estafeta.store import queue
from estafeta.store.store import open_store

async def main(data, holder):
    store = open_store(Path(data), clock=lambda: 1_700_000_000.0)
    print("ready", flush=True)
    sys.stdin.readline()
    ids = []
    while found := await store.write(
        lambda tx: queue.claim(tx, "example.com", holder, now=1_700_000_000.0, limit=3)
    ):
        ids += [one.recipient_id for one in found]
    print(json.dumps(ids), flush=True)
    store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_two_processes_never_claim_the_same(store: Store, data: Path, acceptance: Accept) -> None:
    write(store, accepting(acceptance, *[f"{n}@example.com" for n in range(150)]))
    environment = {**os.environ, "PYTHONPATH": str(Path(estafeta.__file__).parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(data), str(holder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for holder in (ME, OTHER)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = [number for process in processes for number in json.loads(process.communicate(timeout=60)[0])]
    assert len(ids) == len(set(ids)) == 150
