"""STORE and UID STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3, RFC 4314 §4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from estafeta.access.imap.limiting import limited
from estafeta.access.imap.rendering import compiled
from estafeta.access.imap.rights import ALL_FLAGS, allowed_flags, permitted
from estafeta.access.imap.telling import chosen, tell
from estafeta.store import messages
from estafeta.store.engine import Transaction
from estafeta.store.messages import FlagChange, TooManyKeywords
from estafeta.store.records import MailboxId
from estafeta.wire.imap.commands.store import Store, StoreMode
from estafeta.wire.imap.completion import Completion, Refused, bad, no, ok
from estafeta.wire.imap.fetching import Item
from estafeta.wire.imap.writing import number_set

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

AT_ONCE = 10_000
"""Messages changed in one step: some 30 ms of the writer."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What one step has done: flags of its messages are now (old & keep) | add."""

    keep: int
    add: int
    change: FlagChange


async def store(session: Session, request: Store) -> Completion:
    """Change flags."""
    selected = session.selected
    assert selected is not None
    if selected.is_read_only:
        return no("The mailbox is open for reading only", "READ-ONLY")
    if any(name.lower() == "\\recent" for name in request.flags):
        return bad("\\Recent cannot be changed")
    allowed = allowed_flags(selected.rights)
    names = permitted(request.flags, selected.rights)
    # RFC 4314 §4: with the right for one of the flags it is done for that one.
    if not allowed or (request.flags and not names):
        return no("You have no right to change these flags", "NOPERM")
    if request.unchanged_since is not None:
        session.enable_condstore()
    positions, beyond = limited(session, selected.positions(request.numbers, is_uid=request.is_uid))
    failed: list[int] = []
    gone: list[int] = []
    for start in range(0, len(positions), AT_ONCE):
        part = positions[start : start + AT_ONCE]
        step_failed, step_gone = await _step(session, request, _changing(request, names, allowed), part)
        failed += step_failed
        gone += step_gone
        session.progress(start + len(part), len(positions))
    completion = _completion(session, request, failed, gone)
    return ok("Only the newest were changed", beyond) if beyond and not completion.code else completion


async def _step(
    session: Session, request: Store, changing: _Changing, positions: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Change some messages and tell of it; gives the UIDs that were left as they are, and those that are gone."""
    selected = session.selected
    assert selected is not None
    view = selected.view
    wanted = chosen(session, positions)
    try:
        step = await session.environment.store.write(changing(view.mailbox_id, wanted.ranges))
    except TooManyKeywords as error:
        raise Refused("The mailbox has as many keywords as it can have", "LIMIT") from error
    keep, add, failed = step.keep, step.add, set(step.change.failed)
    # What the client expects is not told unasked; what others have changed meanwhile is.
    expected = dict(zip(wanted.uids, [flags & keep | add for flags in wanted.flags], strict=True))
    for uid in failed:
        expected.pop(uid, None)
    await session.catch_up(expunges=False, silent=expected)
    gone = [uid for uid in selected.ghosts if uid in expected]
    if failed or gone:
        left_out = failed.union(gone)
        positions = [position for position in positions if view.uids[position] not in left_out]
    await _tell(session, request, positions, view.modseqs)
    return sorted(failed), gone


_Changing = Callable[[MailboxId, list[tuple[int, int]]], Callable[[Transaction], _Step]]


def _changing(request: Store, names: tuple[str, ...], allowed: int) -> _Changing:
    """The change of one step, for the messages in ranges of UIDs."""
    since = messages.ALL if request.unchanged_since is None else request.unchanged_since

    def changing(mailbox_id: MailboxId, ranges: list[tuple[int, int]]) -> Callable[[Transaction], _Step]:
        def change(tx: Transaction) -> _Step:
            if request.mode is StoreMode.REMOVE:
                add, keep = 0, ALL_FLAGS & ~messages.keywords(tx, mailbox_id).mask(names)
            else:
                add = messages.flag_mask(tx, mailbox_id, names)
                keep = ALL_FLAGS if request.mode is StoreMode.ADD else ALL_FLAGS & ~allowed
            return _Step(
                keep, add, messages.change_flags(tx, mailbox_id, ranges, add=add, keep=keep, unchanged_since=since)
            )

        return change

    return changing


async def _tell(session: Session, request: Store, positions: Sequence[int], old_modseqs: Sequence[int]) -> None:
    """The new flags, and for whoever keeps MODSEQs these, even when it is to be silent (RFC 7162 §3.1.3)."""
    selected = session.selected
    assert selected is not None
    is_condstore = "CONDSTORE" in session.enabled
    if request.is_silent and not is_condstore:
        return
    if request.is_silent and request.unchanged_since is None:
        new_modseqs = selected.view.modseqs
        positions = [position for position in positions if new_modseqs[position] != old_modseqs[position]]
    items: list[Item] = [Item.UID] if request.is_uid or is_condstore else []  # RFC 7162 §3.2.4
    if not request.is_silent:
        items.append(Item.FLAGS)
    if is_condstore:
        items.append(Item.MODSEQ)
    await tell(session, compiled(tuple(items), is_uid_only="UIDONLY" in session.enabled), positions)


def _completion(session: Session, request: Store, failed: list[int], gone: list[int]) -> Completion:
    selected = session.selected
    assert selected is not None
    if failed:
        # RFC 7162 §3.1.3: numbers for STORE, UIDs for UID STORE.
        places = [place for uid in failed if (place := selected.view.position(uid)) is not None]
        numbers = sorted(failed) if request.is_uid else [place + 1 for place in sorted(places)]
        return ok("Some messages were changed by others", f"MODIFIED {number_set(numbers).decode()}")
    if gone:
        # Departs from RFC 2180 §4.2.3: OK, not NO, for what is there was changed; clients take a NO for a failure.
        return ok("Some messages were expunged meanwhile", "EXPUNGEISSUED")
    return ok("Store completed")
