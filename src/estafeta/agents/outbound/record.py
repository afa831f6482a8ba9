"""What an attempt leaves behind: the rows of its recipients, and the journal's entry."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.agents.outbound.outcome import Outcome
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule
from estafeta.mail.reply import EnhancedStatusCode, Reply
from estafeta.store.records import EntryKind, Fate, Instant, JournalEntry, MessageId, QueuedMessage, Settlement

MAX_REPLY = 1000
"""Characters of a reply that are kept; hosts may say more."""
MAX_TOLD = 100
"""Recipients of one attempt that the journal names."""


def settlements(
    outcomes: Sequence[Outcome], schedule: Schedule, now: float, *, is_review: bool = False
) -> tuple[Settlement, ...]:
    """The recipients' rows after an attempt, or after they were looked at."""
    return tuple(_settlement(each, schedule, now, is_review) for each in outcomes)


def _settlement(outcome: Outcome, schedule: Schedule, now: float, is_review: bool) -> Settlement:
    recipient = outcome.recipient
    if outcome.fate is not Fate.DEFERRED:
        return Settlement(recipient.recipient_id, outcome.fate)
    if is_review:
        expires_at = schedule.expires_at(recipient)
        return Settlement(
            recipient.recipient_id, outcome.fate, None, recipient.next_attempt_at, expires_at, False, True
        )
    next_at = schedule.next_attempt(recipient.attempts + 1, now)
    return Settlement(
        recipient.recipient_id,
        outcome.fate,
        said(outcome),
        min(next_at, schedule.expires_at(recipient)),
        schedule.review_at(recipient),
        is_delay_told=recipient.is_delay_told,
    )


def said(outcome: Outcome) -> str:
    """The reply as the queue keeps it: a host's as it was, our own words behind the stage that they are of."""
    text = str(outcome.reply)[:MAX_REPLY]
    return text if outcome.is_remote else f"{outcome.stage or 'here'}: {text}"


def read_said(text: str) -> tuple[Reply, str, bool]:
    """What `said` gave: the reply, its stage, and whether a host said it."""
    stage, colon, rest = ("", "", text) if text[:3].isdecimal() else text.partition(": ")
    code, _, words = rest.partition(" ")
    if not code.isdecimal():
        return Reply.of(451, text), stage, False
    try:
        status, _, more = words.partition(" ")
        return Reply(int(code), EnhancedStatusCode.parse(status), (more,)), stage, not colon
    except ValueError:
        return Reply.of(int(code), words), stage, not colon


def attempt_entry(
    destination: str,
    message: QueuedMessage,
    attempt: Attempt,
    rows: Sequence[Settlement],
    *,
    seconds: float,
    at: float,
    is_review: bool = False,
) -> JournalEntry:
    """The journal's row: every host that was asked, and what became of each recipient."""
    facts: dict[str, object] = {"destination": destination}
    if int(message.message_id) != int(message.content_id):
        facts["reverse_path"] = str(message.reverse_path)
    if attempt.troubles:
        facts["troubles"] = [trouble.facts() for trouble in attempt.troubles]
    facts["recipients"] = [
        _told(outcome, row, is_review)
        for outcome, row in zip(attempt.outcomes[:MAX_TOLD], rows[:MAX_TOLD], strict=True)
    ]
    if len(rows) > MAX_TOLD:
        facts["recipients_left_out"] = len(rows) - MAX_TOLD
    facts["seconds"] = round(seconds, 3)
    facts["ended"] = "looked at" if is_review else _ended(attempt.outcomes)
    return JournalEntry(EntryKind.ATTEMPT, Instant(at), None, MessageId(message.content_id), facts)


def _told(outcome: Outcome, row: Settlement, is_review: bool) -> dict[str, object]:
    told: dict[str, object] = {"forward_path": str(outcome.recipient.forward_path), "fate": outcome.fate.value}
    if outcome.host is not None:
        told["host"] = outcome.host.name
        if outcome.host.address:
            told["address"] = outcome.host.address
        if outcome.host.tls:
            told["tls"] = outcome.host.tls
    told["reply"] = str(outcome.reply)[:MAX_REPLY]
    if outcome.stage:
        told["stage"] = outcome.stage
    if outcome.fate is Fate.DEFERRED:
        told["next_attempt_at"] = row.next_attempt_at
    if is_review and outcome.fate is Fate.DEFERRED:
        told["told"] = "the sender was told of the delay"
    return told


def _ended(outcomes: Sequence[Outcome]) -> str:
    """One word for all, or each with its number."""
    counts: dict[str, int] = {}
    for each in outcomes:
        counts[each.fate.value] = counts.get(each.fate.value, 0) + 1
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{n} {fate}" for fate, n in counts.items())
