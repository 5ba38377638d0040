"""A hostile host on the links of both routers: it knows all about its neighbour but the key."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Address, IPv6Network
from typing import Final, NamedTuple

from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from moorage.lab.pcap import capture_socket
from moorage.router.advertising import ALL_NODES
from moorage.wire.dhcp6 import (
    ALL_RELAY_AGENTS_AND_SERVERS,
    CLIENT_PORT,
    SERVER_PORT,
    MessageType,
    RapidCommit,
)
from moorage.wire.nd import RouterAdvertisement
from tests.conformance.scene import Scene
from tests.domain import ANY, ia, lease
from tests.lab.endpoint import Endpoint
from tests.lab.plain_host import mac_of

_ALL_SERVERS_MAC: Final = "33:33:00:01:00:02"
_INTERFACES: Final = {"ar1": "wl0", "ar2": "wl1"}
_OUTGOING: Final = 4
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP: Final = 1
_PROMISCUOUS: Final = 1
_ND_HOP_LIMIT: Final = 255


class Disguise(NamedTuple):
    """Whom a frame seems to come from."""

    mac: bytes
    address: IPv6Address


class Eavesdropper:
    """Eve: one interface on the link of each router."""

    def __init__(self, scene: Scene, stack: ExitStack) -> None:
        self._scene = scene
        node = scene.lab.node("eve")
        self._own: dict[str, Endpoint] = {}
        self._wires: dict[str, socket.socket] = {}
        for number, (router, name) in enumerate(_INTERFACES.items()):
            duid = b"\x00\x03\x00\x01eve" + bytes([number])
            self._own[router] = Endpoint(scene.lab, stack, node="eve", link=name, plain_duid=duid)
            wire = stack.enter_context(node.call(capture_socket, name))
            membership = self._own[router].index.to_bytes(4, "little") + bytes([_PROMISCUOUS, 0])
            wire.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership + bytes(10))
            self._wires[router] = wire
        self.victim = Disguise(scene.host.call(mac_of, "wl0"), self._address_of_the_victim())
        self.undisguised = {
            router: Disguise(node.call(mac_of, name), self._own[router].source)
            for router, name in _INTERFACES.items()
        }

    def _address_of_the_victim(self) -> IPv6Address:
        [address] = {binding.next_hop for binding in self._scene.bindings()}
        assert address is not None
        return address

    def send_dhcp(self, router: str, sender: Disguise, datagram: bytes) -> None:
        """Send a message to the servers of a link."""
        self.send(
            router,
            Ether(src=sender.mac.hex(":"), dst=_ALL_SERVERS_MAC)
            / IPv6(src=str(sender.address), dst=str(ALL_RELAY_AGENTS_AND_SERVERS))
            / UDP(sport=CLIENT_PORT, dport=SERVER_PORT)
            / datagram,
        )

    def send_packet(self, router: str, mac: bytes, packet: IPv6) -> None:
        """Send a packet through a router."""
        self.send_to(router, mac, self._scene.lab.node(router).call(mac_of, "acc0"), packet)

    def send_to(self, router: str, mac: bytes, target: bytes, packet: IPv6) -> None:
        """Send a packet to a neighbour on the link of a router."""
        self.send(router, Ether(src=mac.hex(":"), dst=target.hex(":")) / packet)

    def advertise(self, router: str, message: RouterAdvertisement) -> None:
        """Send a router advertisement of her own on the link of a router."""
        with self._scene.lab.node("eve").socket(
            socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6
        ) as sender:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _ND_HOP_LIMIT)
            target = (str(ALL_NODES), 0, 0, self._own[router].index)
            sender.sendto(message.encode(), target)

    def send(self, router: str, frame: Ether | bytes) -> None:
        """Send a frame on the link of a router."""
        self._wires[router].send(bytes(frame))

    def settle(self, router: str) -> IPv6Network:
        """Wait until a router has acted on all that was sent; return a prefix of Eve's own.

        It is asked by both of the ways that messages take into it, each of which keeps their order.
        """
        own = self._own[router]
        solicit = own.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
        prefix = lease(own.exchange(solicit)).prefix
        own.exchange(own.rebind(prefix))
        return prefix

    def heard(self, router: str) -> list[bytes]:
        """The frames of others on the link of a router since the last call."""
        found: list[bytes] = []
        while True:
            try:
                frame, (_, _, kind, *_) = self._wires[router].recvfrom(1 << 16)
            except BlockingIOError:
                return found
            if kind != _OUTGOING:
                found.append(frame)

    @contextmanager
    def wormhole(self) -> Iterator[list[str]]:
        """Carry what clients say on either link to the other, as it is and at once.

        Yields the routers whose links the messages were heard on.
        """
        over = threading.Event()
        carried: list[str] = []

        def carry() -> None:
            while not over.is_set():
                select.select([*self._wires.values()], [], [], 0.05)
                for router, other in (("ar1", "ar2"), ("ar2", "ar1")):
                    for frame in self.heard(router):
                        if frame[:6].hex(":") == _ALL_SERVERS_MAC:
                            self.send(other, frame)
                            carried.append(router)

        thread = threading.Thread(target=carry)
        thread.start()
        try:
            yield carried
        finally:
            over.set()
            thread.join()
