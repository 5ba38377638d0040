"""Paths of 100,000 bindings: all of them after a restart, and the change of a single one.

Everything is inside the namespace of a lab's router: of ten bindings eight are at home, one is away
and one visits. The store is a SQLite file in memory (tmpfs).
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.figure import Figure
from moorage import config as configuration
from moorage.bulk import many_objects
from moorage.kernel.links import NetlinkLinkTable
from moorage.kernel.neighbours import NetlinkNeighbourTable
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.nftables import SidFilter
from moorage.kernel.routes import Add, Remove, Route, RouteKind, Seg6Encap, Seg6EndDT6
from moorage.lab.lab import Lab
from moorage.lab.network import ACCESS
from moorage.numbers import ROUTE_PROTOCOL
from moorage.router.config import RouterConfig
from moorage.router.forwarding import Forwarding
from moorage.router.lifecycle import Expiry
from moorage.router.mirror import Mirror
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import BindingChanged, Create
from moorage.store.sqlite import SqliteStore

_BINDINGS: Final = 100_000
_COMMITTED_AT_ONCE: Final = 1000
_RESTARTS: Final = 3
_CHANGES: Final = 300
_RESTART_LIMIT_S: Final = 5.0
_CHANGE_LIMIT_MS: Final = 1.0
_HOSTS: Final = int(IPv6Address("fe80::1:0:0"))
_TEXT: Final = """
    id = "ar{0}"
    domain = "00112233445566ff"
    core_interface = "core0"
    core_address = "2001:db8:c:{0}::2"
    pool = "2001:db8:a{0}00::/40"
    sids = {{ block = "2001:db8:5::/48", down = "2001:db8:5:{0}::d", up = "2001:db8:5:{0}::e" }}
    access = [{{ interface = "acc0", slaac_prefix = "2001:db8:100{0}::/64" }}]
