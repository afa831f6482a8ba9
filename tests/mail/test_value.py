"""Values are what frozen dataclasses are, for whoever uses them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import pytest

from estafeta.mail.value import value


@value
class Place:
    town: str
    houses: int = 3
    _said: str | None = field(default=None, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        return self.town


@value
class Nothing:
    pass


@value
class Named:
    name: str

    def __hash__(self) -> int:
        return 7


@dataclass(frozen=True, slots=True)
class Frozen:
    town: str
    houses: int = 3


def test_values_are_equal_by_what_is_in_them() -> None:
    assert Place("Lugo") == Place("Lugo", 3) != Place("Lugo", 4)
    frozen: object = Frozen("Lugo")
    assert Place("Lugo") != frozen and Nothing() == Nothing()
    other = Place("Lugo")
    object.__setattr__(other, "_said", "what is not compared")
    assert other == Place("Lugo") and hash(other) == hash(Place("Lugo"))
    assert len({Place("Lugo"), Place("Lugo"), Place("Vigo")}) == 2 and len({Nothing(), Nothing()}) == 1


def test_values_look_and_are_changed_as_dataclasses_are() -> None:
    assert repr(Place("Lugo")) == "Place(town='Lugo', houses=3)" and str(Place("Lugo")) == "Lugo"
    assert replace(Place("Lugo"), houses=5) == Place("Lugo", 5)
    assert [each.name for each in fields(Place("Lugo"))] == ["town", "houses", "_said"]
    with pytest.raises(AttributeError):
        Place("Lugo").streets = 2  # type: ignore[attr-defined]


def test_methods_of_its_own_stay() -> None:
    assert hash(Named("Lugo")) == 7 and Named("Lugo") == Named("Lugo")
