"""Hard hand-off: one interface, off the old link and then on the new one, no added delay."""

from __future__ import annotations

import sys

from benchmarks import handoff, report
from benchmarks.figure import Figure

_TOPOLOGY = "two-routers"
_LIMIT_MS = 10.0


def run() -> list[Figure]:
    """Measure; the reference is the same move by hand."""
    floor = handoff.by_hand(_TOPOLOGY)
    ours = handoff.with_daemons(_TOPOLOGY)
    return handoff.figures("hard hand-off", ours, floor, _LIMIT_MS)


if __name__ == "__main__":
    sys.exit(report.standalone(run))