"""


def run() -> list[Figure]:
    """Measure in the first router of a lab whose daemons do not run."""
    with Lab.start("two-routers") as lab, tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return lab.node("ar1").call(lambda: asyncio.run(_measure(Path(folder))))


async def _measure(folder: Path) -> list[Figure]:
    ours, theirs = (
        configuration.parse(_TEXT.format(number), RouterConfig, "benchmark") for number in (1, 2)
    )
    store = SqliteStore.open(str(folder / "bindings.db"))
    for router in (ours, theirs):
        await store.register(router.router())
    bindings = list(_bindings(ours, theirs))
    for start in range(0, _BINDINGS, _COMMITTED_AT_ONCE):
        await store.commit([Create(each) for each in bindings[start : start + _COMMITTED_AT_ONCE]])
    with closing(NetlinkRouteTable()) as table:
        empty = [(await _take_up(ours, store, table))[0]]
        restarts = []
        for _ in range(_RESTARTS):
            seconds, mirror, forwarding = await _take_up(ours, store, table)
            restarts.append(seconds)
        routes = table.routes(ROUTE_PROTOCOL)
        changes = tuple(_changes(bindings, mirror, forwarding))
        by_hand = tuple(_changes_by_hand(table, routes))
        listed = tuple(_seconds(_list_all) for _ in range(_RESTARTS))
        table.apply([Remove(route) for route in table.routes(ROUTE_PROTOCOL)])
        batch = folder / "batch"
        batch.write_text("".join(map(_command, routes)))
        added = _seconds(lambda: _run("ip", "-6", "-batch", str(batch)))
    await store.close()
    return [
        Figure(
            f"{_BINDINGS} bindings after a restart",
            "s",
            tuple(restarts),
            "ip lists the routes",
            listed,
            _RESTART_LIMIT_S,
        ),
        Figure(f"{_BINDINGS} bindings, empty kernel", "s", tuple(empty), "ip -batch", (added,)),
        Figure(
            f"change of one binding of {_BINDINGS}",
            "ms",
            changes,
            "one route replaced",
            by_hand,
            _CHANGE_LIMIT_MS,
        ),
    ]


def _bindings(ours: RouterConfig, theirs: RouterConfig) -> Iterator[Binding]:
    until = time.time() + 1e6
    for number in range(_BINDINGS):
        anchor = theirs if number % 10 == 9 else ours
        serving = theirs if number % 10 == 8 else ours
        first = int(anchor.pool.network_address)
        yield Binding(
            prefix=IPv6Network((first + (number + 1 << 64), 64)),
            client=number.to_bytes(18, "big"),
            iaid=1,
            type=ServiceType.SESSION_LASTING,
            anchor=anchor.id,
            serving=serving.id,
            link=ACCESS,
            next_hop=IPv6Address(_HOSTS + number),
            seq=1,
            key=number.to_bytes(32, "big"),
            last_time=1,
            state=BindingState.ACTIVE,
            preferred_until=until,
            valid_until=until,
            mac=(2 << 40 | number).to_bytes(6, "big"),
        )


async def _take_up(
    ours: RouterConfig, store: SqliteStore, table: NetlinkRouteTable
) -> tuple[float, Mirror, Forwarding]:
    """Do what a router does when it starts; return how many seconds it took."""
    mirror = Mirror(ours.hold)
    expiry = Expiry(ours, mirror.holder)
    neighbours = NetlinkNeighbourTable()
    forwarding = Forwarding(ours, mirror, table, SidFilter(), neighbours, _complain)
    with closing(NetlinkLinkTable()) as links:
        interfaces = {link.name: link.index for link in links.links()}
    start = time.perf_counter()
    with many_objects():
        snapshot = await store.snapshot()
        mirror.reset(snapshot, time.time())
        expiry.start(snapshot.bindings)
        forwarding.resync(interfaces)
    return time.perf_counter() - start, mirror, forwarding


def _complain(what: str) -> None:
    raise RuntimeError(what)


def _changes(bindings: list[Binding], mirror: Mirror, forwarding: Forwarding) -> Iterator[float]:
    """Milliseconds from the news that a host has moved to the end of what follows from it."""
    for revision, binding in enumerate(bindings[:_CHANGES], _BINDINGS * 2):
        other = "ar2" if binding.serving == "ar1" else "ar1"
        moved = replace(binding, serving=other, seq=2)
        start = time.perf_counter()
        mirror.learn(BindingChanged(revision, moved), time.time())
        forwarding.update([moved.prefix])
        yield 1e3 * (time.perf_counter() - start)


def _changes_by_hand(table: NetlinkRouteTable, routes: Iterable[Route]) -> Iterator[float]:
    """Milliseconds that the replacement of one route takes by itself."""
    for route in itertools.islice((each for each in routes if each.gateway), _CHANGES):
        start = time.perf_counter()
        table.apply([Add(route)])
        yield 1e3 * (time.perf_counter() - start)


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _list_all() -> None:
    _run("ip", "-6", "route", "show", "table", "all", "proto", str(ROUTE_PROTOCOL))


def _run(*argv: str) -> None:
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)


def _command(route: Route) -> str:
    """The line for ``ip -batch`` that adds a route."""
    kind = "" if route.kind is RouteKind.UNICAST else f"{route.kind.name.lower()} "
    words = [f"route add {kind}{route.destination}"]
    if route.source:
        words.append(f"from {route.source}")
    match route.encap:
        case Seg6Encap(segment):
            words.append(f"encap seg6 mode encap.red segs {segment}")
        case Seg6EndDT6(table):
            words.append(f"encap seg6local action End.DT6 table {table}")
    if route.gateway:
        words.append(f"via {route.gateway}")
    if route.interface:
        words.append(f"dev {_name(route.interface)}")
    words.append(f"table {route.table} metric {route.metric} proto {ROUTE_PROTOCOL}")
    return " ".join(words) + "\n"


@cache
def _name(index: int) -> str:
    with closing(NetlinkLinkTable()) as links:
        [name] = [link.name for link in links.links() if link.index == index]
    return name


if __name__ == "__main__":
    sys.exit(report.standalone(run))
