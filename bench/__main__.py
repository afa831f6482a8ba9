"""All servers side by side, in one run.

    make bench                                  (ARGS="--full": all sizes and sessions; "--budget 60": an hour)
    make bench ARGS="--scenario relay --peers Estafeta,Postfix --sizes 1,100 --sessions 50 --rounds 5"
    make bench ARGS="--continue --write"        (go on with a run that was broken off, and write the pages)

Needs root, control groups, a C compiler, and Debian's packages nodejs and npm; the other servers are unpacked below
ESTAFETA_PEERS, or /var/cache/estafeta-peers.
"""

from __future__ import annotations

import argparse
import math
import shlex
import signal
import sys
import time
from pathlib import Path

from bench.flame import record
from bench.loads.source import LoadFailed, Mode
from bench.page import PLOTS, machine, tables, write
from bench.peers import PEERS
from bench.peers.peer import LeftOut
from bench.plan import Plan
from bench.results import Results
from bench.running import run
from bench.scenarios import SCENARIOS
from bench.scenarios.mail import Accept
from bench.scenarios.scenario import KIB, Matrix

KEPT = Path(".bench") / "results.jsonl"


_LOADED = [name for name, scenario in SCENARIOS.items() if isinstance(scenario, Accept)]


def _list(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


def _numbers(text: str) -> list[int]:
    return [int(each) for each in _list(text)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only these; default: all")
    parser.add_argument("--sizes", type=_numbers, default=[], help="KiB of a message, as 1,10,100")
    parser.add_argument("--sessions", type=_numbers, default=[], help="as 1,10,50")
    parser.add_argument("--modes", type=_list, default=[], help="kept, each, or both")
    parser.add_argument("--peers", type=_list, default=[], help=f"of {', '.join(PEERS)}")
    parser.add_argument("--messages", type=int, help="of each figure; of a mailbox that is read")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load, about, where --messages does not say")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--budget", type=float, default=math.inf, metavar="MINUTES", help="begin nothing that would end later"
    )
    parser.add_argument("--full", action="store_true", help="all sizes, sessions and modes")
    parser.add_argument("--continue", dest="is_continued", action="store_true", help="keep what was measured before")
    parser.add_argument("--results", type=Path, default=KEPT)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md, its plots, and README.md")
    parser.add_argument(
        "--flame", choices=_LOADED, help="only a flame graph of Estafeta in it, by py-spy; --modes each: so connected"
    )
    return parser


def _break_off(*_: object) -> None:
    """What ends this ends what it has started, and nothing disturbs it there: `timeout` tells it twice."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _flame(name: str, mode: Mode) -> int:
    scenario = SCENARIOS[name]
    assert isinstance(scenario, Accept)
    target = PLOTS / f"{name}{'' if mode == 'kept' else '-each'}-flame.svg"
    try:
        record(scenario, mode, target)
    except (LeftOut, LoadFailed, OSError) as error:
        print(f"no flame graph: {error}", file=sys.stderr)
        return 1
    print(target)
    return 0


def main() -> int:
    """Run, print the tables, and write them where that is asked."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := [each for each in options.peers if each not in PEERS]:
        parser.error(f"no such server: {', '.join(unknown)}")
    if unknown := [each for each in options.modes if each not in ("kept", "each")]:
        parser.error(f"no such mode: {', '.join(unknown)}")
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _break_off)
    if options.flame:
        return _flame(options.flame, "each" if options.modes == ["each"] else "kept")
    matrix = Matrix(
        is_full=options.full,
        sizes=tuple(each * KIB for each in options.sizes),
        sessions=tuple(options.sessions),
        modes=tuple(options.modes),
        messages=options.messages,
        seconds=options.seconds,
    )
    scenarios = [SCENARIOS[name] for name in SCENARIOS if not options.scenario or name in options.scenario]
    ends_at = time.monotonic() + options.budget * 60
    results = Results(options.results, is_continued=options.is_continued)
    status = 0
    try:
        if not run(Plan(scenarios, matrix, tuple(options.peers), options.rounds, ends_at), results):
            print("Some was left out for want of time; --continue goes on.", file=sys.stderr)
    except KeyboardInterrupt:
        print("Broken off; --continue goes on.", file=sys.stderr)
        status = 130
    print(f"{machine()}\n")
    print("\n".join(tables(results.all)))
    if options.write:
        write(results.all, f"make bench ARGS={shlex.quote(shlex.join(sys.argv[1:]))}" if sys.argv[1:] else "make bench")
    return status


if __name__ == "__main__":
    sys.exit(main())
