"""Hand-offs through a cluster of three etcd members, beside the same through one SQLite file.

Both by the real cores of three routers, with 200 hosts that sign their messages; hosts, routers and
members share this machine. First as many as can be, then at a fixed pace, at which a phase takes as
long as it takes and does not wait for others; last, the leader is killed.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import report
from benchmarks.figure import Figure
from moorage.management.metrics import Distribution
from moorage.router.account import Phase
from moorage.store import open_store
from tests.domain import router_config
from tests.etcd import running
from tests.fleet import HandOff, Roamer, Station

_MEMBERS: Final = ("m1", "m2", "m3")
_ROUTERS: Final = 3
_HOSTS: Final = 200
_RUNS: Final = 5
_SECONDS: Final = 4.0
_STAY: Final = 2.0
"""Seconds that a host stays at a router at the fixed pace, as a mean: 100 hand-offs a second."""
_ELECTION: Final = 1000
"""Milliseconds without a leader until the members elect one: what etcd has by default."""
_PHASES: Final = (Phase.DECIDE, Phase.COMMIT, Phase.REPLY)
_ENGINES: Final = ("etcd", "SQLite")


def run() -> list[Figure]:
    """Measure both stores in turn, several times; on the disk that holds the current folder."""
    samples: dict[tuple[str, str], list[float]] = {}
    stalls = []
    for _ in range(_RUNS):
        with (
            TemporaryDirectory(prefix=".bench-cluster-", dir=Path.cwd()) as temporary,
            running(Path(temporary), _MEMBERS, election=_ELECTION) as cluster,
        ):
            urls = {"etcd": cluster.url(), "SQLite": f"sqlite:{temporary}/bindings.db"}
            for engine in _ENGINES:
                for name, value in asyncio.run(_measure(urls[engine])).items():
                    samples.setdefault((name, engine), []).append(value)
            stalls.append(asyncio.run(_stall(urls["etcd"], lambda: cluster.kill(cluster.leader()))))
    names = dict.fromkeys(name for name, _ in samples)
    figures = [
        Figure(
            f"{name}, etcd",
            "ms",
            *((*samples[name, "etcd"],), "SQLite", (*samples[name, "SQLite"],)),
        )
        for name in names
    ]
    return [*figures, Figure("no hand-off while a leader is elected", "ms", (*stalls,))]


async def _measure(url: str) -> dict[str, float]:
    """Return milliseconds, by what takes them."""
    async with _stations(url) as stations:
        busy = await _roam(stations)
        paced = await _roam(stations, _STAY)
        found = {
            "hand-off, as many as can be": 1e3 * _SECONDS / len(busy),
            "hand-off, 100 a second": 1e3 * median(each.seconds for each in paced),
        }
        for phase in _PHASES:
            taken = [station.account.phases[phase] for station in stations]
            total = sum(each.total for each in taken)
            found[f"{phase} at 100 a second"] = 1e3 * total / sum(each.count for each in taken)
    return found


async def _stall(url: str, kill: Callable[[], None]) -> float:
    """Return the milliseconds in which nobody's hand-off succeeds while the leader is killed."""
    async with _stations(url) as stations:
        done = await _roam(stations, _STAY, kill)
    ends = sorted(each.started + each.seconds for each in done)
    return 1e3 * max(later - earlier for earlier, later in pairwise(ends))


@asynccontextmanager
async def _stations(url: str) -> AsyncIterator[list[Station]]:
    async with AsyncExitStack() as stack:
        stations = []
        for number in range(1, _ROUTERS + 1):
            store = open_store(url)
            stack.push_async_callback(store.close)
            station = Station(router_config(number), store)
            await stack.enter_async_context(station.serving())
            stations.append(station)
        yield stations


async def _roam(
    stations: list[Station], stay: float = 0.0, event: Callable[[], None] | None = None
) -> list[HandOff]:
    """Return the hand-offs of some seconds; something may happen in the middle of them."""
    roamers = [Roamer(number, stations, random.Random(number)) for number in range(_HOSTS)]
    over = asyncio.Event()
    roaming = [asyncio.ensure_future(each.roam(lambda _: over.is_set(), stay)) for each in roamers]
    while not all(each.done for each in roamers):
        await asyncio.wait(roaming, timeout=0.01, return_when=asyncio.FIRST_EXCEPTION)
    for station in stations:
        station.account.phases.update({phase: Distribution() for phase in Phase})
    begin = time.monotonic()
    await asyncio.sleep(_SECONDS / 2)
    if event is not None:
        await asyncio.to_thread(event)
    await asyncio.sleep(begin + _SECONDS - time.monotonic())
    end = time.monotonic()
    over.set()
    await asyncio.gather(*roaming)
    done = [each for roamer in roamers for each in roamer.done]
    return [each for each in done if begin <= each.started + each.seconds < end]


if __name__ == "__main__":
    sys.exit(report.standalone(run))
