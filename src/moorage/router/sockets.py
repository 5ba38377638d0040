"""The sockets of one access link: DHCPv6 servers' and routers' side of discovery."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from moorage.kernel import socket_filter
from moorage.kernel.icmpv6 import raw_socket
from moorage.router.advertising import ALL_ROUTERS
from moorage.router.inbox import Arrival
from moorage.wire.dhcp6 import (
    ALL_RELAY_AGENTS_AND_SERVERS,
    ALL_SERVERS,
    CLIENT_PORT,
    SERVER_PORT,
    MessageType,
)

_LARGEST: Final = 65535
_ROOM: Final = 1 << 20
"""Bytes that may wait in the kernel, so that a burst of many hosts is not lost."""
_SO_RCVBUFFORCE: Final = 33
_PACKET_INFO: Final = 20
"""Bytes of a struct in6_pktinfo: the address that a datagram was sent to, and the interface."""
_MULTICAST: Final = 0xFF
_DESTINATION: Final = socket_filter.NETWORK_HEADER + 24
_MESSAGE_TYPE: Final = 8
"""Where a socket filter finds the first octet of the destination, and of the UDP payload."""
_NEWCOMERS: Final = (
    (socket_filter.LOAD_BYTE, 0, 0, _MESSAGE_TYPE),
    (socket_filter.IF_EQUAL, 2, 0, MessageType.SOLICIT),
    (socket_filter.IF_EQUAL, 1, 0, MessageType.INFORMATION_REQUEST),
    socket_filter.DROP,
    socket_filter.TAKE,
)
_NO_NEWCOMERS: Final = (
    (socket_filter.LOAD_BYTE, 0, 0, _DESTINATION),
    (socket_filter.IF_EQUAL, 0, 3, _MULTICAST),
    (socket_filter.LOAD_BYTE, 0, 0, _MESSAGE_TYPE),
    (socket_filter.IF_EQUAL, 2, 0, MessageType.SOLICIT),
    (socket_filter.IF_EQUAL, 1, 0, MessageType.INFORMATION_REQUEST),
    socket_filter.TAKE,
    socket_filter.DROP,
)
_HOP_LIMIT: Final = struct.Struct("=i")
_INTERFACE: Final = struct.Struct("=I")
_ROUTER_SOLICITATION: Final = 133
_ND_HOP_LIMIT: Final = 255


@dataclass(frozen=True, slots=True)
class Received:
    """A solicitation and the address that it came from."""

    data: bytes
    source: IPv6Address


class Datagram(NamedTuple):
    """A DHCPv6 message as it came."""

    data: bytes
    sender: str
    unicast: bool

    def arrival(self) -> Arrival:
        """Return the same, with an address that can be worked with."""
        return Arrival(self.data, _address(self.sender), self.unicast)


class _LinkSocket:
    """A socket on one interface."""

    def __init__(self, sock: socket.socket, interface: str, index: int) -> None:
        self._socket = sock
        self._index = index
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            self._prepare()
        except OSError:
            sock.close()
            raise

    def _prepare(self) -> None:
        """Make the socket what it is for. Raises OSError."""
        raise NotImplementedError

    def _join(self, group: IPv6Address) -> None:
        membership = group.packed + _INTERFACE.pack(self._index)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)

    def fileno(self) -> int:
        """Readable when there is something to `receive`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class DhcpSocket(_LinkSocket):
    """The DHCPv6 server port of one interface; another server may have it on another interface.

    What clients send to all servers before they know one is for a `NewcomerSocket`.

    Raises:
        OSError: the interface is gone, the port is taken there, or our rights do not suffice.
    """

    def __init__(self, interface: str, index: int) -> None:
        super().__init__(_datagrams(), interface, index)

    def _prepare(self) -> None:
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        _make_room(self._socket)
        socket_filter.attach(self._socket, _NO_NEWCOMERS)
        self._socket.bind(("::", SERVER_PORT))
        # From now on: the port was free, and our other socket may have it, too.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for group in (ALL_RELAY_AGENTS_AND_SERVERS, ALL_SERVERS):
            self._join(group)

    def receive(self) -> Datagram | None:
        """Return the next message that has arrived, if there is one."""
        try:
            data, ancillary, _, sender = self._socket.recvmsg(
                _LARGEST, socket.CMSG_SPACE(_PACKET_INFO)
            )
        except OSError:
            return None
        unicast = any(
            (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and value[0] != _MULTICAST
            for level, kind, value in ancillary
        )
        return Datagram(data, sender[0], unicast)

    def send(self, data: bytes, destination: IPv6Address) -> None:
        """Send to a client or relay agent on this interface, from our own address there.

        Raises:
            OSError: the interface cannot send now.
        """
        relayed = data[0] == MessageType.RELAY_REPL
        port = SERVER_PORT if relayed else CLIENT_PORT
        self._socket.sendto(data, (_text(destination), port, 0, self._index))


class NewcomerSocket(_LinkSocket):
    """Receives what clients send to all servers of a link before they know one.

    Anybody can send that in any number. A queue of its own in the kernel keeps it from pushing out
    what hosts send that hold something, above all after a move.

    Raises:
        OSError: the interface is gone, or has no `DhcpSocket`.
    """

    def __init__(self, interface: str, index: int) -> None:
        super().__init__(_datagrams(), interface, index)

    def _prepare(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _make_room(self._socket)
        socket_filter.attach(self._socket, _NEWCOMERS)
        self._socket.bind((str(ALL_RELAY_AGENTS_AND_SERVERS), SERVER_PORT, 0, self._index))
        self._join(ALL_RELAY_AGENTS_AND_SERVERS)

    def receive(self) -> Datagram | None:
        """Return the next message that has arrived, if there is one."""
        try:
            data, sender = self._socket.recvfrom(_LARGEST)
        except OSError:
            return None
        return Datagram(data, sender[0], False)


class RouterSocket(_LinkSocket):
    """Receives solicitations and sends advertisements on one interface (RFC 4861 section 6).

    Raises:
        OSError: the interface is gone, or our rights do not suffice.
    """

    def __init__(self, interface: str, index: int) -> None:
        super().__init__(raw_socket(_ROUTER_SOLICITATION), interface, index)

    def _prepare(self) -> None:
        for option, value in (
            (socket.IPV6_RECVHOPLIMIT, 1),
            (socket.IPV6_UNICAST_HOPS, _ND_HOP_LIMIT),
            (socket.IPV6_MULTICAST_HOPS, _ND_HOP_LIMIT),
            (socket.IPV6_MULTICAST_LOOP, 0),
        ):
            self._socket.setsockopt(socket.IPPROTO_IPV6, option, value)
        self._join(ALL_ROUTERS)

    def receive(self) -> Received | None:
        """Return the next solicitation of a node of the link itself, if there is one."""
        while True:
            try:
                data, ancillary, _, sender = self._socket.recvmsg(_LARGEST, socket.CMSG_SPACE(4))
            except OSError:
                return None
            for level, kind, value in ancillary:
                if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
                    [hop_limit] = _HOP_LIMIT.unpack(value[: _HOP_LIMIT.size])
                    # A router on the way would have made it less (RFC 4861 section 6.1.1).
                    if hop_limit == _ND_HOP_LIMIT:
                        return Received(data, _address(sender[0]))

    def send(self, data: bytes, destination: IPv6Address) -> None:
        """Send an advertisement, from our link-local address on this interface.

        Raises:
            OSError: the interface cannot send now.
        """
        self._socket.sendto(data, (_text(destination), 0, 0, self._index))


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


def _make_room(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    except PermissionError:
        # In a user namespace: as much as the system lets everybody have.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)


# The C library reads and writes addresses ten times as fast as `ipaddress` does.


def _address(text: str) -> IPv6Address:
    return IPv6Address(socket.inet_pton(socket.AF_INET6, text.partition("%")[0]))


def _text(address: IPv6Address) -> str:
    return socket.inet_ntop(socket.AF_INET6, address.packed)
