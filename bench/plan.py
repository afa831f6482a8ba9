"""In which order a run goes, so that one that is broken off has the most telling figures.

First the cases of the aims in all rounds, then one round of the short matrices, then of what only `--full` has, and
then the further rounds of those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.aims import is_telling
from bench.scenarios.scenario import Case, Matrix, Scenario


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do."""

    scenarios: Sequence[Scenario]
    matrix: Matrix
    peers: tuple[str, ...]
    """Empty: all."""
    rounds: int
    ends_at: float
    """Of the monotonic clock: nothing is begun that would end after it."""


@dataclass(frozen=True, slots=True)
class Step:
    """Cases of a scenario that are measured in one round, with servers that are started for it."""

    scenario: Scenario
    cases: tuple[Case, ...]
    round: int


def steps(plan: Plan) -> Iterator[Step]:
    """All of a run, the most telling first."""
    ranks = sorted({_rank(scenario, case) for scenario in plan.scenarios for case in scenario.cases(plan.matrix)})
    for rank, numbers in _passes(ranks, plan.rounds):
        for number in numbers:
            for scenario in plan.scenarios:
                cases = tuple(case for case in scenario.cases(plan.matrix) if _rank(scenario, case) == rank)
                if cases:
                    yield Step(scenario, cases, number)


def _passes(ranks: list[int], rounds: int) -> Iterator[tuple[int, range]]:
    """Which rank is measured in which rounds, in the order of the run."""
    for rank in ranks:
        yield rank, range(rounds if rank == 0 else 1)
    for rank in ranks:
        if rank > 0:
            yield rank, range(1, rounds)


def _rank(scenario: Scenario, case: Case) -> int:
    return 0 if is_telling(scenario.name, case.title) else case.rank


def missing(scenarios: Sequence[Scenario], measured: set[tuple[str, str]]) -> list[str]:
    """What of the full matrices was not begun, a line for each scenario and kind of case."""
    lines = []
    for scenario in scenarios:
        cases = scenario.cases(Matrix(is_full=True))
        absent = [case for case in cases if (scenario.name, case.title) not in measured]
        if absent and len(absent) == len(cases):
            lines.append(f"{scenario.title}: all of it")
        elif absent:
            said = [_said(kind, list(some)) for kind, some in groupby(absent, key=_kind)]
            lines.append(f"{scenario.title}: {'; '.join(said)}")
    return lines


def _kind(case: Case) -> str:
    """What cases are told together by: their size and mode, where their title is made of these."""
    size, _, rest = case.title.partition(", ")
    return f"{size}, {rest.partition(', ')[2]}" if " session" in rest else ""


def _said(kind: str, cases: list[Case]) -> str:
    if not kind:
        return ", ".join(case.title for case in cases)
    return f"{kind}: {', '.join(str(case.sessions) for case in cases)} session{'s' if cases[-1].sessions > 1 else ''}"
