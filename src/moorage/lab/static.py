"""Addresses and routes made by hand, in the network namespace of the calling thread."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import closing
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from moorage.kernel.addresses import Address, AddressFlags, NetlinkAddressTable
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.routes import Add, Route
from moorage.lab.topology import AccessLink

MAIN_TABLE: Final = 254
ANYWHERE: Final = IPv6Network("::/0")

PROTOCOL: Final = 4
"""RTPROT_STATIC, which says the same of an address as of a route."""


def add_address(index: int, address: IPv6Address) -> None:
    """Give an interface an address of a /64, without duplicate address detection."""
    with closing(NetlinkAddressTable()) as table:
        table.add(Address(address, index, 64, protocol=PROTOCOL, flags=AddressFlags.NO_DAD))


def add_routes(routes: Iterable[Route]) -> None:
    """Add routes, each in the place of one with its key. Raises OSError, the first there is."""
    with closing(NetlinkRouteTable(PROTOCOL)) as table:
        for error in table.apply([Add(route) for route in routes]):
            if error is not None:
                raise error


def settle(interface: str, access: AccessLink) -> IPv6Address:
    """Give a host the one address and default route that fit its access link; return the address.

    What an earlier call gave it is replaced.
    """
    index = socket.if_nametoindex(interface)
    address = access.prefix[0x100]
    with closing(NetlinkAddressTable()) as table:
        for old in table.addresses(PROTOCOL):
            table.remove(old)
    add_address(index, address)
    add_routes([Route(ANYWHERE, MAIN_TABLE, gateway=access.router_address, interface=index)])
    return address
