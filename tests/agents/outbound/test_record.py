"""The rows and the journal's entry that an attempt leaves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.agents.outbound.plan import Trouble
from estafeta.agents.outbound.record import (
    MAX_REPLY,
    MAX_TOLD,
    MAX_TROUBLES,
    attempt_entry,
    read_said,
    review_entry,
    reviewed,
    said,
    sent_back,
    settlements,
)
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Notify
from estafeta.mail.reply import Reply
from estafeta.store.records import (
    ContentId,
    Fate,
    Instant,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)

NOW = 10_000.0
SCHEDULE = Schedule(RelaySettings(jitter=0.0), lambda: 0.5)
MESSAGE = QueuedMessage(MessageId(1), ContentId(1), ReversePath(Address.parse("ana@example.org")), Instant(NOW), 10)
HOST = HostFacts(
    "mx.example.com", "192.0.2.1:25", "TLSv1.3 TLS_AES_256_GCM_SHA384, by an authority, for mx.example.com"
)
LATER = Reply.of(451, "not now\nperhaps later", "4.3.2")


def recipient(number: int = 1, **more: object) -> QueuedRecipient:
    made = QueuedRecipient(
        RecipientId(number),
        MESSAGE,
        ForwardPath(Address.parse(f"u{number}@example.com")),
        "example.com",
        QueueStatus.ACTIVE,
        Instant(NOW),
        Instant(NOW + 14_400),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def outcome(
    fate: Fate, reply: Reply = LATER, *, of: QueuedRecipient | None = None, is_remote: bool = True, stage: str = "RCPT"
) -> Outcome:
    return Outcome(of or recipient(), fate, reply, is_remote, stage, HOST)


# Rows.


def test_what_is_put_off_waits_for_longer_each_time() -> None:
    rows = settlements(
        [outcome(Fate.DEFERRED, of=recipient(attempts=number)) for number in range(5)], SCHEDULE, NOW + 100
    )
    assert [row.next_attempt_at - NOW - 100 for row in rows] == [300, 900, 3600, 14_400, 14_400]
    assert {row.reply for row in rows} == {"451 4.3.2 not now perhaps later"}
    assert {row.review_at for row in rows} == {NOW + 14_400}
    assert all(row.counts_as_attempt for row in rows)


def test_the_last_attempt_is_made_when_the_time_is_over() -> None:
    [row] = settlements([outcome(Fate.DEFERRED, of=recipient(attempts=9))], SCHEDULE, NOW + 431_000)
    assert row.next_attempt_at == NOW + 432_000


@pytest.mark.parametrize("fate", [Fate.RELAYED, Fate.DELIVERED, Fate.FAILED, Fate.EXPIRED])
def test_what_has_come_to_its_end_has_no_next_time(fate: Fate) -> None:
    [row] = settlements([outcome(fate)], SCHEDULE, NOW)
    assert (row.fate, row.next_attempt_at) == (fate, Instant(0))


def test_a_customers_mail_waits_until_he_calls_again() -> None:
    waiting = recipient(destination="on-demand:example.com")
    [row] = settlements([outcome(Fate.DEFERRED, of=waiting)], SCHEDULE, NOW + 100)
    assert row.next_attempt_at == NOW + 100 + 432_000
    assert row.review_at == NOW + 14_400


def test_a_look_counts_as_no_attempt_and_changes_no_time_but_the_next_look() -> None:
    late, silent, over = (recipient(number, next_attempt_at=Instant(NOW + 7)) for number in (1, 2, 3))
    silent = replace(silent, notify=frozenset({Notify.FAILURE}))
    outcomes = [outcome(Fate.DEFERRED, of=late), outcome(Fate.DEFERRED, of=silent), outcome(Fate.EXPIRED, of=over)]
    first, second, third = reviewed(outcomes, SCHEDULE, NOW + 14_400)
    assert (first.is_delay_told, second.is_delay_told) == (True, False)
    assert {(row.next_attempt_at, row.review_at, row.counts_as_attempt) for row in (first, second)} == {
        (NOW + 7, NOW + 432_000, False)
    }
    assert third.fate is Fate.EXPIRED


def test_what_is_sent_back_untried_says_why_and_is_tried_before_its_time_is_over() -> None:
    reply = Reply.of(450, "too much", "4.7.1")
    row = sent_back(recipient(), SCHEDULE, NOW, 60.0, reply)
    assert (row.next_attempt_at, row.counts_as_attempt, row.reply) == (NOW + 60, False, "here: 450 4.7.1 too much")
    assert sent_back(recipient(), SCHEDULE, NOW, 1e9, reply).next_attempt_at == NOW + 432_000


# Replies.


@pytest.mark.parametrize(
    ("reply", "stage", "is_remote", "text"),
    [
        (Reply.of(451, "not now", "4.3.2"), "RCPT", True, "451 4.3.2 not now"),
        (Reply.of(421, "closing"), "MAIL", True, "421 closing"),
        (Reply.of(451, "nobody answers", "4.4.1"), "connect", False, "connect: 451 4.4.1 nobody answers"),
        (Reply.of(451, "a: b", "4.3.0"), "", False, "here: 451 4.3.0 a: b"),
    ],
)
def test_replies_are_read_as_they_were_said(reply: Reply, stage: str, is_remote: bool, text: str) -> None:
    assert said(outcome(Fate.DEFERRED, reply, stage=stage, is_remote=is_remote)) == text
    found, found_stage, was_remote = read_said(text)
    assert (found, was_remote) == (reply, is_remote)
    assert found_stage == ("" if is_remote else stage or "here")


@pytest.mark.parametrize(
    "text", ["", "nonsense", "a: b", "12 x", "99999999999999999999 x", "45", "²³⁴ x", "x: 4.5.6 7"]
)
def test_what_nobody_said_is_a_reply_of_ours(text: str) -> None:
    reply, _, is_remote = read_said(text)
    assert (reply.code, is_remote) == (451, False)
    assert text in str(reply)


def test_a_host_that_says_much_fills_no_row() -> None:
    many = Reply.of(451, "\n".join(["x" * 500] * 100))
    assert len(said(outcome(Fate.DEFERRED, many))) == MAX_REPLY
    [told] = entry([outcome(Fate.FAILED, many)])["recipients"]
    assert len(told["reply"]) == MAX_REPLY


# The journal.


def entry(outcomes: list[Outcome], troubles: tuple[Trouble, ...] = (), message: QueuedMessage = MESSAGE) -> dict:  # type: ignore[type-arg]
    rows = settlements(outcomes, SCHEDULE, NOW)
    made = attempt_entry("example.com", message, Attempt(outcomes, list(troubles)), rows, seconds=1.23456, at=NOW)
    assert made.message_id == MessageId(message.content_id)
    found: dict[str, object] = json.loads(json.dumps(made.facts))
    return found


def test_it_tells_of_each_recipient_what_who_and_when() -> None:
    outcomes = [outcome(Fate.RELAYED, Reply.of(250, "ok", "2.0.0")), outcome(Fate.DEFERRED, of=recipient(2))]
    assert entry(outcomes) == {
        "destination": "example.com",
        "recipients": [
            {
                "forward_path": "u1@example.com",
                "recipient_id": "0000000000001",
                "fate": "relayed",
                "host": "mx.example.com",
                "address": "192.0.2.1:25",
                "tls": HOST.tls,
                "reply": "250 2.0.0 ok",
                "stage": "RCPT",
            },
            {
                "forward_path": "u2@example.com",
                "recipient_id": "0000000000002",
                "fate": "deferred",
                "host": "mx.example.com",
                "address": "192.0.2.1:25",
                "tls": HOST.tls,
                "reply": "451 4.3.2 not now perhaps later",
                "stage": "RCPT",
                "next_attempt_at": NOW + 300,
            },
        ],
        "seconds": 1.235,
        "ended": "1 relayed, 1 deferred",
    }


def test_it_tells_of_the_hosts_that_were_in_the_way() -> None:
    trouble = Trouble("mx1.example.com", "192.0.2.9:25", "connect", Reply.of(451, "refused", "4.4.1"))
    [told] = entry([outcome(Fate.FAILED)], (trouble,))["troubles"]
    assert told == {
        "host": "mx1.example.com",
        "address": "192.0.2.9:25",
        "stage": "connect",
        "reply": "451 4.4.1 refused",
    }


def test_another_envelope_is_told_of_under_the_mail_object_that_was_accepted() -> None:
    other = replace(MESSAGE, message_id=MessageId(2), reverse_path=ReversePath(Address.parse("owner@example.org")))
    assert entry([outcome(Fate.FAILED)], message=other)["reverse_path"] == "owner@example.org"


def test_it_does_not_grow_without_limit() -> None:
    long = Trouble("h" * 5000, "a" * 5000, "connect", Reply.of(451, "x" * 5000))
    wide = HostFacts("h" * 5000, "a" * 5000, "t" * 5000)
    outcomes = [replace(outcome(Fate.FAILED, of=recipient(number)), host=wide) for number in range(MAX_TOLD + 7)]
    told = entry(outcomes, (long,) * 500)
    assert told["recipients_left_out"] == len(told["ended_left_out"]) == 7
    assert len(told["troubles"]) == MAX_TROUBLES
    assert told["ended"] == "failed"
    assert len(json.dumps(told)) < 300_000


def test_a_look_is_told_of_with_who_was_told() -> None:
    late, over = outcome(Fate.DEFERRED), outcome(Fate.EXPIRED, of=recipient(2))
    rows = reviewed([late, over], SCHEDULE, NOW + 14_400)
    made = review_entry("example.com", MESSAGE, [late, over], rows, {RecipientId(1)}, at=NOW)
    facts = json.loads(json.dumps(made.facts))
    assert facts["ended"] == "looked at"
    assert [each.get("told") for each in facts["recipients"]] == ["the sender was told of the delay", None]
