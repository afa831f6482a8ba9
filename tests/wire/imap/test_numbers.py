"""Sets of numbers: `*`, order, and what is merged."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.imap.numbers import STAR, NumberSet


@pytest.mark.rfc("9051 §9", "A range may be said either way round, and `*` is the largest number in use.")
@pytest.mark.parametrize(
    ("ranges", "largest", "expected"),
    [
        ([(1, 5)], 10, [(1, 5)]),
        ([(5, 1)], 10, [(1, 5)]),
        ([(STAR, STAR)], 10, [(10, 10)]),
        ([(4, STAR)], 10, [(4, 10)]),
        ([(12, STAR)], 10, [(10, 12)]),
        ([(1, 2), (3, 4), (6, 6)], 10, [(1, 4), (6, 6)]),
        ([(6, 9), (1, 7), (2, 3)], 10, [(1, 9)]),
        ([], 10, []),
    ],
)
def test_a_set_is_resolved(ranges: list[tuple[int, int]], largest: int, expected: list[tuple[int, int]]) -> None:
    assert NumberSet(tuple(ranges)).resolved(largest) == expected


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8), st.integers(1, 30))
def test_a_set_has_the_numbers_that_were_said(ranges: list[tuple[int, int]], largest: int) -> None:
    wanted = set()
    for first, last in ranges:
        low, high = sorted((first or largest, last or largest))
        wanted |= set(range(low, high + 1))
    found = NumberSet(tuple(ranges)).resolved(largest)
    assert [number for low, high in found for number in range(low, high + 1)] == sorted(wanted)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))
