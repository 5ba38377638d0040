"""SRv6 settings that are no routes: the source address of encapsulated packets."""

from __future__ import annotations

import errno
import struct
import sys
from ipaddress import IPv6Address
from typing import Final

from moorage.kernel import netlink
from moorage.kernel.netlink import Message, NetlinkError, NetlinkSocket, attribute

_GENL_ID_CTRL: Final = 0x10
_CTRL_CMD_GETFAMILY: Final = 3
_CTRL_ATTR_FAMILY_ID: Final = 1
_CTRL_ATTR_FAMILY_NAME: Final = 2

_SEG6_CMD_SET_TUNSRC: Final = 3
_SEG6_CMD_GET_TUNSRC: Final = 4
_SEG6_ATTR_DST: Final = 1

_GENERIC: Final = struct.Struct("=BBxx")
"""struct genlmsghdr: command, version."""


def set_tunnel_source(address: IPv6Address) -> None:
    """Set the outer source of encapsulated packets, one for the whole network namespace.

    Raises OSError, ENOENT where the kernel has no SRv6.
    """
    with NetlinkSocket(netlink.NETLINK_GENERIC) as kernel:
        body = _GENERIC.pack(_SEG6_CMD_SET_TUNSRC, 1) + attribute(_SEG6_ATTR_DST, address.packed)
        [error] = kernel.request([Message(_family(kernel), body)])
        if error is not None:
            raise error


def tunnel_source() -> IPv6Address:
    """The outer source of encapsulated packets; ``::`` if none is set. Raises OSError."""
    with NetlinkSocket(netlink.NETLINK_GENERIC) as kernel:
        body = _GENERIC.pack(_SEG6_CMD_GET_TUNSRC, 1)
        [answer] = kernel.query(Message(_family(kernel), body))
        found = netlink.parse_attributes(answer.payload, _GENERIC.size)
        return IPv6Address(found[_SEG6_ATTR_DST])


def _family(kernel: NetlinkSocket) -> int:
    """The message type of the SRv6 family, which the kernel assigns when it starts."""
    body = _GENERIC.pack(_CTRL_CMD_GETFAMILY, 1) + attribute(_CTRL_ATTR_FAMILY_NAME, b"SEG6\0")
    for answer in kernel.query(Message(_GENL_ID_CTRL, body)):
        found = netlink.parse_attributes(answer.payload, _GENERIC.size)
        return int.from_bytes(found[_CTRL_ATTR_FAMILY_ID], sys.byteorder)
    raise NetlinkError(errno.ENOENT, "this kernel has no SRv6")
