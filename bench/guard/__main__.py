"""Compares what a message costs with the figures of the repository, bench/guard.json.

    make bench-guard            (with ARGS="--accept": the new figures become those of the repository)

Counts instructions by valgrind's callgrind, which a noisy machine does not change; needs valgrind and a C compiler,
and some minutes. Without them CPU time is taken, which belongs to the machine: compare it only with itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KEPT = Path(__file__).parents[1] / "guard.json"
_VALGRIND = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no"]
MOST_GROWTH = 0.03
"""What the figures of one and the same code may differ by, and more."""
_COUNTED = re.compile(r"^desc: Trigger: Client Request: (.+)=(\d+)$.*?^totals: (\d+)$", re.MULTILINE | re.DOTALL)


def instructions(folder: Path) -> dict[str, float]:
    """Of a message, by scenario."""
    marks = folder / "marks.so"
    source = Path(__file__).with_name("marks.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(marks), str(source)], check=True)
    counts = folder / "counts"
    subprocess.run(
        [*_VALGRIND, f"--callgrind-out-file={counts}", *_driver(folder), str(marks)],
        check=True,
        stdout=subprocess.DEVNULL,
        env=_environment(),
    )
    return counted([path.read_text() for path in sorted(folder.glob("counts.*"))])


def counted(dumps: list[str]) -> dict[str, float]:
    """The figures of callgrind's dumps, each by its messages; of several of one scenario the least."""
    found: dict[str, float] = {}
    for match in map(_COUNTED.search, dumps):
        if match is not None:
            figure = int(match[3]) / int(match[2])
            found[match[1]] = min(figure, found.get(match[1], figure))
    return found


def cpu(folder: Path) -> dict[str, float]:
    """Microseconds of a message, by scenario."""
    done = subprocess.run(_driver(folder), check=True, capture_output=True, text=True, env=_environment())
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _driver(folder: Path) -> list[str]:
    return [sys.executable, "-m", "bench.guard.driver", str(folder)]


def _environment() -> dict[str, str]:
    """Sets and dictionaries are the same each time."""
    return {**os.environ, "PYTHONHASHSEED": "0"}


def compared(kept: dict[str, float], now: dict[str, float]) -> tuple[list[str], list[str]]:
    """A line for each scenario, and the scenarios that have grown."""
    lines, grown = [], []
    for what, figure in now.items():
        before = kept.get(what)
        if before is None:
            lines.append(f"{what:28} {figure:14,.0f}   new")
            continue
        growth = figure / before - 1
        lines.append(f"{what:28} {figure:14,.0f}   {growth:+7.1%}" + ("   GREW" if growth > MOST_GROWTH else ""))
        if growth > MOST_GROWTH:
            grown.append(what)
    return lines, grown


def main() -> int:
    """Measure, compare, and keep where that is asked; 1 where something has grown."""
    parser = argparse.ArgumentParser(prog="make bench-guard", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accept", action="store_true", help="write the new figures to bench/guard.json")
    parser.add_argument("--cpu", action="store_true", help="CPU time even where valgrind is")
    options = parser.parse_args()
    by_cpu = options.cpu or shutil.which("valgrind") is None or shutil.which("cc") is None
    with tempfile.TemporaryDirectory(prefix="estafeta-guard-") as name:
        now = cpu(Path(name)) if by_cpu else instructions(Path(name))
    everything = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kind = "CPU microseconds a message" if by_cpu else "instructions a message"
    machine = {"Python": platform.python_version(), "machine": platform.node() if by_cpu else platform.machine()}
    kept = everything.get(kind, {})
    if kept and kept["of"] != machine:
        print(f"the kept figures are of another machine or Python: {kept['of']}, this is {machine}")
    lines, grown = compared(kept.get("figures", {}), now)
    print(f"{kind}\n" + "\n".join(lines))
    if options.accept:
        everything[kind] = {"of": machine, "figures": {what: round(figure, 1) for what, figure in now.items()}}
        KEPT.write_text(json.dumps(everything, indent=2) + "\n")
        return 0
    if grown:
        print(f"grown by more than {MOST_GROWTH:.0%}: {', '.join(grown)}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
