"""What can be seen of the lab from outside: kernels, sockets and the routers' store."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from moorage.kernel.addresses import Address, NetlinkAddressTable
from moorage.kernel.links import NetlinkLinkTable
from moorage.kernel.monitor import Group, NetlinkMonitor
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.routes import Route, RouteKind, Seg6Encap, Seg6EndDT6
from moorage.kernel.sock_diag import SockDiag
from moorage.lab import enter, namespaces
from moorage.lab.lab import Lab, Node
from moorage.lab.network import NODE_FOLDER, SHARED
from moorage.numbers import HOST_TABLE, ROUTE_PROTOCOL, ROUTER_DOWN_TABLE, ROUTER_LINK_TABLE_BASE
from moorage.service import ServiceType
from moorage.store import open_store
from moorage.store.model import Binding
from moorage.store.protocol import Snapshot

_STORE: Final = f"sqlite:{NODE_FOLDER / SHARED / 'bindings.db'}"
_CLONE_FS: Final = 0x200
_FROM_ADVERTISEMENT: Final = 9
"""RTPROT_RA."""
_TABLES: Final = {
    HOST_TABLE: "typed prefixes",
    ROUTER_DOWN_TABLE: "down",
    ROUTER_LINK_TABLE_BASE: "access link",
}


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """The host's usable addresses.

    Attributes:
        typed: those that the host daemon made of delegated prefixes.
        ordinary: those that the kernel made of what routers advertise.
    """

    typed: frozenset[IPv6Address]
    ordinary: frozenset[IPv6Address]


class Observer:
    """Looks at a lab with one host. Raises OSError where a kernel refuses."""

    def __init__(self, lab: Lab, host: str) -> None:
        self._lab = lab
        self._host = lab.node(host)
        self._topology = lab.topology()
        self._segments: dict[IPv6Address, str] = {}
        for name, router in self._topology.routers.items():
            self._segments[router.down_sid] = f"{name} down"
            self._segments[router.up_sid] = f"{name} up"
        self._host_interfaces = self._host.call(_interfaces)

    def addresses(self) -> HostAddresses:
        """What the host's kernel has now."""
        return _sorted(self._host.call(_addresses))

    def wait_for_addresses(
        self, condition: Callable[[HostAddresses], bool], seconds: float
    ) -> HostAddresses:
        """Wait until the host's addresses meet a condition, at most so long; what they are then."""
        deadline = time.monotonic() + seconds
        with closing(self._host.call(NetlinkMonitor, [Group.ADDRESS])) as monitor:
            while True:
                found = self.addresses()
                left = deadline - time.monotonic()
                if condition(found) or left <= 0:
                    return found
                if select.select([monitor], [], [], left)[0]:
                    monitor.read()

    def sockets_on(self, address: IPv6Address) -> int:
        """How many TCP sockets the host's kernel has on an address."""
        return self._host.call(_sockets_on, address)

    def default_routers(self) -> list[str]:
        """Who advertised a default route to the host's kernel, and on which interface."""
        return [
            f"{route.gateway} dev {self._host_interfaces[route.interface]}"
            for route in self._host.call(_routes, _FROM_ADVERTISEMENT)
            if route.destination.prefixlen == 0
        ]

    def bindings(self, service: ServiceType) -> list[Binding]:
        """The bindings of a type that a client holds, as the routers' store has them."""
        [router, *_] = self._topology.routers
        snapshot = _in_files(self._lab.node(router), _snapshot)
        return [b for b in snapshot.bindings if b.held and b.type is service]

    def router_of(self, address: IPv6Address) -> str | None:
        """The router that advertises the prefix of an ordinary address."""
        for name, router in self._topology.routers.items():
            if address in router.access.prefix:
                return name
        return None

    def host_routes(self, prefix: IPv6Network) -> list[str]:
        """Our routes from a prefix in the host's kernel."""
        routes, names = self._host.call(_routes), self._host_interfaces
        found = [route for route in routes if route.source == prefix]
        return self._described(found, names)

    def has_host_route(self, prefix: IPv6Network, interface: str) -> bool:
        """Whether the host's packets from a prefix leave through an interface."""
        names = self._host_interfaces
        return any(
            route.source == prefix and names.get(route.interface) == interface
            for route in self._host.call(_routes)
        )

    def router_routes(self, router: str, prefix: IPv6Network) -> list[str]:
        """Our routes to and from a prefix in a router's kernel."""
        node = self._lab.node(router)
        found = [
            route for route in node.call(_routes) if prefix in (route.source, route.destination)
        ]
        return self._described(found, node.call(_interfaces))

    def is_anchored_path(self, prefix: IPv6Network, anchor: str, serving: str) -> bool:
        """Whether both routers' kernels send the prefix's packets through the SRv6 path."""
        routers = self._topology.routers
        down = Seg6Encap(routers[serving].down_sid)
        up = Seg6Encap(routers[anchor].up_sid)
        return any(
            route.destination == prefix and route.encap == down
            for route in self._lab.node(anchor).call(_routes)
        ) and any(
            route.source == prefix and route.encap == up
            for route in self._lab.node(serving).call(_routes)
        )

    def _described(self, routes: list[Route], names: Mapping[int, str]) -> list[str]:
        return sorted(describe_route(route, names, self._segments) for route in routes)


