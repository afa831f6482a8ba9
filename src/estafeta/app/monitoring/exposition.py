"""Readings as text for Prometheus: its own format, or OpenMetrics where the client asks for it.

The library is imported when somebody asks for the first time: nothing else of the server needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from estafeta.app.monitoring.catalogue import METRICS, Kind, Metric
from estafeta.app.monitoring.readings import Readings

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family


def exposed(readings: Readings, accept: str) -> tuple[bytes, str]:
    """The text and its media type, as the client's Accept header asks for; every metric has its lines of help."""
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector, CollectorRegistry

    class _Collector(Collector):
        def collect(self) -> Iterator[Family]:
            return _families(readings)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector())
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


def _families(readings: Readings) -> Iterator[Family]:
    for metric in METRICS:
        yield _histogram(metric, readings) if metric.kind is Kind.HISTOGRAM else _plain(metric, readings)


def _plain(metric: Metric, readings: Readings) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family: Family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(readings.values.get(metric.name, {}).items()):
        family.add_metric(labels, value)  # type: ignore[attr-defined]
    return family


def _histogram(metric: Metric, readings: Readings) -> Family:
    from prometheus_client.core import HistogramMetricFamily
    from prometheus_client.utils import floatToGoString

    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, spread in sorted(readings.spreads.get(metric.name, {}).items(), key=lambda each: each[0]):
        bounds = [*map(floatToGoString, spread.bounds), "+Inf"]
        counts = [(bound, float(number)) for bound, number in zip(bounds, accumulate(spread.counts), strict=True)]
        family.add_metric(labels, counts, spread.total)
    return family
