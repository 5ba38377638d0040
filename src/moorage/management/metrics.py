"""Metrics that cost next to nothing until somebody asks for them.

What happens is counted in plain numbers; what merely is, is looked up. prometheus-client turns
both into text when it is asked to.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_BOUNDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds: from a piece of one exchange to a host that waits for another link."""

Values = Mapping[tuple[str, ...], float]
"""Values by the values of their labels."""


class Distribution:
    """How long something took, each time."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0
        """Seconds in all."""

    @property
    def count(self) -> int:
        """How often it happened."""
        return sum(self._counts)

    def observe(self, seconds: float) -> None:
        """It took so long this time."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return how often it took so many seconds at most, for every bound."""
        names = [*map(str, _BOUNDS), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


def counter(name: str, what: str, labels: Sequence[str], values: Values) -> Metric:
    """Return numbers that only rise."""
    family = CounterMetricFamily(name, what, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def gauge(name: str, what: str, labels: Sequence[str], values: Values) -> Metric:
    """Return numbers that rise and fall."""
    family = GaugeMetricFamily(name, what, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def histogram(
    name: str, what: str, labels: Sequence[str], values: Mapping[tuple[str, ...], Distribution]
) -> Metric:
    """Return how long things took."""
    family = HistogramMetricFamily(name, what, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value.buckets(), value.total)
    return family


class _OnRequest(Collector):
    def __init__(self, look: Callable[[], Iterable[Metric]]) -> None:
        self._look = look

    def collect(self) -> Iterable[Metric]:
        return self._look()


def new_registry(look: Callable[[], Iterable[Metric]]) -> CollectorRegistry:
    """Return a registry of what ``look`` returns, and of what is known of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Info("moorage", "The running version.", registry=registry).info({"version": version("moorage")})
    registry.register(_OnRequest(look))
    return registry
