"""Many seeds, in several processes; each failing one is made small and told so that it can be replayed.

Every run is in a process whose hashes of texts are not random, so that sets have the same order each time.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from queue import Empty, Queue
from threading import Thread
from typing import IO

from estafeta.mail.value import value
from estafeta.simulation.plan import make_plan
from estafeta.simulation.shrinking import only, shrink
from estafeta.simulation.world import Result, Templates, quick_folder, run

_SHARE = 20
"""Seeds that a process gets at a time: so many that starting it does not count, so few that its memory does not."""


@value
class Failure:
    """A seed that failed."""

    seed: int
    faults: tuple[str, ...]
    only: tuple[int, ...]
    """The numbers of the actions that are enough."""
    actions: tuple[str, ...]
    """These actions."""


@dataclass(slots=True)
class Summary:
    """What came of many runs."""

    seeds: int = 0
    letters: int = 0
    recipients: int = 0
    starts: int = 0
    operations: int = 0
    virtual: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """One more."""
        self.seeds += 1
        self.letters += result.letters
        self.recipients += result.recipients
        self.starts += result.starts
        self.operations += result.operations
        self.virtual += result.virtual


def run_seed(
    seed: int, *, seconds: float | None = None, chosen: Sequence[int] | None = None, shrinks: bool = True
) -> tuple[Result, Failure | None]:
    """One seed here, in this process; `chosen`: only these of its actions."""
    base = quick_folder()
    try:
        templates = Templates(base)
        plan = make_plan(seed, seconds=seconds)
        if chosen is not None:
            plan = only(plan, chosen)
        result = run(plan, templates, base / "run")
        if not result.faults:
            return result, None
        numbers = list(range(len(plan.actions)))
        if shrinks:
            small, numbers = shrink(plan, lambda each: bool(run(each, templates, base / "run").faults))
            plan = small
        if chosen is not None:
            numbers = [chosen[number] for number in numbers]
        actions = tuple(map(str, plan.actions))
        return result, Failure(seed, result.faults, tuple(numbers), actions)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def run_seeds(
    first: int,
    end: int,
    *,
    jobs: int,
    seconds: float | None = None,
    chosen: Sequence[int] | None = None,
    shrinks: bool = True,
    told: Callable[[Summary], None] = lambda _: None,
    most_failures: int = 20,
) -> Summary:
    """All seeds from `first` to before `end`; `told` hears of the summary so far now and then.

    Ends early after so many failures. Raises RuntimeError where a process of ours breaks.
    """
    shares = [(at, min(at + _SHARE, end)) for at in range(first, end, _SHARE)]
    waiting: Queue[tuple[int, int]] = Queue()
    for share in shares:
        waiting.put(share)
    said: Queue[dict[str, object] | Exception | None] = Queue()
    options = json.dumps({"seconds": seconds, "chosen": chosen, "shrinks": shrinks})
    workers = [Thread(target=_work, args=(waiting, said, options), daemon=True) for _ in range(min(jobs, len(shares)))]
    for worker in workers:
        worker.start()
    summary, busy = Summary(), len(workers)
    while busy:
        record = said.get()
        if record is None:
            busy -= 1
            continue
        if isinstance(record, Exception):
            raise record
        _add(summary, record)
        told(summary)
        if len(summary.failures) >= most_failures:
            _empty(waiting)
    return summary


def _empty(waiting: Queue[tuple[int, int]]) -> None:
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        return


def _add(summary: Summary, record: dict[str, object]) -> None:
    facts = json.loads(json.dumps(record["result"]))
    summary.add(Result(**{**facts, "faults": tuple(facts["faults"])}))
    failure = record["failure"]
    if isinstance(failure, dict):
        summary.failures.append(
            Failure(failure["seed"], tuple(failure["faults"]), tuple(failure["only"]), tuple(failure["actions"]))
        )


def _work(waiting: Queue[tuple[int, int]], said: Queue[dict[str, object] | Exception | None], options: str) -> None:
    """Hand shares to processes, one after the other."""
    try:
        while True:
            try:
                first, end = waiting.get_nowait()
            except Empty:
                return
            command = [sys.executable, "-m", "estafeta.simulation", str(first), str(end), options]
            environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
                assert process.stdout is not None
                for record in _records(process.stdout):
                    said.put(record)
            if process.returncode:
                said.put(RuntimeError(f"the process for seeds {first} to {end - 1} ended with {process.returncode}"))
                return
    finally:
        said.put(None)


def _records(lines: IO[str]) -> Iterator[dict[str, object]]:
    for line in lines:
        yield json.loads(line)


def main(arguments: Sequence[str]) -> None:
    """What such a process does: FIRST END OPTIONS; a line of JSON for each seed."""
    first, end, options = int(arguments[0]), int(arguments[1]), json.loads(arguments[2])
    gc.collect()
    gc.freeze()
    for seed in range(first, end):
        result, failure = run_seed(seed, **options)
        record = {"result": asdict(result), "failure": asdict(failure) if failure is not None else None}
        print(json.dumps(record), flush=True)
