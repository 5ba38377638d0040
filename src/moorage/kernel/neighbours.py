"""The neighbour cache: which link-layer address an IPv6 neighbour has (RFC 4861 section 5.1)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final, Protocol

from moorage.kernel import netlink
from moorage.kernel.monitor import NEIGHBOUR, NeighbourChanged, NeighbourState, parse_neighbours
from moorage.kernel.netlink import Message, NetlinkError, NetlinkSocket, attribute

_RTM_NEWNEIGH: Final = 28
_RTM_DELNEIGH: Final = 29
_RTM_GETNEIGH: Final = 30
_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NTF_USE: Final = 0x01

_NEIGHBOUR_FLAGS: Final = struct.Struct("=BxxxiHBx")
"""struct ndmsg: family, interface, state, flags, without the type."""


Neighbour = tuple[int, IPv6Address, bytes]
"""An interface, an address there, and the link-layer address of who has it."""


class NeighbourTable(Protocol):
    """The neighbour cache of one network namespace."""

    def neighbours(self) -> list[NeighbourChanged]:
        """All IPv6 entries, as if each had changed just now. Raises OSError."""

    def set_permanent(self, interface: int, address: IPv6Address, mac: bytes) -> None:
        """Send what is for a neighbour to ``mac`` without asking for it. Raises OSError."""

    def remove(self, interface: int, address: IPv6Address) -> None:
        """Forget a neighbour. Raises OSError, ENOENT if it is not known."""

    def apply(
        self, permanent: Iterable[Neighbour], gone: Iterable[tuple[int, IPv6Address]]
    ) -> list[OSError]:
        """Do `set_permanent` for some and `remove` for others; return what went wrong."""

    def probe(self, interface: int, address: IPv6Address, mac: bytes = b"") -> None:
        """Have the kernel ask a neighbour whether it is there (RFC 4861 section 7.3).

        With ``mac`` it is asked there, whatever the cache says; without, everybody is asked if the
        cache says nothing. A monitor hears what comes of it: REACHABLE, or FAILED after some
        seconds. Raises OSError.
        """


class NetlinkNeighbourTable:
    """The kernel's `NeighbourTable`, of the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(netlink.NETLINK_ROUTE)

    @property
    def port(self) -> int:
        """The netlink port that its own changes come from."""
        return self._socket.port

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def neighbours(self) -> list[NeighbourChanged]:
        """All IPv6 entries, as if each had changed just now. Raises OSError."""
        question = NEIGHBOUR.pack(socket.AF_INET6, 0, 0)
        # Where others change it all the time, one may be there twice, or missing.
        found, _ = self._socket.dump_into(_entries, Message(_RTM_GETNEIGH, question))
        return found

    def set_permanent(self, interface: int, address: IPv6Address, mac: bytes) -> None:
        """Send what is for a neighbour to ``mac`` without asking for it. Raises OSError."""
        self._request(_entry(interface, address, mac, NeighbourState.PERMANENT))

    def remove(self, interface: int, address: IPv6Address) -> None:
        """Forget a neighbour. Raises OSError, ENOENT if it is not known."""
        self._request(_removal(interface, address))

    def apply(
        self, permanent: Iterable[Neighbour], gone: Iterable[tuple[int, IPv6Address]]
    ) -> list[OSError]:
        """See `NeighbourTable.apply`."""
        messages = [_entry(*each, NeighbourState.PERMANENT) for each in permanent]
        messages += [_removal(*each) for each in gone]
        return [error for error in self._socket.request(messages) if error is not None]

    def probe(self, interface: int, address: IPv6Address, mac: bytes = b"") -> None:
        """See `NeighbourTable.probe`."""
        if mac:
            self._request(_entry(interface, address, mac, NeighbourState.PROBE))
            return
        to = attribute(_NDA_DST, address.packed)
        body = NEIGHBOUR.pack(socket.AF_INET6, interface, NeighbourState.PROBE) + to
        try:
            self._request(Message(_RTM_NEWNEIGH, body, netlink.NLM_F_REPLACE))
        except NetlinkError as error:
            # Its link-layer address is not known, so there is nobody to ask alone.
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
            body = _NEIGHBOUR_FLAGS.pack(socket.AF_INET6, interface, 0, _NTF_USE) + to
            self._request(Message(_RTM_NEWNEIGH, body, netlink.NLM_F_CREATE))

    def _request(self, message: Message) -> None:
        [error] = self._socket.request([message])
        if error is not None:
            raise error


def _entries(answers: Iterable[Message]) -> list[NeighbourChanged]:
    return [entry for answer in answers for entry in parse_neighbours(answer.payload, gone=False)]


def _entry(interface: int, address: IPv6Address, mac: bytes, state: NeighbourState) -> Message:
    body = NEIGHBOUR.pack(socket.AF_INET6, interface, state)
    body += attribute(_NDA_DST, address.packed) + attribute(_NDA_LLADDR, mac)
    return Message(_RTM_NEWNEIGH, body, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE)


def _removal(interface: int, address: IPv6Address) -> Message:
    body = NEIGHBOUR.pack(socket.AF_INET6, interface, NeighbourState.NONE)
    return Message(_RTM_DELNEIGH, body + attribute(_NDA_DST, address.packed))
