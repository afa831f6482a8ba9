"""Statements about any number of rows."""

from __future__ import annotations

import pytest
from tests.store.queueing import write

from estafeta.store.several import listing, parts
from estafeta.store.statements import Statement
from estafeta.store.store import Store

NAMES = Statement("names", "for trying", "SELECT value FROM (SELECT 1 AS value UNION SELECT 7) WHERE value IN (:ids)")


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 16, 17, 64, 65, 200])
def test_each_id_is_in_one_part_and_each_part_has_room(count: int) -> None:
    ids = list(range(count))
    seen: list[int] = []
    for part in parts(ids):
        statement, named = listing(NAMES, part)
        assert statement.text.count(":id") == len(named)
        assert set(named.values()) == set(part)
        seen += part
    assert seen == ids


def test_a_statement_of_one_length_is_made_once() -> None:
    assert listing(NAMES, [1, 2])[0] is listing(NAMES, [5, 6, 7])[0]


def test_the_rows_of_the_ids_are_found(store: Store) -> None:
    statement, named = listing(NAMES, [5, 6, 7])
    assert write(store, lambda tx: tx.run(statement, **named)) == [[(7,)]]
