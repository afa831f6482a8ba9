"""Snapshots, what leads from one to the next, and the view that a session has of them."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from estafeta.access.imap.selected import BadNumbers, Selected
from estafeta.access.imap.snapshot import Snapshot, after, link
from estafeta.store.flags import SEEN, Keywords
from estafeta.store.messages import Changes, Loaded
from estafeta.store.records import AccountId, Mailbox, MailboxId, ModSeq, Uid
from estafeta.wire.imap.numbers import STAR, NumberSet

MAILBOX = Mailbox(
    MailboxId(7), AccountId(1), "INBOX", None, 99, Uid(1), ModSeq(1), 0, 0, 0, 0, 0, Uid(1), ModSeq(0), ModSeq(0)
)


def loaded(uids: list[int], uid_next: int, modseq: int, flags: int = 0, unseen: int = 0) -> Loaded:
    """Messages that all came with the last change."""
    row = replace(MAILBOX, uid_next=Uid(uid_next), highest_modseq=ModSeq(modseq), messages=len(uids), unseen=unseen)
    many = len(uids)
    return Loaded(
        row,
        Keywords(),
        array("I", uids),
        array("Q", [flags]) * many,
        array("Q", [modseq]) * many,
        array("Q", uids),
    )


def changed(
    modseq: int,
    uid_next: int,
    *,
    expunged: list[tuple[int, int]] | None = None,
    flags: list[tuple[int, int]] | None = None,
    added: list[int] | None = None,
) -> Changes:
    """What one change did."""
    new = loaded(added or [], uid_next, modseq)
    return Changes(new.mailbox, new.keywords, expunged or [], [(uid, mask, modseq) for uid, mask in flags or []], new)


def opened(snapshot: Snapshot) -> Selected:
    """A session that was told of all that is there."""
    return Selected(snapshot.mailbox, "INBOX", "lrswipkxtea", snapshot, is_read_only=False)


def uids_of(view: Snapshot) -> list[int]:
    return view.uids.tolist()


def test_a_change_leaves_the_old_snapshot_as_it_was() -> None:
    old = Snapshot.of(loaded([1, 2, 3, 5, 8], 9, 4))
    new = after(old, changed(5, 11, expunged=[(2, 4), (6, 7)], flags=[(5, SEEN)], added=[9, 10]))
    assert (uids_of(old), old.flags.tolist()) == ([1, 2, 3, 5, 8], [0] * 5)
    assert uids_of(new) == [1, 5, 8, 9, 10]
    assert new.flags.tolist() == [0, SEEN, 0, 0, 0]
    assert new.modseqs.tolist() == [4, 5, 4, 5, 5]
    assert new.contents.tolist() == [1, 5, 8, 9, 10]
    assert (new.uid_next, new.modseq) == (11, 5)
    assert (new.position(8), new.position(2)) == (2, None)


def test_a_session_walks_over_several_changes_at_once() -> None:
    first = Snapshot.of(loaded([1, 2, 3], 4, 1))
    selected = opened(first)
    second = after(first, changed(2, 6, expunged=[(1, 1)], flags=[(2, SEEN)], added=[4, 5]))
    third = after(second, changed(3, 7, expunged=[(4, 4)], flags=[(3, SEEN), (5, SEEN)], added=[6]))
    update = selected.advance(third, expunges=True)
    assert list(update.expunged) == [1]  # 4 came and went unseen
    assert update.added_uids.tolist() == [5, 6]
    assert list(update.changed) == [2, 3]  # 5 is new, and its flags come with it
    assert selected.view is third
    assert not selected.is_behind(third, expunges=True)


@pytest.mark.rfc("2180 §4.1", "What is gone keeps its number until it may be told.")
def test_numbers_stay_until_expunges_may_be_told() -> None:
    first = Snapshot.of(loaded([10, 20, 30, 40], 41, 1))
    selected = opened(first)
    second = after(first, changed(2, 42, expunged=[(20, 20), (40, 40)], flags=[(30, SEEN)], added=[41]))
    update = selected.advance(second, expunges=False)
    assert (list(update.expunged), update.added, list(update.changed)) == ([], 1, [30])
    assert uids_of(selected.view) == [10, 20, 30, 40, 41]
    assert selected.view.flags.tolist() == [0, 0, SEEN, 0, 0]
    assert list(selected.ghosts) == [20, 40]
    third = after(second, changed(3, 42, expunged=[(10, 10)]))
    assert list(selected.advance(third, expunges=False).expunged) == []
    assert uids_of(selected.view) == [10, 20, 30, 40, 41]
    assert selected.is_behind(third, expunges=True)
    update = selected.advance(third, expunges=True)
    assert list(update.expunged) == [10, 20, 40]
    assert update.added == 0
    assert selected.view is third


def test_flags_that_the_session_set_itself_are_not_told() -> None:
    first = Snapshot.of(loaded([1, 2], 3, 1))
    selected = opened(first)
    second = after(first, changed(2, 3, flags=[(1, SEEN), (2, SEEN)]))
    update = selected.advance(second, expunges=False, silent={1: SEEN, 2: SEEN | 4})
    assert list(update.changed) == [2]  # somebody else changed it too


def test_a_mailbox_loaded_anew_is_compared() -> None:
    old = Snapshot.of(loaded([1, 2, 3], 4, 3))
    selected = opened(old)
    new = Snapshot.of(loaded([1, 3, 4], 5, 9, SEEN))
    link(old, new)
    update = selected.advance(new, expunges=True)
    assert (list(update.expunged), update.added, list(update.changed)) == ([2], 1, [1, 3])


def test_sets_of_numbers_and_uids() -> None:
    selected = opened(Snapshot.of(loaded([10, 20, 30, 40], 41, 1)))
    positions = selected.positions
    assert positions(NumberSet(((2, 3), (3, 4))), is_uid=False) == [1, 2, 3]
    assert positions(NumberSet(((STAR, 2),)), is_uid=False) == [1, 2, 3]
    assert positions(NumberSet(((15, 30), (40, 40))), is_uid=True) == [1, 2, 3]
    assert positions(NumberSet(((99, STAR),)), is_uid=True) == [3]  # `*` is 40, and ranges have no order
    assert positions(NumberSet(((1, 9),)), is_uid=True) == []
    selected.saved = [10, 25, 40]
    assert positions(NumberSet(is_saved=True), is_uid=False) == [0, 3]


@pytest.mark.rfc("9051 §9", "A message number beyond the last message is an error, `*` in an empty mailbox too.")
def test_message_numbers_that_are_not_there_are_an_error() -> None:
    selected = opened(Snapshot.of(loaded([10], 11, 1)))
    empty = opened(Snapshot.of(loaded([], 1, 1)))
    for each, numbers in ((selected, (1, 2)), (empty, (1, STAR)), (empty, (STAR, STAR))):
        with pytest.raises(BadNumbers):
            each.positions(NumberSet((numbers,)), is_uid=False)
    assert empty.positions(NumberSet(((1, STAR),)), is_uid=True) == []


def test_recent_messages_are_counted_while_they_are_there() -> None:
    first = Snapshot.of(loaded([1, 2, 3, 4], 5, 1))
    selected = opened(first)
    selected.add_recent(range(3, 5))
    assert [uid for uid in first.uids if selected.is_recent(uid)] == [3, 4]
    second = after(first, changed(2, 7, expunged=[(4, 4)], added=[5, 6]))
    selected.advance(second, expunges=True)
    assert selected.recent == 1
    selected.add_recent(range(5, 7))
    assert selected.recent == 3


def test_the_first_unseen_message_is_found() -> None:
    all_seen = Snapshot.of(loaded([1, 2, 3], 4, 1, SEEN))
    assert all_seen.first_unseen() is None
    one_left = after(
        Snapshot.of(loaded([1, 2, 3], 4, 1, SEEN, unseen=1)),
        Changes(replace(all_seen.mailbox, unseen=1), Keywords(), [], [(3, 1 << 40, 2)], loaded([], 4, 2)),
    )
    assert one_left.first_unseen() == 2
    assert Snapshot.of(loaded([1, 2, 3], 4, 1, 1 << 60, unseen=3)).first_unseen() == 0
