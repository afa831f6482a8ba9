"""Statements about several rows at once: `IN (:ids)` in a named statement becomes a list with room for many ids.

Each step of a statement gives the interpreter's lock away and takes it back, which costs more than a row does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from estafeta.store.statements import Statement

Id = TypeVar("Id", bound=int)

_SIZES = (1, 4, 16, 64)
"""Ids in one statement: few lengths, so that few texts are prepared."""
_NAMES = tuple(f"id{number}" for number in range(_SIZES[-1]))


def parts(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """The ids, as many at a time as one statement takes."""
    for start in range(0, len(ids), _SIZES[-1]):
        yield ids[start : start + _SIZES[-1]]


def listing(statement: Statement, ids: Sequence[int]) -> tuple[Statement, dict[str, int]]:
    """The statement with room for one part of ids, and these by their names; the last one fills what is left."""
    size = next(size for size in _SIZES if size >= len(ids))
    named = dict(zip(_NAMES, ids, strict=False))
    for name in _NAMES[len(ids) : size]:
        named[name] = ids[-1]
    return _with_room(statement, size), named


@lru_cache(maxsize=64)
def _with_room(statement: Statement, size: int) -> Statement:
    names = ", ".join(f":{name}" for name in _NAMES[:size])
    return Statement(statement.name, statement.purpose, statement.text.replace(":ids", names))
