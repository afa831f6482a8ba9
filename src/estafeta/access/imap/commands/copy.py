"""COPY and MOVE (RFC 9051 §6.4.7, §6.4.8; RFC 6851, RFC 4315 §3).

A COPY of many messages is done in steps, so that nobody else waits long; when one fails, what the steps before
have copied is taken back, so that all are copied or none. A MOVE is whole for each message, as RFC 6851 §3.3 asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from estafeta.access.imap import naming
from estafeta.access.imap.limiting import limited
from estafeta.access.imap.naming import Found
from estafeta.access.imap.rights import allowed_flags
from estafeta.store import messages
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, OverQuota, StoreError
from estafeta.store.flags import ALL_FLAGS
from estafeta.store.messages import Copied, TooManyKeywords
from estafeta.store.records import Instant, MailboxId
from estafeta.wire.imap.commands.copy import Copy
from estafeta.wire.imap.completion import Completion, Refused, no, ok
from estafeta.wire.imap.writing import number_set

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session

AT_ONCE = 1_000
"""Messages copied in one step: some 40 ms of the writer."""


class _Expunged(Exception):
    """Some of the messages are gone."""


async def copy(session: Session, request: Copy) -> Completion:
    """Put messages into another mailbox; MOVE takes them away here."""
    selected = session.selected
    assert selected is not None
    if request.is_move and selected.is_read_only:
        return no("The mailbox is open for reading only", "READ-ONLY")
    # RFC 6851 §3.3: a move is a copy, \Deleted and an expunge; so are its rights.
    if request.is_move and not set("te") <= set(selected.rights):
        return no("You have no right to remove messages from this mailbox", "NOPERM")
    view = selected.view
    positions, beyond = limited(session, selected.positions(request.numbers, is_uid=request.is_uid))
    uids = [view.uids[position] for position in positions]
    target = await target_of(session, request.mailbox)
    if not uids:
        return ok("There are no such messages")
    if request.is_move:
        completion = await _move(session, uids, target)
        return ok("Only the newest were moved", beyond) if beyond else completion
    if beyond:
        # RFC 9051 §6.4.7: all or none
        return no("These are more messages than can be copied at once", beyond)
    return await _copy(session, request, uids, target)


async def target_of(session: Session, name: str) -> Found:
    """The mailbox that messages are put into, with the right to do so. Raises Refused."""
    try:
        return await naming.resolve(session, name, "i")
    except Refused as refused:
        if refused.completion.code != "NONEXISTENT":
            raise
        naming.refuse_unfit(naming.normal(name))
        # RFC 9051 §6.4.7: it could be made, and then tried again.
        raise Refused("There is no such mailbox", "TRYCREATE") from refused


def refused(error: StoreError) -> Refused:
    """What a client is told when messages could not be put into a mailbox; raises the error when that is new."""
    if isinstance(error, OverQuota):
        return Refused("There is no room left", "OVERQUOTA")
    if isinstance(error, TooManyKeywords):
        return Refused("The mailbox has as many keywords as it can have", "LIMIT")
    if isinstance(error, NotFound):
        return Refused("There is no such mailbox", "TRYCREATE")
    raise error


def copied_uids(copied: Sequence[Copied]) -> str:
    """The response code with the UIDs there and here, of which each has its place in both sets (RFC 4315 §3)."""
    pairs = [pair for each in copied for pair in each.uids]
    old = number_set([uid for uid, _ in pairs]).decode()
    new = number_set([uid for _, uid in pairs]).decode()
    return f"COPYUID {copied[0].uid_validity} {old} {new}"


def _step(
    source_id: MailboxId, uids: list[int], target: Found, now: Instant, *, is_move: bool, needs_all: bool
) -> Callable[[Transaction], Copied]:
    target_id = target.mailbox.mailbox_id

    def change(tx: Transaction) -> Copied:
        put = messages.move if is_move else messages.copy
        copied = put(tx, source_id, uids, target_id, now=now)
        if needs_all and len(copied.uids) < len(uids):
            raise _Expunged
        allowed = allowed_flags(target.rights)
        if allowed != ALL_FLAGS and copied.uids:
            # RFC 4314 §4: flags that the user may not set there are not copied.
            messages.change_flags(tx, target_id, messages.ranges_of(new for _, new in copied.uids), keep=allowed)
        return copied

    return change


async def _copy(session: Session, request: Copy, uids: list[int], target: Found) -> Completion:
    assert session.selected is not None
    store, source_id = session.environment.store, session.selected.view.mailbox_id
    now = Instant(session.environment.clock())
    copied: list[Copied] = []
    try:
        for start in range(0, len(uids), AT_ONCE):
            part = uids[start : start + AT_ONCE]
            # RFC 2180 §4.4.1: a message of a number is told about when it is gone; UIDs that are gone are ignored.
            step = _step(source_id, part, target, now, is_move=False, needs_all=not request.is_uid)
            copied.append(await store.write(step))
    except BaseException as error:
        await _take_back(session, target.mailbox.mailbox_id, copied)
        if isinstance(error, _Expunged):
            return no("Some messages were expunged meanwhile; nothing was copied", "EXPUNGEISSUED")
        if isinstance(error, StoreError):
            raise refused(error) from error
        raise
    if not any(each.uids for each in copied):
        return ok("There are no such messages")
    # RFC 9051 §6.4.7: who may not open the mailbox is told nothing of it.
    return ok("Copy completed", copied_uids(copied) if "r" in target.rights else "")


async def _take_back(session: Session, target_id: MailboxId, copied: list[Copied]) -> None:
    """RFC 9051 §6.4.7: the mailbox is as it was before, but for UIDNEXT."""
    for each in copied:
        uids = [uid for _, uid in each.uids]

        def step(tx: Transaction, uids: list[int] = uids) -> object:
            return messages.expunge(tx, target_id, uids)

        await session.environment.store.write(step)


async def _move(session: Session, uids: list[int], target: Found) -> Completion:
    selected = session.selected
    assert selected is not None
    store = session.environment.store
    now = Instant(session.environment.clock())
    moved: list[Copied] = []
    failure: Refused | None = None
    for start in range(0, len(uids), AT_ONCE):
        part = uids[start : start + AT_ONCE]
        step = _step(selected.view.mailbox_id, part, target, now, is_move=True, needs_all=False)
        try:
            moved.append(await store.write(step))
        except StoreError as error:
            failure = refused(error)
            break
    is_any = any(each.uids for each in moved)
    if is_any and "r" in target.rights:
        # RFC 6851 §4.3: before the client learns that they are gone.
        session.send(b"* OK [%b] Moved\r\n" % copied_uids(moved).encode())
    await session.catch_up(expunges=True)
    if failure is not None:
        raise failure
    if not is_any:
        return ok("There are no such messages")
    # RFC 7162 §3.2.7
    return ok("Move completed", f"HIGHESTMODSEQ {selected.view.modseq}" if "CONDSTORE" in session.enabled else "")
