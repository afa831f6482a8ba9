"""The values of all metrics at one moment, as plain data: what processes tell one another, and what is written out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from estafeta.app.monitoring.catalogue import METRICS, Kind, Metric
from estafeta.store.tally import Histogram

Labels = tuple[str, ...]
"""The values of a metric's labels, in their order there."""

_BY_NAME = {each.name: each for each in METRICS}
_MOST_LABELS = 4096
"""Values of one metric that are taken from another process; what has more is broken."""


class ReadingsFault(ValueError):
    """What another process sent cannot be read."""


@dataclass(slots=True)
class Spread:
    """A histogram: the number of values for each bound, those above all of them last, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float


@dataclass(slots=True)
class Readings:
    """By metric and labels."""

    values: dict[str, dict[Labels, float]] = field(default_factory=dict)
    """Of counters and gauges."""
    spreads: dict[str, dict[Labels, Spread]] = field(default_factory=dict)
    """Of histograms."""

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """Add to a counter or gauge."""
        assert len(labels) == len(metric.labels), metric.name
        values = self.values.setdefault(metric.name, {})
        values[labels] = values.get(labels, 0.0) + value

    def put_all(self, metric: Metric, counts: Mapping[str, int] | Mapping[tuple[str, str], int]) -> None:
        """Add to a counter what was counted by its label, or by its labels."""
        for labels, value in tuple(counts.items()):
            self.put(metric, value, *((labels,) if isinstance(labels, str) else labels))

    def put_histogram(self, metric: Metric, histogram: Histogram, *labels: str) -> None:
        """Add a histogram."""
        self._spread(metric.name, labels, Spread(histogram.bounds, list(histogram.counts), histogram.total))

    def add(self, others: Readings, *, only_grown: bool = False) -> None:
        """Add those of another process; of one that is gone `only_grown`: its gauges are of nobody."""
        for name, values in others.values.items():
            if only_grown and _BY_NAME[name].kind is Kind.GAUGE:
                continue
            for labels, value in values.items():
                self.put(_BY_NAME[name], value, *labels)
        for name, spreads in others.spreads.items():
            for labels, spread in spreads.items():
                self._spread(name, labels, spread)

    def _spread(self, name: str, labels: Labels, spread: Spread) -> None:
        known = self.spreads.setdefault(name, {})
        before = known.get(labels)
        if before is None or before.bounds != spread.bounds:
            known[labels] = Spread(spread.bounds, list(spread.counts), spread.total)
            return
        before.counts = [one + other for one, other in zip(before.counts, spread.counts, strict=True)]
        before.total += spread.total

    def value(self, metric: Metric, *labels: str) -> float:
        """One value; 0 where there is none."""
        return self.values.get(metric.name, {}).get(labels, 0.0)

    # Between processes.

    def encode(self) -> bytes:
        """As `decode` reads it."""
        told = {
            "values": {name: list(map(list, each.items())) for name, each in self.values.items()},
            "spreads": {
                name: [[labels, each.bounds, each.counts, each.total] for labels, each in spreads.items()]
                for name, spreads in self.spreads.items()
            },
        }
        return json.dumps(told, separators=(",", ":")).encode()

    @staticmethod
    def decode(octets: bytes) -> Readings:
        """Read what a process of the same version has sent. Raises ReadingsFault."""
        readings = Readings()
        try:
            told = json.loads(octets)
            for name, values in told["values"].items():
                for labels, value in _some(values):
                    readings.put(_metric(name, labels), float(value), *map(str, labels))
            for name, spreads in told["spreads"].items():
                for labels, bounds, counts, total in _some(spreads):
                    if len(counts) != len(bounds) + 1:
                        raise ReadingsFault("a histogram has as many counts as bounds, and one")
                    spread = Spread(tuple(map(float, bounds)), list(map(int, counts)), float(total))
                    _metric(name, labels)
                    readings._spread(name, tuple(map(str, labels)), spread)
        except ReadingsFault:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReadingsFault(str(error)) from error
        return readings


def _metric(name: str, labels: list[Any]) -> Metric:
    metric = _BY_NAME.get(name)
    if metric is None or len(metric.labels) != len(labels):
        raise ReadingsFault(f"{name!r} is no metric with these labels")
    return metric


def _some(values: list[list[Any]]) -> Iterable[list[Any]]:
    if len(values) > _MOST_LABELS:
        raise ReadingsFault("too many values")
    return values
