"""Which process uses which of the host's addresses: the kernel is asked when somebody asks us.

This reads much of ``/proc``, so it is made for a thread beside the daemon's own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from contextlib import closing
from ipaddress import IPv6Address, IPv6Network

import msgspec

from moorage.kernel.processes import Process, holders
from moorage.kernel.sock_diag import SockDiag, SocketInfo, SocketState
from moorage.management.plain import plain

_BOUND = "bound"
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_ICMPV6: "icmp"}


class SocketView(msgspec.Struct, frozen=True):
    """A socket on one of the host's addresses.

    Attributes:
        type: of its address.
        protocol: ``tcp``, ``udp``, ``icmp`` (ping) or the number of a raw socket's.
        state: ``bound``, ``established`` (of UDP: connected), ``listen``, and the others of TCP.
        address: of this end.
        port: of this end; 0: none.
        remote: address and port of the other end; empty where there is none.
        uid: the user who made it.
        processes: those that have it open; none if it is nobody's any more, or they cannot be seen.
        cookie: what the kernel calls it; 0: nothing.
    """

    type: str
    protocol: str
    state: str
    address: IPv6Address
    port: int
    remote: str
    uid: int
    processes: list[Process]
    cookie: int


def sockets(types: Mapping[IPv6Address, str]) -> list[SocketView]:
    """Return the sockets on these addresses, whose types come along, by address and port.

    Raises:
        OSError: the kernel refuses.
    """
    with closing(SockDiag()) as table:
        found = [info for address in types for info in table.sockets_from(IPv6Network(address))]
    processes = holders({info.inode for info in found if info.inode})
    return [
        _view(info, types[info.source], processes.get(info.inode, ()))
        for info in sorted(found, key=lambda info: (info.source, info.protocol, info.source_port))
    ]


def _view(info: SocketInfo, type_: str, processes: Iterable[Process]) -> SocketView:
    return SocketView(
        type=type_,
        protocol=_PROTOCOLS.get(info.protocol, str(info.protocol)),
        state=_BOUND if info.state is SocketState.CLOSE else plain(info.state),
        address=info.source,
        port=info.source_port,
        remote=""
        if info.destination.is_unspecified
        else endpoint(info.destination, info.destination_port),
        uid=info.uid,
        processes=list(processes),
        cookie=info.cookie,
    )


def endpoint(address: IPv6Address, port: int) -> str:
    """Return an address with its port as one writes it; raw sockets have no port."""
    return f"[{address}]:{port}" if port else str(address)
