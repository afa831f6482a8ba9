"""`estafeta simulate`."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Operator

from estafeta.simulation import runner


def test_seeds_are_run_and_told_of(operator: Operator) -> None:
    told = operator.done("simulate", "--seeds", "0:2", "--jobs", "1")
    assert "2 seeds in" in told
    assert "0 failed" in told


def test_machines_get_a_document(operator: Operator) -> None:
    summary = operator.json("simulate", "--seeds", "5:6")
    assert summary["seeds"] == 1
    assert summary["failures"] == []
    assert summary["recipients"] > 0


def test_a_failing_seed_is_told_with_the_actions_that_are_enough(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_seeds(first: int, end: int, **options: object) -> runner.Summary:
        summary = runner.Summary()
        summary.seeds = end - first
        summary.failures.append(runner.Failure(7, ("L1 is LOST",), (0, 3), ("kill a", "letter b")))
        options["told"](summary)  # type: ignore[operator]
        return summary

    monkeypatch.setattr(runner, "run_seeds", run_seeds)
    result = operator.run("simulate", "--seeds", "7:8")
    assert result.exit_code == 1
    assert "L1 is LOST" in result.stdout
    assert "estafeta simulate --seeds 7:8 --only 0,3" in result.stdout


@pytest.mark.parametrize("seeds", ["5", "5:5", "a:b", "9:3"])
def test_seeds_that_are_none(operator: Operator, seeds: str) -> None:
    assert "write two numbers" in operator.refused("simulate", "--seeds", seeds)


def test_only_is_for_one_seed(operator: Operator) -> None:
    assert "--only needs a single seed" in operator.refused("simulate", "--seeds", "0:9", "--only", "1")
    assert "write numbers" in operator.refused("simulate", "--seeds", "0:1", "--only", "x")
