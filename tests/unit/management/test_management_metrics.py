"""Numbers that become Prometheus' text when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from moorage.management.metrics import Distribution, counter, gauge, histogram, new_registry


def text(*metrics: Metric) -> str:
    def look() -> Iterator[Metric]:
        yield from metrics

    return generate_latest(new_registry(look)).decode()


def test_what_took_so_long_is_in_every_bucket_that_holds_it() -> None:
    took = Distribution()
    for seconds in (0.0, 0.0001, 0.003, 100.0):
        took.observe(seconds)
    assert (took.count, took.total) == (4, 100.0031)
    buckets = dict(took.buckets())
    assert (buckets["0.0001"], buckets["0.0025"], buckets["0.005"]) == (2, 2, 3)
    assert (buckets["10.0"], buckets["+Inf"]) == (3, 4)


def test_prometheus_understands_what_is_shown() -> None:
    took = Distribution()
    took.observe(0.003)
    shown = text(
        counter("moorage_test_moves", "Moves.", ["to"], {("ar1",): 2}),
        gauge("moorage_test_hosts", "Hosts.", [], {(): 7}),
        histogram("moorage_test_seconds", "Time.", ["phase"], {("commit",): took}),
    )
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    assert samples["moorage_test_moves_total", "ar1"] == 2
    assert samples["moorage_test_hosts",] == 7
    assert samples["moorage_test_seconds_count", "commit"] == 1
    assert samples["moorage_test_seconds_bucket", "+Inf", "commit"] == 1
    assert samples["process_resident_memory_bytes",] > 0


def test_what_is_shown_is_looked_up_each_time() -> None:
    values: dict[tuple[str, ...], float] = {(): 1.0}
    registry = new_registry(lambda: [gauge("moorage_test_hosts", "Hosts.", [], values)])
    assert b"moorage_test_hosts 1.0" in generate_latest(registry)
    values[()] = 2.0
    assert b"moorage_test_hosts 2.0" in generate_latest(registry)
