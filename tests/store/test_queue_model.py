"""Whatever happens to the queue in whatever groups, it is as a plain dictionary says, and nothing dangles."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import apsw
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.store import accounts, destinations, directory, domains, holders, mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.errors import NotFound
from estafeta.store.groupcommit import GroupCommit, Submission
from estafeta.store.ids import IdSource
from estafeta.store.locks import WriteLock
from estafeta.store.records import (
    Acceptance,
    Content,
    ContentId,
    Delivery,
    DestinationState,
    EntryKind,
    Fate,
    HolderId,
    Instant,
    JournalEntry,
    MailboxId,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
    Settlement,
    Uid,
)
from estafeta.store.sqlite import SqliteEngine
from estafeta.store.store import DATABASE, Transaction, open_store

PLACES = ("a.example", "b.example", "c.example")
REVIEW_AFTER = 40.0
Change: TypeAlias = Callable[[Transaction], Any]
Plan: TypeAlias = tuple[Change, Callable[[], Any]]


class Broken(Exception):
    """A change that fails at its end."""


@dataclass
class Model:
    """The queue as a dictionary; each method is what the store's function of that name should do and give."""

    rows: dict[int, QueuedRecipient] = field(default_factory=dict)
    files: dict[int, str] = field(default_factory=dict)
    """The contents that are kept."""
    copies: dict[int, int] = field(default_factory=dict)
    """Which UID in the mailbox has which content."""
    released: list[str] = field(default_factory=list)
    blocks: dict[str, float] = field(default_factory=dict)

    def free(self) -> list[QueuedRecipient]:
        return [one for one in self.rows.values() if one.holder is None and one.status is not QueueStatus.HELD]

    def tidy(self) -> None:
        used = {one.message.content_id for one in self.rows.values()} | set(self.copies.values())
        for content_id in [one for one in self.files if one not in used]:
            self.released.append(self.files.pop(content_id))

    def change(self, numbers: list[int], **values: Any) -> None:
        for number in numbers:
            self.rows[number] = replace(self.rows[number], **values)

    def claim(self, found: list[QueuedRecipient], holder: HolderId, limit: int) -> list[QueuedRecipient]:
        self.change([one.recipient_id for one in found[:limit]], holder=holder)
        return [self.rows[one.recipient_id] for one in found[:limit]]

    def due(self, place: str, now: float) -> list[QueuedRecipient]:
        if self.blocks.get(place, 0) > now:
            return []
        return [one for one in self.waiting(place) if one.next_attempt_at <= now]

    def waiting(self, place: str) -> list[QueuedRecipient]:
        # Those of one time by their ids, as the index has them.
        found = [one for one in self.free() if one.destination == place]
        return sorted(found, key=lambda one: (-one.message.priority, one.next_attempt_at, one.recipient_id))

    def settle(self, holder: HolderId, rows: list[Settlement]) -> set[int]:
        mine = {one.recipient_id: one for one in rows}
        mine = {number: one for number, one in mine.items() if self.held_by(number, holder)}
        for number, one in mine.items():
            if one.fate.is_final:
                del self.rows[number]
                continue
            old = self.rows[number]
            is_kept = old.status is QueueStatus.HELD or not one.counts_as_attempt
            self.rows[number] = replace(
                old,
                status=old.status if is_kept else QueueStatus.DEFERRED,
                attempts=old.attempts + one.counts_as_attempt,
                next_attempt_at=one.next_attempt_at,
                review_at=one.review_at or old.review_at or one.next_attempt_at,
                last_reply=one.reply or old.last_reply,
                is_delay_told=old.is_delay_told or one.is_delay_told,
                holder=None,
            )
        self.tidy()
        return {int(number) for number in mine}

    def held_by(self, number: int, holder: HolderId) -> bool:
        return number in self.rows and self.rows[number].holder == holder

    def give_back(self, numbers: list[int]) -> None:
        for number in numbers:
            old = self.rows[number]
            review_at = old.review_at or Instant(old.message.accepted_at + REVIEW_AFTER)
            self.rows[number] = replace(old, holder=None, review_at=review_at)

    def named(self, number: int) -> list[int]:
        return [
            one.recipient_id
            for one in self.rows.values()
            if number in (one.recipient_id, one.message.message_id, one.message.content_id)
        ]


