"""A mobile host that is only a DHCPv6 client, and what it and the routers have in their kernels."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from ipaddress import IPv6Address, IPv6Network

from moorage.identity import Identity
from moorage.kernel.addresses import Address, AddressFlags, NetlinkAddressTable
from moorage.kernel.links import NetlinkLinkTable
from moorage.kernel.monitor import Group, NetlinkMonitor
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.nftables import SidFilter
from moorage.kernel.routes import Add, Remove, Route, Rule
from moorage.lab.lab import Lab, Node
from moorage.lab.ping import ping
from moorage.numbers import ROUTE_PROTOCOL
from moorage.router.paths import MAIN_TABLE
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ALL_RELAY_AGENTS_AND_SERVERS,
    CLIENT_PORT,
    SERVER_PORT,
    Message,
    MessageType,
    RapidCommit,
    decode_message,
)
from tests.domain import ANY, Client, association, ia, lease

FIXED = ServiceType.FIXED
ANYWHERE = IPv6Network("::/0")
PATIENCE = 10.0


def interface(name: str) -> tuple[int, IPv6Address]:
    """Index and link-local address of an interface, as soon as the address works."""
    with (
        closing(NetlinkMonitor([Group.ADDRESS])) as monitor,
        closing(NetlinkAddressTable()) as table,
        closing(NetlinkLinkTable()) as links,
    ):
        while True:
            [index] = [link.index for link in links.links() if link.name == name]
            for address in table.addresses():
                if address.interface == index and address.address.is_link_local and address.usable:
                    return index, address.address
            assert select.select([monitor], [], [], PATIENCE)[0]
            monitor.read()


def mac_of(name: str) -> bytes:
    """The link-layer address of an interface."""
    with closing(NetlinkLinkTable()) as table:
        [mac] = [link.mac for link in table.links() if link.name == name]
        return mac


def set_up(prefix: IPv6Network, index: int, gateway: IPv6Address) -> None:
    """Make a host's address of a prefix, and send everything to a router."""
    with closing(NetlinkAddressTable()) as table, closing(NetlinkRouteTable(4)) as routes:
        table.add(Address(prefix[1], 1, 128, flags=AddressFlags.NO_DAD))
        route = Route(ANYWHERE, MAIN_TABLE, gateway=gateway, interface=index, metric=1)
        assert routes.apply([Add(route)]) == [None]


class Host(Client):
    """The mobile host's DHCPv6 client, on real sockets."""

    def __init__(
        self,
        lab: Lab,
        stack: ExitStack,
        name: str = "wl0",
        identity: Identity | None = None,
        names_mac: bool = False,
    ) -> None:
        self.index, self.source = lab.node("mn").call(interface, name)
        self._mac = lab.node("mn").call(mac_of, name) if names_mac else b""
        who = Identity.generate() if identity is None else identity
        super().__init__(time.time, who, source=self.source)  # type: ignore[arg-type]
        self.node = lab.node("mn")
        self._socket = stack.enter_context(self.node.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self._socket.bind((str(self.source), CLIENT_PORT, 0, self.index))
        self._socket.settimeout(0.5)

    def sign(self, message: Message, link_id: bytes = bytes(8)) -> bytes:
        assert self.identity is not None
        now = time.time_ns() // 1000
        return self.identity.sign(message, self.source, now, link_id, self._mac)

    def send(self, data: bytes) -> None:
        """Send to the servers of the link."""
        target = (str(ALL_RELAY_AGENTS_AND_SERVERS), SERVER_PORT, 0, self.index)
        self._socket.sendto(data, target)

    def exchange(self, message: Message) -> Message:
        """Return the answer to a message and send by the router that gave it from now on."""
        for _ in range(20):
            self.send(self.sign(message))
            with suppress(TimeoutError):
                return self.answer()
        raise AssertionError("no router answers")

    def answer(self) -> Message:
        """Return the next answer; send by the router that gave it what it gives a prefix for."""
        data, sender = self._socket.recvfrom(4096)
        reply = decode_message(data)
        assert isinstance(reply, Message)
        router = IPv6Address(sender[0].partition("%")[0])
        if reply.type is MessageType.REPLY and association(reply).status is None:
            self.node.call(set_up, lease(reply).prefix, self.index, router)
        return reply

    def obtain(self, kind: ServiceType = FIXED) -> IPv6Network:
        """Return a new prefix."""
        solicit = self.message(
            MessageType.SOLICIT, [ia(1, ANY)], {1: kind}, options=[RapidCommit()]
        )
        return lease(self.exchange(solicit)).prefix


def routes_of(node: Node) -> set[Route]:
    """What is ours in a node's kernel."""

    def inside() -> set[Route]:
        with closing(NetlinkRouteTable()) as table:
            return table.routes(ROUTE_PROTOCOL)

    return node.call(inside)


def rules_of(node: Node) -> set[Rule]:
    def inside() -> set[Rule]:
        with closing(NetlinkRouteTable()) as table:
            return table.rules(ROUTE_PROTOCOL)

    return node.call(inside)


def flush_routes(node: Node) -> None:
    """Remove what is ours, as somebody else would."""

    def inside() -> None:
        with closing(NetlinkRouteTable()) as table:
            table.apply([Remove(route) for route in table.routes(ROUTE_PROTOCOL)])
            for rule in table.rules(ROUTE_PROTOCOL):
                table.remove_rule(rule)

    node.call(inside)


def await_routes(node: Node, done: Callable[[set[Route]], bool]) -> None:
    """Wait until a node's routes are as wanted."""

    def inside() -> None:
        with (
            closing(NetlinkMonitor([Group.ROUTE])) as monitor,
            closing(NetlinkRouteTable()) as table,
        ):
            while not done(table.routes(ROUTE_PROTOCOL)):
                assert select.select([monitor], [], [], PATIENCE)[0]
                monitor.read()

    node.call(inside)


def dropped(node: Node) -> dict[str, int]:
    """Packets that a node's filter dropped, by reason; only the reasons that occurred."""

    def inside() -> dict[str, int]:
        with closing(SidFilter()) as found:
            return {str(why): count for why, count in found.dropped().items() if count}

    return node.call(inside)


def reached(lab: Lab, prefix: IPv6Network) -> bool:
    """Whether the correspondent reaches the host and the host answers."""
    return ping(lab.node("cn"), prefix[1], within=PATIENCE) is not None
