"""Values: dataclasses that are frozen for the type checker, made and declared at a third of the cost.

A frozen dataclass sets each field by a call of `object.__setattr__`; of the values that one relayed message takes,
that was a tenth of its CPU. And for each class six functions are compiled when it is declared; of the hundreds that a
server has, that was a third of its start. Here one is, and the others are shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(made: type[T]) -> type[T]:
    """`@value` is `@dataclass(frozen=True, slots=True)`, but that only the type checker refuses to change a field."""
    own = made.__dict__
    done: Any = dataclass(slots=True, eq=False, repr=False)(made)
    compared = _reader([each.name for each in fields(done) if each.compare])
    shown = [each.name for each in fields(done) if each.repr]

    def __eq__(self: Any, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(compared(self) == compared(other))

    def __hash__(self: Any) -> int:
        return hash(compared(self))

    def __repr__(self: Any) -> str:
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{self.__class__.__qualname__}({inside})"

    for method in (__eq__, __hash__, __repr__):
        if method.__name__ not in own:
            setattr(done, method.__name__, method)
    return done  # type: ignore[no-any-return]


def _reader(names: list[str]) -> Callable[[Any], object]:
    """What is compared of a value."""
    return attrgetter(*names) if names else lambda _: ()
