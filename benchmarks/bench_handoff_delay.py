"""Hard hand-off where the core is 10 ms away from each access router, one way."""

from __future__ import annotations

import sys
from statistics import median
from typing import Final

from benchmarks import handoff, report
from benchmarks.figure import Figure

_TOPOLOGY: Final = "two-routers-delay"
_PLAIN_TOPOLOGY: Final = "two-routers"
_ROUND_TRIP_MS: Final = 20.0


def run() -> list[Figure]:
    """Measure; the reference is the same move by hand, in the same topology.

    The limit is the median without delay, measured here too, and two round trips to the core.
    """
    plain = handoff.with_daemons(_PLAIN_TOPOLOGY)
    samples = [time for each in plain.away + plain.home for time in (each.up, each.down)]
    floor = handoff.by_hand(_TOPOLOGY)
    ours = handoff.with_daemons(_TOPOLOGY)
    limit = median(samples) + 2 * _ROUND_TRIP_MS
    return handoff.figures("hard hand-off, 10 ms to the core", ours, floor, limit)


if __name__ == "__main__":
    sys.exit(report.standalone(run))
