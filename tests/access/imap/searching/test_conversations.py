"""THREAD by the two algorithms of RFC 5256 §3, step by step."""

from __future__ import annotations

import random
import re
from time import process_time

import pytest

from estafeta.access.imap.searching.conversations import Threaded, ordered_subject, references


def said(
    number: int,
    message_id: str = "",
    refers_to: str = "",
    subject: str = "",
    *,
    is_reply: bool = False,
    at: float | None = None,
) -> Threaded:
    return Threaded(number, number if at is None else at, subject, is_reply, message_id, refers_to.split())


@pytest.mark.rfc("5256 §3", "ORDEREDSUBJECT: one thread a base subject, by date; all others are children of the first.")
def test_ordered_subject() -> None:
    messages = [
        said(1, subject="A", at=50),
        said(2, subject="B", at=10),
        said(3, subject="A", at=40),
        said(4, subject="C", at=45),
        said(5, subject="A", at=60),
        said(6, subject="B", at=10),
    ]
    assert ordered_subject(messages) == b"(2 6)(3 (1)(5))(4)"
    assert ordered_subject([]) == b""


@pytest.mark.rfc("5256 §3", "REFERENCES: a reply hangs below what it refers to, whichever of them came first.")
def test_chains_and_branches() -> None:
    assert references([said(1, "a"), said(2, "b", "a"), said(3, "c", "a b")]) == b"(1 2 3)"
    assert references([said(3, "a"), said(2, "b", "a"), said(1, "c", "a b")]) == b"(3 2 1)"
    assert references([said(1, "a"), said(2, "b", "a"), said(3, "c", "a"), said(4, "d", "b")]) == b"(1 (2 4)(3))"
    assert references([]) == b""


@pytest.mark.rfc(
    "5256 §3", "A message that is missing keeps its replies together; where it has one only, that stands alone."
)
def test_missing_messages() -> None:
    # Two replies to what is not there are siblings without a first message.
    assert references([said(1, "b", "a"), said(2, "c", "a")]) == b"((1)(2))"
    assert references([said(1, "b", "a")]) == b"(1)"
    # In the midst of a thread a missing message gives its replies to what is above it.
    assert references([said(1, "a"), said(2, "c", "a b"), said(3, "d", "a b")]) == b"(1 (2)(3))"
    # Whole chains of missing messages leave nothing behind.
    assert references([said(1, "z", "a b c d e")]) == b"(1)"


@pytest.mark.rfc("5256 §3", "A second message of one id is as one without an id, and messages without ids stand alone.")
def test_the_same_id_again() -> None:
    assert references([said(1, "a"), said(2, "b", "a"), said(3, "b", "a")]) == b"(1 (2)(3))"
    assert references([said(1), said(2), said(3)]) == b"(1)(2)(3)"


@pytest.mark.rfc("5256 §3", "References that lead in a circle make no circle of messages.")
@pytest.mark.parametrize(
    "messages",
    [
        [said(1, "a", "a")],
        [said(1, "a", "b"), said(2, "b", "a")],
        [said(1, "a", "b c"), said(2, "b", "c a"), said(3, "c", "a b")],
        [said(1, "a", "b a b a"), said(2, "b")],
    ],
)
def test_circles(messages: list[Threaded]) -> None:
    told = references(messages)
    assert sorted(map(int, re.findall(rb"\d+", told))) == [each.number for each in messages]


@pytest.mark.rfc("5256 §3", "A message's own References outdo what others said of its parent.")
def test_own_references_count() -> None:
    # 3 says that b followed a; b itself says that it follows d.
    assert references([said(1, "a"), said(2, "d"), said(3, "c", "a b"), said(4, "b", "d")]) == b"(1)(2 4 3)"


@pytest.mark.rfc("5256 §3", "Siblings go by date, and by number where the dates are the same.")
def test_siblings_go_by_date() -> None:
    messages = [said(1, "a", at=5), said(2, "b", "a", at=9), said(3, "c", "a", at=7), said(4, "d", "a", at=7)]
    assert references(messages) == b"(1 (3)(4)(2))"
    # A thread without a first message counts as sent when its first message was.
    assert references([said(1, "x", at=3), said(2, "b", "a", at=9), said(3, "c", "a", at=2)]) == b"((3)(2))(1)"


@pytest.mark.rfc("5256 §3", "Threads of one subject become one: a reply goes below what is no reply.")
def test_replies_join_by_subject() -> None:
    first, reply = said(1, "a", subject="S"), said(2, "b", subject="S", is_reply=True)
    assert references([first, reply]) == b"(1 2)"
    assert references([said(2, "a", subject="S"), said(1, "b", subject="S", is_reply=True)]) == b"(2 1)"


@pytest.mark.rfc("5256 §3", "Two of one subject that are both replies, or both none, become siblings.")
def test_equals_become_siblings() -> None:
    assert references([said(1, "a", subject="S"), said(2, "b", subject="S")]) == b"((1)(2))"
    both = [said(1, "a", subject="S", is_reply=True), said(2, "b", subject="S", is_reply=True)]
    assert references(both) == b"((1)(2))"
    # A third goes to them, as they have no first message then.
    assert references([*both, said(3, "c", subject="S", is_reply=True)]) == b"((1)(2)(3))"
    assert references([said(1, "a"), said(2, "b")]) == b"(1)(2)"  # no subject is no common subject


@pytest.mark.rfc("5256 §3", "Threads without a first message join others of their subject.")
def test_threads_without_a_first_message_join() -> None:
    one = [said(1, "b", "a", subject="S"), said(2, "c", "a", subject="S")]
    other = [said(3, "y", "x", subject="S"), said(4, "z", "x", subject="S")]
    assert references([*one, *other]) == b"((1)(2)(3)(4))"
    assert references([said(5, "q", subject="S", at=0), *one]) == b"((5)(1)(2))"


def _numbers(told: bytes) -> list[int]:
    return sorted(map(int, re.findall(rb"\d+", told)))


def test_every_message_is_told_once() -> None:
    chance = random.Random(1)
    for _ in range(300):
        count = chance.randint(1, 25)
        ids = [f"m{number}" for number in range(15)]
        messages = [
            Threaded(
                number,
                chance.randint(0, 5),
                chance.choice(["", "S", "T"]),
                chance.random() < 0.5,
                chance.choice([*ids, ""]),
                chance.choices(ids, k=chance.randint(0, 5)),
            )
            for number in range(1, count + 1)
        ]
        told = references(messages)
        assert _numbers(told) == list(range(1, count + 1))
        assert told.count(b"(") == told.count(b")")
        assert b"()" not in told and b"( " not in told and b" )" not in told
        assert _numbers(ordered_subject(messages)) == list(range(1, count + 1))


@pytest.mark.parametrize("shape", ["chain", "backwards", "flat", "subject", "circles"])
def test_hostile_shapes_take_linear_time(shape: str) -> None:
    count = 20_000
    match shape:
        case "chain":
            messages = [said(number, f"m{number}", f"m{number - 1}") for number in range(1, count + 1)]
        case "backwards":
            messages = [said(number, f"m{number}", f"m{number + 1}") for number in range(1, count + 1)]
        case "flat":
            messages = [said(number, f"m{number}", "m0") for number in range(1, count + 1)]
        case "subject":
            messages = [said(number, f"m{number}", subject="S") for number in range(1, count + 1)]
        case _:
            messages = [
                said(number, f"m{number}", f"m{(number + 1) % count} m{(number + 7) % count}")
                for number in range(1, count + 1)
            ]
    began = process_time()
    assert len(_numbers(references(messages))) == count
    assert process_time() - began < 8
