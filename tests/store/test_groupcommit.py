"""Group commit, driven by hand and by its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from estafeta.store import domains
from estafeta.store.errors import ConstraintViolated, DiskFull, StoreClosed, StoreError
from estafeta.store.groupcommit import GroupCommit, Submission
from estafeta.store.ids import IdSource
from estafeta.store.locks import WriteLock
from estafeta.store.machinery import Machinery
from estafeta.store.records import Instant
from estafeta.store.sqlite import SqliteEngine
from estafeta.store.statements import Statement
from estafeta.store.store import DATABASE, Store, Transaction, open_store

NOW = Instant(1_700_000_000.0)


ADD_KEY = Statement("add_key", "a row", "INSERT INTO journal_keys (key, entry_id) VALUES (:key, :entry_id)")
COUNT_KEYS = Statement("count_keys", "how many rows", "SELECT count(*) FROM journal_keys")
SET_COUNTER = Statement("set_counter", "a change of a row", "UPDATE counters SET value = :value WHERE name = :name")
GET_COUNTER = Statement("get_counter", "a value", "SELECT value FROM counters WHERE name = :name")


def names(tx: Transaction) -> list[str]:
    return [domain.name for domain in domains.list_all(tx)]


def adding(name: str, then: Exception | None = None) -> Callable[[Transaction], str]:
    def change(tx: Transaction) -> str:
        domains.add(tx, name, now=NOW)
        if then is not None:
            raise then
        return name

    return change


class Outage(apsw.VFS):
    """A disk whose writes to the WAL can be made to fail."""

    def __init__(self) -> None:
        super().__init__("outage", "")
        self.fails_with: Exception | None = None
        self.fails_at = "write"

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return OutageFile(self, name, flags)


class OutageFile(apsw.VFSFile):
    def __init__(self, outage: Outage, name: Any, flags: list[int]) -> None:
        self.outage = outage
        self.is_wal = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._fail("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._fail("sync")
        super().xSync(flags)

    def _fail(self, step: str) -> None:
        if self.is_wal and self.outage.fails_with is not None and step == self.outage.fails_at:
            raise self.outage.fails_with


@pytest.fixture
def by_hand(data: Path) -> GroupCommit:
    open_store(data, clock=lambda: NOW).close()
    ids = IdSource(lambda: NOW, worker=0)
    engine = SqliteEngine(
        data / DATABASE, WriteLock(data / "lock"), ids, remove_file=lambda name: None, tell=lambda _: None
    )
    return GroupCommit(engine, monotonic=lambda: 0.0)


def run(commit: GroupCommit, *changes: Callable[[Transaction], object]) -> list[Submission]:
    for change in changes:
        commit.submit(Submission(change))
    return commit.run_group()


def test_a_group_needs_no_thread(by_hand: GroupCommit) -> None:
    first, second = run(by_hand, adding("a.example"), adding("b.example"))
    assert (first.value, second.value) == ("a.example", "b.example")
    assert run(by_hand, names)[0].value == ["a.example", "b.example"]


def test_a_change_that_fails_after_writing_is_undone_alone(by_hand: GroupCommit) -> None:
    group = run(by_hand, adding("a.example"), adding("b.example", KeyError("b")), adding("c.example"))
    assert [submission.value for submission in group] == ["a.example", None, "c.example"]
    assert isinstance(group[1].error, KeyError)
    assert run(by_hand, names)[0].value == ["a.example", "c.example"]


def test_several_failures_in_one_group_leave_the_others_committed(by_hand: GroupCommit) -> None:
    changes = [adding(f"{n}.example", ValueError(str(n)) if n % 3 == 0 else None) for n in range(10)]
    group = run(by_hand, *changes)
    assert [type(one.error) for one in group] == [ValueError if n % 3 == 0 else type(None) for n in range(10)]
    assert run(by_hand, names)[0].value == [f"{n}.example" for n in range(10) if n % 3]


def test_a_refusal_before_any_writing_costs_the_others_nothing(by_hand: GroupCommit) -> None:
    runs: list[str] = []

    def refuse(tx: Transaction) -> None:
        raise LookupError(len(names(tx)))

    def add(tx: Transaction) -> str:
        runs.append("a")
        return adding("a.example")(tx)

    first, second = run(by_hand, add, refuse)
    assert first.value == "a.example" and isinstance(second.error, LookupError)
    assert runs == ["a"]


def test_changes_see_those_before_them_in_their_group(by_hand: GroupCommit) -> None:
    _, second = run(by_hand, adding("a.example"), names)
    assert second.value == ["a.example"]


def adding_later(*keys: int, then: Exception | None = None) -> Callable[[Transaction], list[bool]]:
    def change(tx: Transaction) -> list[bool]:
        written = [tx.later(ADD_KEY, {"key": key, "entry_id": key}) for key in keys]
        if then is not None:
            raise then
        return written

    return change


def counted(tx: Transaction) -> int:
    return int(tx.run(COUNT_KEYS)[0][0])


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 77, 2500])
def test_rows_that_wait_are_all_written(by_hand: GroupCommit, count: int) -> None:
    run(by_hand, *[adding_later(key) for key in range(count)])
    assert run(by_hand, counted)[0].value == count


def test_rows_that_wait_are_seen_by_the_statements_behind_them(by_hand: GroupCommit) -> None:
    _, second, _, fourth = run(by_hand, adding_later(1, 2), counted, adding_later(3), counted)
    assert (second.value, fourth.value) == (2, 3)


def test_values_that_wait_may_still_be_altered(by_hand: GroupCommit) -> None:
    values: dict[str, object] = {"name": "uid_validity", "value": 1}
    run(by_hand, lambda tx: tx.later(SET_COUNTER, values), lambda tx: values.update(value=7))
    assert run(by_hand, lambda tx: tx.one(GET_COUNTER, name="uid_validity"))[0].value == (7,)


@pytest.mark.parametrize("looks", [False, True])
def test_a_row_that_cannot_be_written_fails_its_own_change_only(by_hand: GroupCommit, looks: bool) -> None:
    run(by_hand, adding_later(5))
    changes = [adding_later(1), adding_later(4, 5), adding_later(3), *([counted] if looks else [])]
    group = run(by_hand, *changes)
    assert [type(one.error) for one in group[:3]] == [type(None), ConstraintViolated, type(None)]
    assert run(by_hand, counted)[0].value == 3


def test_a_change_whose_rows_wait_is_undone_when_it_fails(by_hand: GroupCommit) -> None:
    group = run(by_hand, adding_later(1), adding_later(2, then=KeyError("x")), adding_later(3), counted)
    assert isinstance(group[1].error, KeyError) and group[3].value == 2


def test_a_row_that_was_not_there_to_be_changed_is_told(by_hand: GroupCommit) -> None:
    group = run(by_hand, adding_later(1), lambda tx: tx.later(SET_COUNTER, {"name": "none", "value": 1}))
    assert [one.value for one in group] == [[True], False]


def test_what_a_group_remembers_is_forgotten_with_the_next_statement(by_hand: GroupCommit) -> None:
    seen: list[object] = []

    def remember(tx: Transaction) -> None:
        tx.memory["x"] = 1

    def look(tx: Transaction) -> None:
        seen.append(tx.memory.get("x"))

    run(by_hand, remember, look, adding("a.example"), look)
    run(by_hand, remember)
    run(by_hand, look)
    assert seen == [1, None, None]


def test_a_group_that_takes_too_long_leaves_the_rest_to_the_next(data: Path, by_hand: GroupCommit) -> None:
    ticks = iter(range(100))
    by_hand._monotonic = lambda: next(ticks) * 0.02  # each look at the clock is 20 ms later
    group = run(by_hand, *[adding(f"{n}.example") for n in range(10)])
    assert len(group) == 3
    assert by_hand.has_waiting
    while by_hand.has_waiting:
        by_hand.run_group()
    assert len(run(by_hand, names)[0].value) == 10


def test_writes_of_many_tasks_are_all_there(store: Store) -> None:
    async def scenario() -> list[str]:
        await asyncio.gather(*[store.write(adding(f"{n:03}.example")) for n in range(200)])
        return await store.read(names)

    assert asyncio.run(scenario()) == [f"{n:03}.example" for n in range(200)]


def test_an_exception_of_a_change_reaches_its_writer_only(store: Store) -> None:
    async def scenario() -> tuple[object, object, object]:
        return await asyncio.gather(
            store.write(adding("a.example")),
            store.write(adding("b.example", RuntimeError("no"))),
            store.write(adding("c.example")),
            return_exceptions=True,
        )

    first, second, third = asyncio.run(scenario())
    assert (first, third) == ("a.example", "c.example")
    assert isinstance(second, RuntimeError)


def test_close_finishes_the_writes_that_wait(data: Path) -> None:
    async def scenario() -> None:
        store = open_store(data, clock=lambda: NOW)
        writes = [asyncio.ensure_future(store.write(adding(f"{n:03}.example"))) for n in range(100)]
        await asyncio.sleep(0)  # each task has handed its change in
        store.close()
        assert len(await asyncio.gather(*writes)) == 100
        with pytest.raises(StoreClosed):
            await store.write(names)
        with pytest.raises(StoreClosed):
            await store.read(names)

    asyncio.run(scenario())
    again = open_store(data, clock=lambda: NOW)
    assert len(asyncio.run(again.read(names))) == 100
    again.close()


def test_a_cancelled_writer_does_not_disturb_the_group(store: Store) -> None:
    async def scenario() -> list[str]:
        cancelled = asyncio.ensure_future(store.write(adding("a.example")))
        other = asyncio.ensure_future(store.write(adding("b.example")))
        await asyncio.sleep(0)
        cancelled.cancel()
        await other
        return await store.read(names)

    assert "b.example" in asyncio.run(scenario())


def test_nobody_waits_for_a_writer_that_has_failed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: GroupCommit) -> list[Submission]:
        raise RuntimeError("a fault of the writer")

    async def scenario() -> None:
        store = open_store(data, clock=lambda: NOW)
        monkeypatch.setattr(GroupCommit, "run_group", broken)
        writes = [asyncio.ensure_future(store.write(names)) for _ in range(3)]
        with capture_logs() as logs:
            for failed in await asyncio.gather(*writes, return_exceptions=True):
                assert isinstance(failed, StoreClosed)
            with pytest.raises(StoreClosed):
                await store.write(names)
            assert store.commits is not None and store.commits.is_dead
            assert await store.read(names) == []
            store.close()
        assert logs[0]["event"] == "the store's writer has failed"

    asyncio.run(scenario())


def test_a_write_that_nobody_waits_for_is_done(store: Store) -> None:
    async def scenario() -> list[str]:
        store.write_later(adding("a.example"))
        await store.write(adding("b.example"))
        return await store.read(names)

    assert asyncio.run(scenario()) == ["a.example", "b.example"]


@pytest.mark.parametrize("step", ["write", "sync"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [(apsw.FullError("no space"), DiskFull), (apsw.IOError("bad sector"), StoreError)],
)
def test_a_failed_commit_fails_its_whole_group_and_the_store_goes_on(
    data: Path, step: str, fault: Exception, kind: type[StoreError]
) -> None:
    outage = Outage()
    outage.fails_at = step
    store = open_store(data, clock=lambda: NOW, machinery=Machinery(vfs="outage"))

    async def scenario() -> list[str]:
        await store.write(adding("before.example"))
        outage.fails_with = fault
        results = await asyncio.gather(
            store.write(adding("a.example")), store.write(adding("b.example")), return_exceptions=True
        )
        assert [type(result) for result in results] == [kind, kind]
        outage.fails_with = None
        assert await store.read(names) == ["before.example"]
        await store.write(adding("after.example"))
        return await store.read(names)

    try:
        assert asyncio.run(scenario()) == ["after.example", "before.example"]
    finally:
        store.close()
        outage.unregister()
