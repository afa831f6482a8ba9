"""When mail is tried again, and when it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from estafeta.agents.outbound.schedule import Schedule
from estafeta.agents.outbound.settings import RelaySettings
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Notify
from estafeta.store.records import (
    ContentId,
    Instant,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)

_MESSAGE = QueuedMessage(MessageId(1), ContentId(1), ReversePath(Address.parse("ana@example.org")), Instant(1000), 10)
_RECIPIENT = QueuedRecipient(
    RecipientId(2),
    _MESSAGE,
    ForwardPath(Address.parse("luis@example.com")),
    "example.com",
    QueueStatus.ACTIVE,
    Instant(1000),
    None,
)


def _schedule(chance: float = 0.5, **settings: object) -> Schedule:
    return Schedule(replace(RelaySettings(), **settings), lambda: chance)  # type: ignore[arg-type]


@pytest.mark.rfc("5321 §4.5.4.1", "The waits between attempts grow, and the last one repeats.")
def test_waits_grow_and_the_last_one_repeats() -> None:
    waits = [_schedule().next_attempt(attempts, 1000.0) - 1000 for attempts in range(1, 7)]
    assert waits == [300, 900, 3600, 14400, 14400, 14400]


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 270), (1.0, 330)])
def test_chance_moves_a_wait_by_the_jitter(chance: float, wait: float) -> None:
    assert float(_schedule(chance).next_attempt(1, 0.0)) == pytest.approx(wait)


def test_a_dead_destination_is_asked_once_an_hour_at_least() -> None:
    assert float(_schedule().block(1, 0.0)) == 300
    assert float(_schedule().block(9, 0.0)) == 3600


def test_it_expires_after_five_days() -> None:
    assert float(_schedule().expires_at(_RECIPIENT)) == 1000 + 5 * 86400


def test_the_sender_hears_of_a_delay_once_after_four_hours() -> None:
    schedule = _schedule()
    assert float(schedule.review_at(_RECIPIENT)) == 1000 + 4 * 3600
    assert float(schedule.review_at(replace(_RECIPIENT, is_delay_told=True))) == 1000 + 5 * 86400


@pytest.mark.parametrize(
    "recipient",
    [
        replace(_RECIPIENT, notify=frozenset({Notify.NEVER})),
        replace(_RECIPIENT, notify=frozenset({Notify.FAILURE})),
        replace(_RECIPIENT, message=replace(_MESSAGE, reverse_path=NULL_REVERSE_PATH)),
    ],
)
def test_who_did_not_ask_hears_of_none(recipient: QueuedRecipient) -> None:
    assert float(_schedule().review_at(recipient)) == 1000 + 5 * 86400


def test_notices_of_delay_can_be_turned_off() -> None:
    assert float(_schedule(delay_notice_after=0.0).review_at(_RECIPIENT)) == 1000 + 5 * 86400
