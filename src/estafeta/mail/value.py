"""Values of the hot path: frozen for the type checker, and made at a third of the cost.

A frozen dataclass sets each field by a call of `object.__setattr__`; of the values that one relayed message takes,
that was a tenth of its CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(made: type[T]) -> type[T]:
    """`@value` is `@dataclass(frozen=True, slots=True)`, but that only the type checker refuses to change a field."""
    return dataclass(slots=True, unsafe_hash=True)(made)
