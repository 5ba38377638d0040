"""What changes in the kernel without our doing, as it happens."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from ipaddress import IPv6Address
from typing import Final, Protocol

from moorage.kernel import netlink
from moorage.kernel.addresses import RTM_DELADDR, RTM_NEWADDR, Address, parse_address
from moorage.kernel.links import RTM_DELLINK, RTM_NEWLINK, Link, parse_link
from moorage.kernel.netlink import NetlinkSocket
from moorage.kernel.netlink_routes import (
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    parse_routes,
    parse_rules,
)
from moorage.kernel.routes import Route, Rule

_RTM_NEWNEIGH: Final = 28
_RTM_DELNEIGH: Final = 29
_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
NEIGHBOUR: Final = struct.Struct("=BxxxiHxx")
"""struct ndmsg: family, interface, state, without the flags and the type."""


class Group(IntEnum):
    """What there is to hear about; the values are the kernel's RTNLGRP_ ones."""

    LINK = 1
    NEIGHBOUR = 3
    ADDRESS = 9
    ROUTE = 11
    RULE = 19


class NeighbourState(IntFlag):
    """The kernel's NUD_ states of a neighbour cache entry (RFC 4861 section 7.3.2)."""

    NONE = 0
    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NO_ARP = 0x40
    PERMANENT = 0x80


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """An interface is new, or something about it changed."""

    link: Link


@dataclass(frozen=True, slots=True)
class LinkRemoved:
    """An interface is gone."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class AddressChanged:
    """An address is new, or changed; it works as soon as it is not TENTATIVE."""

    address: Address


@dataclass(frozen=True, slots=True)
class AddressRemoved:
    """An address is gone."""

    address: Address


@dataclass(frozen=True, slots=True)
class NeighbourChanged:
    """A neighbour cache entry changed; NONE is the state of one that is gone."""

    interface: int
    address: IPv6Address
    mac: bytes
    state: NeighbourState


@dataclass(frozen=True, slots=True)
class RouteChanged:
    """A route with this protocol number is new, maybe in the place of one with any number."""

    protocol: int
    route: Route


@dataclass(frozen=True, slots=True)
class RouteRemoved:
    """A route with this protocol number is gone, and nothing took its place."""

    protocol: int
    route: Route


@dataclass(frozen=True, slots=True)
class RuleChanged:
    """A rule with this protocol number is new."""

    protocol: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class RuleRemoved:
    """A rule with this protocol number is gone."""

    protocol: int
    rule: Rule


Event = (
    LinkChanged
    | LinkRemoved
    | AddressChanged
    | AddressRemoved
    | NeighbourChanged
    | RouteChanged
    | RouteRemoved
    | RuleChanged
    | RuleRemoved
)


class Monitor(Protocol):
    """Reports changes in one network namespace."""

    def fileno(self) -> int:
        """Readable when there is something to `read`."""

    def read(self) -> list[Event]:
        """All changes since the last time, in order, without waiting.

        Raises `netlink.Overrun` when some were lost: whoever relies on them lists everything again.
        """


class NetlinkMonitor:
    """The kernel's `Monitor`, of the network namespace of the thread that makes it."""

    def __init__(self, groups: Iterable[Group], except_port: int = 0) -> None:
        """What the table with the port ``except_port`` changes itself is left out."""
        self._socket = NetlinkSocket(netlink.NETLINK_ROUTE, groups, except_port)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Readable when there is something to `read`."""
        return self._socket.fileno()

    def read(self) -> list[Event]:
        """All changes since the last time, in order, without waiting. Raises `netlink.Overrun`."""
        events: list[Event] = []
        for message in self._socket.receive():
            parse, gone = _PARSERS[message.type]
            events += parse(message.payload, gone)
        return events


def _link(body: bytes, gone: bool) -> Iterator[Event]:
    link = parse_link(body)
    if link is not None:
        yield LinkRemoved(link.index, link.name) if gone else LinkChanged(link)


def _address(body: bytes, gone: bool) -> Iterator[Event]:
    address = parse_address(body)
    yield AddressRemoved(address) if gone else AddressChanged(address)


def parse_neighbours(body: bytes, gone: bool) -> Iterator[NeighbourChanged]:
    """The neighbour cache entry of a message, if it is of IPv6."""
    family, interface, state = NEIGHBOUR.unpack_from(body)
    found = netlink.parse_attributes(body, NEIGHBOUR.size)
    if family == socket.AF_INET6:
        yield NeighbourChanged(
            interface,
            IPv6Address(found[_NDA_DST]),
            found.get(_NDA_LLADDR, b""),
            NeighbourState.NONE if gone else NeighbourState(state),
        )


def _routes(body: bytes, gone: bool) -> Iterator[Event]:
    for protocol, route in parse_routes(body):
        yield RouteRemoved(protocol, route) if gone else RouteChanged(protocol, route)


def _rules(body: bytes, gone: bool) -> Iterator[Event]:
    for protocol, rule in parse_rules(body):
        yield RuleRemoved(protocol, rule) if gone else RuleChanged(protocol, rule)


_Parser = Callable[[bytes, bool], Iterator[Event]]
_PARSERS: Final[dict[int, tuple[_Parser, bool]]] = {
    RTM_NEWLINK: (_link, False),
    RTM_DELLINK: (_link, True),
    RTM_NEWADDR: (_address, False),
    RTM_DELADDR: (_address, True),
    _RTM_NEWNEIGH: (parse_neighbours, False),
    _RTM_DELNEIGH: (parse_neighbours, True),
    RTM_NEWROUTE: (_routes, False),
    RTM_DELROUTE: (_routes, True),
    RTM_NEWRULE: (_rules, False),
    RTM_DELRULE: (_rules, True),
}
