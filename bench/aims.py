"""The aims, and how far a run has come: ratios against the best peer that is as durable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.results import Result
from bench.scenarios.growth import Growth
from bench.scenarios.reading import APPENDS, COMMANDS, FIRST_LOGIN, MULTIAPPEND, SELECT, Imap
from bench.scenarios.scenario import Matrix, Scenario
from bench.statistics import Summary, ratio, summaries

OURS, CEILING = "Estafeta", "smtp-sink"
RIVAL = "Dovecot"
"""Who the aims of reading are measured by."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A ratio that shall be reached in a case."""

    scenario: str
    case: str
    faster: float
    """Times the messages a second of the best."""
    cheaper: float | None = None
    """Times less CPU a message."""
    is_telling: bool = True
    """Whether it is measured first and in all rounds."""


def _kept(size: str, sessions: int) -> str:
    return f"{size}, {sessions} sessions, kept connections"


CEILING_CASE, CEILING_AIM = "1 KiB, 50 sessions, a connection each", 0.6
AIMS = (
    Aim("accept", _kept("1 KiB", 10), 5, 5),
    Aim("accept", _kept("1 KiB", 50), 5, 5),
    Aim("accept", _kept("1 KiB", 200), 5, 5, is_telling=False),
    Aim("accept", _kept("1 KiB", 1000), 5, 5, is_telling=False),
    Aim("accept", CEILING_CASE, 3, 5),
    Aim("accept", _kept("10 KiB", 50), 2, 5),
    Aim("accept", _kept("100 KiB", 50), 2, 5),
    Aim("deliver", _kept("1 KiB", 10), 5, 5),
    Aim("deliver", _kept("1 KiB", 50), 5, 5),
    Aim("deliver", _kept("1 KiB", 200), 5, 5, is_telling=False),
    Aim("deliver", CEILING_CASE, 3, 5),
    Aim("deliver", _kept("10 KiB", 50), 2, 5),
    Aim("deliver", _kept("100 KiB", 50), 2, 5),
    Aim("deliver-100", _kept("1 KiB", 50), 5, 5),
    Aim("relay", _kept("1 KiB", 10), 3, 3),
    Aim("relay", _kept("1 KiB", 50), 3, 3),
    Aim("relay", _kept("10 KiB", 50), 3, 3, is_telling=False),
    Aim("relay", _kept("100 KiB", 50), 3, 3, is_telling=False),
    Aim("relay-100", _kept("1 KiB", 100), 3, 3, is_telling=False),
)
READING = {
    **dict.fromkeys((SELECT, *COMMANDS, APPENDS, MULTIAPPEND, FIRST_LOGIN), 1.0),
    **{command: 10.0 for command in COMMANDS if command.startswith("SEARCH")},
}
"""How many times faster IMAP's commands shall be than Dovecot's; nowhere under half of it."""
LIMITS = (
    ("start", "first 250 after the start", "ms", 1000.0, "ms"),
    ("idle", "0 connections", "mib", 80.0, "MiB"),
    ("idle", "0 connections", "cpu_percent", 0.5, "% of a core"),
    ("idle", "10,000 connections", "mib", 250.0, "MiB"),
)
_TELLING = {
    *((aim.scenario, aim.case) for aim in AIMS if aim.is_telling),
    *(("imap", case.title) for case in Imap().cases(Matrix())),
    *((scenario, case) for scenario, case, *_ in LIMITS),
}


def is_telling(scenario: str, case: str) -> bool:
    """Whether an aim is read off there: such cases are measured first, and in all rounds."""
    return (scenario, case) in _TELLING


def can_win(results: Iterable[Result], scenario: Scenario, case: str, name: str, durable: Sequence[str]) -> bool:
    """Whether a further round of a server may change an aim's figure: ours, the ceiling, who is not far behind."""
    if name == OURS or (scenario.name, case, name) == ("accept", CEILING_CASE, CEILING):
        return True
    if not scenario.has_ratio or name not in durable or name in scenario.once:
        return False
    kept = list(results)
    return scenario.figure != "rate" or any(
        _is_near(summaries(kept, scenario.name, figure).get(case, {}), name, durable, is_more_better=figure == "rate")
        for figure in (scenario.figure, "cpu_us")
    )


