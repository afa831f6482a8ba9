"""`estafeta simulate`: post offices in a world that breaks, and whether mail was lost."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import EXIT_INTERRUPTED, CommandFault
from estafeta.cli.options import json_option
from estafeta.cli.output import document, say
from estafeta.cli.progress import Progress

if TYPE_CHECKING:
    from estafeta.simulation.runner import Failure, Summary

_DAY = 86_400.0


@click.command("simulate")
@click.option(
    "--seeds", metavar="FIRST:END", default="0:100", show_default=True, help="The seeds from FIRST to before END."
)
@click.option(
    "--days",
    type=click.FloatRange(0.01, 60.0),
    help="Three nodes for so many days of their own time, instead of short runs.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes at a time; one for each processor when left out.")
@click.option("--only", metavar="N,N...", help="Of the seed's actions only these, as a failure tells them.")
@click.option("--shrink/--no-shrink", default=True, help="Find out which actions of a failing seed are enough.")
@json_option
def command(seeds: str, days: float | None, jobs: int | None, only: str | None, shrink: bool, as_json: bool) -> int:
    """Run post offices in a simulated world that breaks, and check that no mail is lost.

    Network, DNS, foreign hosts, disks and clocks are simulated, the post offices are the real ones. Each seed is
    another course of things: connections that break, power that fails in the midst of a write, full disks, hosts that
    defer, are silent or lie. At the end of each run every recipient that was answered 250 must be at exactly one end.
    The same seed gives the same run. Exit code 1: a seed failed.
    """
    from estafeta.simulation.runner import Summary, run_seeds

    first, end = _range(seeds)
    chosen = _numbers(only)
    if chosen is not None and end != first + 1:
        raise CommandFault("--only needs a single seed, as in --seeds 7:8")
    began_at = time.monotonic()
    summary, is_whole = Summary(), False
    with Progress() as progress:

        def told(so_far: Summary) -> None:
            nonlocal summary
            if not as_json:
                for failure in so_far.failures[len(summary.failures) :]:
                    progress.clear()
                    _tell(failure, days)
            summary = replace(so_far, failures=[*so_far.failures])
            progress.show("seeds", so_far.seeds, end - first)

        with suppress(KeyboardInterrupt):
            run_seeds(
                first,
                end,
                jobs=jobs or os.cpu_count() or 1,
                seconds=days * _DAY if days is not None else None,
                chosen=chosen,
                shrinks=shrink,
                told=told,
            )
            is_whole = True
    if as_json:
        document(asdict(summary))
    else:
        say(
            f"{summary.seeds:,} seeds in {time.monotonic() - began_at:.0f} s: {summary.letters:,} messages to"
            f" {summary.recipients:,} recipients, {summary.starts:,} starts, {summary.operations:,} operations of"
            f" disks, {summary.virtual / _DAY:,.1f} days; {len(summary.failures)} failed"
        )
    if not is_whole:
        return EXIT_INTERRUPTED
    return 1 if summary.failures else 0


def _tell(failure: Failure, days: float | None) -> None:
    say(f"seed {failure.seed} failed:")
    for fault in failure.faults[:10]:
        say(f"  {fault}")
    if len(failure.faults) > 10:
        say(f"  and {len(failure.faults) - 10} more")
    say("  These actions are enough:")
    for action in failure.actions:
        say(f"    {action}")
    numbers = ",".join(map(str, failure.only))
    longer = f" --days {days:g}" if days is not None else ""
    say(f"  Again: estafeta simulate --seeds {failure.seed}:{failure.seed + 1} --only {numbers}{longer}")


def _range(text: str) -> tuple[int, int]:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise CommandFault(f"--seeds {text}: write two numbers, the second the larger, as in 0:100")
    return int(first), int(end)


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    numbers = [word.strip() for word in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise CommandFault(f"--only {text}: write numbers with commas between them, as in 0,3,7")
    return [int(number) for number in numbers]
