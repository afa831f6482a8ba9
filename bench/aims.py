"""The aims, and how far a run has come: ratios against the best peer that is as durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.running import Result
from bench.statistics import ratio, summaries

OURS, CEILING = "Estafeta", "smtp-sink"


@dataclass(frozen=True, slots=True)
class Aim:
    """A ratio that shall be reached in a case."""

    scenario: str
    case: str
    faster: float
    """Times the messages a second of the best."""
    cheaper: float | None = None
    """Times less CPU a message."""


AIMS = (
    Aim("accept", "1 KiB, 10 sessions, kept connections", 5, 5),
    Aim("accept", "1 KiB, 50 sessions, kept connections", 5, 5),
    Aim("accept", "1 KiB, 200 sessions, kept connections", 5, 5),
    Aim("accept", "1 KiB, 50 sessions, a connection each", 3, 5),
    Aim("accept", "10 KiB, 50 sessions, kept connections", 2),
    Aim("accept", "100 KiB, 50 sessions, kept connections", 2),
    Aim("deliver", "1 KiB, 50 sessions, kept connections", 5, 5),
    Aim("deliver-100", "1 KiB, 50 sessions, kept connections", 5, 5),
    Aim("relay", "1 KiB, 50 sessions, kept connections", 3, 3),
)
CEILING_CASE, CEILING_AIM = "1 KiB, 50 sessions, a connection each", 0.6
LIMITS = (
    ("start", "first 250 after the start", "ms", 1000.0, "ms"),
    ("idle", "0 connections", "mib", 80.0, "MiB"),
    ("idle", "0 connections", "cpu_percent", 0.5, "% of a core"),
    ("idle", "10,000 connections", "mib", 250.0, "MiB"),
)


def table(results: Sequence[Result], durable: Sequence[str]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| | messages/s | aim | CPU a message | aim | beside |", "|---|---:|---:|---:|---:|---|"]
    for aim in AIMS:
        faster = _ratio(results, aim, "rate", durable)
        cheaper = _ratio(results, aim, "cpu_us", durable)
        if faster is None:
            continue
        cells = [f"{aim.scenario}: {aim.case}", f"{faster[0]:.1f} ×", f"{aim.faster:g} ×"]
        cells += ["" if cheaper is None else f"1/{cheaper[0]:.1f}", "" if aim.cheaper is None else f"1/{aim.cheaper:g}"]
        lines.append("| " + " | ".join([*cells, faster[1]]) + " |")
    ceiling = summaries(results, "accept", "rate").get(CEILING_CASE, {})
    if OURS in ceiling and CEILING in ceiling:
        part = ceiling[OURS].median / ceiling[CEILING].median
        lines.append(f"| accept: {CEILING_CASE} | {part:.0%} | {CEILING_AIM:.0%} | | | {CEILING}, the ceiling |")
    limits = []
    for scenario, case, figure, most, unit in LIMITS:
        found = summaries(results, scenario, figure).get(case, {}).get(OURS)
        if found is not None:
            limits.append(f"| {scenario}: {case} | {found.median:,.1f} {unit} | {most:,g} {unit} |")
    return [*lines, "", "| Estafeta | | aim |", "|---|---:|---:|", *limits] if limits else lines


def _ratio(results: Sequence[Result], aim: Aim, figure: str, durable: Sequence[str]) -> tuple[float, str] | None:
    servers = summaries(results, aim.scenario, figure).get(aim.case, {})
    return ratio(OURS, servers, durable, is_more_better=figure == "rate")
