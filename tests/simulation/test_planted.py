"""The simulator itself is tried: bugs are planted in the product, and it must find each of them.

The first seeds find each of them; the same seed without the bug finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import pytest

from estafeta.agents import transaction
from estafeta.agents.outbound import notifier
from estafeta.agents.outbound.dispatcher import Dispatcher
from estafeta.agents.outbound.notifier import Notifier
from estafeta.mail.address import Address, ReversePath
from estafeta.simulation.disk_files import DiskFiles
from estafeta.simulation.runner import run_seed
from estafeta.store import acceptance, content, holders, messages, queue, sqlite
from estafeta.store.errors import StoreError
from estafeta.store.statements import Statement

MOST_SEEDS = 1000

Plant = Callable[[pytest.MonkeyPatch], None]


def no_sync_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is written without waiting for the disk."""
    connect = sqlite.connect

    def hasty(*arguments: Any, **options: Any) -> apsw.Connection:
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous = off").fetchall()
        return connection

    monkeypatch.setattr(sqlite, "connect", hasty)


def no_sync_of_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of contents are not synced."""
    monkeypatch.setattr(DiskFiles, "sync", lambda self, file: None)


def no_sync_of_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of files of contents are not synced."""
    monkeypatch.setattr(DiskFiles, "sync_folder", lambda self, path: None)


def double_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What became of some recipients is not written down, and they are tried again."""
    settle, number = queue.settle, [0]

    def forgetful(tx: Any, holder: Any, settlements: Any) -> Any:
        number[0] += 1
        if number[0] % 3:
            return settle(tx, holder, settlements)
        ids = [each.recipient_id for each in settlements]
        queue.put_back(tx, holder, ids, review_after=0.0)
        return ids

    monkeypatch.setattr(queue, "settle", forgetful)


def lost_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead process had claimed is never given back."""
    monkeypatch.setattr(holders, "release_dead", lambda *_, **__: 0)


def notification_with_a_reverse_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notifications come from the postmaster, and could be notified of."""
    monkeypatch.setattr(notifier, "NULL_REVERSE_PATH", ReversePath(Address("postmaster", "a.test")))


def silent_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders are not told that their mail failed."""
    monkeypatch.setattr(Notifier, "is_due", lambda *_, **__: False)


def reused_uids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next UID is that after the largest there is, whatever was expunged."""
    box = acceptance._box
    largest = Statement(
        "largest", "the largest UID", "SELECT coalesce(max(uid), 0) FROM messages WHERE mailbox_id = :mailbox_id"
    )

    def reusing(tx: Any, mailbox_id: Any) -> Any:
        found = box(tx, mailbox_id)
        if mailbox_id not in tx.memory:
            found.uid_next = tx.peek(largest, mailbox_id=mailbox_id)[0] + 1
        return found

    monkeypatch.setattr(acceptance, "_box", reusing)


def modseq_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages arrive with a MODSEQ above that of their mailbox."""
    box = acceptance._box

    def ahead(tx: Any, mailbox_id: Any) -> Any:
        found = box(tx, mailbox_id)
        if mailbox_id not in tx.memory:
            found.modseq += 1000
        return found

    monkeypatch.setattr(acceptance, "_box", ahead)


def refused_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some messages are committed and then deferred all the same."""
    from estafeta.agents import acceptance as agents
    from estafeta.agents.acceptance import AcceptanceOutcome

    commit, number = agents._commit, [0]

    async def lying(*arguments: Any) -> AcceptanceOutcome:
        outcome = await commit(*arguments)
        number[0] += 1
        return outcome if number[0] % 3 else agents._failure(StoreError("planted"))

    monkeypatch.setattr(agents, "_commit", lying)


def counted_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has left memory is still counted as being there."""
    monkeypatch.setattr(Dispatcher, "_is_settled", lambda self, settled: None)


def changed_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large contents lose their last octet."""
    read = content.ContentStore.read
    monkeypatch.setattr(content.ContentStore, "read", lambda self, name: read(self, name)[:-3] + b"\r\n")


def boundless_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither RCPT nor the commit holds deliveries to the quota."""

    async def no_refusal(*_: Any) -> None:
        return None

    monkeypatch.setattr(transaction, "_quota_refusal", no_refusal)
    monkeypatch.setattr(acceptance._Room, "take", lambda self, size: None)


def wrong_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """An expunge leaves the size of its mailbox too large."""
    expunge = messages.expunge
    grow = Statement(
        "grow", "more than there is", "UPDATE mailboxes SET octets = octets + 1 WHERE mailbox_id = :mailbox_id"
    )

    def miscounting(tx: Any, mailbox_id: Any, uids: Any) -> Any:
        gone = expunge(tx, mailbox_id, uids)
        if gone:
            tx.do(grow, mailbox_id=mailbox_id)
        return gone

    monkeypatch.setattr(messages, "expunge", miscounting)


def doubled_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """MOVE leaves the message where it was."""
    monkeypatch.setattr(messages, "move", messages.copy)


PLANTS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        no_sync_of_the_database,
        no_sync_of_contents,
        no_sync_of_folders,
        double_relay,
        lost_claim,
        notification_with_a_reverse_path,
        silent_failure,
        reused_uids,
        modseq_ahead,
        refused_and_kept,
        counted_for_ever,
        changed_content,
        boundless_quota,
        wrong_counters,
        doubled_move,
    )
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = PLANTS[name]
    plant(monkeypatch)
    for seed in range(MOST_SEEDS):
        _, failure = run_seed(seed, shrinks=False)
        if failure is not None:
            break
    else:
        pytest.fail(f"{plant.__doc__} Not found within {MOST_SEEDS} seeds.")
    print(f"{name}: seed {seed}: {failure.faults[0][:300]}")
    monkeypatch.undo()
    _, failure = run_seed(seed, shrinks=False)
    assert failure is None, f"seed {seed} fails without the bug: {failure.faults}"
