"""Netlink messages that make and change the lab's links: veth pairs and bridges.

The formats are those of ``<linux/if_link.h>``. Bridges are made for quick attachment: a port
forwards at once, and multicast goes to every port.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moorage.kernel.links import RTM_NEWLINK
from moorage.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    NetlinkSocket,
    attribute,
    attribute_u32,
    nested,
)

_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_GSO_MAX_SEGS: Final = 40
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_BR_STP_STATE: Final = 5
_IFLA_BR_MCAST_SNOOPING: Final = 23
_VETH_INFO_PEER: Final = 1

_IFF_UP: Final = 1
_LINK: Final = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, hardware type, index, flags, change mask."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a veth pair: the namespace that it goes to, its name there, and its index."""

    namespace: int
    name: str
    index: int


def new_pair(one: End, other: End, mtu: int, segmentation: bool = True) -> Message:
    """Make a veth pair; both ends are down.

    Without ``segmentation`` no frame is bigger than the MTU, as on a wire; otherwise TCP hands
    bigger ones over, which whoever needs them segments.
    """

    def body(end: End) -> bytes:
        parts = [
            _LINK.pack(socket.AF_UNSPEC, 0, end.index, 0, 0),
            attribute(_IFLA_IFNAME, end.name.encode() + b"\0"),
            attribute_u32(_IFLA_MTU, mtu),
            attribute_u32(_IFLA_NET_NS_FD, end.namespace),
        ]
        if not segmentation:
            parts.append(attribute_u32(_IFLA_GSO_MAX_SEGS, 1))
        return b"".join(parts)

    return _create(body(one), "veth", attribute(_VETH_INFO_PEER, body(other)))


def new_bridge(name: str, index: int) -> Message:
    """Make a bridge that is up."""
    head = _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP, _IFF_UP)
    return _create(
        head + attribute(_IFLA_IFNAME, name.encode() + b"\0"),
        "bridge",
        attribute_u32(_IFLA_BR_STP_STATE, 0),
        attribute(_IFLA_BR_MCAST_SNOOPING, b"\0"),
    )


def _create(body: bytes, kind: str, *data: bytes) -> Message:
    information = nested(
        _IFLA_LINKINFO,
        attribute(_IFLA_INFO_KIND, kind.encode()),
        nested(_IFLA_INFO_DATA, *data),
    )
    return Message(RTM_NEWLINK, body + information, NLM_F_CREATE | NLM_F_EXCL)


def set_up(index: int, up: bool = True) -> Message:
    """Take an interface up or down."""
    return Message(
        RTM_NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP)
    )


def set_master(index: int, bridge: int) -> Message:
    """Make an interface a port of a bridge."""
    head = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    return Message(RTM_NEWLINK, head + attribute_u32(_IFLA_MASTER, bridge))


def carry_out(netlink: NetlinkSocket, messages: Sequence[Message]) -> None:
    """Have the kernel carry out all the messages. Raises NetlinkError, the first one there is."""
    for error in netlink.request(messages):
        if error is not None:
            raise error
