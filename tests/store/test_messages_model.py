"""Whatever is done to mailboxes: rows, counters and MODSEQs are as dictionaries say, and who asks learns of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from estafeta.mail.address import Address, ForwardPath
from estafeta.store import accounts, directory, domains, mailboxes, messages
from estafeta.store.acceptance import accept
from estafeta.store.errors import NotFound, OverQuota
from estafeta.store.flags import DELETED, SEEN
from estafeta.store.groupcommit import GroupCommit, Submission
from estafeta.store.ids import IdSource
from estafeta.store.locks import WriteLock
from estafeta.store.records import (
    Acceptance,
    AccountId,
    Content,
    Delivery,
    EntryKind,
    Instant,
    JournalEntry,
    MailboxId,
    MessageId,
    Uid,
)
from estafeta.store.sqlite import SqliteEngine
from estafeta.store.statements import Statement
from estafeta.store.store import DATABASE, Transaction, open_store

NOW = Instant(1_700_000_000.0)
ANA = Address("ana", "example.org")
QUOTA = 40
NAMES = ("Lists", "Lists/Uno", "Trash", "Other")
FLAGS = ("\\Seen", "\\Deleted", "\\Flagged", "$Junk", "$NotJunk")
CONTENTS = Statement("contents", "all contents", "SELECT content_id FROM contents ORDER BY 1")
ALL_BITS = messages.ALL * 2 - 1
Change: TypeAlias = Callable[[Transaction], Any]


class Broken(Exception):
    """A change that fails at its end."""


@dataclass
class Row:
    """A message."""

    flags: frozenset[str]
    content: object
    size: int
    modseq: int


@dataclass
class Box:
    """A mailbox."""

    mailbox_id: MailboxId
    uid_validity: int
    uid_next: int = 1
    modseq: int = 1
    recent: int = 1
    rows: dict[int, Row] = field(default_factory=dict)

    def add(self, rows: list[tuple[frozenset[str], object, int]]) -> list[int]:
        self.modseq += 1
        uids = []
        for flags, content, size in rows:
            self.rows[self.uid_next] = Row(flags, content, size, self.modseq)
            uids.append(self.uid_next)
            self.uid_next += 1
        return uids

    def expunge(self, uids: list[int]) -> list[int]:
        gone = [uid for uid in dict.fromkeys(uids) if self.rows.pop(uid, None) is not None]
        self.modseq += bool(gone)
        return gone


@dataclass
class Replica:
    """What a client that asks now and then knows of a mailbox."""

    modseq: int
    uid_next: int
    flags: dict[int, int]


flag_sets = st.frozensets(st.sampled_from(FLAGS))
uid_lists = st.lists(st.integers(1, 12), min_size=3, max_size=8)
places = st.sampled_from(("INBOX", "Trash", *NAMES))
others = st.sampled_from(NAMES)
drafts = st.lists(st.tuples(flag_sets, st.integers(0, 9)), min_size=1, max_size=3)
step = st.one_of(
    st.tuples(st.just("deliver"), st.lists(st.integers(0, 9), min_size=1, max_size=4)),
    st.tuples(st.just("append"), places, drafts, st.none() | st.integers(1, 9)),
    st.tuples(st.just("copy"), places, places, uid_lists, st.booleans()),
    st.tuples(
        st.just("store"),
        places,
        uid_lists,
        flag_sets,
        st.sampled_from(("add", "remove", "replace")),
        st.none() | st.integers(0, 6),
    ),
    st.tuples(st.just("expunge"), places, uid_lists),
    st.tuples(st.just("expunge_deleted"), places, st.integers(1, 9), st.integers(1, 5)),
    st.tuples(st.just("make"), others),
    st.tuples(st.just("remove"), others),
    st.tuples(st.just("rename"), st.sampled_from(("Trash", "Other", "Lists/Uno")), st.sampled_from(("Trash", "Other"))),
    st.tuples(st.just("leave_inbox"), others),
    st.tuples(st.just("claim_recent"), places),
    st.tuples(st.just("look"), places),
)


class Mailboxes(RuleBasedStateMachine):
    """An account with a quota, its mailboxes, and a client that looks now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        data = Path(self.folder.name) / "data"
        open_store(data, clock=lambda: NOW).close()
        self.ids = IdSource(lambda: NOW, worker=0)
        self.lock = WriteLock(data / "lock")
        self.told: set[int] = set()
        self.engine = SqliteEngine(
            data / DATABASE, self.lock, self.ids, remove_file=lambda _: None, tell=self.told.update
        )
        self.engine._connection.execute("PRAGMA synchronous = off").fetchall()  # no power is lost here
        self.commit = GroupCommit(self.engine, monotonic=lambda: 0.0)
        self.boxes: dict[str, Box] = {}
        self.replicas: dict[MailboxId, Replica] = {}
        self.validities: set[int] = set()
        self.account_id = AccountId(0)

    def teardown(self) -> None:
        self.engine.close()
        self.lock.close()
        self.folder.cleanup()

    def run(self, change: Change) -> Any:
        """Run a change in a group of its own, between others that fail after they have written."""

        def broken(tx: Transaction) -> None:
            change(tx)
            raise Broken

        for each in (broken, change, broken):
            self.commit.submit(Submission(each))
        self.told.clear()
        before, done, _ = self.commit.run_group()
        assert done.error is not None or isinstance(before.error, Broken)
        if done.error is not None:
            raise done.error
        return done.value

    @initialize()
    def begin(self) -> None:
        def change(tx: Transaction) -> None:
            domains.add(tx, "example.org", now=NOW)
            account = accounts.add(tx, ANA, password=None, quota_messages=QUOTA, now=NOW)
            self.account_id = account.account_id
            for box in mailboxes.list_of(tx, account.account_id):
                if box.name not in ("INBOX", "Trash"):
                    mailboxes.remove(tx, box)

        self.commit.submit(Submission(change))
        assert self.commit.run_group()[0].error is None
        for name in ("INBOX", "Trash"):
            self.take_up(name)
        self.make("Lists")
        self.deliver([1, 2, 3, 4])
        for name in ("Trash", "Lists"):
            self.copy("INBOX", name, [2, 3, 4], is_move=False)

    def take_up(self, name: str) -> None:
        def find(tx: Transaction) -> Any:
            return mailboxes.find(tx, self.account_id, name)

        self.commit.submit(Submission(find))
        found = self.commit.run_group()[0].value
        assert found.uid_validity not in self.validities
        self.validities.add(found.uid_validity)
        self.boxes[name] = Box(found.mailbox_id, found.uid_validity)

    @rule(steps=st.lists(step, min_size=4, max_size=20))
    def one_after_the_other(self, steps: list[tuple[Any, ...]]) -> None:
        todo: dict[str, Callable[..., None]] = {
            "deliver": self.deliver,
            "append": self.append,
            "copy": self.copy,
            "store": self.store,
            "expunge": self.expunge,
            "expunge_deleted": self.expunge_deleted,
            "make": self.make,
            "remove": self.remove,
            "rename": self.rename,
            "leave_inbox": self.leave_inbox,
            "claim_recent": self.claim_recent,
            "look": self.look,
        }
        for name, *values in steps:
            todo[name](*values)
            self.agree()

    @property
    def kept(self) -> int:
        return sum(len(box.rows) for box in self.boxes.values())

    def deliver(self, sizes: list[int]) -> None:
        box = self.boxes["INBOX"]
        made = [self.ids.next_id() for _ in sizes]

        def change(tx: Transaction) -> None:
            version = directory.version(tx)
            for number, size in zip(made, sizes, strict=True):
                message_id = MessageId(number)
                entry = JournalEntry(EntryKind.TRANSACTION, NOW, None, message_id, {})
                delivery = Delivery(box.mailbox_id, ForwardPath(ANA), b"P: x\r\n")
                content = Content(size, b"x" * size)
                accept(tx, Acceptance(message_id, NOW, content, (delivery,), (), version, entry))

        if self.kept + len(sizes) > QUOTA:
            with pytest.raises(OverQuota):
                self.run(change)
            return
        self.run(change)
        for number, size in zip(made, sizes, strict=True):
            box.add([(frozenset(), number, size + 6)])
        assert box.mailbox_id in self.told

    def append(self, name: str, drafts: list[tuple[frozenset[str], int]], old: int | None) -> None:
        box = self.boxes.get(name)
        if box is None:
            return
        made = [messages.Draft(Content(size, b"y" * size), tuple(flags), NOW) for flags, size in drafts]
        replaced = None if old is None else Uid(old)

        def change(tx: Transaction) -> messages.Appended:
            return messages.append(tx, box.mailbox_id, made, now=NOW, replaces=replaced)

        if self.kept + len(drafts) - (old in box.rows) > QUOTA:
            with pytest.raises(OverQuota):
                self.run(change)
            return
        appended = self.run(change)
        box.expunge([] if old is None else [old])
        uids = box.add([(flags, None, size) for flags, size in drafts])
        for uid in uids:
            box.rows[uid].content = (box.mailbox_id, uid)
        assert (appended.uid_validity, appended.uids) == (box.uid_validity, uids)
        assert box.mailbox_id in self.told

    def copy(self, source: str, target: str, uids: list[int], is_move: bool) -> None:
        here, there = self.boxes.get(source), self.boxes.get(target)
        if here is None or there is None:
            return
        put = messages.move if is_move else messages.copy

        def change(tx: Transaction) -> messages.Copied:
            return put(tx, here.mailbox_id, uids, there.mailbox_id, now=NOW)

        found = sorted({uid for uid in uids if uid in here.rows})
        if not is_move and self.kept + len(found) > QUOTA:
            with pytest.raises(OverQuota):
                self.run(change)
            return
        copied = self.run(change)
        new = []
        if found:
            new = there.add([(here.rows[uid].flags, here.rows[uid].content, here.rows[uid].size) for uid in found])
            if is_move:
                here.expunge(found)
            assert {there.mailbox_id, *([here.mailbox_id] if is_move else [])} <= self.told
        assert (copied.uid_validity, copied.uids) == (there.uid_validity, list(zip(found, new, strict=True)))

    def store(self, name: str, uids: list[int], flags: frozenset[str], how: str, back: int | None) -> None:
        box = self.boxes.get(name)
        if box is None:
            return
        since = messages.ALL if back is None else max(box.modseq - back, 0)

        def change(tx: Transaction) -> messages.FlagChange:
            if how == "remove":
                add, keep = 0, ALL_BITS & ~messages.keywords(tx, box.mailbox_id).mask(flags)
            else:
                add, keep = messages.flag_mask(tx, box.mailbox_id, flags), ALL_BITS if how == "add" else 0
            ranges = messages.ranges_of(set(uids))
            return messages.change_flags(tx, box.mailbox_id, ranges, add=add, keep=keep, unchanged_since=since)

        done = self.run(change)
        there = sorted({uid for uid in uids if uid in box.rows})
        failed = [uid for uid in there if box.rows[uid].modseq > since]

        def after(old: frozenset[str]) -> frozenset[str]:
            return {"add": old | flags, "remove": old - flags, "replace": flags}[how]

        changed = [uid for uid in there if uid not in failed and after(box.rows[uid].flags) != box.rows[uid].flags]
        box.modseq += bool(changed)
        for uid in changed:
            row = box.rows[uid]
            row.flags, row.modseq = after(row.flags), box.modseq
        assert (done.modseq, done.changed, done.failed) == (box.modseq if changed else None, len(changed), failed)
        assert (box.mailbox_id in self.told) is bool(changed)

    def expunge(self, name: str, uids: list[int]) -> None:
        box = self.boxes.get(name)
        if box is None:
            return
        gone = self.run(lambda tx: messages.expunge(tx, box.mailbox_id, uids))
        assert gone == box.expunge(uids)
        assert (box.mailbox_id in self.told) is bool(gone)

    def expunge_deleted(self, name: str, first: int, limit: int) -> None:
        box = self.boxes.get(name)
        if box is None:
            return
        found = self.run(lambda tx: messages.deleted_in(tx, box.mailbox_id, [(first, messages.ALL)], limit=limit))
        assert found == [uid for uid, row in box.rows.items() if uid >= first and "\\Deleted" in row.flags][:limit]
        self.expunge(name, found)

    def make(self, name: str) -> None:
        if name not in self.boxes:
            above = name.rpartition("/")[0]
            self.run(lambda tx: mailboxes.add(tx, self.account_id, name, now=NOW))
            for each in (above, name):
                if each and each not in self.boxes:
                    self.take_up(each)

    def remove(self, name: str) -> None:
        box = self.boxes.pop(name, None)
        if box is None:
            return

        def change(tx: Transaction) -> None:
            mailboxes.remove(tx, mailboxes.get(tx, box.mailbox_id))

        self.run(change)
        assert {box.mailbox_id, self.account_id} <= self.told
        with pytest.raises(NotFound):
            self.run(lambda tx: messages.load(tx, box.mailbox_id))
        self.replicas.pop(box.mailbox_id, None)

    def rename(self, old: str, new: str) -> None:
        if old not in self.boxes or new in self.boxes:
            return
        self.run(lambda tx: mailboxes.rename(tx, mailboxes.get(tx, self.boxes[old].mailbox_id), new, now=NOW))
        self.boxes[new] = self.boxes.pop(old)

    def leave_inbox(self, name: str) -> None:
        if name in self.boxes:
            return
        inbox = self.boxes["INBOX"]
        self.run(lambda tx: mailboxes.rename(tx, mailboxes.get(tx, inbox.mailbox_id), name, now=NOW))
        for each in (name.rpartition("/")[0], name):
            if each and each not in self.boxes:
                self.take_up(each)
        if inbox.rows:
            self.boxes[name].add([(row.flags, row.content, row.size) for row in inbox.rows.values()])
            inbox.expunge(list(inbox.rows))

    def claim_recent(self, name: str) -> None:
        box = self.boxes.get(name)
        if box is not None:
            assert self.run(lambda tx: messages.claim_recent(tx, box.mailbox_id)) == box.recent
            box.recent = box.uid_next

    def look(self, name: str) -> None:
        """The client asks what has happened since it asked last."""
        box = self.boxes.get(name)
        if box is None:
            return
        replica = self.replicas.setdefault(box.mailbox_id, Replica(0, 1, {}))
        news = self.run(lambda tx: messages.changes(tx, box.mailbox_id, replica.modseq, replica.uid_next))
        for first, last in news.expunged:
            for uid in range(first, last + 1):
                replica.flags.pop(uid, None)
        for uid, flags, _ in news.changed:
            assert uid in replica.flags
            replica.flags[uid] = flags
        replica.flags.update(zip(news.added.uids, news.added.flags, strict=True))
        replica.modseq, replica.uid_next = news.mailbox.highest_modseq, news.mailbox.uid_next
        known = {uid: frozenset(news.keywords.of(flags)) for uid, flags in replica.flags.items()}
        assert known == {uid: row.flags for uid, row in box.rows.items()}

    def agree(self) -> None:
        """All rows and counters are as the model says."""

        def look(tx: Transaction) -> None:
            listed = mailboxes.list_of(tx, self.account_id)
            assert [each.name for each in listed] == sorted(self.boxes)
            contents: dict[object, int] = {}
            for each in listed:
                box = self.boxes[each.name]
                assert (each.mailbox_id, each.uid_validity) == (box.mailbox_id, box.uid_validity)
                assert (each.uid_next, each.highest_modseq, each.recent_uid) == (box.uid_next, box.modseq, box.recent)
                known = messages.keywords(tx, each.mailbox_id)
                found = messages.list_of(tx, each.mailbox_id)
                assert {one.uid: (frozenset(known.of(one.flags)), one.size, one.modseq) for one in found} == {
                    uid: (row.flags, row.size, row.modseq) for uid, row in box.rows.items()
                }
                for one in found:
                    # Copies of a message share its content, and nothing else does.
                    assert contents.setdefault(box.rows[one.uid].content, one.content_id) == one.content_id
                assert (each.messages, each.octets) == (len(found), sum(one.size for one in found))
                assert each.unseen == sum(not one.flags & SEEN for one in found)
                deleted = [one.size for one in found if one.flags & DELETED]
                assert (each.deleted, each.deleted_octets) == (len(deleted), sum(deleted))
            assert [row[0] for row in tx.run(CONTENTS)] == sorted(contents.values())
            account = accounts.find(tx, ANA)
            assert account is not None and account.used_messages == self.kept

        self.commit.submit(Submission(look))
        [done] = self.commit.run_group()
        if done.error is not None:
            raise done.error


Mailboxes.TestCase.settings = settings(
    max_examples=40, stateful_step_count=4, deadline=None, suppress_health_check=list(HealthCheck)
)
test_the_mailboxes_are_as_the_model_says = Mailboxes.TestCase
