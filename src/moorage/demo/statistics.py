"""Distributions of interruptions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Upper bounds of the histogram's bins, the last one of which has none."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times in ms; ``histogram`` has one count for each of `BOUNDS_MS` and one for what is above.

    ``p90`` is the smallest time that at least nine tenths of all do not exceed.
    """

    count: int
    minimum: float
    median: float
    p90: float
    maximum: float
    histogram: tuple[int, ...]

    @classmethod
    def of(cls, times_ms: Iterable[float]) -> Self:
        """The distribution of some times.

        Raises:
            ValueError: there are none.
        """
        times = sorted(times_ms)
        if not times:
            raise ValueError("nothing has no distribution")
        bounds = (-math.inf, *BOUNDS_MS, math.inf)
        return cls(
            count=len(times),
            minimum=times[0],
            median=statistics.median(times),
            p90=times[math.ceil(0.9 * len(times)) - 1],
            maximum=times[-1],
            histogram=tuple(
                sum(low < time <= high for time in times) for low, high in pairwise(bounds)
            ),
        )


def bin_labels() -> list[str]:
    """What the bins of a histogram are called, in ms."""
    return [f"≤ {bound}" for bound in BOUNDS_MS] + [f"> {BOUNDS_MS[-1]}"]
