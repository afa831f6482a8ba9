"""Turns, windows and rates of one destination."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from estafeta.agents.outbound.lane import Job, Lane, source_of
from estafeta.agents.outbound.rates import Meter
from estafeta.agents.outbound.settings import DestinationLimit
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.routing.destinations import Destination
from estafeta.store.records import (
    ContentId,
    Instant,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)


def _lane(window: float = 5.0, concurrency: int = 20) -> Lane:
    return Lane(Destination.parse("example.com"), DestinationLimit("*", concurrency), window)


def _message(number: int, source: str = "ana@example.org", **more: Any) -> QueuedMessage:
    return QueuedMessage(
        message_id=MessageId(number),
        content_id=ContentId(number + 500),
        reverse_path=ReversePath(Address.parse(source)),
        accepted_at=Instant(0),
        size=10,
        **more,
    )


def _job(number: int, source: str = "ana@example.org", *, recipients: int = 1, **more: Any) -> Job:
    message = _message(number, source, **more)
    rows = [
        QueuedRecipient(
            recipient_id=RecipientId(number * 1000 + each),
            message=message,
            forward_path=ForwardPath(Address.parse(f"u{each}@example.com")),
            destination="example.com",
            status=QueueStatus.ACTIVE,
            next_attempt_at=Instant(0),
            review_at=None,
        )
        for each in range(recipients)
    ]
    return Job(message, rows)


def _taken(lane: Lane, number: int, meters: dict[str, Meter] | None = None, now: float = 0.0) -> list[int]:
    found: list[int] = []
    for _ in range(number):
        job = lane.take(meters or {}, now)
        if job is None:
            break
        found.append(job.message.message_id)
    return found


def test_a_huge_mailing_does_not_hold_up_others() -> None:
    lane = _lane()
    for number in range(1, 101):
        lane.add(_job(number, "news@example.org"))
    lane.add(_job(200, "ana@example.org"))
    lane.add(_job(201, "ana@example.org"))
    assert _taken(lane, 5) == [1, 200, 2, 201, 3]


def test_the_higher_priority_goes_first() -> None:
    lane = _lane()
    lane.add(_job(1))
    lane.add(_job(2, priority=-3))
    lane.add(_job(3, priority=4))
    assert _taken(lane, 3) == [3, 1, 2]


def test_all_that_is_put_in_comes_out_once() -> None:
    lane = _lane()
    for number in range(1, 8):
        lane.add(_job(number, f"u{number % 3}@example.org", priority=number % 2, recipients=3))
    assert lane.count == 21
    assert sorted(_taken(lane, 10)) == [1, 2, 3, 4, 5, 6, 7]
    assert not lane.has_waiting


def test_the_window_grows_by_one_for_each_window_of_successes_up_to_the_limit() -> None:
    lane = _lane(5.0, concurrency=7)
    for _ in range(5):
        lane.succeeded()
    assert 5.8 < lane.window <= 6
    for _ in range(100):
        lane.succeeded()
    assert lane.window == 7


@pytest.mark.rfc("5321 §4.5.4.1", "A destination that did not answer is taken for dead at once.")
def test_a_destination_that_never_answered_is_dead_at_its_first_failure() -> None:
    assert _lane().failed()


def test_one_that_answered_before_is_dead_when_its_window_is_used_up() -> None:
    lane = _lane(3.0)
    lane.succeeded()
    assert [lane.failed() for _ in range(3)] == [False, False, True]
    assert lane.window == 1
    assert lane.failures == 3
    lane.succeeded()
    assert lane.failures == 0


@pytest.mark.parametrize(("running", "wants"), [(0, True), (4, True), (5, False)])
def test_couriers_are_wanted_within_the_window(running: int, wants: bool) -> None:
    lane = _lane()
    lane.add(_job(1))
    lane.running = running
    assert lane.wants_courier is wants


def test_a_rate_lets_a_burst_of_a_tenth_pass_and_then_its_number_a_minute() -> None:
    lane = _lane()
    lane.meter = Meter(60, 60.0, now=0.0)
    for number in range(1, 21):
        lane.add(_job(number))
    assert len(_taken(lane, 20)) == 6
    assert lane.waits_until == pytest.approx(1.0)
    assert len(_taken(lane, 20, now=2.0)) == 2


def test_a_sender_over_its_rate_does_not_hold_up_others() -> None:
    lane = _lane()
    meters = {"ana@example.org": Meter(10, 3600.0, now=0.0)}
    for number in range(1, 4):
        lane.add(_job(number, account="ana@example.org"))
    lane.add(_job(9, "luis@example.org"))
    assert _taken(lane, 10, meters) == [1, 9]
    assert lane.has_waiting
    assert lane.waits_until == pytest.approx(360.0)
    assert _taken(lane, 10, meters, now=361.0) == [2]


def test_a_sender_that_comes_while_others_wait_for_their_rate_need_not_wait() -> None:
    lane = _lane()
    meters = {"ana@example.org": Meter(10, 3600.0, now=0.0)}
    lane.add(_job(1, account="ana@example.org"))
    lane.add(_job(2, account="ana@example.org"))
    assert _taken(lane, 10, meters) == [1]
    assert lane.waits_until
    lane.add(_job(9, "luis@example.org"))
    assert not lane.waits_until
    assert _taken(lane, 10, meters) == [9]


def test_mail_from_outside_in_the_name_of_an_account_does_not_count_for_it() -> None:
    lane = _lane()
    meters = {"ana@example.org": Meter(10, 3600.0, now=0.0)}
    for number in range(1, 4):
        lane.add(_job(number, "ana@example.org"))
    assert _taken(lane, 10, meters) == [1, 2, 3]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("bounces+1=x=example.com@news.example", "bounces+2=y=example.com@news.example", True),
        ("bounce-123-x@news.example", "bounce-124-y@news.example", True),
        ("m1@news.example", "m2@news.example", True),
        ("ana@example.org", "luis@example.org", False),
        ("ana@example.org", "ana@example.net", False),
    ],
)
def test_a_mailing_has_one_turn_though_each_recipient_gets_an_address_of_his_own(
    one: str, other: str, is_same: bool
) -> None:
    assert (source_of(_message(1, one)) == source_of(_message(2, other))) is is_same


def test_notifications_take_turns_as_one_sender() -> None:
    null = [replace(_message(number), reverse_path=NULL_REVERSE_PATH) for number in (1, 2)]
    assert source_of(null[0]) == source_of(null[1])


def _ids(jobs: list[Job]) -> list[int]:
    return sorted(each.recipient_id for job in jobs for each in job.recipients)


def test_recipients_are_taken_out_and_the_others_keep_their_turns() -> None:
    lane = _lane()
    lane.add(_job(1, recipients=3))
    lane.add(_job(2, recipients=2))
    lane.add(_job(3, "luis@example.org"))
    lane.add(_job(4, "eva@example.org"))
    taken = lane.take_out(lambda each: each.recipient_id in (1001, 3000) or each.message.message_id == 2)
    assert _ids(taken) == [1001, 2000, 2001, 3000]
    assert lane.count == 3
    job = lane.take({}, 0.0)
    assert job is not None
    assert [each.recipient_id for each in job.recipients] == [1000, 1002]
    assert _taken(lane, 5) == [4]
    assert not lane.has_waiting


def test_a_content_stays_with_the_recipients_that_stay() -> None:
    lane = _lane()
    job = _job(1, recipients=2)
    job.content = b"x"
    lane.add(job)
    [taken] = lane.take_out(lambda each: each.recipient_id == 1001)
    assert taken.content is None
    assert [each.content for each in lane.jobs()] == [b"x"]
    [taken] = lane.take_out(lambda each: True)
    assert taken.content == b"x"


def test_no_more_couriers_start_than_there_are_jobs() -> None:
    lane = _lane()
    lane.add(_job(1))
    lane.running = lane.starting = 1
    assert not lane.wants_courier
    lane.add(_job(2))
    assert lane.wants_courier


def test_what_is_cleared_is_no_longer_counted() -> None:
    lane = _lane()
    lane.add(_job(1, recipients=3))
    lane.add(_job(2, "b@example.org"))
    assert [job.message.message_id for job in lane.clear()] == [1, 2]
    assert lane.count == 0


def test_limits_fit_domains_and_all_below_them() -> None:
    assert DestinationLimit(".example.com").fits("mail.example.com")
    assert not DestinationLimit(".example.com").fits("example.com")
    assert DestinationLimit("*").fits("gateway:office")
    assert replace(DestinationLimit("example.com"), concurrency=3).fits("example.com")
