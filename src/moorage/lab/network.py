"""The namespaces and links of a lab, made of a topology, and the moves of its hosts.

Every interface has an index of its own in the whole lab. That is not for neatness: Linux reports a
change of a veth's carrier at once only if its index differs from its peer's, and otherwise within
a second (``net/core/link_watch.c``).
"""

from __future__ import annotations

import itertools
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

from moorage.kernel import netlink, sysctl
from moorage.kernel.monitor import Group, LinkChanged, NetlinkMonitor
from moorage.kernel.netlink import NetlinkSocket
from moorage.kernel.routes import Route
from moorage.lab import links, namespaces, relay, static
from moorage.lab.enter import setns
from moorage.lab.errors import LabError
from moorage.lab.topology import CORE, CoreLink, Link, Topology

FOLDER: Final = Path("/run/lab")
"""Where the supervisor keeps a folder for each node; the node has it as /run/moorage."""
NODE_FOLDER: Final = Path("/run/moorage")
SHARED: Final = "shared"
"""The folder that all nodes share, inside the folder of each."""

UPLINK: Final = "core0"
ACCESS: Final = "acc0"

_LOOPBACK: Final = 1
_CARRIER_SECONDS: Final = 5.0


class Role(StrEnum):
    """What a node is."""

    CORE = "core"
    ROUTER = "router"
    CORRESPONDENT = "correspondent"
    STORE = "store"
    HOST = "host"


