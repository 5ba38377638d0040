"""IPv6 routes and rules: ours, told from everybody else's by a protocol number.

Linux knows a route by destination, source, table and metric (`Route.key`), and an `Add` puts a
route in the place of one with the same key. It does so whosever that was: choose tables and metrics
that nobody else uses. A `Remove` only ever takes routes of our own protocol number.

The SRv6 forms are those of RFC 8986: H.Encaps.Red with one segment (section 5.2), which is plain
IPv6-in-IPv6 on the wire, and End.DT6 (section 4.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol


class RouteKind(IntEnum):
    """What becomes of a packet that a route matches; the values are the kernel's RTN_ ones."""

    UNICAST = 1
    BLACKHOLE = 6
    UNREACHABLE = 7


@dataclass(frozen=True, slots=True)
class Seg6Encap:
    """H.Encaps.Red towards one segment (RFC 8986 section 5.2)."""

    segment: IPv6Address


@dataclass(frozen=True, slots=True)
class Seg6EndDT6:
    """End.DT6: decapsulate, then look the destination up in ``table`` (RFC 8986 section 4.6)."""

    table: int


RouteKey = tuple[int, int, int, int]
"""Destination and source (their bits and lengths in one number), table and metric."""

_ANY_SOURCE = -1


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``interface`` is an index (0: none), ``mtu`` and ``advmss`` are bytes (0: unset).

    ``preferred_source`` is the source address, one of this host, of what takes the route without
    having one yet.

    Raises ValueError for what the kernel would take for something else: a metric of 0, a source of
    length 0 (None says that), a next hop on a route that drops its packets.
    """

    destination: IPv6Network
    table: int
    kind: RouteKind = RouteKind.UNICAST
    source: IPv6Network | None = None
    gateway: IPv6Address | None = None
    interface: int = 0
    metric: int = 1024
    mtu: int = 0
    advmss: int = 0
    preferred_source: IPv6Address | None = None
    encap: Seg6Encap | Seg6EndDT6 | None = None

    def __post_init__(self) -> None:
        if self.metric == 0:
            raise ValueError("a route needs a metric above 0")
        if self.source is not None and self.source.prefixlen == 0:
            raise ValueError("a source of length 0 is written as None")
        if self.kind is not RouteKind.UNICAST and (self.gateway or self.interface or self.encap):
            raise ValueError(f"a route of kind {self.kind.name} has no next hop")

    def __hash__(self) -> int:
        # Fields are slow to hash, and few routes differ in nothing of the key.
        return hash(self.key)

    @property
    def key(self) -> RouteKey:
        """What makes a route the same route for the kernel."""
        source = _ANY_SOURCE if self.source is None else _number(self.source)
        return _number(self.destination), source, self.table, self.metric


def _number(network: IPv6Network) -> int:
    return int(network.network_address) << 8 | network.prefixlen


@dataclass(frozen=True, slots=True)
class Rule:
    """Packets that came in by ``iif`` (empty: any) from ``source`` are looked up in ``table``."""

    priority: int
    table: int
    iif: str = ""
    source: IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class Add:
    """Put ``route`` in the place of whatever has its key."""

    route: Route


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove ``route``; ESRCH if there is none with its key, next hop and our protocol number.

    Linux ignores the source where no route to that destination has one. So give routes with and
    without a source in one table different metrics, lest it removes the one for the other.
    """

    route: Route


RouteChange = Add | Remove


class RouteListing(Protocol):
    """The routes that are there: very many perhaps, so they are compared with a few at a time."""

    def twins(self) -> set[Route]:
        """Those that have a key in common, which others made; an `Add` replaces one of them only.

        They count as removed from now on. Raises OSError.
        """

    def missing(self, desired: Iterable[Route]) -> list[Route]:
        """Those of ``desired`` that are not there."""

    def surplus(self) -> set[Route]:
        """What is there, with keys that nothing has of which was asked. Raises OSError."""


class RouteTable(Protocol):
    """The routes and rules of one network namespace."""

    @property
    def protocol(self) -> int:
        """The protocol number of what is added and removed here."""

    def routes(self, protocol: int) -> set[Route]:
        """All routes with this protocol number. Raises OSError."""

    def listing(self) -> RouteListing:
        """All routes of our protocol number, to be compared with others. Raises OSError."""

    def apply(self, changes: Sequence[RouteChange]) -> list[OSError | None]:
        """Carry out the changes in order, each for itself; the error or None for each."""

    def rules(self, protocol: int) -> set[Rule]:
        """All rules with this protocol number. Raises OSError."""

    def add_rule(self, rule: Rule) -> None:
        """Add a rule. Raises OSError, EEXIST if it is there."""

    def remove_rule(self, rule: Rule) -> None:
        """Remove a rule of our protocol number. Raises OSError, ENOENT if there is none."""