def describe_route(
    route: Route, interfaces: Mapping[int, str], segments: Mapping[IPv6Address, str]
) -> str:
    """A route in the words of ``ip -6 route``, with names for numbers where there are names."""
    words = [] if route.kind is RouteKind.UNICAST else [route.kind.name.lower()]
    words.append("default" if route.destination.prefixlen == 0 else str(route.destination))
    if route.source is not None:
        words += ["from", str(route.source)]
    match route.encap:
        case Seg6Encap(segment):
            words += ["encap seg6", str(segment)]
            if segment in segments:
                words.append(f"({segments[segment]})")
        case Seg6EndDT6(table):
            words.append(f"encap seg6local End.DT6 table {table}")
    if route.gateway is not None:
        words += ["via", str(route.gateway)]
    if route.interface:
        words += ["dev", interfaces.get(route.interface, str(route.interface))]
    if route.mtu:
        words += ["mtu", str(route.mtu)]
    if route.table in _TABLES:
        words.append(f"[table {route.table}, {_TABLES[route.table]}]")
    return " ".join(words)


def _sorted(addresses: list[Address]) -> HostAddresses:
    usable = [address for address in addresses if address.usable]
    return HostAddresses(
        typed=frozenset(a.address for a in usable if a.protocol == ROUTE_PROTOCOL),
        ordinary=frozenset(a.address for a in usable if a.autoconfigured),
    )


def _addresses() -> list[Address]:
    with closing(NetlinkAddressTable()) as table:
        return table.addresses()


def _routes(protocol: int = ROUTE_PROTOCOL) -> set[Route]:
    with closing(NetlinkRouteTable(protocol)) as table:
        return table.routes(protocol)


def _interfaces() -> dict[int, str]:
    with closing(NetlinkLinkTable()) as table:
        return {link.index: link.name for link in table.links()}


def _sockets_on(address: IPv6Address) -> int:
    with closing(SockDiag()) as table:
        sockets = table.sockets_from(IPv6Network(address))
        return sum(info.protocol == socket.IPPROTO_TCP for info in sockets)


async def _read_store() -> Snapshot:
    store = open_store(_STORE)
    try:
        return await store.snapshot()
    finally:
        await store.close()


def _snapshot() -> Snapshot:
    return asyncio.run(_read_store())


def _in_files(node: Node, function: Callable[[], Snapshot]) -> Snapshot:
    """What a function returns in a thread that sees the node's files."""
    *_, mount = found = node.namespaces()

    def inside() -> Snapshot:
        namespaces.unshare(_CLONE_FS)  # only then may one thread alone have other files
        enter.setns(mount)
        return function()

    try:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(inside).result()
    finally:
        for descriptor in found:
            os.close(descriptor)
