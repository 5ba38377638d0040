"""Routers put together, by what is in their kernels, into a network that forwards packets."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from moorage.kernel.nftables import FilterState
from moorage.kernel.routes import Route, RouteKind, Rule, Seg6Encap, Seg6EndDT6
from moorage.router.anchors import Anchors
from moorage.router.paths import MAIN_TABLE
from tests.domain import router_config

ROUTERS = [router_config(number) for number in (1, 2, 3)]
KNOWN_ROUTERS = {config.id: config.router() for config in ROUTERS}
ANCHORS = Anchors(config.anchor() for config in ROUTERS)
INTERFACES = {"core0": 1, "acc0": 2, "acc1": 3}
LINKS = ("acc0", "acc1")
PREFIX = IPv6Network("2001:db8:a100:42::/64")
TARGET = PREFIX[7]
OUTSIDE = IPv6Address("2001:db8:c0::2")
HOST = IPv6Address("fe80::1")
MAC = b"\x02\0\0\0\0\x01"
MACS = {(link, HOST): MAC for link in LINKS}


@dataclass(frozen=True)
class Desired:
    """Everything of ours that should be in a router's kernel."""

    routes: frozenset[Route]
    rules: frozenset[Rule]
    filter: FilterState


@dataclass(frozen=True)
class Delivered:
    router: str
    link: str
    next_hop: IPv6Address | None


@dataclass(frozen=True)
class Left:
    """The packet went from this router into the rest of the world."""

    router: str


@dataclass(frozen=True)
class Dropped:
    router: str
    kind: RouteKind


class Network:
    """Routers that forward as their routes say; the core brings everything to its owner."""

    def __init__(self, wants: dict[str, Desired]) -> None:
        self.wants = wants
        self.tunnels = 0

    def from_core(
        self, router: str, destination: IPv6Address, source: IPv6Address, table: int = MAIN_TABLE
    ) -> Delivered | Left | Dropped:
        """Follow a packet that a router looks up in a table."""
        route = self._best(router, table, destination, source)
        if route is None:
            if table == MAIN_TABLE:
                return self._by_core(router, destination, source)
            # The rule found nothing; the next one is that of the main table.
            return self.from_core(router, destination, source)
        if route.kind is not RouteKind.UNICAST:
            return Dropped(router, route.kind)
        if isinstance(route.encap, Seg6Encap):
            return self._tunnel(router, route.encap.segment, destination, source)
        assert route.encap is None
        [link] = [name for name, index in INTERFACES.items() if index == route.interface]
        return Delivered(router, link, route.gateway)

    def from_host(
        self, router: str, link: str, destination: IPv6Address
    ) -> Delivered | Left | Dropped:
        """Follow a packet that a host with our prefix sends on a link."""
        [table] = [rule.table for rule in self.wants[router].rules if rule.iif == link]
        return self.from_core(router, destination, TARGET, table)

    def _tunnel(
        self, router: str, sid: IPv6Address, destination: IPv6Address, source: IPv6Address
    ) -> Delivered | Left | Dropped:
        self.tunnels += 1
        assert self.tunnels < 5, "the packet loops"
        [end] = [config for config in ROUTERS if sid in (config.sids.down, config.sids.up)]
        local = self._best(end.id, MAIN_TABLE, sid, source)
        assert local is not None
        assert isinstance(local.encap, Seg6EndDT6)
        if sid == end.sids.up and source in PREFIX:
            pair = (KNOWN_ROUTERS[router].address, PREFIX)
            if pair not in self.wants[end.id].filter.members.served:
                return Dropped(end.id, RouteKind.BLACKHOLE)
        return self.from_core(end.id, destination, source, local.encap.table)

    def _by_core(
        self, router: str, destination: IPv6Address, source: IPv6Address
    ) -> Delivered | Left | Dropped:
        for config in ROUTERS:
            if destination in config.pool and config.id != router:
                return self.from_core(config.id, destination, source)
        return Left(router)

    def _best(
        self, router: str, table: int, destination: IPv6Address, source: IPv6Address
    ) -> Route | None:
        fits = [
            route
            for route in self.wants[router].routes
            if route.table == table
            and destination in route.destination
            and (route.source is None or source in route.source)
        ]

        def rank(route: Route) -> tuple[int, int]:
            return (
                route.destination.prefixlen,
                route.source.prefixlen if route.source is not None else 0,
            )

        best = [route for route in fits if rank(route) == max(map(rank, fits))]
        assert len(best) <= 1, "two decisions for one packet"
        return best[0] if best else None
