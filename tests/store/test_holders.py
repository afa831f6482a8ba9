"""Claims of processes that are dead are anybody's again, and no others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.store.queueing import LATER, NOW, Accept, accepting, names, write

import estafeta
from estafeta.store import holders, queue
from estafeta.store.records import Acceptance, HolderId, Instant
from estafeta.store.store import Store, Transaction


def claims(tx: Transaction) -> list[HolderId | None]:
    return [one.holder for one in queue.list_all(tx, limit=999)]


def test_a_process_that_gives_signs_of_life_keeps_its_claims(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        holder = holders.register(tx, NOW, 60)
        accepting(acceptance, "a@example.com", holder=holder)(tx)
        assert holders.release_dead(tx, Instant(NOW + 60), 9, 1) == 0
        assert holders.renew(tx, holder, Instant(NOW + 120))
        assert holders.release_dead(tx, Instant(NOW + 119), 9, 1) == 0
        assert claims(tx) == [holder]
        assert holders.release_dead(tx, Instant(NOW + 121), 9, 1) == 1
        assert claims(tx) == [None]
        assert not holders.renew(tx, holder, LATER)

    write(store, look)


def test_claims_of_the_dead_are_given_back_in_steps_and_can_be_taken_over(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        dead = [holders.register(tx, NOW, 10) for _ in range(2)]
        alive = holders.register(tx, NOW, 1000)
        unknown = HolderId(5)
        for holder in (*dead, alive, unknown):
            accepting(acceptance, *[f"{n}@example.com" for n in range(10)], holder=holder)(tx)
        now = Instant(NOW + 100)
        steps = [holders.release_dead(tx, now, 12, 60) for _ in range(4)]
        assert steps == [12, 12, 6, 0]
        assert claims(tx) == [None] * 20 + [alive] * 10 + [None] * 10
        # Nobody has looked at them yet, and nothing was tried.
        assert {one.review_at for one in queue.list_all(tx, limit=20)} == {Instant(NOW + 60)}
        assert len(queue.claim(tx, "example.com", alive, now=now, limit=99)) == 30

    write(store, look)


def test_a_process_that_leaves_gives_back_what_it_has(store: Store, acceptance: Accept) -> None:
    def look(tx: Transaction) -> None:
        first, second = holders.register(tx, NOW, 60), holders.register(tx, NOW, 60)
        accepting(acceptance, "a@example.com", holder=first)(tx)
        accepting(acceptance, "b@example.com", holder=second)(tx)
        holders.leave(tx, first, 60)
        assert claims(tx) == [None, second]
        assert names(queue.claim(tx, "example.com", second, now=NOW, limit=9)) == ["a@example.com"]
        assert not holders.renew(tx, first, LATER)

    write(store, look)


# A process that accepts for itself, claims more, and is killed.
RELAYER = """
import asyncio, sys
from pathlib import Path
from estafeta.store import holders, queue
from estafeta.store.store import open_store

async def main(data):
    store = open_store(Path(data), clock=lambda: 1_700_000_000.0)
    holder = await store.write(lambda tx: holders.register(tx, 1_700_000_000.0, 60))
    found = await store.write(lambda tx: queue.claim(tx, "example.com", holder, now=1_700_000_000.0, limit=3))
    print(len(found), flush=True)
    sys.stdin.readline()

asyncio.run(main(sys.argv[1]))
"""


def test_mail_of_a_killed_process_is_taken_over_when_its_time_is_over(
    store: Store, data: Path, acceptance: Accept
) -> None:
    (made,) = write(store, accepting(acceptance, *[f"{n}@example.com" for n in range(5)]))
    assert isinstance(made, Acceptance)
    process = subprocess.Popen(
        [sys.executable, "-c", RELAYER, str(data)],
        env={**os.environ, "PYTHONPATH": str(Path(estafeta.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "3\n"
    process.kill()
    process.communicate()

    def take_over(tx: Transaction, at: float) -> int:
        now = Instant(at)
        holder = holders.register(tx, now, 60)
        holders.release_dead(tx, now, 100, 60)
        return len(queue.claim(tx, "example.com", holder, now=now, limit=99))

    async def scenario() -> list[int]:
        return [await store.write(lambda tx, at=at: take_over(tx, at)) for at in (NOW + 59, NOW + 61)]  # type: ignore[misc]

    assert asyncio.run(scenario()) == [2, 3]
