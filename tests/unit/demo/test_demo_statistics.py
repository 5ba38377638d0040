"""Distributions of interruptions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.demo.statistics import BOUNDS_MS, Distribution, bin_labels

TIMES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1)


def test_known_distribution() -> None:
    found = Distribution.of(range(1, 11))
    assert (found.count, found.minimum, found.median, found.p90, found.maximum) == (
        10,
        1,
        5.5,
        9,
        10,
    )
    assert found.histogram[:4] == (1, 1, 3, 5)


def test_bounds_belong_to_the_lower_bin() -> None:
    found = Distribution.of([1, 1.001, 5000, 5001])
    assert (found.histogram[0], found.histogram[1]) == (1, 1)
    assert found.histogram[-2:] == (1, 1)


@given(TIMES)
def test_order_and_counts(times: list[float]) -> None:
    found = Distribution.of(times)
    assert found.minimum <= found.median <= found.maximum
    assert found.minimum <= found.p90 <= found.maximum
    assert sum(time <= found.p90 for time in times) >= 0.9 * len(times)
    assert sum(found.histogram) == found.count == len(times)


def test_nothing_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Distribution.of([])


def test_every_bin_has_a_label() -> None:
    assert len(bin_labels()) == len(BOUNDS_MS) + 1 == len(Distribution.of([1]).histogram)
