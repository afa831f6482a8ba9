"""A run: steps in which the servers take turns, and results that are kept after each figure.

A run that was broken off is continued: what is there already is not measured again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.aims import can_win
from bench.loads.source import LoadFailed, Stalled
from bench.peers import PEERS
from bench.peers.peer import Ground, LeftOut, Running, folder_of
from bench.plan import Plan, Step, steps
from bench.results import Result, Results
from bench.scenarios.scenario import Case

from estafeta.net.authority import issue

FIRST_PORT = 12700
_PORTS_EACH = 5
REST_FOR = 30.0
"""Seconds at most that a server may take to be quiet before the next one is measured."""


@dataclass(frozen=True, slots=True)
class _Run:
    plan: Plan
    results: Results

    def has_time_for(self, seconds: float) -> bool:
        return time.monotonic() + seconds < self.plan.ends_at

    def is_wanted(self, step: Step, case: Case, name: str) -> bool:
        """Whether a figure is still to be taken; in further rounds only of servers that a ratio may be made with."""
        scenario = step.scenario.name
        if self.results.has(scenario, case.title, name, step.round):
            return False
        return not step.round or can_win(self.results.all, step.scenario, case.title, name, _durable())


def _durable() -> list[str]:
    return [name for name, peer in PEERS.items() if peer.is_durable]


def run(plan: Plan, results: Results) -> bool:
    """All steps for which there is time; gives whether that was enough for all."""
    whole = True
    for step in steps(plan):
        whole = _step(_Run(plan, results), step) and whole
    return whole


def _step(run: _Run, step: Step) -> bool:
    plan, scenario = run.plan, step.scenario
    names = [name for name in scenario.peers if not plan.peers or name in plan.peers]
    wanted = [name for name in names if any(run.is_wanted(step, case, name) for case in step.cases)]
    if not wanted:
        return True
    shortest = min(scenario.seconds(case, plan.matrix) for case in step.cases)
    if not run.has_time_for(scenario.start_seconds + shortest):
        return False
    whole = True
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="estafeta-bench-")))
        top.chmod(0o755)
        servers = _start(run, step, wanted, top, stack)
        for case in step.cases:
            for running in _turns(servers, step.round):
                if not run.is_wanted(step, case, running.peer.name):
                    continue
                if not run.has_time_for(scenario.seconds(case, plan.matrix)):
                    whole = False
                elif not _measure(run, step, case, running):
                    servers.remove(running)
    return whole


def _turns(servers: Sequence[Running], number: int) -> list[Running]:
    """Each round another one is first."""
    first = number % len(servers) if servers else 0
    return [*servers[first:], *servers[:first]]


def _start(run: _Run, step: Step, names: list[str], top: Path, stack: ExitStack) -> list[Running]:
    """All at once, which takes as long as the slowest; then each is made ready by itself."""
    scenario = step.scenario
    issued = issue(top, ["localhost", "127.0.0.1"]) if scenario.needs_tls else None

    def start(place: int, name: str) -> Running:
        peer = PEERS[name]
        if scenario.purpose in peer.cannot:
            raise LeftOut(peer.cannot[scenario.purpose])
        peer.prepare()
        port = FIRST_PORT + place * _PORTS_EACH
        ground = Ground(
            folder_of(top, name.lower()), port, scenario.purpose, port + 3 if scenario.needs_next_host else 0,
            scenario.is_numbered, issued.certificate if issued else None, issued.key if issued else None,
        )  # fmt: skip
        running = peer.start(ground)
        stack.callback(running.end)
        return running

    with ThreadPoolExecutor() as pool:
        starts = {name: pool.submit(start, place, name) for place, name in enumerate(names)}
    servers = []
    for name, started in starts.items():
        try:
            running = started.result()
            scenario.begin(running, run.plan.matrix)
            running.rest(REST_FOR)
        except Exception as error:  # one server's fault must not end the run of all
            _tell(f"{scenario.name}: {name} is left out: {_reason(error)}")
            for case in step.cases:
                run.results.add(Result(scenario.name, case.title, name, step.round, failed=_reason(error)))
            continue
        servers.append(running)
    return servers


def _measure(run: _Run, step: Step, case: Case, running: Running) -> bool:
    """Take a figure; gives whether the server can be measured further."""
    scenario, name = step.scenario.name, running.peer.name
    try:
        figures = dict(step.scenario.measure(case, running, run.plan.matrix))
    except Exception as error:
        _tell(f"{scenario}, {case.title}, {name}: {_reason(error)}")
        run.results.add(Result(scenario, case.title, name, step.round, failed=_reason(error)))
        return not isinstance(error, Stalled)
    before = running.group.seconds()
    running.rest(REST_FOR)
    if sent := figures.pop("messages", 0):
        figures["later_us"] = (running.group.seconds() - before) / sent * 1e6
    said = ", ".join(f"{what} {figure:,.1f}" for what, figure in figures.items())
    _tell(f"{scenario}, {case.title}, {name}: {said}")
    run.results.add(Result(scenario, case.title, name, step.round, figures))
    return True


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, LeftOut | LoadFailed | OSError) else repr(error)


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
