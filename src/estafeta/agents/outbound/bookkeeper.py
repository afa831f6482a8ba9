"""From what was found out to what is written: rows, the journal's entry, and the notifications that are due.

Nothing here fails: a message that makes trouble is told of in the log, and keeps nobody else from being served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from secrets import token_hex
from typing import TypeVar

import structlog

from estafeta.agents import lines
from estafeta.agents.outbound.desk import STEP, Desk
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.record import (
    attempt_entry,
    read_said,
    review_entry,
    reviewed,
    sent_back,
    settlements,
    waits_for_time,
)
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule, is_by_due, is_overdue
from estafeta.agents.outbound.settling import Compose, Settled
from estafeta.mail.reply import Reply
from estafeta.store import queue
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import (
    Acceptance,
    DestinationState,
    Fate,
    HolderId,
    Instant,
    JournalEntry,
    QueuedMessage,
    QueuedRecipient,
    RecipientId,
    Settlement,
)

T = TypeVar("T")

# To reach for a member of an enum costs a call in Python 3.11.
_DEFERRED, _RELEASED = Fate.DEFERRED, Fate.RELEASED

log = structlog.get_logger("estafeta.agents.outbound.bookkeeper")

_MOST_READS = 3
"""Tries to read a message that is to come back with its notification; then it is told of without it."""

_LACKING = Reply.of(451, "its content cannot be found", "4.3.0")
_UNSAID = Reply.of(451, "nothing was found out about this recipient, it is tried again", "4.3.0")
_EXPIRED = Reply.of(451, "it could not be delivered in the time that it may take", "4.4.7")
OVERDUE = Reply.of(451, "it could not be delivered in the time that its sender gave it", "4.4.7")
_WAITING = Reply.of(451, "it waits here for its turn", "4.4.5")
_OVER_RATE = Reply.of(450, "its account has sent as much as it may for now", "4.7.1")


class Bookkeeper:
    """Hands to the settler."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def attempted(self, job: Job, content: bytes, attempt: Attempt, seconds: float) -> None:
        """An attempt was made. Waits for the disk only where there is a notification."""
        schedule, now = self._desk.tools.schedule, self._desk.tools.clock()
        outcomes = attempt.outcomes
        if len(outcomes) != len(job.recipients):
            outcomes = _completed(job.recipients, outcomes)
        fates = {each.fate for each in outcomes}
        if _DEFERRED in fates:  # What is put off once more although its time is over has expired.
            outcomes = [
                each.aged(is_overdue=is_overdue(job.message, now))
                if each.fate is _DEFERRED and schedule.is_over(each.recipient, now)
                else each
                for each in outcomes
            ]
        self._count(job.message, outcomes, now, attempts=1)
        if _RELEASED in fates:  # What was released is written down already.
            outcomes = [each for each in outcomes if each.fate is not _RELEASED]
        attempt.outcomes = outcomes
        rows = settlements(outcomes, schedule, now)
        entry = None
        if rows:
            destination = job.recipients[0].destination
            entry = _made(lambda: attempt_entry(destination, job.message, attempt, rows, seconds=seconds, at=now))
        if len(rows) < len(job.recipients):
            self._desk.look.set()
        settled = Settled(
            _holder(job.recipients), rows, entry, review_at=_review_at(job.message, rows), leaving=len(job.recipients)
        )
        is_due = self._desk.tools.notifier.is_due
        due = [each for each in outcomes if is_due(each)]
        if due:
            await self._tell(job.message, settled, due, content)
        else:
            self._desk.settler.add(settled)

    async def reviewed(self, group: Sequence[QueuedRecipient], state: DestinationState | None, now: Instant) -> None:
        """Recipients of one message and destination were looked at: some are late, and the time of some is over."""
        tools = self._desk.tools
        outcomes = [_looked_at(each, state, tools.schedule, now) for each in group]
        due = [
            each
            for each in outcomes
            if tools.notifier.is_due(each, is_review=True)
            and (each.fate.is_final or each.is_overdue or tools.schedule.is_delay_due(each.recipient, now))
        ]
        self._count(group[0].message, [each for each in outcomes if each.fate.is_final], now, attempts=0)
        told = {each.recipient.recipient_id for each in due}
        rows = reviewed(outcomes, tools.schedule, now)
        entry = None
        if due or any(each.fate.is_final for each in outcomes):
            entry = _made(lambda: review_entry(group[0].destination, group[0].message, outcomes, rows, told, at=now))
        review_at = _review_at(group[0].message, rows)
        settled = Settled(_holder(group), rows, entry, review_at=review_at, leaving=len(group))
        if due:
            await self._tell(group[0].message, settled, due, None)
        else:
            self._desk.settler.add(settled)

    def _count(self, message: QueuedMessage, outcomes: Iterable[Outcome], now: float, *, attempts: int) -> None:
        """What was found out by so many attempts, for who counts and for the log."""
        tally, say = self._desk.tools.tally, self._desk.tools.say
        for each in outcomes:
            fate = each.fate
            tally.attempts[fate] += attempts
            if fate is not _DEFERRED:
                tally.ended(fate, now - message.accepted_at)
            if say is not None:
                say(f"recipient {fate}", lines.tried(message, each, now, attempts=attempts))

    async def _tell(
        self, message: QueuedMessage, settled: Settled, due: Sequence[Outcome], content: bytes | None
    ) -> None:
        await self._desk.settler.tell(
            settled,
            frozenset(each.recipient.recipient_id for each in due),
            self._compose(message, settled.entry, due, content),
            self._desk.tools.notifier.discard,
        )
        self._desk.look.set()

    def _compose(
        self, message: QueuedMessage, entry: JournalEntry | None, due: Sequence[Outcome], content: bytes | None
    ) -> Compose:
        tools = self._desk.tools

        async def compose(wanted: frozenset[RecipientId]) -> Sequence[Acceptance]:
            octets = content if content is not None else await self._read_at_last(message)
            try:
                notices = await tools.notifier.notices(
                    [each for each in due if each.recipient.recipient_id in wanted], octets
                )
            except StoreError:
                raise
            except Exception:
                incident = token_hex(4)
                log.exception("a notification cannot be made", incident=incident)
                if entry is not None:
                    entry.facts["notifications"] = [f"none could be made, incident {incident}"]
                return ()
            if entry is not None:
                told = [tools.store.ids.text(each.message_id) for each in notices.acceptances]
                entry.facts["notifications"] = told + list(notices.undeliverable)
            return notices.acceptances

        return compose

    async def _read_at_last(self, message: QueuedMessage) -> bytes:
        for left in reversed(range(_MOST_READS)):
            try:
                return await self.read(message)
            except NotFound:  # the operator has removed it, and the commit will find that out
                break
            except StoreError as error:
                log.error("cannot read queued mail", reason=str(error))
                if left:
                    await self._desk.tools.sleep(1.0)
        return b""

    async def read(self, message: QueuedMessage) -> bytes:
        """Prefix and content of a message. Raises StoreError."""
        store, message_id = self._desk.tools.store, message.message_id
        return await store.read(lambda tx: queue.read_content(tx, store.content, message_id))

    def lacking(self, job: Job) -> None:
        """The content of a job is not there: mostly because the operator has removed the message, so nobody is told."""
        schedule, now = self._desk.tools.schedule, self._desk.tools.clock()
        rows = settlements([Outcome(each, Fate.DEFERRED, _LACKING) for each in job.recipients], schedule, now)
        self._desk.settler.add(Settled(_holder(job.recipients), rows, leaving=len(rows)))

    # What was not tried.

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Jobs that were taken out of their lanes go back to the store untried."""
        recipients: list[QueuedRecipient] = []
        for job in jobs:
            recipients += job.recipients
            self._desk.lanes.let_go(job)
        self.give_back(recipients)

    def give_back(self, recipients: Iterable[QueuedRecipient], *, is_counted: bool = True) -> None:
        """Claimed recipients go back to the store untried; those that are not counted never were in memory."""
        by_holder: dict[HolderId, list[RecipientId]] = {}
        for each in recipients:
            if each.holder is not None:
                by_holder.setdefault(each.holder, []).append(each.recipient_id)
        for holder, ids in by_holder.items():
            for start in range(0, len(ids), STEP):
                some = tuple(ids[start : start + STEP])
                leaving = len(some) if is_counted else 0
                self._desk.settler.add(Settled(holder, put_back=some, leaving=leaving))

    def admit(self, group: Sequence[QueuedRecipient], content: bytes | None = None) -> None:
        """Claimed recipients of one message and destination come into memory.

        Where its account has enough waiting there, they wait in the store until its rate lets them pass.
        """
        desk = self._desk
        account = desk.lanes.account_of(group[0].message)
        if account is None or account.has_room:
            desk.lanes.put(group, content)
            return
        schedule, now = desk.tools.schedule, desk.tools.clock()
        seconds = account.send_back(len(group), desk.tools.monotonic())
        rows = tuple(sent_back(each, schedule, now, seconds, _OVER_RATE) for each in group)
        desk.settler.add(Settled(_holder(group), rows))

    def move(self, recipients: Iterable[QueuedRecipient], *, is_counted: bool) -> list[QueuedRecipient]:
        """Those that the rules of now send elsewhere wait for that; gives the others."""
        moved: dict[tuple[HolderId, str], list[RecipientId]] = {}
        rest = []
        for each in recipients:
            other = self._elsewhere(each)
            if other is None:
                rest.append(each)
            else:
                moved.setdefault((_holder((each,)), other), []).append(each.recipient_id)
        now = Instant(self._desk.tools.clock())
        for (holder, other), ids in moved.items():
            leaving = len(ids) if is_counted else 0
            self._desk.settler.add(Settled(holder, moved=((other, tuple(ids)),), moved_at=now, leaving=leaving))
        return rest

    def is_elsewhere(self, recipient: QueuedRecipient) -> bool:
        """Whether the rules of now send it elsewhere than where it waits."""
        return self._elsewhere(recipient) is not None

    def _elsewhere(self, recipient: QueuedRecipient) -> str | None:
        if waits_for_time(recipient.destination):  # where it goes is asked then
            return None
        other = _made(lambda: self._desk.tools.reroute(recipient))
        return None if other == recipient.destination else other


def _made(make: Callable[[], T]) -> T | None:
    """What can be done without; None where it cannot be made."""
    try:
        return make()
    except Exception:
        log.exception("trouble with queued mail")
        return None


def _holder(recipients: Sequence[QueuedRecipient]) -> HolderId:
    holder = recipients[0].holder
    assert holder is not None, "what is in memory is claimed"
    return holder


def _completed(recipients: Sequence[QueuedRecipient], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome for each recipient, whatever an attempt gave."""
    known = {each.recipient.recipient_id: each for each in outcomes}
    return [known.get(each.recipient_id) or Outcome(each, Fate.DEFERRED, _UNSAID) for each in recipients]


