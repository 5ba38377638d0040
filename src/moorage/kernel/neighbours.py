"""The neighbour cache: which link-layer address an IPv6 neighbour has (RFC 4861 section 5.1)."""

from __future__ import annotations

import socket
from typing import Final, Protocol

from moorage.kernel import netlink
from moorage.kernel.monitor import NEIGHBOUR, NeighbourChanged, parse_neighbours
from moorage.kernel.netlink import Message, NetlinkSocket

_RTM_GETNEIGH: Final = 30


class NeighbourTable(Protocol):
    """The neighbour cache of one network namespace."""

    def neighbours(self) -> list[NeighbourChanged]:
        """All IPv6 entries, as if each had changed just now. Raises OSError."""


class NetlinkNeighbourTable:
    """The kernel's `NeighbourTable`, of the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(netlink.NETLINK_ROUTE)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def neighbours(self) -> list[NeighbourChanged]:
        """All IPv6 entries, as if each had changed just now. Raises OSError."""
        question = NEIGHBOUR.pack(socket.AF_INET6, 0, 0)
        answers = self._socket.dump(Message(_RTM_GETNEIGH, question))
        return [
            entry for answer in answers for entry in parse_neighbours(answer.payload, gone=False)
        ]
