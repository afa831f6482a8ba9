"""A run: rounds in which the servers take turns, and results that are kept after each figure.

A run that was broken off is continued: what is there already is not measured again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.loads.source import LoadFailed
from bench.peers import PEERS
from bench.peers.peer import Ground, LeftOut, Running, folder_of
from bench.scenarios.scenario import Case, Matrix, Scenario

from estafeta.net.authority import issue

FIRST_PORT = 12700
_PORTS_EACH = 5


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do."""

    scenarios: Sequence[Scenario]
    matrix: Matrix
    peers: tuple[str, ...]
    """Empty: all."""
    rounds: int
    ends_at: float
    """Of the monotonic clock: nothing is begun after it."""


class OutOfTime(Exception):
    """The budget is spent."""


def run(plan: Plan, results: Results) -> None:
    """All rounds; raises OutOfTime."""
    for number in range(plan.rounds):
        for scenario in plan.scenarios:
            _round(plan, scenario, number, results)


def _round(plan: Plan, scenario: Scenario, number: int, results: Results) -> None:
    cases = scenario.cases(plan.matrix)
    names = [name for name in scenario.peers if not plan.peers or name in plan.peers]
    wanted = [name for name in names if not all(results.has(scenario.name, case.title, name, number) for case in cases)]
    if not wanted:
        return
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="estafeta-bench-")))
        top.chmod(0o755)
        servers = _start(scenario, wanted, top, plan, number, results, stack)
        for case in cases:
            for running in servers:
                if results.has(scenario.name, case.title, running.peer.name, number):
                    continue
                if time.monotonic() > plan.ends_at:
                    raise OutOfTime
                results.add(_measured(scenario, case, running, plan.matrix, number))


def _start(
    scenario: Scenario, names: list[str], top: Path, plan: Plan, number: int, results: Results, stack: ExitStack
) -> list[Running]:
    servers = []
    issued = issue(top, ["localhost", "127.0.0.1"]) if scenario.needs_tls else None
    for place, name in enumerate(names):
        peer = PEERS[name]
        port = FIRST_PORT + place * _PORTS_EACH
        ground = Ground(
            folder_of(top, name.lower()), port, scenario.purpose, port + 3 if scenario.needs_next_host else 0,
            issued.certificate if issued else None, issued.key if issued else None,
        )  # fmt: skip
        try:
            if scenario.purpose in peer.cannot:
                raise LeftOut(peer.cannot[scenario.purpose])
            peer.prepare()
            running = peer.start(ground)
            stack.callback(running.end)
            scenario.begin(running, plan.matrix)
        except (LeftOut, OSError, LoadFailed) as error:
            _tell(f"{scenario.name}: {name} is left out: {error}")
            for case in scenario.cases(plan.matrix):
                results.add(Result(scenario.name, case.title, name, number, failed=str(error)))
            continue
        servers.append(running)
    return servers


def _measured(scenario: Scenario, case: Case, running: Running, matrix: Matrix, number: int) -> Result:
    name = running.peer.name
    try:
        figures = dict(scenario.measure(case, running, matrix))
    except (LoadFailed, LeftOut, OSError) as error:
        _tell(f"{scenario.name}, {case.title}, {name}: {error}")
        return Result(scenario.name, case.title, name, number, failed=str(error))
    said = ", ".join(f"{what} {figure:,.1f}" for what, figure in figures.items())
    _tell(f"{scenario.name}, {case.title}, {name}: {said}")
    return Result(scenario.name, case.title, name, number, figures)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
