"""Medians, spread and ratios of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.results import Result


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure over the rounds."""

    median: float
    least: float
    most: float
    rounds: int

    @property
    def spread(self) -> float:
        """Half the width, as a part of the median."""
        return (self.most - self.least) / 2 / self.median if self.median else 0.0


def summaries(results: Iterable[Result], scenario: str, figure: str) -> dict[str, dict[str, Summary]]:
    """By case, then by server; what failed is not there."""
    values: dict[str, dict[str, list[float]]] = {}
    for each in results:
        if each.scenario == scenario:
            servers = values.setdefault(each.case, {})
            if figure in each.figures:
                servers.setdefault(each.peer, []).append(each.figures[figure])
    return {
        case: {peer: Summary(median(all_), min(all_), max(all_), len(all_)) for peer, all_ in servers.items()}
        for case, servers in values.items()
    }


def left_out(results: Iterable[Result], scenario: str) -> dict[str, list[str]]:
    """Why servers have no figures: reasons by server."""
    found: dict[str, list[str]] = {}
    for each in results:
        if each.scenario == scenario and each.failed:
            reasons = found.setdefault(each.peer, [])
            if each.failed not in reasons:
                reasons.append(each.failed)
    return found


def ratio(
    ours: str, servers: Mapping[str, Summary], durable: Sequence[str], *, is_more_better: bool
) -> tuple[float, str] | None:
    """How many times better ours is than the best durable peer, and who that is; None without one."""
    rivals = [name for name in servers if name != ours and name in durable]
    if ours not in servers or not rivals:
        return None
    best = (max if is_more_better else min)(rivals, key=lambda name: servers[name].median)
    own, other = servers[ours].median, servers[best].median
    if not own or not other:
        return None
    return (own / other if is_more_better else other / own), best
