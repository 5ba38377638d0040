"""A kernel in memory, for tests: it behaves as the real one does towards the rest of the package.

`FakeKernel` is the network namespace, the other classes are what one opens in it, each with the
protocol of its real twin. What happens outside (a cable is pulled, a neighbour appears, somebody
flushes routes) the test does to the `FakeKernel`. Time does not pass: lifetimes stay as they are,
and an address works as soon as it is added.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Final

from moorage.kernel.addresses import Address, AddressFlags
from moorage.kernel.fake_queue import FakeQueue
from moorage.kernel.links import Link
from moorage.kernel.monitor import (
    AddressChanged,
    AddressRemoved,
    Event,
    Group,
    LinkChanged,
    LinkRemoved,
    NeighbourChanged,
    NeighbourState,
    RouteChanged,
    RouteRemoved,
    RuleChanged,
    RuleRemoved,
)
from moorage.kernel.neighbours import Neighbour
from moorage.kernel.netlink import NetlinkError
from moorage.kernel.routes import Add, Route, RouteChange, RouteKey, RouteKind, Rule
from moorage.numbers import ROUTE_PROTOCOL

LOOPBACK: Final = Link(1, "lo", bytes(6), 65536, up=True, carrier=True, loopback=True)

_GROUPS: Final[dict[type[Event], Group]] = {
    LinkChanged: Group.LINK,
    LinkRemoved: Group.LINK,
    NeighbourChanged: Group.NEIGHBOUR,
    AddressChanged: Group.ADDRESS,
    AddressRemoved: Group.ADDRESS,
    RouteChanged: Group.ROUTE,
    RouteRemoved: Group.ROUTE,
    RuleChanged: Group.RULE,
    RuleRemoved: Group.RULE,
}

_NO_PORT: Final = -1

_SETTABLE: Final = (
    AddressFlags.NO_DAD
    | AddressFlags.HOME_ADDRESS
    | AddressFlags.MANAGE_TEMPORARY
    | AddressFlags.NO_PREFIX_ROUTE
    | AddressFlags.MULTICAST_AUTO_JOIN
)


class FakeKernel:
    """One network namespace: a loopback interface, and the interfaces that the test puts in."""

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self.sysctl: Final = FakeSysctl()
        self.links: Final[dict[int, Link]] = {link.index: link for link in (LOOPBACK, *links)}
        self.addresses: Final[dict[tuple[int, IPv6Address], Address]] = {}
        self.routes: Final[dict[RouteKey, tuple[int, Route]]] = {}
        self.rules: Final[dict[Rule, int]] = {}
        self.neighbours: Final[dict[tuple[int, IPv6Address], NeighbourChanged]] = {}
        self._tunnel_source = IPv6Address("::")
        self._monitors: list[FakeMonitor] = []
        self._ports = 0

    def route_table(self, protocol: int = ROUTE_PROTOCOL) -> FakeRouteTable:
        """Open the routes, as the owner of a protocol number."""
        self._ports += 1
        return FakeRouteTable(self, protocol, self._ports)

    def address_table(self) -> FakeAddressTable:
        """Open the addresses."""
        return FakeAddressTable(self)

    def neighbour_table(self) -> FakeNeighbourTable:
        """Open the neighbour cache."""
        return FakeNeighbourTable(self)

    def link_table(self) -> FakeLinkTable:
        """Open the interfaces."""
        return FakeLinkTable(self)

    def monitor(self, groups: Iterable[Group], except_port: int = 0) -> FakeMonitor:
        """Open a monitor."""
        monitor = FakeMonitor(groups, except_port)
        self._monitors.append(monitor)
        return monitor

    def set_tunnel_source(self, address: IPv6Address) -> None:
        """Set the outer source of encapsulated packets, as `seg6.set_tunnel_source`."""
        self._tunnel_source = address

    def tunnel_source(self) -> IPv6Address:
        """The outer source of encapsulated packets, as `seg6.tunnel_source`."""
        return self._tunnel_source

    def set_link(self, link: Link) -> None:
        """Put an interface in, or change one; one that goes down loses its addresses and routes."""
        before = self.links.get(link.index)
        self.links[link.index] = link
        self.emit(LinkChanged(link))
        if before is not None and before.up and not link.up:
            self._empty(link.index)

    def remove_link(self, index: int) -> None:
        """Take an interface out, with its addresses and routes."""
        link = self.links.pop(index)
        self._empty(index)
        self.emit(LinkRemoved(index, link.name))

    def _empty(self, index: int) -> None:
        for key, (protocol, route) in [*self.routes.items()]:
            if route.interface == index:
                del self.routes[key]
                self.emit(RouteRemoved(protocol, route))
        for where in [where for where in self.neighbours if where[0] == index]:
            del self.neighbours[where]
            self.emit(NeighbourChanged(*where, b"", NeighbourState.NONE))
        for where, address in [*self.addresses.items()]:
            if address.interface == index:
                del self.addresses[where]
                self.emit(AddressRemoved(address))

    def emit(self, event: Event, port: int = 0) -> None:
        """Tell the monitors; ``port`` is that of the route table that is the cause."""
        for monitor in self._monitors:
            monitor.tell(event, port)

    def overrun(self) -> None:
        """Make the monitors lose what they have not read yet."""
        for monitor in self._monitors:
            monitor.lose()


class FakeRouteTable:
    """A `RouteTable`."""

    def __init__(self, kernel: FakeKernel, protocol: int, port: int) -> None:
        self.protocol: Final = protocol
        self.port: Final = port
        self._kernel = kernel

    def close(self) -> None:
        """Do nothing."""

    def routes(self, protocol: int) -> set[Route]:
        """All routes with this protocol number."""
        return {route for owner, route in self._kernel.routes.values() if owner == protocol}

    def listing(self) -> FakeRouteListing:
        """All routes of our protocol number, to be compared with others."""
        return FakeRouteListing(self.routes(self.protocol))

    def apply(self, changes: Sequence[RouteChange]) -> list[OSError | None]:
        """Carry out the changes in order, each for itself; the error or None for each."""
        return [self._apply(change) for change in changes]

    def _apply(self, change: RouteChange) -> OSError | None:
        route, routes = change.route, self._kernel.routes
        if isinstance(change, Add):
            error = self._obstacle(route)
            if error is None:
                routes[route.key] = (self.protocol, route)
                self._kernel.emit(RouteChanged(self.protocol, route), self.port)
            return error
        owner, found = routes.get(route.key, (None, None))
        if (
            found is None
            or owner != self.protocol
            or route.interface not in (0, found.interface)
            or route.gateway not in (None, found.gateway)
        ):
            return _error(errno.ESRCH)
        del routes[route.key]
        self._kernel.emit(RouteRemoved(self.protocol, found), self.port)
        return None

    def _obstacle(self, route: Route) -> OSError | None:
        if route.kind is not RouteKind.UNICAST:
            return None
        if route.preferred_source is not None and not any(
            address == route.preferred_source for _, address in self._kernel.addresses
        ):
            return _error(errno.EINVAL)
        if not route.interface and route.gateway is not None:
            return _error(errno.EINVAL) if route.gateway.is_link_local else None
        link = self._kernel.links.get(route.interface)
        if link is None:
            return _error(errno.ENODEV)
        return None if link.up else _error(errno.ENETDOWN)

    def rules(self, protocol: int) -> set[Rule]:
        """All rules with this protocol number."""
        return {rule for rule, owner in self._kernel.rules.items() if owner == protocol}

    def add_rule(self, rule: Rule) -> None:
        """Add a rule. Raises OSError, EEXIST if it is there."""
        if rule in self._kernel.rules:
            raise _error(errno.EEXIST)
        self._kernel.rules[rule] = self.protocol
        self._kernel.emit(RuleChanged(self.protocol, rule), self.port)

    def remove_rule(self, rule: Rule) -> None:
        """Remove a rule of our protocol number. Raises OSError, ENOENT if there is none."""
        if self._kernel.rules.get(rule) != self.protocol:
            raise _error(errno.ENOENT)
        del self._kernel.rules[rule]
        self._kernel.emit(RuleRemoved(self.protocol, rule), self.port)


class FakeRouteListing:
    """A `RouteListing`; there are no twins here."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {route.key: route for route in routes}

    def twins(self) -> set[Route]:
        """None."""
        return set()

    def missing(self, desired: Iterable[Route]) -> list[Route]:
        """See `RouteListing.missing`."""
        return [route for route in desired if self._routes.pop(route.key, None) != route]

    def surplus(self) -> set[Route]:
        """See `RouteListing.surplus`."""
        return {*self._routes.values()}


