"""Writes what a run has found between the markers of docs/performance.md and README.md, and the plots.

What stands around the markers is written by hand and stays.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.aims import OURS, ratios, table
from bench.peers import PEERS
from bench.plan import missing
from bench.plots import bars
from bench.results import Result
from bench.scenarios import SCENARIOS
from bench.scenarios.scenario import Matrix, Scenario
from bench.statistics import Summary, left_out, ratio, summaries

ROOT = Path(__file__).parents[1]
PAGE, README, PLOTS = ROOT / "docs" / "performance.md", ROOT / "README.md", ROOT / "docs" / "performance"
FIGURES = "figures"
RATIOS = "ratios"
_UNITS = {"rate": "messages/s", "ms": "ms", "mib": "MiB", "kib": "KiB"}
_FURTHER = {"cpu_us": "CPU µs", "later_us": "CPU µs afterwards", "peak_mib": "peak MiB", "cpu_percent": "CPU %"}


def between(text: str, marker: str, lines: Sequence[str]) -> str:
    """The text with these lines between `<!-- marker -->` and `<!-- /marker -->`. Raises ValueError without them."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if pattern.search(text) is None:
        raise ValueError(f"the markers of {marker} are missing")
    return pattern.sub(lambda found: found[1] + "\n" + "\n".join(lines) + "\n\n" + found[2], text, count=1)


def durable() -> list[str]:
    """Servers whose 250 comes after a sync."""
    return [name for name, peer in PEERS.items() if peer.is_durable]


def write(results: Sequence[Result], command: str) -> None:
    """Both pages and all plots."""
    lines = [f"Taken by `{command}`: {machine()}.", "", *tables(results)]
    text = between(PAGE.read_text(), FIGURES, lines)
    PAGE.write_text(between(text, RATIOS, table(results, durable())))
    if f"<!-- {RATIOS} -->" in README.read_text():
        README.write_text(between(README.read_text(), RATIOS, ratios(results, durable())))
    PLOTS.mkdir(exist_ok=True)
    for scenario in _seen(results):
        found = summaries(results, scenario.name, scenario.figure)
        by_case = {case: found[case] for case in _cases(scenario, found)}
        picture = bars(
            scenario.title, _UNITS[scenario.figure], by_case, _servers(found), is_logarithmic=scenario.figure != "rate"
        )
        (PLOTS / f"{scenario.name}.svg").write_text(picture)


def tables(results: Sequence[Result]) -> list[str]:
    """All scenarios, as Markdown."""
    lines: list[str] = []
    for scenario in _seen(results):
        lines += [f"### {scenario.title}", "", scenario.explanation, "", *_table(scenario, results), ""]
        lines += _reasons(scenario, results)
        lines += [f"![{scenario.title}](performance/{scenario.name}.svg)", ""]
    if absent := missing([*SCENARIOS.values()], {(each.scenario, each.case) for each in results}):
        lines += ["### Not in this run", "", "For want of time, or because it was not asked for:", ""]
        lines += [*(f"- {line}." for line in absent), ""]
    return lines


def _seen(results: Sequence[Result]) -> list[Scenario]:
    names = {each.scenario for each in results}
    return [scenario for name, scenario in SCENARIOS.items() if name in names]


def _cases(scenario: Scenario, found: Mapping[str, object]) -> list[str]:
    """Those that have figures, in the scenario's order."""
    order = [case.title for case in scenario.cases(Matrix(is_full=True))]
    return sorted(found, key=lambda case: order.index(case) if case in order else len(order))


def _servers(found: Mapping[str, Mapping[str, Summary]]) -> list[str]:
    seen = {name for by in found.values() for name in by}
    return [name for name in PEERS if name in seen]


def _table(scenario: Scenario, results: Sequence[Result]) -> list[str]:
    found = summaries(results, scenario.name, scenario.figure)
    further = {name: summaries(results, scenario.name, name) for name in _FURTHER}
    servers, certain = _servers(found), durable()
    heads = [name if name in certain or name == "smtp-sink" else f"{name} (no sync)" for name in servers]
    more = ", ".join(said for name, said in _FURTHER.items() if any(further[name].values()))
    below = f"; below {more}" if more else ""
    lines = [
        f"{_UNITS[scenario.figure]}, median ± half the spread, or the only one{below}.",
        "",
        "| | " + " | ".join(heads) + (" | ratio |" if scenario.has_ratio else " |"),
        "|---|" + "---:|" * (len(servers) + scenario.has_ratio),
    ]
    for case in _cases(scenario, found):
        cells = [_cell(case, name, found[case], further) for name in servers]
        if scenario.has_ratio:
            compared = ratio(OURS, found[case], certain, is_more_better=scenario.figure == "rate")
            cells.append("" if compared is None else f"{compared[0]:.{1 if compared[0] >= 1 else 2}f} ({compared[1]})")
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return lines


def _cell(
    case: str, name: str, by: Mapping[str, Summary], further: Mapping[str, Mapping[str, Mapping[str, Summary]]]
) -> str:
    if name not in by:
        return "–"
    one = by[name]
    cell = f"{one.median:,.{0 if one.median >= 100 else 1}f}" + (f" ± {one.spread:.0%}" if one.rounds > 1 else "")
    more = [
        f"{values[case][name].median:,.{0 if what != 'cpu_percent' else 2}f}"
        for what, values in further.items()
        if name in values.get(case, {})
    ]
    return cell + (f"<br>{', '.join(more)}" if more else "")


def _reasons(scenario: Scenario, results: Sequence[Result]) -> list[str]:
    reasons = left_out(results, scenario.name)
    lines = [f"- {name}: {'; '.join(said)}." for name, said in reasons.items()]
    return ["Left out, wholly or in some cases:", "", *lines, ""] if lines else []


def machine() -> str:
    """What it was taken on."""
    cpu = re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    gib = int(memory[1]) / 2**20 if memory else 0
    system = re.search(r'PRETTY_NAME="(.*)"', _read("/etc/os-release"))
    disk = subprocess.run(["stat", "-f", "-c", "%T", "/tmp"], capture_output=True, text=True).stdout.strip()
    return (
        f"{os.cpu_count()} cores ({cpu[1] if cpu else 'unknown'}), {gib:.0f} GiB, "
        f"{system[1] if system else 'unknown system'}, "
        f"Linux {platform.release().partition('-')[0]}, {disk}, Python {platform.python_version()}"
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
