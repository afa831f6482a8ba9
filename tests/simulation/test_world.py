"""Whole runs: the same seed is the same run, what fails is made small, and some seeds that found bugs once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from estafeta.simulation.plan import Action, Kind, Plan, make_plan
from estafeta.simulation.runner import run_seed, run_seeds
from estafeta.simulation.shrinking import only, shrink

FOUND: dict[int, str] = {}
"""Seeds that have found a bug, and which."""


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost(seed: int) -> None:
    result, failure = run_seed(seed, shrinks=False)
    assert failure is None, failure.faults
    assert result.recipients > 0
    assert result.virtual > 60


@pytest.mark.parametrize("seed", FOUND)
def test_a_bug_that_was_found_is_gone(seed: int) -> None:
    _, failure = run_seed(seed, shrinks=False)
    assert failure is None, f"{FOUND[seed]} is back: {failure.faults}"


def test_a_seed_is_one_run() -> None:
    summary = [run_seeds(3, 8, jobs=1, shrinks=False) for _ in range(2)]
    assert summary[0] == summary[1]
    assert summary[0].seeds == 5
    assert summary[0].operations > 1000


def test_seeds_differ() -> None:
    plans = [make_plan(seed) for seed in range(200)]
    assert len(set(plans)) == 200
    kinds = {action.kind for plan in plans for action in plan.actions}
    assert kinds == set(Kind)


def test_what_fails_is_made_small() -> None:
    actions = tuple(Action(float(number), Kind.LETTER, "a", number=number) for number in range(40))
    plan = replace(make_plan(0), actions=actions)

    def fails(tried: Plan) -> bool:
        return {7, 23} <= {action.number for action in tried.actions}

    small, numbers = shrink(plan, fails)
    assert numbers == [7, 23]
    assert small == only(plan, [7, 23])
