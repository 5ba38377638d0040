"""Where a router sends the packets of a host whose link-layer address it has from the host itself.

Neighbour discovery is not signed: who claims a host's link-local address on its link would get its
packets (RFC 4861 section 11.1). So the routes to a host lead to an address of our own making, which
is a permanent neighbour with the link-layer address that the host has signed. Nobody is asked for
it, and nobody is believed about it. It is the host's link-local address with the link-layer address
in the 48 bits that are zero in every real one: different for each pair of them, so that two hosts
that use one link-local address do not get each other's packets either.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPV6LENGTH, IPv6Address, IPv6Network
from typing import Final

from moorage.kernel.monitor import NeighbourChanged, NeighbourState
from moorage.kernel.neighbours import NeighbourTable
from moorage.kernel.routes import Route

LINK_LOCAL: Final = IPv6Network("fe80::/64")
"""The link-local addresses that nodes have (RFC 4291 section 2.5.6)."""

_ABOVE: Final = b"\xfe\x80"
_MAC: Final = slice(2, 8)
_NO_MAC: Final = bytes(6)
_INTERFACE_ID: Final = slice(8, 16)

_GONE: Final = frozenset((errno.ENOENT, errno.ENODEV))

_ADDRESS: Final = (1 << IPV6LENGTH) - 1

NextHop = tuple[int, IPv6Address]
"""The index of an interface, and an address that `next_hop` has made."""


def next_hop(link_local: IPv6Address, mac: bytes) -> IPv6Address:
    """Return the address that stands for the host with both of these."""
    return IPv6Address(_ABOVE + mac + link_local.packed[_INTERFACE_ID])


def is_next_hop(address: IPv6Address) -> bool:
    """Whether `next_hop` has made this address: no node has it."""
    packed = address.packed
    return packed.startswith(_ABOVE) and packed[_MAC] != _NO_MAC


def mac_of(hop: IPv6Address) -> bytes:
    """Return the link-layer address of whom a `next_hop` stands for."""
    return hop.packed[_MAC]


def link_local_of(hop: IPv6Address) -> IPv6Address:
    """Return the link-local address of whom a `next_hop` stands for."""
    return IPv6Address(LINK_LOCAL.network_address.packed[:8] + hop.packed[_INTERFACE_ID])


def next_hops(routes: Iterable[Route]) -> set[NextHop]:
    """Return what has to be a permanent neighbour for these routes to lead anywhere."""
    return {
        (route.interface, route.gateway)
        for route in routes
        if route.gateway is not None and is_next_hop(route.gateway)
    }


def is_in_force(entry: NeighbourChanged) -> bool:
    """Whether the entry of a `next_hop` is what it must be."""
    return entry.state is NeighbourState.PERMANENT and entry.mac == mac_of(entry.address)


class NextHopListing:
    """The next hops that are there: very many perhaps, so they are compared with a few at a time.

    Args:
        entries: of the neighbour cache.
    """

    def __init__(self, entries: Iterable[NeighbourChanged]) -> None:
        # Numbers take a third of the memory.
        self._in_force = {
            each.interface << IPV6LENGTH | int(each.address): is_in_force(each)
            for each in entries
            if is_next_hop(each.address)
        }

    def missing(self, hops: Iterable[NextHop]) -> list[NextHop]:
        """Return those that are not there, or are not what they must be."""
        pop = self._in_force.pop
        return [hop for hop in hops if not pop(hop[0] << IPV6LENGTH | int(hop[1]), False)]

    def surplus(self) -> list[NextHop]:
        """Return what is there and was not asked about."""
        return [(number >> IPV6LENGTH, IPv6Address(number & _ADDRESS)) for number in self._in_force]


class NextHops:
    """The permanent neighbours that stand for hosts.

    Args:
        table: the kernel's neighbour cache.
        complain: told what the kernel refused.
    """

    def __init__(self, table: NeighbourTable, complain: Callable[[str], None]) -> None:
        self._table = table
        self._complain = complain

    def listing(self) -> NextHopListing:
        """All that are there, to be compared with others. Raises OSError."""
        return NextHopListing(self._table.neighbours())

    def add(self, hops: Iterable[NextHop]) -> None:
        """Have these, before a route leads to them."""
        permanent = [(interface, hop, mac_of(hop)) for interface, hop in hops]
        if permanent:
            self._note(self._table.apply(permanent, ()))

    def remove(self, hops: Iterable[NextHop]) -> None:
        """Remove these, to which no route leads any longer."""
        gone = list(hops)
        if gone:
            errors = self._table.apply((), gone)
            # With its interface, or by somebody else's hand, one may be gone already.
            self._note([each for each in errors if each.errno not in _GONE])

    def _note(self, errors: Sequence[OSError]) -> None:
        if errors:
            others = f", and {len(errors) - 1} others" if len(errors) > 1 else ""
            self._complain(f"the kernel refused a neighbour: {errors[0]}{others}")
