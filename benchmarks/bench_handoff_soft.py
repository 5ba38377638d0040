"""Soft hand-off: another interface gets the new link a second before the old one goes."""

from __future__ import annotations

import sys
from typing import Final

from benchmarks import handoff, report
from benchmarks.figure import Figure
from moorage.lab.traffic import Probes, UdpReport

_TOPOLOGY: Final = "two-routers"
_MOVES_WITH_LOSS: Final = 1
"""At most, of the moves that are measured."""
_MARGIN_NS: Final = 200_000_000
"""What is lost this long before and after a move counts as lost by it."""


def run() -> list[Figure]:
    """Measure; the reference is what hard moves lose, over the same flow."""
    pairs = handoff.REPETITIONS // 2
    with (
        handoff.daemons(_TOPOLOGY) as lab,
        handoff.start_flow(lab, handoff.session_lasting) as flow,
    ):
        soft = handoff.back_and_forth(
            lambda router: lab.move(handoff.HOST, router, soft=True), pairs
        )
        hard = handoff.back_and_forth(lambda router: lab.move(handoff.HOST, router), pairs)
        flowed = flow.stop()
    lost = tuple(_lost(flowed, move.up, move.down) for move in soft)
    lost_hard = tuple(_lost(flowed, move.down, move.up) for move in hard)
    return [
        Figure(
            f"soft moves of {len(soft)} that lost packets",
            "moves",
            (_some(lost),),
            "hard moves",
            (_some(lost_hard),),
            _MOVES_WITH_LOSS,
        ),
        Figure("packets lost by a soft move", "packets", lost, "hard move", lost_hard),
    ]


def _lost(flowed: UdpReport, start: int, end: int) -> float:
    """How many packets were lost in both directions around a move."""
    return sum(_lost_between(probes, start, end) for probes in (flowed.up, flowed.down))


def _lost_between(probes: Probes, start: int, end: int) -> int:
    return sum(
        start - _MARGIN_NS <= sent <= end + _MARGIN_NS and not received
        for sent, received in zip(probes.sent, probes.received, strict=True)
    )


def _some(lost: tuple[float, ...]) -> float:
    return float(sum(map(bool, lost)))


if __name__ == "__main__":
    sys.exit(report.standalone(run))
