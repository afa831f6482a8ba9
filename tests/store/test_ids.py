"""Ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.store.ids import IdSource


def test_ids_grow_whatever_the_clock_does() -> None:
    instants = iter([5.0, 5.0, 4.0, 1.0, 6.0, 6.0, 0.0])
    source = IdSource(lambda: next(instants), worker=3)
    given_ids = [source.next_id() for _ in range(7)]
    assert given_ids == sorted(set(given_ids))


def test_ids_do_not_repeat_within_a_millisecond_that_is_used_up() -> None:
    source = IdSource(lambda: 5.0, worker=255)
    given_ids = [source.next_id() for _ in range(20_000)]
    assert given_ids == sorted(set(given_ids))
    assert {number >> 13 & 255 for number in given_ids} == {255}


def test_ids_start_above_the_largest_that_is_known() -> None:
    largest = IdSource(lambda: 9.0, worker=255).next_id()
    assert IdSource(lambda: 5.0, worker=0, above=largest).next_id() > largest


def test_two_workers_never_give_the_same_id() -> None:
    one, other = (IdSource(lambda: 5.0, worker=number) for number in (0, 1))
    assert not {one.next_id() for _ in range(9000)} & {other.next_id() for _ in range(9000)}


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_text_reads_back_and_sorts_as_the_ids_do(one: int, other: int) -> None:
    text = IdSource.text(one)
    assert len(text) == 13 and IdSource.parse(text) == IdSource.parse(text.upper()) == one
    assert (text < IdSource.text(other)) == (one < other)


def test_letters_that_people_mistake_are_read() -> None:
    assert IdSource.parse("0oO1iIlL00000") == IdSource.parse("0001111100000")


@pytest.mark.parametrize("text", ["", "0", "0" * 14, "u" * 13, "z" * 13, "0" * 12 + "-"])
def test_what_is_not_an_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="id"):
        IdSource.parse(text)