def _is_near(servers: dict[str, Summary], name: str, durable: Sequence[str], *, is_more_better: bool) -> bool:
    rivals = [one.median for peer, one in servers.items() if peer != OURS and peer in durable]
    if name not in servers:
        return False
    own = servers[name].median
    return own >= max(rivals) / 2 if is_more_better else own <= min(rivals) * 2


def table(results: Sequence[Result], durable: Sequence[str]) -> list[str]:
    """Lines of Markdown: ratios of mail, of reading, limits and growth, as far as there are figures."""
    parts = [ratios(results, durable), _reading(results), _limits(results)]
    lines: list[str] = []
    for part in parts:
        if len(part) > 2:
            lines += ["", *part] if lines else part
    return lines


def ratios(results: Sequence[Result], durable: Sequence[str]) -> list[str]:
    """Lines of Markdown: ratios of mail alone."""
    lines = ["| | messages/s | aim | CPU a message | aim | beside |", "|---|---:|---:|---:|---:|---|"]
    for aim in AIMS:
        faster = _ratio(results, aim.scenario, aim.case, "rate", durable)
        cheaper = _ratio(results, aim.scenario, aim.case, "cpu_us", durable)
        if faster is None:
            continue
        cells = [f"{aim.scenario}: {aim.case}", f"{faster[0]:.1f} ×", f"{aim.faster:g} ×"]
        cells += ["" if cheaper is None else f"1/{cheaper[0]:.1f}", "" if aim.cheaper is None else f"1/{aim.cheaper:g}"]
        beside = faster[1] if cheaper is None or cheaper[1] == faster[1] else f"{faster[1]}; {cheaper[1]}"
        lines.append("| " + " | ".join([*cells, beside]) + " |")
    ceiling = summaries(results, "accept", "rate").get(CEILING_CASE, {})
    if OURS in ceiling and CEILING in ceiling:
        part = ceiling[OURS].median / ceiling[CEILING].median
        lines.append(f"| accept: {CEILING_CASE} | {part:.0%} | {CEILING_AIM:.0%} | | | {CEILING}, the ceiling |")
    return lines


def _reading(results: Sequence[Result]) -> list[str]:
    lines = ["| IMAP | faster | aim | beside |", "|---|---:|---:|---|"]
    for case, aim in READING.items():
        if (found := _ratio(results, "imap", case, "ms", [RIVAL])) is not None:
            lines.append(f"| {case} | {found[0]:.{1 if found[0] >= 1 else 2}f} × | {aim:g} × | {found[1]} |")
    return lines


def _limits(results: Sequence[Result]) -> list[str]:
    lines = ["| Estafeta | | aim |", "|---|---:|---:|"]
    for scenario, case, figure, most, unit in LIMITS:
        found = summaries(results, scenario, figure).get(case, {}).get(OURS)
        if found is not None:
            lines.append(
                f"| {scenario}: {case} | {found.median:,.{1 if most >= 10 else 2}f} {unit} | {most:,g} {unit} |"
            )
    grown = summaries(results, "growth", "cpu_us")
    for what in Growth.flat:
        cases = [each.title for each in Growth().cases(Matrix(is_full=True)) if each.title.partition(" ")[2] == what]
        seen = [(case, grown[case][OURS].median) for case in cases if OURS in grown.get(case, {})]
        if len(seen) > 1:
            (first, before), (last, after) = seen[0], seen[-1]
            lines.append(
                f"| CPU a message, {first} → {last.partition(' ')[0]} | × {after / before:.2f} | "
                "flat, or as a logarithm |"
            )
    return lines


def _ratio(
    results: Sequence[Result], scenario: str, case: str, figure: str, durable: Sequence[str]
) -> tuple[float, str] | None:
    servers = summaries(results, scenario, figure).get(case, {})
    return ratio(OURS, servers, durable, is_more_better=figure == "rate")
