"""What both daemons' metrics have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds: from a piece of one exchange to a host that waits for another link."""


def new_registry() -> CollectorRegistry:
    """Return a registry of one's own with what is known of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Info("moorage", "The running version.", registry=registry).info({"version": version("moorage")})
    return registry


class OnRequest(Collector):
    """Metrics that are counted when somebody asks for them, and cost nothing before."""

    def __init__(self, count: Callable[[], Iterable[Metric]]) -> None:
        self._count = count

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        return self._count()
