"""Addresses that change (draft section 7): which are given no longer, and what replaces them."""

from __future__ import annotations

from ipaddress import IPv6Address
from math import inf

from moorage.host.actions import Persist, Reconcile
from moorage.host.asking import Asking
from moorage.host.events import AddressReplaced
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.occupancy import Occupancy
from moorage.kernel.send_quotas import UNLIMITED, Quota
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType

_BY_ITSELF = frozenset({ServiceType.GRACEFUL_REPLACEMENT, ServiceType.NON_PERSISTENT})
"""The types that are renewed without waiting for a request."""
_RETRY = 60.0
"""Seconds until a successor is asked for again that the network did not give."""


class Renewal:
    """Puts new leases into the place of those whose time is over.

    Make before break: an address is given to sockets until its successor is there.
    """

    def __init__(self, known: Known, asking: Asking, occupancy: Occupancy) -> None:
        self._known = known
        self._asking = asking
        self._occupancy = occupancy

    def fitting(self, type_: ServiceType | None, lifetime: int | None, now: float) -> Lease | None:
        """Return the lease whose address a new socket takes, if there is no need for another.

        ``lifetime`` is what the application limits it to, in seconds.
        """
        for lease in self._known.leases.usable(type_, lifetime):
            left_behind = lease.type is ServiceType.NON_PERSISTENT and not lease.served
            if not (left_behind or self._over(lease, now) or self._being_replaced(lease)):
                return lease
        return None

    def pending(self, type_: ServiceType | None, lifetime: int | None) -> Lease | None:
        """Return the lease that a request has to wait for: one that is asked for, or moving."""
        for lease in self._known.leases.usable(type_, lifetime):
            if self._being_replaced(lease):
                return lease
        return self._known.leases.requested(type_, lifetime)

    def granted(self, lease: Lease, now: float) -> None:
        """Put a lease that is new into the place of those whose time is over."""
        for old in self._known.leases.alive():
            if not self._gives_way(old, lease, now):
                continue
            lease.kept, old.kept = lease.kept or old.kept, False
            self._occupancy.retire(old, now)
            if old.type in _BY_ITSELF:
                lease.succeeds = old.iaid
                assert lease.address is not None
                assert old.address is not None
                left = old.valid_until - now
                self._known.tell(AddressReplaced(old.address, old.type, lease.address, left))

    def redirect(self, lease: Lease, now: float) -> None:
        """Let those who wait for a lease that is no longer given wait for its successor."""
        waiters = self._known.waiting.take(lease.iaid)
        if not waiters:
            return
        successor = self._successor(lease)
        for waiter in waiters:
            waiter.iaid = successor.iaid
            self._known.waiting.add(waiter)

    def quotas(self) -> dict[IPv6Address, Quota]:
        """Return how many bytes may be sent from which addresses before they are replaced.

        Those of every address are counted, for whoever wants to know.
        """
        quotas = {}
        for lease in self._known.leases.alive():
            limit = self._known.config.lifetimes.of(lease.type).bytes
            if not limit or lease.spent or not lease.usable:
                limit = UNLIMITED
            if lease.address is not None:
                quotas[lease.address] = Quota(limit, lease.sent)
        return quotas

    def spent(self, address: IPv6Address, now: float) -> None:
        """Take in that as many bytes were sent from an address as policy allows."""
        lease = self._known.leases.of_address(address)
        if lease is not None:
            lease.spent = True
            self._known.out += [Reconcile(), Persist()]
            self.poll(now)

    def poll(self, now: float) -> None:
        """Do what is due."""
        for lease in self._known.leases.alive():
            if now >= self._ends_for_application(lease):
                self._occupancy.retire(lease, now)
            if now < self._replaced_at(lease):
                continue
            if lease.sockets or lease.kept:
                lease.ask_again_at = now + _RETRY
                self._successor(lease)
            else:
                self._occupancy.retire(lease, now)

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest."""
        times = [
            min(self._ends_for_application(lease), self._replaced_at(lease))
            for lease in self._known.leases.alive()
        ]
        return min((time for time in times if time < inf), default=None)

    def given_until(self, lease: Lease) -> float:
        """Return until when a lease may be given to new sockets, if nothing happens to it."""
        return min(lease.valid_until, self._ends(lease))

    def _ends_for_application(self, lease: Lease) -> float:
        """Return when the lifetime is over that an application set."""
        if lease.lifetime is None or not lease.usable:
            return inf
        return lease.granted_at + lease.lifetime

    def _replaced_at(self, lease: Lease) -> float:
        """Return when something has to be done so that another lease replaces this one."""
        if lease.type not in _BY_ITSELF or self._known.leases.successor(lease) is not None:
            return inf
        if lease.state is State.RETIRING:
            return lease.ask_again_at if lease.sockets else inf
        return max(self._ends(lease), lease.ask_again_at)

    def _ends(self, lease: Lease) -> float:
        """Return when the lifetime is over that the host's policy sets."""
        seconds = self._known.config.lifetimes.of(lease.type).seconds
        if lease.spent:
            return 0.0
        return lease.granted_at + seconds if seconds else inf

    def _over(self, lease: Lease, now: float) -> bool:
        return now >= self._ends(lease)

    def _being_replaced(self, lease: Lease) -> bool:
        """Whether a Rebind is on its way after which the address may be for old sockets only."""
        if lease.type is not ServiceType.GRACEFUL_REPLACEMENT:
            return False
        pending = self._known.requester.pending(lease.iaid)
        if pending is None or pending[0] is not MessageType.REBIND:
            return False
        return not lease.served or lease.path is None or lease.path.interface != pending[1]

    def _gives_way(self, old: Lease, new: Lease, now: float) -> bool:
        if old is new or (old.type, old.lifetime) != (new.type, new.lifetime):
            return False
        if old.iaid == new.succeeds:
            return True
        if old.state is State.RETIRING:
            return self._replaced_at(old) < inf
        return self._over(old, now)

    def _successor(self, lease: Lease) -> Lease:
        """Return the lease that is to take the place of this one; it is asked for if need be."""
        successor = self._known.leases.requested(lease.type, lease.lifetime)
        if successor is None:
            iaid = self._known.new_iaid(lease.type)
            successor = Lease(iaid, type=lease.type, lifetime=lease.lifetime)
            self._known.leases.add(successor)
        successor.succeeds = lease.iaid
        return successor
