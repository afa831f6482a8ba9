from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.store.ids import IdSource

if TYPE_CHECKING:
    from .conftest import Operator, TakeIn

FAR = ("far@example.net", "farther@example.com")


def test_what_waits_is_listed_and_shown(office: Operator, take_in: TakeIn) -> None:
    assert office.done("queue", "list") == "the queue is empty\n"
    queue_id = IdSource.text(take_in(to=(), relay=FAR))
    listed = office.json("queue", "list")
    assert [(each["message_id"], each["forward_path"], each["status"]) for each in listed] == [
        (queue_id, "far@example.net", "active"),
        (queue_id, "farther@example.com", "active"),
    ]
    assert "in all: 2 active" in office.done("queue", "list")
    shown = office.done("queue", "show", queue_id)
    assert "<far@example.net> by example.net" in shown and "reply   none yet" in shown
    assert office.json("queue", "show", listed[1]["recipient_id"]) == [listed[1]]


def test_one_recipient_is_held_and_released_without_the_other(office: Operator, take_in: TakeIn) -> None:
    take_in(to=(), relay=FAR)
    first = office.json("queue", "list")[0]["recipient_id"]
    assert office.json("queue", "hold", first) == [{"id": first, "recipients": 1, "did": "held"}]
    assert [each["recipient_id"] for each in office.json("queue", "list", "--status", "held")] == [first]
    assert office.done("queue", "release", first) == f"{first}: 1 recipient released\n"
    assert office.json("queue", "list", "--status", "held") == []


def test_a_held_message_is_tried_again_whole(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=FAR))
    office.done("queue", "hold", queue_id)
    assert office.done("queue", "retry", queue_id) == f"{queue_id}: 2 recipients due now\n"
    assert {each["status"] for each in office.json("queue", "list")} == {"active"}


def test_what_is_removed_is_gone_and_the_journal_knows_who_did_it(office: Operator, take_in: TakeIn) -> None:
    queue_id = IdSource.text(take_in(to=(), relay=FAR))
    assert office.run("queue", "remove", queue_id, input="n\n").exit_code == 130
    office.done("queue", "remove", queue_id, "--yes")
    assert office.json("queue", "list") == []
    operator = office.json("trace", "far@example.net")[-1]
    assert operator["kind"] == "operator" and operator["facts"]["did"] == "queue: removed"
    assert operator["message_id"] == queue_id


def test_what_is_not_queued_is_one_line(office: Operator) -> None:
    for command in ("show", "retry", "hold", "release"):
        assert office.refused("queue", command, "0000000000000") == "0000000000000 is not in the queue"
    assert office.refused("queue", "remove", "0000000000000", "--yes") == "0000000000000 is not in the queue"
