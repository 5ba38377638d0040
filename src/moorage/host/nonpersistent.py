"""The Non-persistent addresses of links that advertise prefixes: the kernel's, and our own.

Our own take the place of the kernel's whose lifetime is over. They are formed as temporary ones are
(RFC 8981): the draft wants Non-persistent addresses renewed regularly (section 7), and the kernel
renews its own only where it was told to. In the kernel they are deprecated, lest it choose one for
sockets that did not ask.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from math import inf

from moorage.host.actions import CountSockets, Reconcile
from moorage.host.attachment import Attachment
from moorage.host.events import (
    AddressClash,
    AddressDeprecated,
    AddressFormed,
    AddressGone,
    AddressReleased,
    AddressReplaced,
)
from moorage.host.known import Known
from moorage.host.lifecycle import Event, State
from moorage.host.ordinary import ours
from moorage.host.typed import TypedAddress
from moorage.host.waiting import Waiter
from moorage.kernel.addresses import Address
from moorage.kernel.send_quotas import Quota
from moorage.service import ServiceType
from moorage.wire.notice import Why

_TYPE = ServiceType.NON_PERSISTENT
_PREFIX_LENGTH = 64
_ATTEMPTS = 3
"""TEMP_IDGEN_RETRIES of RFC 8981 section 3.8."""
_RECOUNT = 1.0
"""Seconds at least between two counts of the sockets on an address."""
_KERNEL_ROUNDS = 2.0
"""Seconds by which the kernel may end an address earlier, since it knows whole seconds only."""
_GIVEN = (State.READY, State.IN_USE)


@dataclass(slots=True)
class TemporaryAddress(TypedAddress):
    """An address of our own; ``attempt`` counts from the first whose identifier was taken."""

    interface: int
    prefix: IPv6Network
    attempt: int = 1


class NonPersistent:
    """Gives Non-persistent addresses to sockets, and forms others when it is time."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._formed: dict[IPv6Address, TemporaryAddress] = {}
        self._spent: set[IPv6Address] = set()
        self._replaced: set[IPv6Address] = set()
        self._hopeless: set[tuple[int, IPv6Network]] = set()

    def all(self) -> Collection[tuple[IPv6Address, TemporaryAddress]]:
        """Return the addresses of our own, and what we know of them."""
        return self._formed.items()

    def give(self, waiter: Waiter, now: float, *, advertised: bool) -> bool:
        """Answer an application with an address, if there is one, and it need not wait for another.

        With ``advertised``, only with one of a prefix that a router of the present link advertises.
        """
        attached = self._known.lanes.allowed(_TYPE)
        found = self._choose(attached, now, advertised=advertised)
        if found is None:
            return False
        if waiter.cookie is not None:
            self._known.ordinary.opened(found.address, waiter.cookie)
            if found.address in self._formed:
                self._formed[found.address].step(Event.OPEN)
        left = self._known.ordinary.valid_for(found.address, now)
        self._known.out.append(waiter.granted(found.address, left))
        return True

    def changed(self, address: Address, now: float) -> None:
        """Take in an address of the kernel's, perhaps one of ours."""
        if self._known.ordinary.changed(address, now):
            left = self._known.ordinary.valid_for(address.address, now)
            self._known.tell(AddressDeprecated(address.address, _TYPE, left))
        own = self._formed.get(address.address)
        if own is None and ours(address):
            self._adopt(address, now)
        elif own is None:
            self._follow(address, now)
        elif own.state is State.REQUESTED and address.usable:
            own.granted_at = now
            own.step(Event.GRANT)
            name = self._known.attachments.name(own.interface)
            left = own.valid_until - now
            self._known.tell(AddressFormed(address.address, own.prefix, name, left))
            self._renew_used(now)

    def removed(self, address: Address, now: float) -> None:
        """Take in that the kernel has an address no more.

        One of ours that somebody on the link has already gives way to another. Any other of ours is
        to be put back while it is valid.
        """
        own = self._formed.get(address.address)
        if own is None:
            if self._known.ordinary.removed(address):
                self.end(address.address, Why.REMOVED)
            return
        last = self._known.ordinary.find(address.address)
        if own.state is State.REQUESTED or (last is not None and last.optimistic):
            self._clashed(address.address)
        elif own.valid_until - now <= _KERNEL_ROUNDS:
            self.end(address.address, Why.EXPIRED)

    def end(self, address: IPv6Address, why: Why) -> None:
        """End the sockets that were given an address which is no longer valid."""
        self._known.tell(AddressGone(address, _TYPE, why))
        users = self._known.ordinary.take_users(address)
        if users:
            self._known.end_sockets(address, users)
        self._spent.discard(address)
        self._replaced.discard(address)
        if address in self._formed:
            self._forget(address, Event.END)

    def left(self, interface: int) -> None:
        """Note that an interface has left its link: on the next one all may be different."""
        self._hopeless = {pair for pair in self._hopeless if pair[0] != interface}

    def counted(self, address: IPv6Address, cookies: Collection[int], now: float) -> None:
        """Take in which sockets the kernel has on an address; see `Occupancy.counted`."""
        own = self._formed.get(address)
        if own is None:
            return
        counting, own.counting = own.counting, False
        if any(cookies):
            own.sockets |= set(cookies) - {0}
            own.step(Event.OPEN)
        elif own.lingers and counting and not cookies:
            self._known.tell(AddressReleased(address, _TYPE))
            self._forget(address, Event.LINGER_END)

    def quotas(self) -> dict[IPv6Address, Quota]:
        """Return how many bytes may be sent from which addresses before they are replaced."""
        limit = self._known.config.lifetimes.of(_TYPE).bytes
        addresses = self._known.ordinary.addresses - self._spent
        return {address: Quota(limit) for address in addresses} if limit else {}

    def spent(self, address: IPv6Address, now: float) -> None:
        """Take in that as many bytes were sent from an address as policy allows."""
        if self._known.ordinary.find(address) is not None:
            self._spent.add(address)
            self._known.out.append(Reconcile())
            self.poll(now)

    def poll(self, now: float) -> None:
        """Do what is due."""
        for address, own in list(self._formed.items()):
            if own.state is State.IN_USE and not own.sockets:
                own.step(Event.KEEP)
            if now >= own.valid_until:
                self.end(address, Why.EXPIRED)
            elif own.state in _GIVEN and now >= self._ends(address):
                self._retire(address, own, now)
            if own.lingers and now >= own.linger_until:
                # Sockets whose end is not announced may keep it: then look again.
                linger = self._known.config.linger.of(_TYPE)
                own.linger_until = now + max(linger, _RECOUNT)
                own.counting = True
                self._known.out.append(CountSockets(address, linger))
        self._renew_used(now)

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest."""
        times = [self._ends(address.address) for address in self._to_renew()]
        for address, own in self._formed.items():
            times.append(own.valid_until)
            if own.lingers:
                times.append(own.linger_until)
            if own.state in _GIVEN:
                times.append(self._ends(address))
        return min((time for time in times if time < inf), default=None)

    def given_until(self, address: IPv6Address) -> float:
        """Return until when an address is given to new sockets; long ago if it is no longer."""
        attached = self._known.lanes.allowed(_TYPE)
        given = self._known.ordinary.candidates(attached, advertised=True)
        return self._ends(address) if address in (each.address for each in given) else -inf

    def _choose(
        self, attached: Sequence[Attachment], now: float, *, advertised: bool
    ) -> Address | None:
        """Return the address for a new socket: none if there is none, or not yet.

        One whose lifetime is over is only taken where no other can be formed.
        """
        candidates = self._known.ordinary.candidates(attached, advertised=advertised)
        for address in candidates:
            if now < self._ends(address.address):
                return address
        if not candidates or (advertised and self._form(candidates[0], now)):
            return None
        return candidates[0]

    # ---- lifetimes -----------------------------------------------------------------------------

    def _ends(self, address: IPv6Address) -> float:
        """Return when the lifetime of an address is over that policy sets."""
        if address in self._spent:
            return 0.0
        seconds = self._known.config.lifetimes.of(_TYPE).seconds
        own = self._formed.get(address)
        since = self._known.ordinary.since(address) if own is None else own.granted_at
        return since + seconds if seconds else inf

    def _to_renew(self) -> list[Address]:
        """Return the addresses in use that are to be replaced when their lifetime is over."""
        under_way = self._under_way()
        return [
            address
            for address in self._known.ordinary.used()
            if address.address not in self._replaced
            and address.interface in self._known.attachments
            and address.interface not in under_way
        ]

    def _under_way(self) -> set[int]:
        """Return the interfaces on which an address waits for the kernel's word that it works."""
        return {x.interface for x in self._formed.values() if x.state is State.REQUESTED}

    def _renew_used(self, now: float) -> None:
        for address in self._to_renew():
            if now < self._ends(address.address):
                continue
            attachment = self._known.attachments.get(address.interface)
            assert attachment is not None
            successor = self._choose([attachment], now, advertised=True)
            if successor is None and address.interface in self._under_way():
                continue
            self._replaced.add(address.address)
            if successor is not None and now < self._ends(successor.address):
                left = self._known.ordinary.valid_for(address.address, now)
                self._known.tell(AddressReplaced(address.address, _TYPE, successor.address, left))

    def _follow(self, address: Address, now: float) -> None:
        """Keep what was formed from the same prefix valid for as long as the kernel's address."""
        if not address.autoconfigured:
            return
        until = now + (inf if address.valid is None else address.valid)
        for own in self._formed.values():
            if own.interface != address.interface or address.address not in own.prefix:
                continue
            if until < own.valid_until or until - now > 2 * (own.valid_until - now):
                own.valid_until = until
                self._known.out.append(Reconcile())

    # ---- life ----------------------------------------------------------------------------------

    def _form(self, twin: Address, now: float) -> bool:
        """Form another address like this one, unless that is hopeless; return whether one comes."""
        attachment = self._known.attachments.get(twin.interface)
        prefix = next(
            (
                each
                for each in (attachment.prefixes if attachment is not None else ())
                if twin.address in each and each.prefixlen == _PREFIX_LENGTH
            ),
            None,
        )
        if prefix is None or (twin.interface, prefix) in self._hopeless:
            return False
        under_way = (x.prefix for x in self._formed.values() if x.state is State.REQUESTED)
        if prefix not in under_way:
            until = now + self._known.ordinary.valid_for(twin.address, now)
            self._make(twin.interface, prefix, until)
        return True

    def _make(
        self, interface: int, prefix: IPv6Network, valid_until: float, attempt: int = 1
    ) -> None:
        address = self._known.identifiers.address(prefix, _TYPE)
        self._take_up(address, interface, prefix, valid_until).attempt = attempt
        self._known.out.append(Reconcile())

    def _take_up(
        self, address: IPv6Address, interface: int, prefix: IPv6Network, valid_until: float
    ) -> TemporaryAddress:
        users = self._known.ordinary.users_of(address)
        own = TemporaryAddress(
            interface,
            prefix,
            type=_TYPE,
            address=address,
            valid_until=valid_until,
            sockets=users,
        )
        self._formed[address] = own
        return own

    def _adopt(self, address: Address, now: float) -> None:
        """Keep what an earlier life of the daemon formed for the sockets that use it still."""
        prefix = IPv6Network((address.address, _PREFIX_LENGTH), strict=False)
        until = now + (address.valid or 0)
        own = self._take_up(address.address, address.interface, prefix, until)
        own.step(Event.GRANT)
        self._retire(address.address, own, now)

    def _retire(self, address: IPv6Address, own: TemporaryAddress, now: float) -> None:
        own.step(Event.RETIRE)
        own.linger_until = now
        self._known.ordinary.deprecate(address)
        self._known.tell(AddressDeprecated(address, _TYPE, own.valid_until - now))

    def _clashed(self, address: IPv6Address) -> None:
        """Try another identifier, as often as RFC 8981 section 3.4 allows."""
        own = self._formed[address]
        self._known.tell(AddressClash(self._known.attachments.name(own.interface), address))
        self._known.end_sockets(address, frozenset(own.sockets))
        self._forget(address, Event.END)
        if own.attempt < _ATTEMPTS:
            self._make(own.interface, own.prefix, own.valid_until, own.attempt + 1)
        else:
            self._hopeless.add((own.interface, own.prefix))

    def _forget(self, address: IPv6Address, event: Event) -> None:
        self._formed.pop(address).step(event)
        self._known.ordinary.forget(address)
        self._known.out.append(Reconcile())
