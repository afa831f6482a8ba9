"""The order of a run, what is measured again in further rounds, and what is said to be missing."""

from __future__ import annotations

import math

from bench.aims import AIMS, READING, can_win, is_telling
from bench.plan import Plan, missing, steps
from bench.results import Result
from bench.scenarios import SCENARIOS
from bench.scenarios.scenario import Matrix

CASE = "1 KiB, 50 sessions, kept connections"
ACCEPT, IDLE = SCENARIOS["accept"], SCENARIOS["idle"]
DURABLE = ["Estafeta", "Postfix", "Exim"]


def test_each_aim_is_read_off_a_case_of_the_full_matrix() -> None:
    cases = {(name, case.title) for name, each in SCENARIOS.items() for case in each.cases(Matrix(is_full=True))}
    assert {(aim.scenario, aim.case) for aim in AIMS} <= cases
    assert {("imap", case) for case in READING} <= cases


def test_the_aims_come_first_in_all_rounds_then_breadth_once() -> None:
    plan = Plan([*SCENARIOS.values()], Matrix(is_full=True), (), rounds=3, ends_at=math.inf)
    order = [
        (is_telling(step.scenario.name, step.cases[0].title), step.cases[0].rank, step.round) for step in steps(plan)
    ]
    aims = [each for each in order if each[0]]
    assert order[: len(aims)] == aims
    assert [number for *_, number in aims] == sorted(number for *_, number in aims)
    first_of_breadth = [rank for is_aim, rank, number in order if not is_aim and number == 0]
    assert first_of_breadth == sorted(first_of_breadth)
    assert {number for *_, number in order} == {0, 1, 2}


def test_a_short_run_is_a_part_of_the_full_one() -> None:
    for scenario in SCENARIOS.values():
        full = {case.title for case in scenario.cases(Matrix(is_full=True))}
        assert {case.title for case in scenario.cases(Matrix())} <= full


def test_who_is_far_behind_is_not_measured_again() -> None:
    rates = {"Estafeta": 100.0, "Postfix": 1000.0, "Exim": 400.0, "OpenSMTPD": 5000.0}
    results = [Result("accept", CASE, name, 0, {"rate": rate, "cpu_us": 1e6 / rate}) for name, rate in rates.items()]
    again = [name for name in (*rates, "Haraka") if can_win(results, ACCEPT, CASE, name, DURABLE)]
    assert again == ["Estafeta", "Postfix"]


def test_where_no_ratio_is_made_only_ours_is_measured_again() -> None:
    results = [Result("idle", "0 connections", name, 0, {"mib": 10.0}) for name in DURABLE]
    assert [name for name in DURABLE if can_win(results, IDLE, "0 connections", name, DURABLE)] == ["Estafeta"]


def test_what_was_not_measured_is_named() -> None:
    measured = {("accept", case.title) for case in ACCEPT.cases(Matrix(is_full=True)) if case.sessions != 200}
    lines = missing([ACCEPT, IDLE], measured)
    assert lines[0].startswith("Accept: 1 KiB, kept connections: 200 sessions; 10 KiB, kept connections: 200 sessions")
    assert lines[1] == "Idle: all of it"


def test_what_is_missing_of_imap_is_named_by_its_commands() -> None:
    lines = missing([SCENARIOS["imap"]], {("imap", "SELECT")})
    assert lines[0].startswith("IMAP: FETCH 1:* (FLAGS), ") and "first login after a start, to after SELECT" in lines[0]
