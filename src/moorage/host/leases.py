"""The set of a host's leases and what is due among them."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv6Address, IPv6Network

from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.service import ServiceType

FIXED_IAIDS = 256
"""IAIDs below this number are those of Fixed prefixes, the lowest that are free; see `recovery`."""


class Leases:
    """Every lease that has not ended, by IAID."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}

    def __contains__(self, iaid: int) -> bool:
        return iaid in self._leases

    def all(self) -> Collection[Lease]:
        """Return the leases."""
        return self._leases.values()

    def iaids(self) -> Collection[int]:
        """Return their IAIDs."""
        return self._leases.keys()

    def alive(self) -> list[Lease]:
        """Return the leases that have an address."""
        return [lease for lease in self._leases.values() if lease.alive]

    def addresses(self, type_: ServiceType) -> frozenset[IPv6Address]:
        """Return the addresses of one type."""
        return frozenset(x.address for x in self.alive() if x.type is type_ and x.address)

    def add(self, lease: Lease) -> None:
        """Take a lease in."""
        self._leases[lease.iaid] = lease

    def remove(self, lease: Lease) -> None:
        """Let a lease go."""
        self._leases.pop(lease.iaid, None)

    def get(self, iaid: int) -> Lease | None:
        """Return the lease with this IAID."""
        return self._leases.get(iaid)

    def of_address(self, address: IPv6Address) -> Lease | None:
        """Return the lease that ``address`` was made from."""
        return next((x for x in self._leases.values() if x.address == address), None)

    def of_socket(self, cookie: int) -> list[Lease]:
        """Return the leases that a socket uses."""
        return [lease for lease in self._leases.values() if cookie in lease.sockets]

    def overlapping(self, prefix: IPv6Network, iaid: int) -> Lease | None:
        """Return another lease whose prefix shares addresses with ``prefix``."""
        for lease in self._leases.values():
            if lease.iaid != iaid and lease.prefix is not None and lease.prefix.overlaps(prefix):
                return lease
        return None

    def usable(self, type_: ServiceType | None, lifetime: int | None = None) -> list[Lease]:
        """Return the leases that a new socket may take: served ones first, then the newest."""
        fitting = [
            lease
            for lease in self._leases.values()
            if lease.suits(type_, lifetime) and lease.usable
        ]
        return sorted(fitting, key=lambda x: (x.served, x.granted_at), reverse=True)

    def requested(self, type_: ServiceType | None, lifetime: int | None = None) -> Lease | None:
        """Return a lease that the network was asked for and has not answered."""
        return next((x for x in self.awaited() if x.suits(type_, lifetime)), None)

    def successor(self, lease: Lease) -> Lease | None:
        """Return the lease that takes the place of this one, or is to take it."""
        return next((x for x in self._leases.values() if x.succeeds == lease.iaid), None)

    def awaited(self) -> list[Lease]:
        """Return the leases that the network has not answered for."""
        return [x for x in self._leases.values() if x.state is State.REQUESTED]

    def through(self, interface: int) -> list[Lease]:
        """Return the leases that are, or were last, served on an interface."""
        return [x for x in self.alive() if x.path is not None and x.path.interface == interface]

    def expired(self, now: float) -> list[Lease]:
        """Return the leases whose valid lifetime is over."""
        return [lease for lease in self.alive() if now >= lease.valid_until]

    def lingered(self, now: float) -> list[Lease]:
        """Return the leases whose users have to be counted, since the linger time is over."""
        return [x for x in self.alive() if x.uncertain and now >= x.linger_until]

    def to_renew(self, now: float) -> list[Lease]:
        """Return the leases that are served and whose T1 or T2 has come."""
        return [
            lease
            for lease in self.alive()
            if lease.extended and now >= min(lease.renew_at, lease.rebind_at)
        ]

    def next_timer(self, hold: float) -> float | None:
        """Return when the next lease needs attention; ``hold`` is the hold time, seconds."""
        times: list[float | None] = []
        for lease in self.alive():
            times += [lease.valid_until, lease.reach.due(hold)]
            if lease.uncertain:
                times.append(lease.linger_until)
            if lease.extended:
                times += [lease.renew_at, lease.rebind_at]
        return min((time for time in times if time is not None), default=None)
