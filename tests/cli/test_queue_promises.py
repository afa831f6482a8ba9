"""Mail with promises in the queue: held until later, with a time for delivery, with a priority; as it is shown."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.cli.conftest import Operator, TakeIn

from estafeta.cli.output import instant, moment
from estafeta.mail.envelope import ByMode
from estafeta.routing.destinations import LATER
from estafeta.store.ids import IdSource
from estafeta.store.records import Deadline, Instant

THEN = Instant(float(int(time.time()) + 3600))
HELD: dict[str, Any] = {
    "envelope": {"hold": "for;3600", "release_at": THEN},
    "waiting": {"destination": LATER, "next_attempt_at": THEN},
}


def test_held_mail_is_listed_and_shown(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=("luis@example.org",), **HELD))
    [line] = office.done("queue", "list").splitlines()[1:2]
    assert f"held until {moment(THEN)}" in line
    shown = office.done("queue", "show", queue_id)
    assert f"held until  {moment(THEN)}, as its sender asked (for;3600)" in shown
    assert f"next      held until {moment(THEN)}" in shown
    [one] = office.json("queue", "show", queue_id)
    assert (one["held_until"], one["hold_request"], one["deliver_by"]) == (instant(THEN), "for;3600", None)
    assert [each["message_id"] for each in office.json("queue", "list", "--destination", "later:")] == [queue_id]
    traced = office.done("trace", queue_id)
    assert f"queued for <luis@example.org>: active, held until {moment(THEN)}" in traced
    [*_, last] = office.json("trace", queue_id)
    assert last["now"][0]["held_until"] == instant(THEN)


@pytest.mark.parametrize("command", ["release", "retry"])
def test_it_can_be_let_go_before_its_time(office: Operator, take_in: TakeIn, command: str) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=("luis@example.org", "ana@example.org"), **HELD))
    office.done("queue", command, queue_id)
    assert all(each["next_attempt_at"] < instant(THEN) for each in office.json("queue", "list"))


def test_it_can_be_removed_for_good(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=("luis@example.org",), **HELD))
    office.done("queue", "remove", "--yes", queue_id)
    assert office.json("queue", "list") == []


def test_held_mail_is_not_flushed_all_at_once(office: Operator, take_in: TakeIn) -> None:
    take_in(to=(), relay=("luis@example.org",), **HELD)
    assert "estafeta queue release" in office.refused("queue", "flush", "later:")
    [one] = office.json("queue", "list")
    assert one["next_attempt_at"] == instant(THEN)


@pytest.mark.parametrize(
    ("deadline", "words", "then"),
    [
        (Deadline(THEN, ByMode.RETURN), "or it goes back", "return"),
        (Deadline(THEN, ByMode.NOTIFY, True), "or the sender is told; each relaying is told", "notify"),
    ],
)
def test_the_time_for_delivery_is_shown(
    office: Operator, take_in: TakeIn, deadline: Deadline, words: str, then: str
) -> None:
    waiting = {"is_by_told": deadline.is_traced}
    queue_id = IdSource.text(
        take_in(to=(), relay=("a@example.net",), envelope={"deliver_by": deadline}, waiting=waiting)
    )
    shown = office.done("queue", "show", queue_id)
    assert f"deliver by  {moment(THEN)}, {words}" in shown
    assert ("the time to deliver it is over, and the sender was told" in shown) is deadline.is_traced
    [one] = office.json("queue", "list")
    assert one["deliver_by"] == {
        "at": instant(THEN),
        "then": then,
        "is_traced": deadline.is_traced,
        "is_told": deadline.is_traced,
    }
    assert f"to be delivered by {moment(THEN)}" in office.done("trace", queue_id)


def test_priorities_have_a_column_where_there_are_some(office: Operator, take_in: TakeIn) -> None:
    take_in(to=(), relay=("a@example.net",))
    assert "PRIORITY" not in office.done("queue", "list")
    take_in(to=(), relay=("b@example.net",), envelope={"priority": -4})
    head, first, second, *_ = office.done("queue", "list").splitlines()
    at = head.index("PRIORITY")
    assert (first[at : at + 8].strip(), second[at : at + 8].strip()) == ("0", "-4")
