"""What an attempt leaves behind: the rows of its recipients, and the journal's entry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.plan import Trouble
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule
from estafeta.mail.envelope import Notify
from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.routing.destinations import LATER, Destination, DestinationKind
from estafeta.store.ids import IdSource
from estafeta.store.records import (
    EntryKind,
    Fate,
    Instant,
    JournalEntry,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    RecipientId,
    Settlement,
)

MAX_REPLY = 1000
"""Characters of a reply that are kept; hosts may say more."""
MAX_TOLD = 100
"""Recipients of one attempt that the journal names."""
MAX_TROUBLES = 50
"""Hosts that were in the way of one attempt; a plan has fewer."""
# To reach for a member of an enum costs a call in Python 3.11.
_DEFERRED = Fate.DEFERRED
_ATTEMPT = EntryKind.ATTEMPT
_MAX_WORD = 255
"""Characters of a host's name, of its TLS and the like."""


# Rows.


def settlements(outcomes: Sequence[Outcome], schedule: Schedule, now: float) -> tuple[Settlement, ...]:
    """The recipients' rows after an attempt."""
    return tuple(_settlement(each, schedule, now) for each in outcomes)


def _settlement(outcome: Outcome, schedule: Schedule, now: float) -> Settlement:
    recipient = outcome.recipient
    if outcome.fate is not _DEFERRED:
        return Settlement(recipient.recipient_id, outcome.fate)
    if waits_for_call(recipient.destination):
        # Behind all that was not tried yet, and not before the customer calls: its end is found by its review.
        next_at = Instant(now + schedule.settings.lifetime)
    else:
        next_at = min(schedule.next_attempt(recipient.attempts + 1, now), schedule.expires_at(recipient))
    return Settlement(
        recipient.recipient_id,
        outcome.fate,
        said(outcome),
        next_at,
        schedule.review_at(recipient),
        is_delay_told=recipient.is_delay_told,
        is_by_told=recipient.is_by_told,
    )


def waits_for_time(destination: str) -> bool:
    """Whether what waits there is held until its time comes."""
    return destination == LATER


def waits_for_call(destination: str) -> bool:
    """Whether mail for a destination waits until its customer calls."""
    return destination.startswith("on-") and Destination.parse(destination).kind is DestinationKind.ON_DEMAND


def reviewed(outcomes: Sequence[Outcome], schedule: Schedule, now: float) -> tuple[Settlement, ...]:
    """The rows of recipients that were looked at; what was due for a notice is not due again, told or not."""
    rows = []
    for outcome in outcomes:
        recipient = outcome.recipient
        if outcome.fate is not Fate.DEFERRED:
            rows.append(Settlement(recipient.recipient_id, outcome.fate))
            continue
        looked_at = replace(
            recipient,
            is_delay_told=recipient.is_delay_told or schedule.is_delay_due(recipient, now),
            is_by_told=recipient.is_by_told or outcome.is_overdue,
        )
        rows.append(
            Settlement(
                recipient.recipient_id,
                outcome.fate,
                None,
                recipient.next_attempt_at,
                schedule.review_at(looked_at),
                counts_as_attempt=False,
                is_delay_told=looked_at.is_delay_told,
                is_by_told=looked_at.is_by_told,
            )
        )
    return tuple(rows)


def sent_back(recipient: QueuedRecipient, schedule: Schedule, now: float, seconds: float, reply: Reply) -> Settlement:
    """The row of a recipient that was not tried, and waits in the store for so long."""
    next_at = Instant(min(now + seconds, schedule.expires_at(recipient)))
    review_at = schedule.review_at(recipient)
    text = f"here: {reply}"
    return Settlement(recipient.recipient_id, Fate.DEFERRED, text, next_at, review_at, counts_as_attempt=False)


# Replies, as rows keep them.


def said(outcome: Outcome) -> str:
    """The reply as the queue keeps it: a host's as it was, our own words behind the stage that they are of."""
    text = _cut(outcome.reply)
    return text if outcome.is_remote else f"{outcome.stage or 'here'}: {text}"


def read_said(text: str) -> tuple[Reply, str, bool]:
    """What `said` gave: the reply, its stage, and whether a host said it."""
    is_remote = text[:3].isdecimal()
    stage, _, rest = ("", "", text) if is_remote else text.partition(": ")
    code, _, words = rest.partition(" ")
    if not (len(code) == 3 and code.isdecimal()):
        return Reply.of(451, text), "", False
    status, _, more = words.partition(" ")
    try:
        return Reply(int(code), EnhancedStatusCode.parse(status), (more,)), stage, is_remote
    except ValueError:
        return Reply(int(code), None, (words,)), stage, is_remote


