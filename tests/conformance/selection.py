"""What the kernel chooses as the source of sockets that say nothing about it."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from contextlib import closing
from ipaddress import IPv6Address
from typing import Final

from moorage.kernel import sysctl
from moorage.kernel.addresses import Address, AddressFlags, NetlinkAddressTable
from moorage.lab.lab import Node

PREFERENCES: Final[Mapping[str, int]] = {
    "nothing": 0,
    "temporary": 0x0001,
    "public": 0x0002,
    "care-of": 0x0004,
    "either": 0x0100,
    "home": 0x0400,
}
"""What programs may ask for (RFC 5014 section 3), with Linux's numbers."""

DISCARD: Final = 9
_ADDR_PREFERENCES: Final = 72
_STATIC: Final = 4
"""RTPROT_STATIC"""


def choices(host: Node, destinations: Collection[IPv6Address], interface: int) -> dict[str, str]:
    """The source, or the error, for each kind of socket, preference and destination."""
    return {
        f"{kind.name}, {name}, to {destination}": _choice(
            host, kind, preference, (str(destination), DISCARD, 0, _scope(destination, interface))
        )
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        for name, preference in PREFERENCES.items()
        for destination in destinations
    }


def _scope(destination: IPv6Address, interface: int) -> int:
    return interface if destination.is_link_local or destination.is_multicast else 0


def _choice(
    host: Node, kind: socket.SocketKind, preference: int, target: tuple[str, int, int, int]
) -> str:
    with host.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK) as sock:
        if preference:
            sock.setsockopt(socket.IPPROTO_IPV6, _ADDR_PREFERENCES, preference)
        try:
            sock.connect(target)
        except BlockingIOError:
            pass
        except OSError as error:
            return str(error.strerror)
        return str(sock.getsockname()[0])


def add_address(
    host: Node, interface: str, address: IPv6Address, *, deprecated: bool = False
) -> None:
    """Give an interface an address by hand."""

    def add() -> None:
        index = socket.if_nametoindex(interface)
        flags = AddressFlags.NO_DAD
        lifetimes = {"preferred": 0, "valid": 3600} if deprecated else {}
        with closing(NetlinkAddressTable()) as table:
            table.add(Address(address, index, 64, protocol=_STATIC, flags=flags, **lifetimes))

    host.call(add)


def use_temporary_addresses(host: Node, interface: str) -> None:
    """Let the kernel form and prefer temporary addresses (RFC 8981)."""
    host.call(sysctl.write, f"net/ipv6/conf/{interface}/use_tempaddr", "2")
