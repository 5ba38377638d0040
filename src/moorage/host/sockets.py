"""The host daemon's network sockets: DHCPv6 and router discovery."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from moorage.kernel import socket_filter
from moorage.kernel.icmpv6 import raw_socket
from moorage.wire.dhcp6 import ALL_RELAY_AGENTS_AND_SERVERS, CLIENT_PORT, SERVER_PORT

_PACKET_INFO: Final = struct.Struct("=16sI")
_HOP_LIMIT: Final = struct.Struct("=i")
_ALL_ROUTERS: Final = "ff02::2"
_ROUTER_ADVERTISEMENT: Final = 134
_LARGEST: Final = 65535
_ETH_P_IPV6: Final = 0x86DD
_IPV6_HEADER: Final = struct.Struct("!4xHBB16s16s")
_UDP_HEADER: Final = struct.Struct("!HHHxx")
_HEADERS: Final = _IPV6_HEADER.size + _UDP_HEADER.size
_NEXT_HEADER_OFFSET: Final = 6
_DESTINATION_PORT_OFFSET: Final = 42


@dataclass(frozen=True, slots=True)
class Received:
    """A message, where it came from and on which interface."""

    data: bytes
    source: IPv6Address
    interface: int


class DhcpSocket:
    """Sends DHCPv6 messages, and receives what comes to the client port.

    It never has that port itself: not every client of today can share it, and one that starts
    after us would fail. A packet socket takes nothing away from anybody, and servers answer to the
    client port whatever port a message came from (RFC 8415 section 7.2).

    Raises:
        OSError: our rights do not suffice.
    """

    def __init__(self) -> None:
        self._udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        socket_filter.attach(self._udp, [socket_filter.DROP])
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        self._packets = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_IPV6))
        socket_filter.attach(self._packets, [socket_filter.DROP])
        with contextlib.suppress(BlockingIOError):
            while self._packets.recv(1):  # what came before the filter
                pass
        socket_filter.attach(self._packets, _TO_CLIENT_PORT)

    def fileno(self) -> int:
        """Readable when there is something to `receive`."""
        return self._packets.fileno()

    def receive(self) -> list[Received]:
        """Return all messages that have arrived for a link-local address of this host."""
        out: list[Received] = []
        while True:
            try:
                packet, (interface, _, kind, *_) = self._packets.recvfrom(_LARGEST)
            except OSError:
                return out
            if kind == socket.PACKET_HOST and len(packet) >= _HEADERS:
                with contextlib.suppress(OSError):  # the interface is gone
                    received = _datagram(packet, socket.if_nametoindex(interface))
                    if received is not None:
                        out.append(received)

    def send(self, data: bytes, interface: int, source: IPv6Address) -> None:
        """Send to all servers on the link of ``interface``.

        Raises:
            OSError: the interface cannot send now.
        """
        target = (str(ALL_RELAY_AGENTS_AND_SERVERS), SERVER_PORT, 0, interface)
        self._udp.sendmsg([data], [_from(source, interface)], 0, target)


def _datagram(packet: bytes, interface: int) -> Received | None:
    _, _, _, source, destination = _IPV6_HEADER.unpack_from(packet)
    _, _, length = _UDP_HEADER.unpack_from(packet, _IPV6_HEADER.size)
    if not IPv6Address(destination).is_link_local:
        return None
    data = packet[_HEADERS : _IPV6_HEADER.size + length]
    return Received(data, IPv6Address(source), interface)


class RouterSocket:
    """Sends router solicitations and receives advertisements (RFC 4861 sections 6.3.7, 6.1.2).

    Raises:
        OSError: our rights do not suffice.
    """

    def __init__(self) -> None:
        self._socket = raw_socket(_ROUTER_ADVERTISEMENT)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)

    def fileno(self) -> int:
        """Readable when there is something to `receive`."""
        return self._socket.fileno()

    def receive(self) -> list[Received]:
        """Return all messages that have arrived from a router of the link itself."""
        out: list[Received] = []
        while True:
            try:
                data, ancillary, _, sender = self._socket.recvmsg(
                    _LARGEST, socket.CMSG_SPACE(20) + socket.CMSG_SPACE(4)
                )
            except OSError:
                return out
            interface = hop_limit = 0
            for level, kind, value in ancillary:
                if level != socket.IPPROTO_IPV6:
                    continue
                if kind == socket.IPV6_PKTINFO:
                    _, interface = _PACKET_INFO.unpack(value[: _PACKET_INFO.size])
                elif kind == socket.IPV6_HOPLIMIT:
                    [hop_limit] = _HOP_LIMIT.unpack(value[: _HOP_LIMIT.size])
            source = IPv6Address(sender[0].partition("%")[0])
            if hop_limit == 255 and source.is_link_local and interface:
                out.append(Received(data, source, interface))

    def solicit(self, data: bytes, interface: int, source: IPv6Address) -> None:
        """Send a solicitation to all routers on the link of ``interface``.

        Raises:
            OSError: the interface cannot send now.
        """
        self._socket.sendmsg([data], [_from(source, interface)], 0, (_ALL_ROUTERS, 0, 0, interface))


def _from(source: IPv6Address, interface: int) -> tuple[int, int, bytes]:
    """Return the ancillary data that sends from ``source`` on ``interface`` (RFC 3542 6.2)."""
    info = _PACKET_INFO.pack(source.packed, interface)
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info


_TO_CLIENT_PORT: Final = (
    (socket_filter.LOAD_BYTE, 0, 0, _NEXT_HEADER_OFFSET),
    (socket_filter.IF_EQUAL, 0, 3, socket.IPPROTO_UDP),
    (socket_filter.LOAD_HALF, 0, 0, _DESTINATION_PORT_OFFSET),
    (socket_filter.IF_EQUAL, 0, 1, CLIENT_PORT),
    socket_filter.TAKE,
    socket_filter.DROP,
)