# Hosts use a new address at once (RFC 4429) and ask for routers without delay, as every mobile one
# has to; with plain duplicate address detection each first attachment would take a second. The
# addresses of the other nodes are ours alone, so they need no detection.
_SYSCTLS: Final[dict[Role, dict[str, str]]] = {
    Role.HOST: {"optimistic_dad": "1", "use_optimistic": "1", "router_solicitation_delay": "0"},
    Role.ROUTER: {"forwarding": "1", "accept_ra": "0", "accept_dad": "0"},
    Role.CORE: {"forwarding": "1", "accept_ra": "0", "accept_dad": "0"},
    Role.CORRESPONDENT: {"accept_ra": "0", "accept_dad": "0"},
    Role.STORE: {"accept_ra": "0", "accept_dad": "0"},
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node's namespaces (file descriptors) and the indices of its interfaces."""

    name: str
    role: Role
    network: int
    mount: int
    interfaces: dict[str, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The node's /run/moorage, as the supervisor sees it."""
        return FOLDER / self.name


@dataclass(frozen=True, slots=True)
class RelayedLink:
    """A link that needs a relay process between these two ports."""

    name: str
    link: Link
    ports: tuple[socket.socket, socket.socket]


class Network:
    """All nodes and links. The calling thread's network namespace becomes the ether between them:
    bridges, one for each cell, and the ends of relayed links."""

    def __init__(self, topology: Topology) -> None:
        """Make everything. Raises OSError where the kernel refuses."""
        self._topology = topology
        self._indices = itertools.count(10)
        self.ether: Final = namespaces.current("net")
        """The network namespace between the nodes (file descriptor)."""
        self._files = namespaces.current("mnt")
        for scope in ("all", "default"):
            sysctl.write(f"net/ipv6/conf/{scope}/disable_ipv6", "1")
        self._netlink = NetlinkSocket(netlink.NETLINK_ROUTE)
        self.nodes = {
            name: self._new_node(name, role)
            for role, names in (
                (Role.CORE, [CORE]),
                (Role.ROUTER, topology.routers),
                (Role.CORRESPONDENT, topology.correspondents),
                (Role.STORE, topology.stores),
                (Role.HOST, topology.hosts),
            )
            for name in names
        }
        self.relayed: list[RelayedLink] = []
        self.attached: dict[tuple[str, str], str | None] = {}
        self._cells: dict[str, int] = {}
        self._ports: dict[tuple[str, str], int] = {}
        self._monitors: dict[str, NetlinkMonitor] = {}
        self._make_core()
        self._make_cells()
        self._make_hosts()

    def _new_node(self, name: str, role: Role) -> Node:
        folder = FOLDER / name
        (folder / SHARED).mkdir(parents=True)
        namespaces.unshare(namespaces.NEW_NETWORK | namespaces.NEW_MOUNT)
        try:
            namespaces.mount(str(folder), str(NODE_FOLDER), flags=namespaces.MS_BIND)
            shared = NODE_FOLDER / SHARED
            namespaces.mount(str(FOLDER / SHARED), str(shared), flags=namespaces.MS_BIND)
            for key, value in _SYSCTLS[role].items():
                for scope in ("all", "default"):
                    sysctl.write(f"net/ipv6/conf/{scope}/{key}", value)
            node = Node(name, role, namespaces.current("net"), namespaces.current("mnt"))
            with NetlinkSocket(netlink.NETLINK_ROUTE) as opened:
                links.carry_out(opened, [links.set_up(_LOOPBACK)])
        finally:
            setns(self._files)
            setns(self.ether)
        return node

    def _make_core(self) -> None:
        """Link all but the hosts to the core, with addresses and static routes."""
        core = self.nodes[CORE]
        behind: list[tuple[str, CoreLink, Iterable[IPv6Network]]] = [
            (name, router.core, router.prefixes())
            for name, router in self._topology.routers.items()
        ]
        alone = (self._topology.correspondents, self._topology.stores)
        behind += [(name, ends.core, ()) for group in alone for name, ends in group.items()]
        routes = []
        for name, link, prefixes in behind:
            node = self.nodes[name]
            self._join(core, name, node, UPLINK, link)
            self._configure(core, name, link.core_address)
            self._configure(node, UPLINK, link.address)
            routes += [
                Route(
                    prefix, static.MAIN_TABLE, gateway=link.address, interface=core.interfaces[name]
                )
                for prefix in prefixes
            ]
            uplink = node.interfaces[UPLINK]
            default = Route(
                static.ANYWHERE, static.MAIN_TABLE, gateway=link.core_address, interface=uplink
            )
            self._add_routes(node, [default])
        self._add_routes(core, routes)

    def _make_cells(self) -> None:
        """Give every access router a port in its cell, a bridge."""
        for name, router in self._topology.routers.items():
            cell = self._topology.cell_of(name)
            if cell not in self._cells:
                self._cells[cell] = next(self._indices)
                links.carry_out(self._netlink, [links.new_bridge(cell, self._cells[cell])])
            node = self.nodes[name]
            port = self._join(node, ACCESS, None, f"{name}.{ACCESS}", router.access)
            links.carry_out(
                self._netlink, [links.set_master(port, self._cells[cell]), links.set_up(port)]
            )
            self._configure(node, ACCESS, router.access.router_address)

    def _make_hosts(self) -> None:
        """Give every host its interfaces, and attach those that are to be."""
        for name, host in self._topology.hosts.items():
            node = self.nodes[name]
            for interface in host.interfaces:
                port = self._join(node, interface, None, f"{name}.{interface}", Link(mtu=host.mtu))
                self._ports[name, interface] = port
                self.attached[name, interface] = None
                self._configure(node, interface)
            with namespaces.inside(node.network, self.ether):
                self._monitors[name] = NetlinkMonitor([Group.LINK])
            for interface, router in host.attach.items():
                self.attach(name, interface, router)

    def _join(self, near: Node, near_name: str, far: Node | None, far_name: str, link: Link) -> int:
        """Link two nodes, or a node and the ether; return the index of the far end."""
        near_end = self._new_end(near, near_name)
        far_end = self._new_end(far, far_name)
        if not link.relayed:
            links.carry_out(self._netlink, [links.new_pair(near_end, far_end, link.mtu)])
            return far_end.index
        name = f"{near_end.index}-{far_end.index}"
        inner = [links.End(self.ether, f"{name}.{n}", next(self._indices)) for n in "ab"]
        # What is lost is to be single frames, and no virtio header can tell a packet socket how to
        # segment what is encapsulated.
        links.carry_out(
            self._netlink,
            [
                links.new_pair(near_end, inner[0], link.mtu, segmentation=False),
                links.new_pair(inner[1], far_end, link.mtu, segmentation=False),
                *(links.set_up(end.index) for end in inner),
            ],
        )
        one, other = (relay.open_port(end.name) for end in inner)
        self.relayed.append(RelayedLink(f"{near.name} {near_name}", link, (one, other)))
        return far_end.index

    def _new_end(self, node: Node | None, name: str) -> links.End:
        index = next(self._indices)
        if node is None:
            return links.End(self.ether, name, index)
        node.interfaces[name] = index
        return links.End(node.network, name, index)

    def _configure(self, node: Node, interface: str, address: IPv6Address | None = None) -> None:
        """Take an interface up, and give it an address of a /64."""
        index = node.interfaces[interface]
        with namespaces.inside(node.network, self.ether):
            with NetlinkSocket(netlink.NETLINK_ROUTE) as opened:
                links.carry_out(opened, [links.set_up(index)])
            if address is not None:
                static.add_address(index, address)

    def _add_routes(self, node: Node, routes: Iterable[Route]) -> None:
        with namespaces.inside(node.network, self.ether):
            static.add_routes(routes)

    def attach(self, host: str, interface: str, router: str) -> int:
        """Attach a free interface to a router's cell.

        Return when the host's kernel told of the carrier, in ns of CLOCK_MONOTONIC.

        Raises:
            LabError: there is no such interface or router, or the interface is attached.
        """
        if self.attachment(host, interface) is not None:
            raise LabError(f"{interface} of {host} is attached already")
        self.check_router(router)
        port, cell = self._ports[host, interface], self._cells[self._topology.cell_of(router)]
        self.attached[host, interface] = router
        return self._switch(
            host, interface, True, [links.set_master(port, cell), links.set_up(port)]
        )

    def detach(self, host: str, interface: str) -> int:
        """Take an interface off its cell.

        Return when the host's kernel told of the loss of carrier, in ns of CLOCK_MONOTONIC.

        Raises:
            LabError: there is no such interface, or it is not attached.
        """
        if self.attachment(host, interface) is None:
            raise LabError(f"{interface} of {host} is not attached")
        port = self._ports[host, interface]
        self.attached[host, interface] = None
        return self._switch(host, interface, False, [links.set_up(port, False)])

    def attachment(self, host: str, interface: str) -> str | None:
        """The router that an interface is attached to. Raises LabError if there is none such."""
        self._check_host(host)
        if (host, interface) not in self.attached:
            known = ", ".join(self._topology.hosts[host].interfaces)
            raise LabError(f"{host} has no interface {interface!r}; interfaces: {known}")
        return self.attached[host, interface]

    def interfaces(self, host: str) -> tuple[list[str], list[str]]:
        """The names of the attached and of the free interfaces of a host. Raises LabError."""
        self._check_host(host)
        names = self._topology.hosts[host].interfaces
        used = [name for name in names if self.attached[host, name] is not None]
        return used, [name for name in names if name not in used]

    def _check_host(self, host: str) -> None:
        if host not in self._topology.hosts:
            raise LabError(f"no host {host!r}; hosts: {', '.join(self._topology.hosts)}")

    def check_router(self, router: str) -> None:
        """Raise LabError if there is no such router."""
        if router not in self._topology.routers:
            raise LabError(f"no router {router!r}; routers: {', '.join(self._topology.routers)}")

    def _switch(self, host: str, interface: str, up: bool, messages: list[netlink.Message]) -> int:
        monitor = self._monitors[host]
        monitor.read()
        links.carry_out(self._netlink, messages)
        index = self.nodes[host].interfaces[interface]
        while select.select([monitor], [], [], _CARRIER_SECONDS)[0]:
            now = time.monotonic_ns()
            for event in monitor.read():
                if (
                    isinstance(event, LinkChanged)
                    and event.link.index == index
                    and event.link.carrier == up
                ):
                    return now
        state = "has no" if up else "still has"
        raise LabError(f"{interface} of {host} {state} carrier after {_CARRIER_SECONDS:g} s")
