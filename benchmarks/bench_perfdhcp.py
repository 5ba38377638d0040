"""Prefix delegations a second: perfdhcp of Kea, against our router and against Kea's server.

Each exchange is one of four messages for a client that is new. Ours has every binding on the disk
before its Reply leaves; Kea writes its lease file without waiting for the disk.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import report
from benchmarks.figure import Figure
from moorage import config
from moorage.kernel import sysctl
from moorage.lab.lab import Lab, Node
from moorage.lab.programs import path_of
from moorage.lab.topology import Topology
from tests.interop.networks import kea

_TOPOLOGY: Final = """
    sid_block = "2001:db8:5::/48"
    [routers.ar1]
    pool = "2001:db8:8000::/34"
    down_sid = "2001:db8:5:1::d"
    up_sid = "2001:db8:5:1::e"
    core = { prefix = "2001:db8:c:1::/64" }
    access = { prefix = "2001:db8:1001::/64" }
    [hosts.mn]
    attach = { wl0 = "ar1" }
"""
_NO_LIMIT: Final = 10_000_000
"""Clients of a run, and what a router may give or look at."""

_ROUNDS: Final = 3
_ATTEMPTS: Final = 9
_SECONDS: Final = 2
"""Of one attempt at a rate."""
_LAST_REPLIES_US: Final = 100_000
"""How long is waited for what is under way when an attempt ends."""
_FIRST_RATE: Final = 2000.0
_STEP: Final = 1.6
_CLOSE: Final = 1.1
"""Ratio of a rate that is too high to one that is not, when there is no need to go on."""
_ACCEPTED_LOSS: Final = 0.01

_COUNTS: Final = re.compile(r"sent packets: (\d+)\s+received packets: (\d+)")

Server = Callable[[], AbstractContextManager[Node]]
"""Runs a server, and gives the host that is on its link."""


def run() -> list[Figure]:
    """Measure both servers in turn, each time in a lab of its own.

    The figure is the time of one exchange at the highest rate.
    """
    times: dict[Server, list[float]] = {_moorage: [], _kea: []}
    best = dict.fromkeys(times, _FIRST_RATE)
    for _ in range(_ROUNDS):
        for server, samples in times.items():
            best[server] = _highest_rate(server, best[server])
            samples.append(1e6 / best[server])
    return [
        Figure(
            "prefix delegation with perfdhcp",
            "us",
            tuple(times[_moorage]),
            "Kea, memfile",
            tuple(times[_kea]),
        )
    ]


def _highest_rate(server: Server, rate: float) -> float:
    """Return the most exchanges a second of which a server loses less than a hundredth.

    It is looked for from ``rate`` on.
    """
    good, bad = 0.0, inf
    with server() as host:
        for _ in range(_ATTEMPTS):
            begun, finished = _attempt(host, rate)
            if finished < begun * (1 - _ACCEPTED_LOSS):
                bad = rate
            elif begun < rate * _SECONDS / _CLOSE:
                return finished / _SECONDS  # perfdhcp itself cannot do more
            else:
                good = rate
            if bad < good * _CLOSE:
                break
            rate = min(good * _STEP, (good + bad) / 2)
            if not good:
                rate = bad / _STEP
    if not good:
        raise RuntimeError(f"lost more than a hundredth even at {bad:.0f} exchanges a second")
    return good


def _attempt(host: Node, rate: float) -> tuple[int, int]:
    """Begin so many exchanges a second; return how many were begun, and how many finished."""
    argv = [
        *(path_of("perfdhcp"), "-6", "-l", "wl0", "-e", "prefix-only"),
        *("-r", f"{rate:.0f}", "-p", f"{_SECONDS}", "-R", f"{_NO_LIMIT}"),
        *("-W", f"{_LAST_REPLIES_US}"),
    ]
    said = host.run(argv, check=False).stdout
    try:
        (begun, _), (_, finished) = _COUNTS.findall(said)
    except ValueError:
        raise RuntimeError(f"perfdhcp: {said.strip()}") from None
    return int(begun), int(finished)


@contextmanager
def _lab(state: Path | None = None) -> Iterator[Lab]:
    topology = config.parse(_TOPOLOGY, Topology, "this benchmark")
    with Lab.start(topology, state=state) as lab:
        # With an address of a router advertisement perfdhcp would send from that one.
        lab.node("mn").call(sysctl.write, "net/ipv6/conf/wl0/accept_ra", "0")
        yield lab


@contextmanager
def _moorage() -> Iterator[Node]:
    with (
        TemporaryDirectory(prefix=".bench-perfdhcp-", dir=Path.cwd()) as folder,
        _lab(Path(folder)) as lab,
    ):
        lab.daemon("ar1").start(new_clients=_NO_LIMIT, capacity=_NO_LIMIT)
        yield lab.node("mn")


@contextmanager
def _kea() -> Iterator[Node]:
    with _lab() as lab, kea(lab.node("ar1"), lab.topology().routers["ar1"]):
        yield lab.node("mn")


if __name__ == "__main__":
    sys.exit(report.standalone(run))