def _cut(reply: Reply) -> str:
    return str(reply)[:MAX_REPLY]


# The journal.


def attempt_entry(
    destination: str, message: QueuedMessage, attempt: Attempt, rows: Sequence[Settlement], *, seconds: float, at: float
) -> JournalEntry:
    """The journal's row of an attempt: every host that was asked, and what became of each recipient."""
    facts: dict[str, object] = {"destination": destination}
    if int(message.message_id) != int(message.content_id):
        facts["reverse_path"] = str(message.reverse_path)
    if attempt.troubles:
        facts["troubles"] = [_trouble(each) for each in attempt.troubles[:MAX_TROUBLES]]
    told = [_told(each, row) for each, row in zip(attempt.outcomes[:MAX_TOLD], rows[:MAX_TOLD], strict=True)]
    return _entry(facts, message, told, attempt.outcomes, at=at, ended=_ended(attempt.outcomes), seconds=seconds)


def review_entry(
    destination: str,
    message: QueuedMessage,
    outcomes: Sequence[Outcome],
    rows: Sequence[Settlement],
    told: Collection[RecipientId],
    *,
    at: float,
) -> JournalEntry:
    """The journal's row of a look at recipients that were not tried now; `told`: those whose sender hears of it."""
    facts: dict[str, object] = {"destination": destination}
    recipients = []
    for outcome, row in zip(outcomes[:MAX_TOLD], rows[:MAX_TOLD], strict=True):
        fact = _told(outcome, row)
        if outcome.fate is Fate.DEFERRED and outcome.recipient.recipient_id in told:
            fact["told"] = f"the sender was told {'that its time is over' if outcome.is_overdue else 'of the delay'}"
        recipients.append(fact)
    return _entry(facts, message, recipients, outcomes, at=at, ended="looked at", seconds=0.0)


def _entry(
    facts: dict[str, object],
    message: QueuedMessage,
    recipients: list[dict[str, object]],
    outcomes: Sequence[Outcome],
    *,
    at: float,
    ended: str,
    seconds: float,
) -> JournalEntry:
    facts["recipients"] = recipients
    if len(outcomes) > len(recipients):
        facts["recipients_left_out"] = len(outcomes) - len(recipients)
        facts["ended_left_out"] = [
            IdSource.text(each.recipient.recipient_id) for each in outcomes[len(recipients) :] if each.fate.is_final
        ]
    facts["seconds"] = round(seconds, 3)
    facts["ended"] = ended
    return JournalEntry(_ATTEMPT, Instant(at), None, MessageId(message.content_id), facts)


def merged_entry(recipient: QueuedRecipient, destination: str, *, at: float) -> JournalEntry:
    """The journal's row of a recipient that was sent to a destination where it waits already."""
    facts: dict[str, object] = {
        "destination": destination,
        "recipients": [
            {
                "forward_path": str(recipient.forward_path),
                "recipient_id": IdSource.text(recipient.recipient_id),
                "fate": "merged",
                "reply": "it waits there already",
            }
        ],
        "ended": "merged",
    }
    return JournalEntry(EntryKind.ATTEMPT, Instant(at), None, MessageId(recipient.message.content_id), facts)


def _trouble(trouble: Trouble) -> dict[str, object]:
    return {
        "host": trouble.host[:_MAX_WORD],
        "address": trouble.address[:_MAX_WORD],
        "stage": trouble.stage,
        "reply": _cut(trouble.reply),
    }


def _told(outcome: Outcome, row: Settlement) -> dict[str, object]:
    recipient = outcome.recipient
    told: dict[str, object] = {
        "forward_path": str(recipient.forward_path),
        "recipient_id": IdSource.text(recipient.recipient_id),
        "fate": outcome.fate,
    }
    if recipient.notify is not None:
        told["notify"] = ",".join(word for word in Notify if word in recipient.notify)
    host = outcome.host
    if host is not None:
        told["host"] = host.name[:_MAX_WORD]
        if host.address:
            told["address"] = host.address[:_MAX_WORD]
        if host.tls:
            told["tls"] = host.tls[:_MAX_WORD]
    told["reply"] = _cut(outcome.reply)
    if outcome.stage:
        told["stage"] = outcome.stage
    if outcome.fate is _DEFERRED:
        told["next_attempt_at"] = row.next_attempt_at
    return told


def _ended(outcomes: Sequence[Outcome]) -> str:
    """One word for all, or each with its number."""
    if len(outcomes) == 1:
        return outcomes[0].fate
    counts: dict[str, int] = {}
    for each in outcomes:
        counts[each.fate] = counts.get(each.fate, 0) + 1
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{n} {fate}" for fate, n in counts.items())
