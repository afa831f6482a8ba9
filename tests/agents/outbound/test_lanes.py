"""How much comes into memory, for whom, and what is remembered of destinations."""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.agents.outbound.lanes import LEAST_SHARE, Lanes
from estafeta.agents.outbound.settings import DestinationLimit, RelaySettings
from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.store.records import (
    ContentId,
    Instant,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(time: Time | None = None, limits: Iterable[DestinationLimit] = (), **settings: int) -> Lanes:
    time = time or Time()
    return Lanes(RelaySettings(**settings), tuple(limits), clock=time, monotonic=time)  # type: ignore[arg-type]


def message(source: str = "ana@example.org", number: int = 1, account: str | None = None) -> QueuedMessage:
    path = ReversePath(Address.parse(source))
    return QueuedMessage(MessageId(number), ContentId(number), path, Instant(0), 10, account=account)


def recipients(count: int, destination: str = "one.example", **of: object) -> list[QueuedRecipient]:
    one = message(**of)  # type: ignore[arg-type]
    return [
        QueuedRecipient(
            RecipientId(number),
            one,
            ForwardPath(Address.parse(f"u{number}@{destination}")),
            destination,
            QueueStatus.ACTIVE,
            Instant(0),
            None,
        )
        for number in range(count)
    ]


def test_a_destination_gets_a_part_of_the_room_that_is_left() -> None:
    lanes = make(in_memory=1000)
    assert lanes.room_at("one.example") == 250
    lanes.put(recipients(250))
    assert lanes.room_at("one.example") <= 0
    assert lanes.room_at("two.example") == 187
    lanes.put(recipients(735, "three.example"))
    assert lanes.room_at("four.example") == LEAST_SHARE
    lanes.put(recipients(10, "four.example"))
    assert lanes.room_at("five.example") == 5
    lanes.put(recipients(5, "five.example"))
    assert lanes.room == lanes.room_at("six.example") == 0


def test_a_limited_destination_gets_no_more_than_passes_in_a_minute() -> None:
    lanes = make(limits=[DestinationLimit("one.example", recipients_per_minute=30)])
    assert lanes.room_at("one.example") == 30


def test_a_sender_with_nothing_there_gets_in_where_another_has_filled_the_share() -> None:
    lanes = make(in_memory=100)
    for number in range(25):
        lanes.put(recipients(1, source="news@example.org", number=number))
    assert not lanes.has_room_for("one.example", message("news@example.org"))
    assert lanes.has_room_for("one.example", message("luis@example.org"))
    lane = lanes.find("one.example")
    assert lane is not None and lane.has_more
    lanes.put(recipients(75, "two.example"))
    assert not lanes.has_room_for("one.example", message("luis@example.org"))
    assert lanes.has_more


def test_content_is_kept_while_there_is_room_and_counted_until_it_is_let_go() -> None:
    lanes = make(content_in_memory=25, recipients_per_message=2)
    lane = lanes.put(recipients(2), b"x" * 20)
    lanes.put(recipients(2), b"x" * 20)
    assert lanes.octets == 20
    first, second = lanes.take(lane), lanes.take(lane)
    assert first is not None and second is not None
    assert (first.content, second.content) == (b"x" * 20, None)
    lanes.let_go(first)
    lanes.let_go(first)
    lanes.let_go(second)
    assert lanes.octets == 0


def test_what_waits_of_an_account_is_counted_however_it_leaves() -> None:
    lanes = make(account_messages_per_hour=1000)
    account = lanes.account_of(message(account="ana@example.org"))
    assert account is not None
    lane = lanes.put(recipients(3, account="ana@example.org"))
    lanes.put(recipients(2, number=2, account="ana@example.org"))
    lanes.put(recipients(4, "two.example", number=3, account="ana@example.org"))
    assert account.waiting == 9
    assert lanes.take(lane) is not None
    assert account.waiting == 6
    lanes.take_out(lambda each: each.message.message_id == 2)
    assert account.waiting == 4
    lanes.clear(lanes.lane("two.example"))
    assert account.waiting == 0


def test_new_settings_count_what_waits_already() -> None:
    lanes = make()
    lanes.put(recipients(3, account="ana@example.org"))
    lanes.replace(RelaySettings(account_messages_per_hour=10), [DestinationLimit("*", 2, recipients_per_minute=6)])
    assert lanes.accounts["ana@example.org"].waiting == 3
    lane = lanes.lane("one.example")
    assert lane.limit.concurrency == 2
    assert lane.meter is not None


def test_a_destination_that_was_dead_is_doubted_when_it_comes_again() -> None:
    time = Time()
    lanes = make(time)
    lanes.block("one.example", 100.0, 3)
    assert lanes.is_blocked("one.example")
    assert not lanes.has_room_for("one.example", message())
    time.now = 100.0
    assert not lanes.is_blocked("one.example")
    lane = lanes.lane("one.example")
    assert (lane.is_doubtful, lane.window, lane.failures) == (True, 1.0, 3)


def test_nothing_is_remembered_for_ever() -> None:
    time = Time()
    lanes = make(time, [DestinationLimit("*", recipients_per_minute=6)], account_messages_per_hour=10)
    for number in range(5):
        lane = lanes.put(recipients(1, f"d{number}.example", number=number, account="ana@example.org"))
        assert lanes.take(lane) is not None or number
        lanes.block(f"d{number}.example", 10.0, 1)
    for lane in lanes:
        lanes.clear(lane)
        lane.count = 0
    time.now = 50.0
    lanes.tidy()
    assert len(lanes) == 5
    time.now = 10_000.0
    lanes.tidy()
    assert len(lanes) == 0
    assert not lanes.accounts
    assert not lanes.lane("d1.example").is_doubtful
