"""The network interfaces."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final, Protocol

from moorage.kernel import netlink
from moorage.kernel.netlink import Message, NetlinkSocket, attribute_u32

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
_RTM_GETLINK: Final = 18

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_EXT_MASK: Final = 29
_RTEXT_FILTER_SKIP_STATS: Final = 8

_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_IFF_RUNNING: Final = 0x40

_LINK: Final = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, hardware type, index, flags, change mask."""
_U32: Final = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Link:
    """One network interface.

    ``up`` is what the administrator wants. ``carrier`` means that packets can pass now: the cable
    is plugged in, the radio associated and authenticated (RFC 2863, operational state up).
    """

    index: int
    name: str
    mac: bytes
    mtu: int
    up: bool
    carrier: bool
    loopback: bool


class LinkTable(Protocol):
    """The interfaces of one network namespace."""

    def links(self) -> list[Link]:
        """All interfaces. Raises OSError."""


class NetlinkLinkTable:
    """The kernel's `LinkTable`, of the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(netlink.NETLINK_ROUTE)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def links(self) -> list[Link]:
        """All interfaces. Raises OSError."""
        question = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        question += attribute_u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
        answers = self._socket.dump(Message(_RTM_GETLINK, question))
        found = (parse_link(answer.payload) for answer in answers)
        return [link for link in found if link is not None]


def parse_link(body: bytes) -> Link | None:
    """The interface of a message; None if the message is about a bridge's port instead."""
    family, _, index, flags, _ = _LINK.unpack_from(body)
    found = netlink.parse_attributes(body, _LINK.size)
    if family != socket.AF_UNSPEC:
        return None
    return Link(
        index=index,
        name=found[_IFLA_IFNAME].rstrip(b"\0").decode(),
        mac=found.get(_IFLA_ADDRESS, b""),
        mtu=_U32.unpack(found[_IFLA_MTU])[0],
        up=bool(flags & _IFF_UP),
        carrier=bool(flags & _IFF_RUNNING),
        loopback=bool(flags & _IFF_LOOPBACK),
    )
