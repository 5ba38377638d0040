"""The death of an anchor: how long a TCP connection stalls until the standby has its pool."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from benchmarks import handoff, report
from benchmarks.figure import Figure
from moorage.lab import topology
from moorage.lab.lab import Lab
from moorage.lab.topology import Topology
from moorage.lab.traffic import TcpFlow, tcp_pair

_RUNS: Final = 5
_LEASES: Final = (1.0, 5.0)
"""Seconds; the second one is the default."""
_STANDBY: Final = "ar2"
_REFUGE: Final = "ar3"
_PACE: Final = 200_000
"""Bytes a second in each direction."""
_BEFORE: Final = 1.0
_AFTER: Final = 6.0
"""Seconds that the flow runs before the anchor dies, and after its lease has ended."""


@dataclass(frozen=True, slots=True)
class _Stall:
    """Milliseconds without a byte, by direction."""

    up: float
    down: float


def run() -> list[Figure]:
    """Measure; the reference is the lease, before whose end nobody may do anything."""
    figures = []
    for lease in _LEASES:
        stalls = [_measure(lease) for _ in range(_RUNS)]
        figures += [
            Figure(
                f"TCP stalls when its anchor dies, {direction}",
                "ms",
                tuple(getattr(stall, direction) for stall in stalls),
                "lease",
                (1000 * lease,),
            )
            for direction in ("up", "down")
        ]
    return figures


def _measure(lease: float) -> _Stall:
    """Let the anchor of a connection die once."""
    with handoff.daemons(_topology(lease)) as lab:
        return _stall(lab, lease)


def _topology(lease: float) -> Topology:
    plain = topology.load("three-routers")
    routers = {}
    for name, router in plain.routers.items():
        settings: dict[str, object] = {"lease": lease}
        if name == _STANDBY:
            settings["standby"] = {"for": [handoff.ANCHOR], "after": 0.0}
        routers[name] = msgspec.structs.replace(router, settings=settings)
    return msgspec.structs.replace(plain, routers=routers)


def _stall(lab: Lab, lease: float) -> _Stall:
    address = lab.topology().correspondents[handoff.CORRESPONDENT].core.address
    host, peer = lab.node(handoff.HOST), lab.node(handoff.CORRESPONDENT)
    ends = tcp_pair(host, peer, address, handoff.session_lasting)
    with TcpFlow.start(*ends, up=_PACE, down=_PACE) as flow:
        lab.move(handoff.HOST, _REFUGE)
        time.sleep(_BEFORE)
        if lab.daemon(handoff.ANCHOR).kill() != -signal.SIGKILL:
            raise RuntimeError("the anchor's daemon had ended before")
        died = time.monotonic_ns()
        lab.node(handoff.ANCHOR).run(["ip", "link", "set", "core0", "down"])
        time.sleep(lease + _AFTER)
        found = flow.stop()
    if found.failure is not None:
        raise RuntimeError(f"the connection did not survive: {found.failure}")
    return _Stall(
        *(
            max(stall.duration / 1e6 for stall in found.stalls(way) if stall.end > died)
            for way in (found.up, found.down)
        )
    )


if __name__ == "__main__":
    sys.exit(report.standalone(run))