small = st.integers(0, 11)
arriving = st.tuples(st.just("accept"), st.lists(st.tuples(small, small), max_size=5), small)
settled = st.lists(st.tuples(small, st.sampled_from(Fate), st.booleans()), min_size=1, max_size=9)
settling = st.tuples(st.just("settle"), settled, small)
step = st.one_of(
    arriving,
    arriving,
    arriving,
    settling,
    settling,
    settling,
    st.tuples(st.just("settle_all"), st.sampled_from(Fate), small),
    st.tuples(st.just("claim"), st.sampled_from(PLACES), small),
    st.tuples(st.just("claim_all"), st.sampled_from(PLACES), small),
    st.tuples(st.just("claim_to_review"), small),
    st.tuples(st.just("put_back"), st.lists(small, max_size=4), small),
    st.tuples(st.just("redirect"), st.lists(small, max_size=4), small, st.sampled_from(PLACES)),
    st.tuples(st.sampled_from(("hold", "release", "retry", "remove")), small, small),
    st.tuples(st.just("block"), st.sampled_from(PLACES), small),
    st.tuples(st.just("make_due"), st.sampled_from(PLACES)),
    st.tuples(st.just("expunge"), small),
    st.tuples(st.just("die"), small),
    st.tuples(st.just("fail"), small),
)