class FakeAddressTable:
    """An `AddressTable`."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def close(self) -> None:
        """Do nothing."""

    def addresses(self, protocol: int | None = None) -> list[Address]:
        """All addresses, or those with this protocol number."""
        found = self._kernel.addresses.values()
        return [address for address in found if protocol in (None, address.protocol)]

    def add(self, address: Address) -> None:
        """Add an address, or change the lifetimes of the one that is there. Raises OSError."""
        if address.interface not in self._kernel.links:
            raise _error(errno.ENODEV)
        if address.valid == 0 or _longer(address.preferred, address.valid):
            raise _error(errno.EINVAL)
        flags = address.flags & _SETTABLE
        if address.preferred == 0:
            flags |= AddressFlags.DEPRECATED
        if address.valid is None:
            flags |= AddressFlags.PERMANENT
        added = replace(address, flags=flags)
        self._kernel.addresses[address.interface, address.address] = added
        self._kernel.emit(AddressChanged(added))

    def remove(self, address: Address) -> None:
        """Remove an address, whoever added it. Raises OSError, EADDRNOTAVAIL if there is none."""
        found = self._kernel.addresses.pop((address.interface, address.address), None)
        if found is None:
            raise _error(errno.EADDRNOTAVAIL)
        self._kernel.emit(AddressRemoved(found))


class FakeNeighbourTable:
    """A `NeighbourTable`; nobody is there to be asked."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def close(self) -> None:
        """Do nothing."""

    def neighbours(self) -> list[NeighbourChanged]:
        """All IPv6 entries."""
        return [*self._kernel.neighbours.values()]

    def set_permanent(self, interface: int, address: IPv6Address, mac: bytes) -> None:
        """See `NeighbourTable.set_permanent`."""
        self._set(NeighbourChanged(interface, address, mac, NeighbourState.PERMANENT))

    def remove(self, interface: int, address: IPv6Address) -> None:
        """See `NeighbourTable.remove`."""
        if self._kernel.neighbours.pop((interface, address), None) is None:
            raise _error(errno.ENOENT)
        self._kernel.emit(NeighbourChanged(interface, address, b"", NeighbourState.NONE))

    def apply(
        self, permanent: Iterable[Neighbour], gone: Iterable[tuple[int, IPv6Address]]
    ) -> list[OSError]:
        """See `NeighbourTable.apply`."""
        errors: list[OSError] = []
        for entry in permanent:
            self.set_permanent(*entry)
        for where in gone:
            try:
                self.remove(*where)
            except OSError as error:
                errors.append(error)
        return errors

    def probe(self, interface: int, address: IPv6Address, mac: bytes = b"") -> None:
        """See `NeighbourTable.probe`."""
        self._set(NeighbourChanged(interface, address, b"", NeighbourState.FAILED))

    def _set(self, entry: NeighbourChanged) -> None:
        if entry.interface not in self._kernel.links:
            raise _error(errno.ENODEV)
        self._kernel.neighbours[entry.interface, entry.address] = entry
        self._kernel.emit(entry)


class FakeLinkTable:
    """A `LinkTable`."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def close(self) -> None:
        """Do nothing."""

    def links(self) -> list[Link]:
        """All interfaces."""
        return [*self._kernel.links.values()]


class FakeMonitor(FakeQueue[Event]):
    """A `Monitor`."""

    def __init__(self, groups: Iterable[Group], except_port: int) -> None:
        super().__init__()
        self._groups = frozenset(groups)
        self._except_port = except_port or _NO_PORT

    def tell(self, event: Event, port: int) -> None:
        """Have an event wait to be read."""
        if _GROUPS[type(event)] in self._groups and port != self._except_port:
            self.put(event)


class FakeSysctl:
    """A `Sysctl`; a parameter is there once it was written."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def read(self, path: str) -> str:
        """The value. Raises FileNotFoundError."""
        if path not in self._values:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._values[path]

    def write(self, path: str, value: str) -> None:
        """Set the value."""
        self._values[path] = value


def _longer(preferred: int | None, valid: int | None) -> bool:
    return valid is not None and (preferred is None or preferred > valid)


def _error(code: int) -> NetlinkError:
    return NetlinkError(code, os.strerror(code))
