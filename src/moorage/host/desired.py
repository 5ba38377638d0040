"""The addresses, routes and the rule that the host's leases call for: a pure function of them.

All typed prefixes share one table of source routes, which one rule selects: a packet from anywhere
else falls through it, and a move replaces one route per prefix, atomically. Behind each route
stands an *unreachable* one, so that a typed packet never leaves through another interface.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from moorage.host.lease import Lease
from moorage.host.reach import Path, Reach
from moorage.kernel.routes import Route, RouteKind, Rule
from moorage.numbers import HOST_TABLE

_ANYWHERE = IPv6Network("::/0")
_NO_SOURCE_YET = IPv6Network("::/128")
_MAIN_TABLE = 254
_SERVED_METRIC = 64
_GUARD_METRIC = 4096
_TCP_AND_IPV6_HEADERS = 60

RULE = Rule(priority=HOST_TABLE, table=HOST_TABLE)


Neighbour = tuple[int, IPv6Address]
"""An interface and an address on its link."""


def silenced(leases: Iterable[Lease]) -> set[Neighbour]:
    """Return the routers of links that are gone, to which packets are still sent.

    Packets that wait for such a router's address would be kept by the kernel for seconds, and TCP
    sends nothing again that it believes to be on its way: connections would stall after a move.
    """
    return {
        (lease.path.interface, lease.path.router)
        for lease in leases
        if lease.alive and lease.path is not None and lease.reach.state is Reach.DETACHED
    }


def routes(leases: Iterable[Lease]) -> set[Route]:
    """Return every route that the leases call for.

    A lease whose link is gone keeps its route during the hold time, towards a router that is
    `silenced`: a *blackhole* route would make ``send()`` fail with EINVAL at once.
    """
    wanted = set()
    for lease in leases:
        if not lease.alive or lease.prefix is None:
            continue
        wanted.add(Route(lease.prefix, _MAIN_TABLE, RouteKind.UNREACHABLE, metric=_GUARD_METRIC))
        wanted.add(
            Route(
                _ANYWHERE,
                HOST_TABLE,
                RouteKind.UNREACHABLE,
                source=lease.prefix,
                metric=_GUARD_METRIC,
            )
        )
        if lease.routed and lease.path is not None:
            wanted.add(_through(lease.path, HOST_TABLE, lease.prefix))
    return wanted


def default_route(lease: Lease) -> Route:
    """Return the route that makes a lease, which is routed, that of all who name no address.

    It is one of the main table, where more specific routes of others go before it, and takes only
    what has no source address yet. That an address is preferred would not suffice: the kernel takes
    one of the interface that the packet leaves by first (RFC 6724 rule 5).
    """
    assert lease.path is not None
    route = _through(lease.path, _MAIN_TABLE, _NO_SOURCE_YET)
    return replace(route, preferred_source=lease.address)


def _through(path: Path, table: int, source: IPv6Network) -> Route:
    return Route(
        _ANYWHERE,
        table,
        source=source,
        gateway=path.router,
        interface=path.interface,
        metric=_SERVED_METRIC,
        mtu=path.mtu,
        advmss=path.mtu - _TCP_AND_IPV6_HEADERS if path.mtu else 0,
    )
