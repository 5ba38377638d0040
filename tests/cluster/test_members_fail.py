"""Members of the store's cluster fail while 200 hosts hand off: what was acknowledged stays true.

Real members; the routers are their real cores (see `tests.fleet`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from moorage.store import open_store
from tests.domain import router_config
from tests.etcd import Cluster, running
from tests.fleet import Roamer, Station, disagreements

pytestmark = pytest.mark.interop

MEMBERS: Final = ("m1", "m2", "m3")
ROUTERS: Final = 3
HOSTS: Final = 200
STAY: Final = 0.5
"""Seconds that a host stays at a router, as a mean."""
MOVES: Final = 2
"""Hand-offs of each host before, between and after what happens."""


class Fleet:
    """Hosts that hand off until they are told to stop."""

    def __init__(self, stations: list[Station]) -> None:
        self.roamers = [Roamer(number, stations, random.Random(number)) for number in range(HOSTS)]
        self._stations = stations
        self._enough = False
        self._roaming = [asyncio.ensure_future(self._roam(each)) for each in self.roamers]

    async def _roam(self, roamer: Roamer) -> None:
        await roamer.roam(self._is_over, STAY)

    def _is_over(self, _: Roamer) -> bool:
        return self._enough

    async def go_on(self) -> None:
        """Return when every host has done some more hand-offs."""
        goals = {each.number: len(each.done) + MOVES for each in self.roamers}
        while any(len(each.done) < goals[each.number] for each in self.roamers):
            await self._while_roaming()

    async def _while_roaming(self) -> None:
        """Wait a moment in which no host fails."""
        done, _ = await asyncio.wait(
            self._roaming, timeout=0.05, return_when=asyncio.FIRST_EXCEPTION
        )
        for each in done:
            each.result()
        assert not done, "the hosts stopped by themselves"

    async def newcomer_is_told_to_try_later(self) -> None:
        """Return when a host without any prefix has been answered so; then it is one of us."""
        newcomer = Roamer(len(self.roamers), self._stations, random.Random(HOSTS))
        self.roamers.append(newcomer)
        self._roaming.append(asyncio.ensure_future(self._roam(newcomer)))
        while not newcomer.refused:
            await self._while_roaming()
        assert newcomer.prefix is None

    async def stop(self) -> None:
        """Let every host finish the hand-off that it is about."""
        self._enough = True
        await asyncio.gather(*self._roaming)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running(tmp_path, MEMBERS) as started:
        yield started


@asynccontextmanager
async def fleet(cluster: Cluster) -> AsyncIterator[Fleet]:
    """Hosts at three routers; at the end, what they were told is compared with the store."""
    async with AsyncExitStack() as stack:
        stations = []
        for number in range(1, ROUTERS + 1):
            store = open_store(cluster.url())
            stack.push_async_callback(store.close)
            station = Station(router_config(number), store)
            await stack.enter_async_context(station.serving())
            stations.append(station)
        made = Fleet(stations)
        await made.go_on()
        yield made
        await made.go_on()
        await made.stop()
        bindings = (await store.snapshot()).bindings
        assert disagreements(made.roamers, bindings) == []
        assert len([binding for binding in bindings if binding.held]) == len(made.roamers)


async def test_each_member_is_killed_in_turn_and_comes_back(cluster: Cluster) -> None:
    """The leader is among them, whichever it is."""
    async with fleet(cluster) as hosts:
        for member in MEMBERS:
            cluster.kill(member)
            await hosts.go_on()
            await asyncio.to_thread(cluster.start, member)


async def test_the_leader_stands_still(cluster: Cluster) -> None:
    """Connections to it stay, and nothing answers."""
    async with fleet(cluster) as hosts:
        leader = cluster.leader()
        cluster.freeze(leader)
        await hosts.go_on()
        cluster.thaw(leader)


async def test_without_a_majority_new_hosts_are_told_to_try_later(cluster: Cluster) -> None:
    """And everybody else hears nothing, and keeps what he has; routers recover by themselves."""
    async with fleet(cluster) as hosts:
        first, second, _ = MEMBERS
        cluster.kill(first)
        cluster.kill(second)
        await hosts.newcomer_is_told_to_try_later()
        await asyncio.to_thread(cluster.start, first, second)
