"""Who uses which address, and what becomes of one that nobody uses or that became invalid."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from ipaddress import IPv6Address

from moorage.host.actions import Authorise, CountSockets, Persist, Reconcile
from moorage.host.asking import Asking
from moorage.host.events import AddressDeprecated, AddressGone, AddressReleased
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.lifecycle import Event, State
from moorage.host.nonpersistent import NonPersistent
from moorage.host.waiting import Waiter
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.notice import Why

_NEVER = float("inf")
_RECOUNT = 1.0
"""Seconds at least between two counts of the sockets on an address."""


class Occupancy:
    """Gives addresses to sockets and lets go of those that no socket has any more."""

    def __init__(self, known: Known, asking: Asking, nonpersistent: NonPersistent) -> None:
        self._known = known
        self._asking = asking
        self._nonpersistent = nonpersistent

    def give(self, waiter: Waiter, lease: Lease, now: float) -> bool:
        """Answer an application with the address of a lease, if it may have that.

        One that has enough gets an address of the type that it has already. Return whether the
        lease changed more than the number of its sockets.
        """
        leases, admission = self._known.leases, self._known.admission
        refused = Reason.NONE
        if lease.type not in waiter.permitted:
            refused = Reason.HOST_NOT_AUTHORISED  # the network chose the type
        elif not admission.may_have(waiter.judgement, lease.iaid, leases.iaids()):
            refused = Reason.HOST_QUOTA
            for other in leases.usable(waiter.type, waiter.lifetime):
                if admission.has(waiter.judgement, other.iaid):
                    lease, refused = other, Reason.NONE
                    break
        if refused is not Reason.NONE:
            self._known.out.append(waiter.refused(refused))
            return False
        assert lease.address is not None
        if waiter.cookie is not None and lease.type in self._known.restricted_types:
            self._known.out.append(Authorise(waiter.cookie, lease.type))
        self._known.out.append(waiter.granted(lease.address, lease.valid_until - now))
        admission.given(waiter.judgement, lease.iaid)
        if waiter.cookie is not None:
            before = lease.state
            lease.sockets.add(waiter.cookie)
            lease.step(Event.OPEN)
            return lease.state is not before
        if waiter.holds:
            lease.holders.add(waiter.client)
        if not lease.sockets:
            self.unused(lease, now)
        return True

    def fail(self, waiter: Waiter, reason: Reason, now: float) -> None:
        """Refuse an application, unless there is an address that will do instead.

        One that would be renewed if it could; for who leaves the type to a network without the
        service, the only one that such a network gives.
        """
        fitting = self._known.leases.usable(waiter.type, waiter.lifetime)
        if fitting and not waiter.fresh:
            self.give(waiter, fitting[0], now)
        elif not (
            waiter.type is None
            and reason is Reason.NO_SERVICE
            and ServiceType.NON_PERSISTENT in waiter.permitted
            and self._nonpersistent.give(waiter, now, advertised=False)
        ):
            self._known.out.append(waiter.refused(reason))

    def closed(self, cookie: int, now: float) -> bool:
        """Take in that a socket has ended; return whether an address has lost its last one."""
        self._known.admission.closed(cookie)
        changed = self._known.ordinary.closed(cookie)
        if changed:
            self._nonpersistent.poll(now)
        for lease in self._known.leases.of_socket(cookie):
            lease.sockets.discard(cookie)
            if not lease.sockets:
                self.unused(lease, now)
                changed = True
        return changed

    def hung_up(self, client: Hashable, now: float) -> bool:
        """Take in that an application no longer holds what it held without a socket.

        Return whether an address has lost its last user.
        """
        changed = False
        for lease in self._known.leases.alive():
            if client in lease.holders:
                self.let_go(client, lease, now)
                changed |= not lease.sockets
        return changed

    def let_go(self, client: Hashable, lease: Lease, now: float) -> None:
        """Take in that an application no longer holds an address."""
        lease.holders.discard(client)
        if not lease.sockets:
            self.unused(lease, now)

    def counted(self, address: IPv6Address, cookies: Collection[int], now: float) -> None:
        """Take in which sockets the kernel has on an address of ours.

        0 stands for sockets whose end is not announced: the address lingers on while they live.
        """
        lease = self._known.leases.of_address(address)
        if lease is None:
            self._nonpersistent.counted(address, cookies, now)
            return
        counting, lease.counting = lease.counting, False
        if any(cookies):
            lease.sockets |= set(cookies) - {0}
            lease.step(Event.OPEN)
            if lease.type in self._known.restricted_types:
                self._known.out += [Authorise(each, lease.type) for each in lease.sockets]
        elif lease.lingers and counting and not cookies:
            self._release(lease, now)
        elif lease.state is State.READY or (lease.uncertain and counting and not cookies):
            self.unused(lease, now)

    def taken(self, address: IPv6Address, now: float) -> None:
        """Take in that the hooks have given an address to a socket.

        They do not say to which one; when it has had the time to bind, the kernel is asked.
        """
        lease = self._known.leases.of_address(address)
        if lease is not None and not lease.sockets:
            lease.step(Event.OPEN)
            lease.linger_until = now + max(self._known.config.linger.of(lease.type), _RECOUNT)

    def poll(self, now: float) -> None:
        """Do what is due: end what is no longer valid, count the sockets on what lingered."""
        self._nonpersistent.poll(now)
        for lease in self._known.leases.expired(now):
            self.end(lease, Why.EXPIRED, now)
        for lease in self._known.leases.lingered(now):
            # Sockets whose end is not announced may keep it: then look again.
            linger = self._known.config.linger.of(lease.type)
            lease.linger_until = now + max(linger, _RECOUNT)
            lease.counting = True
            if lease.address is not None:
                self._known.out.append(CountSockets(lease.address, linger))

    def retire(self, lease: Lease, now: float) -> None:
        """Give an address to no more sockets; it goes with the last of those that have it."""
        if lease.state is State.RETIRING:
            return
        lease.step(Event.RETIRE)
        assert lease.address is not None
        left = lease.valid_until - now
        self._known.tell(AddressDeprecated(lease.address, lease.type, left))
        if not lease.sockets:
            self.unused(lease, now)

    def unused(self, lease: Lease, now: float) -> None:
        """Let an address that no socket uses linger, unless it is one that stays."""
        keeps = self._known.admission.policy.keeps(lease.type) or bool(lease.holders)
        stays = lease.kept or lease.stopgap or keeps or self._expected(lease)
        if stays and lease.state is not State.RETIRING:
            lease.step(Event.KEEP)
        else:
            lease.step(Event.LAST_CLOSE)
            lease.linger_until = now + self._known.config.linger.of(lease.type)
        self._reconsider_successor(lease, now)

    def keep(self, types: Collection[ServiceType], now: float) -> None:
        """Let one address of each of these types stay although no socket uses it, and no other."""
        leases = self._known.leases
        kept = {lease.type for lease in leases.all() if lease.kept}
        for type_ in types:
            if type_ not in kept and (usable := leases.usable(type_)):
                usable[0].kept = True
        for lease in leases.alive():
            lease.kept = lease.kept and lease.type in types
            if not lease.sockets and lease.usable:
                self.unused(lease, now)

    def end(self, lease: Lease, why: Why, now: float) -> None:
        """End a lease whose address became invalid, and the sockets on it."""
        assert lease.address is not None
        lease.step(Event.END)
        self._known.leases.remove(lease)
        self._known.requester.cancel([lease.iaid])
        self._known.tell(AddressGone(lease.address, lease.type, why))
        self._known.end_sockets(lease.address, None)
        self._known.out += [Reconcile(), Persist()]
        for waiter in self._known.waiting.take(lease.iaid):
            self.fail(waiter, Reason.TRY_LATER, now)
        lease.sockets.clear()
        self._reconsider_successor(lease, now)

    def _expected(self, lease: Lease) -> bool:
        """Whether sockets of the address that it replaces may come to it."""
        predecessor = None if lease.succeeds is None else self._known.leases.get(lease.succeeds)
        return predecessor is not None and bool(predecessor.sockets)

    def _reconsider_successor(self, lease: Lease, now: float) -> None:
        successor = self._known.leases.successor(lease)
        if successor is not None and successor.state is State.READY:
            self.unused(successor, now)

    def _release(self, lease: Lease, now: float) -> None:
        """Give an address back that nobody uses; it is gone here before the network hears it."""
        lease.step(Event.LINGER_END)
        self._known.leases.remove(lease)
        assert lease.address is not None
        self._known.tell(AddressReleased(lease.address, lease.type))
        self._known.out += [Reconcile(), Persist()]
        self._asking.give_back(lease, now)