class Queue(RuleBasedStateMachine):
    """Groups of changes; the store's answers are compared with the model's after each group."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        data = Path(self.folder.name) / "data"
        self.now = 1_700_000_000.0
        open_store(data, clock=lambda: self.now).close()
        self.released: list[str] = []
        self.ids = IdSource(lambda: self.now, worker=0)
        self.lock = WriteLock(data / "lock")
        self.engine = SqliteEngine(
            data / DATABASE, self.lock, self.ids, remove_file=self.released.append, tell=lambda _: None
        )
        self.engine._connection.execute("PRAGMA synchronous = off").fetchall()  # no power is lost here
        self.commit = GroupCommit(self.engine, monotonic=lambda: 0.0)
        self.model = Model()
        self.known: list[QueuedRecipient] = []
        self.uid = 0
        self.holders = [HolderId(0)] * 2

        def begin(tx: Transaction) -> tuple[MailboxId, int]:
            domains.add(tx, "example.org", now=Instant(self.now))
            account = accounts.add(tx, Address("ann", "example.org"), password=None, now=Instant(self.now))
            for number in range(2):
                self.holders[number] = holders.register(tx, Instant(self.now), 1e9)
            return mailboxes.inbox(tx, account.account_id).mailbox_id, directory.version(tx)

        ((self.mailbox_id, self.version),) = self.group([begin])

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        connection = apsw.Connection(str(Path(self.folder.name) / "data" / DATABASE))
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        self.engine.close()
        self.lock.close()
        self.folder.cleanup()

    def group(self, changes: list[Change]) -> list[Any]:
        for change in changes:
            self.commit.submit(Submission(change))
        done = self.commit.run_group()
        assert len(done) == len(changes)
        return [one.error if one.error is not None else one.value for one in done]

    @rule(steps=st.lists(step, min_size=1, max_size=8), later=st.integers(0, 30))
    def together(self, steps: list[tuple[Any, ...]], later: int) -> None:
        self.now += later
        plans = [getattr(self, f"plan_{kind}", self.plan_operator)(kind, *rest) for kind, *rest in steps]
        answers = self.group([change for change, _ in plans])
        for (_, expected), answer, what in zip(plans, answers, steps, strict=True):
            wanted = expected()
            assert (type(answer) if isinstance(answer, Exception) else answer) == wanted, what

    @invariant()
    def is_as_the_model_says(self) -> None:
        if not hasattr(self, "engine"):
            return

        def look(tx: Transaction) -> tuple[list[QueuedRecipient], dict[QueueStatus, int], list[str], int]:
            now = Instant(self.now)
            due = queue.due_destinations(tx, after="", now=now, limit=9)
            return queue.list_all(tx, limit=9999), queue.count(tx), due, len(messages.list_of(tx, self.mailbox_id))

        ((found, counted, due, copies),) = self.group([look])
        rows = sorted(self.model.rows.values(), key=lambda one: one.recipient_id)
        assert found == rows
        assert counted == {status: sum(one.status is status for one in rows) for status in QueueStatus}
        assert due == [place for place in PLACES if self.model.due(place, self.now)]
        assert copies == len(self.model.copies)
        assert sorted(self.released) == sorted(self.model.released)

    # Each gives a change, and what the model does and answers when its turn has come.

    def one(self, number: int) -> RecipientId:
        """Mostly one that is there or was."""
        return self.known[-1 - number % len(self.known)].recipient_id if self.known else RecipientId(5)

    def holder(self, number: int) -> HolderId:
        return self.holders[number % 2]

    def plan_accept(self, _: str, wanted: list[tuple[int, int]], number: int) -> Plan:
        content_id = ContentId(self.ids.next_id())
        file = f"file{content_id}"
        base = QueuedMessage(
            MessageId(content_id), content_id, ReversePath(None), Instant(self.now), 9, priority=number % 3
        )
        other = replace(base, message_id=MessageId(self.ids.next_id()), prefix=b"X: y\r\n")
        queued: dict[object, QueuedRecipient] = {}
        for kind, place in wanted:
            holder = self.holder(kind // 2) if kind % 2 == 0 else None
            path = ForwardPath(Address(f"user{kind % 4}", "example.com"))
            message = other if place % 4 == 3 else base
            one = QueuedRecipient(
                RecipientId(self.ids.next_id()),
                message,
                path,
                PLACES[place % 3],
                QueueStatus.ACTIVE,
                Instant(self.now + kind % 2),
                None if holder is not None else Instant(self.now + REVIEW_AFTER),
                holder=holder,
            )
            queued.setdefault((message.message_id, path, one.destination), one)
        deliveries = [Delivery(self.mailbox_id, ForwardPath(Address("ann", "example.org")), b"")] if number % 2 else []
        entry = JournalEntry(EntryKind.TRANSACTION, Instant(self.now), None, MessageId(content_id), {})
        made = Acceptance(
            MessageId(content_id),
            Instant(self.now),
            Content(9, file=file),
            tuple(deliveries),
            tuple(queued.values()),
            self.version,
            entry,
        )
        self.known += queued.values()

        def expected() -> None:
            self.model.files[content_id] = file
            self.model.rows.update({one.recipient_id: one for one in queued.values()})
            if deliveries:
                self.uid += 1
                self.model.copies[self.uid] = content_id
            self.model.tidy()

        return (lambda tx: accept(tx, made)), expected

    def plan_claim(self, _: str, place: str, number: int) -> Plan:
        holder, limit, now = self.holder(number), number // 2, Instant(self.now)
        return (
            lambda tx: queue.claim(tx, place, holder, now=now, limit=limit),
            lambda: self.model.claim(self.model.due(place, now), holder, limit),
        )

    def plan_claim_all(self, _: str, place: str, number: int) -> Plan:
        holder, limit = self.holder(number), number // 2
        return (
            lambda tx: queue.claim_all(tx, place, holder, limit=limit),
            lambda: self.model.claim(self.model.waiting(place), holder, limit),
        )

    def plan_claim_to_review(self, _: str, number: int) -> Plan:
        holder, now = self.holder(number), Instant(self.now)

        def expected() -> list[QueuedRecipient]:
            found = [one for one in self.model.free() if one.review_at is not None and one.review_at <= now]
            found.sort(key=lambda one: (one.review_at, one.recipient_id))
            return self.model.claim(found, holder, 5)

        return (lambda tx: queue.claim_to_review(tx, holder, now=now, limit=5)), expected

    def settling(self, rows: list[Settlement], holder: HolderId) -> Plan:
        return (lambda tx: set(queue.settle(tx, holder, rows))), (lambda: self.model.settle(holder, rows))

    def settlement(self, number: int, fate: Fate, is_attempt: bool) -> Settlement:
        reply = "451 later" if is_attempt else None
        review_at = Instant(self.now + 50) if number % 2 else None
        return Settlement(
            self.one(number), fate, reply, Instant(self.now + number), review_at, is_attempt, number % 3 == 0
        )

    def plan_settle(self, _: str, wanted: list[tuple[int, Fate, bool]], number: int) -> Plan:
        return self.settling([self.settlement(*each) for each in wanted], self.holder(number))

    def plan_settle_all(self, _: str, fate: Fate, number: int) -> Plan:
        rows = [self.settlement(each, fate, True) for each in range(len(self.known))]
        return self.settling(rows, self.holder(number))

    def plan_put_back(self, _: str, wanted: list[int], number: int) -> Plan:
        holder, ids = self.holder(number), [self.one(each) for each in wanted]
        return (
            lambda tx: queue.put_back(tx, holder, ids, review_after=REVIEW_AFTER),
            lambda: self.model.give_back([each for each in set(ids) if self.model.held_by(each, holder)]),
        )

    def plan_redirect(self, _: str, wanted: list[int], number: int, to: str) -> Plan:
        # Those of one destination, as they are claimed.
        holder = self.holder(number)
        ids = [self.one(each) for each in wanted if self.known]
        places = {one.recipient_id: one.destination for one in self.known}
        ids = [each for each in ids if places[each] == places[ids[0]]]

        def change(tx: Transaction) -> None:
            there = {one.recipient_id: one.destination for each in ids for one in queue.find(tx, each)}
            if len(set(there.values())) <= 1:
                queue.redirect(tx, holder=holder, recipient_ids=ids, to=to)

        def expected() -> None:
            rows = self.model.rows
            if len({rows[each].destination for each in ids if each in rows}) > 1:
                return
            for each in dict.fromkeys(ids):
                if self.model.held_by(each, holder):
                    old = rows.pop(each)
                    moved = replace(old, destination=to, holder=None, review_at=old.review_at or old.next_attempt_at)
                    key = (moved.message.message_id, moved.forward_path, to)
                    if key not in {
                        (one.message.message_id, one.forward_path, one.destination) for one in rows.values()
                    }:
                        rows[each] = moved
            self.model.tidy()

        return change, expected

    def plan_operator(self, kind: str, number: int, which: int) -> Plan:
        now = Instant(self.now)
        target: int = self.one(number)
        if self.known and which % 3:
            message = self.known[-1 - number % len(self.known)].message
            target = message.message_id if which % 3 == 1 else message.content_id
        deeds: dict[str, Change] = {
            "hold": lambda tx: queue.hold(tx, target),
            "release": lambda tx: queue.release(tx, target, now=now),
            "retry": lambda tx: queue.retry(tx, target, now=now),
            "remove": lambda tx: len(queue.remove(tx, target)),
        }

        def expected() -> Any:
            found = self.model.named(target)
            if not found:
                return NotFound
            if kind == "remove":
                for each in found:
                    del self.model.rows[each]
                self.model.tidy()
            elif kind == "hold":
                self.model.change(found, status=QueueStatus.HELD)
            else:
                if kind == "release":
                    found = [each for each in found if self.model.rows[each].status is QueueStatus.HELD]
                for each in found:
                    old = self.model.rows[each]
                    if kind == "retry":
                        self.model.blocks.pop(old.destination, None)
                    if old.status is QueueStatus.HELD and old.review_at is not None:
                        self.model.change([each], review_at=max(old.review_at, Instant(now + 3600)))
                self.model.change(found, status=QueueStatus.ACTIVE, next_attempt_at=now)
            return len(found)

        return deeds[kind], expected

    def plan_block(self, _: str, place: str, number: int) -> Plan:
        until = Instant(self.now + number - 2)
        state = DestinationState(place, until, 1, "no answer")
        return (lambda tx: destinations.block(tx, state)), (lambda: self.model.blocks.update({place: until}))

    def plan_make_due(self, _: str, place: str) -> Plan:
        now = Instant(self.now)

        def expected() -> int:
            found = [one.recipient_id for one in self.model.waiting(place) if one.next_attempt_at > now]
            self.model.change([*found], status=QueueStatus.ACTIVE, next_attempt_at=now)
            return len(found)

        return (lambda tx: queue.make_destination_due(tx, place, now=now)), expected

    def plan_expunge(self, _: str, number: int) -> Plan:
        uid = max(1, self.uid - number)

        def expected() -> list[Uid]:
            content_id = self.model.copies.pop(uid, None)
            self.model.tidy()
            return [] if content_id is None else [Uid(uid)]

        return (lambda tx: messages.expunge(tx, self.mailbox_id, [uid])), expected

    def plan_die(self, _: str, number: int) -> Plan:
        holder, now = self.holder(number), Instant(self.now)
        self.holders[number % 2] = born = HolderId(self.ids.next_id())

        def change(tx: Transaction) -> int:
            holders.renew(tx, holder, Instant(now - 1))
            released = holders.release_dead(tx, now, 9999, REVIEW_AFTER)
            tx.do(holders._sql.add, holder=born, until=1e10)  # under an id that the later changes of the group know
            return released

        def expected() -> int:
            found = [number for number, one in self.model.rows.items() if one.holder == holder]
            self.model.give_back(found)
            return len(found)

        return change, expected

    def plan_fail(self, _: str, number: int) -> Plan:
        """Much is done, and then nothing of it."""
        holder, target = self.holder(number), self.one(number)
        rows = [self.settlement(each, Fate.RELAYED, True) for each in range(len(self.known))]

        def change(tx: Transaction) -> None:
            queue.settle(tx, holder, rows)
            if queue.find(tx, target):
                queue.remove(tx, target)
            raise Broken

        return change, lambda: Broken


Queue.TestCase.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
test_the_queue_is_as_the_model_says = Queue.TestCase
