"""Results: one figure of one server in one round, kept in a file after each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one server in one round, or why there is none."""

    scenario: str
    case: str
    peer: str
    round: int
    figures: dict[str, float] = field(default_factory=dict)
    failed: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What is measured once."""
        return self.scenario, self.case, self.peer, self.round


class Results:
    """Kept in a file, one JSON document a line."""

    def __init__(self, path: Path, *, is_continued: bool) -> None:
        self._path = path
        self.all: list[Result] = list(read(path)) if is_continued and path.exists() else []
        self._keys = {each.key for each in self.all}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(_line(each) for each in self.all))

    def add(self, result: Result) -> None:
        """Keep one."""
        self.all.append(result)
        self._keys.add(result.key)
        with self._path.open("a") as file:
            file.write(_line(result))

    def has(self, scenario: str, case: str, peer: str, number: int) -> bool:
        """Whether this was measured."""
        return (scenario, case, peer, number) in self._keys


def read(path: Path) -> Iterator[Result]:
    """What a file has; a last line that was cut is left out."""
    for line in path.read_text().splitlines():
        try:
            yield Result(**json.loads(line))
        except ValueError:
            continue


def _line(result: Result) -> str:
    return json.dumps(asdict(result)) + "\n"