def _looked_at(recipient: QueuedRecipient, state: DestinationState | None, schedule: Schedule, now: float) -> Outcome:
    is_over, is_late = schedule.is_over(recipient, now), is_overdue(recipient.message, now)
    last = recipient.last_reply or (state.last_reply if state is not None else None)
    if last is not None:
        reply, stage, is_remote = read_said(last)
    else:
        reply, stage, is_remote = OVERDUE if is_late else _EXPIRED if is_over else _WAITING, "", False
    is_late = is_late or (not is_over and is_by_due(recipient, now))
    fate = Fate.EXPIRED if is_over else Fate.DEFERRED
    return Outcome(recipient, fate, reply, is_remote, stage, is_overdue=is_late)


def overdue(job: Job) -> Attempt:
    """What is not tried: its sender wants it back by now (RFC 2852 §4.1.3)."""
    outcomes = [Outcome(each, Fate.EXPIRED, OVERDUE, is_overdue=True) for each in job.recipients]
    return Attempt(outcomes, tells_nothing=True)


def _review_at(message: QueuedMessage, rows: Sequence[Settlement]) -> Instant | None:
    """When somebody must look at the first of them to the second, for what their sender was promised."""
    if message.deliver_by is None:
        return None
    return min((each.review_at for each in rows if each.review_at is not None), default=None)
