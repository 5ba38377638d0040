"""What a change of link calls for: who serves, what is asked there, what is retired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address

from moorage.host.actions import (
    AddLinkLocal,
    Persist,
    ProbeRouter,
    Reconcile,
    RetireLink,
    SolicitRouters,
)
from moorage.host.asking import Asking
from moorage.host.config import RetireSlaac
from moorage.host.demand import Demand
from moorage.host.events import (
    AddressAttached,
    AddressClash,
    AddressDetached,
    LinkAttached,
    LinkLeft,
    PrefixesWithdrawn,
    RouterLost,
)
from moorage.host.findings import (
    Advertised,
    Attached,
    Clash,
    Contradicted,
    Finding,
    Lack,
    Left,
    PrefixesGone,
    PrefixesMissing,
    Recognised,
    RouterGone,
)
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.nonpersistent import NonPersistent
from moorage.host.serving import Lane
from moorage.host.soliciting import Soliciting
from moorage.host.stopgap import StopGap
from moorage.service import ServiceType
from moorage.wire.notice import Why

_SETTLE_WAIT = 0.1
"""Seconds at most that what the last link left behind is kept in place, lest its removal delay the
Reply that traffic waits for."""
_STRANGE_WAIT = 4.0
"""Seconds within which every router of a link answers a solicitation: MIN_DELAY_BETWEEN_RAS and
MAX_RA_DELAY_TIME of RFC 4861."""
_CLASHES = 3
"""IDGEN_RETRIES of RFC 7217: as many link-local addresses are tried in the place of one that
somebody else has."""


class Movement:
    """Follows the host from link to link."""

    def __init__(
        self,
        known: Known,
        asking: Asking,
        nonpersistent: NonPersistent,
        demand: Demand,
        stopgap: StopGap,
    ) -> None:
        self._known = known
        self._asking = asking
        self._nonpersistent = nonpersistent
        self._demand = demand
        self._stopgap = stopgap
        self._soliciting = Soliciting(known.random)
        self._unsettled: dict[int, float] = {}
        self._strange: dict[int, float] = {}
        self._clashes: dict[int, int] = {}

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest."""
        times = [
            self._soliciting.next_timer(),
            self._known.attachments.next_timer(),
            self._known.lanes.next_timer(self._lanes()),
            self._stopgap.next_timer(),
            *self._unsettled.values(),
            *self._strange.values(),
        ]
        return min((time for time in times if time is not None), default=None)

    def poll(self, now: float) -> None:
        """Do what is due."""
        self.take(self._known.attachments.poll(now), now)
        self.review(now)

    def take(self, findings: Sequence[Finding], now: float) -> None:
        """Do what findings about links ask for."""
        for finding in findings:
            self._take(finding, now)
        if findings:
            self.review(now)
            self._asking.send(now)

    def _take(self, finding: Finding, now: float) -> None:
        match finding:
            case Attached(interface):
                self._known.lanes.heard(interface)
                self._soliciting.attached(interface, now)
                self._clashes.pop(interface, None)
                self._known.tell(LinkAttached(self._known.attachments.name(interface)))
            case Left(interface, name):
                self._left(interface, name, now)
            case Recognised(interface):
                self._unsettled[interface] = now + _SETTLE_WAIT
            case Advertised(interface):
                self._advertised(interface, now)
            case Contradicted(interface, router):
                self._known.out.append(ProbeRouter(interface, router))
            case RouterGone(interface, router, why):
                self._router_gone(interface, router, why, now)
            case PrefixesMissing(interface):
                self._soliciting.again(interface, now)
            case PrefixesGone(interface, prefixes):
                name = self._known.attachments.name(interface)
                self._known.tell(PrefixesWithdrawn(name, sorted(prefixes)))
                self._retire_foreign(interface)
            case Clash(interface, address):
                self._clash(interface, address)

    def _left(self, interface: int, name: str, now: float) -> None:
        self._soliciting.left(interface)
        self._unsettled.pop(interface, None)
        self._strange.pop(interface, None)
        self._known.requester.link_lost(interface)
        self._nonpersistent.left(interface)
        self._known.lanes.left(interface)
        self._detach(self._known.leases.alive(), interface, now)
        for address in self._known.ordinary.detach(interface):
            self._known.tell(AddressDetached(address, ServiceType.NON_PERSISTENT))
        self._retire_departed()
        self._known.tell(LinkLeft(name))

    def _detach(self, leases: Iterable[Lease], interface: int, now: float) -> None:
        """Take in that an interface no longer carries the packets of these leases."""
        for lease in leases:
            if not lease.reach.leave(interface, now):
                continue
            self._known.out.append(Reconcile())
            if not lease.served:
                assert lease.address is not None
                self._known.lanes.stranded(lease.lane)
                self._known.tell(AddressDetached(lease.address, lease.type))

    def _advertised(self, interface: int, now: float) -> None:
        attachment = self._known.attachments.get(interface)
        if attachment is None:
            return
        if attachment.heard:
            self._soliciting.heard(interface)
        if attachment.on_demand is not None:
            self._known.requester.link_heard(interface, attachment.on_demand.link_id, now)
            self._known.lanes.heard(interface)
        for lease in self._known.leases.through(interface):
            if not lease.served and lease.path and lease.path.router in attachment.routers:
                # It was silenced when the link went; now it can be asked for again.
                self._known.out.append(Reconcile())
        for address in self._known.ordinary.attach(attachment):
            self._known.tell(AddressAttached(address, ServiceType.NON_PERSISTENT))
        self._retire_departed()
        self._demand.serve_ordinary(now)

    def _router_gone(self, interface: int, router: IPv6Address, why: Lack, now: float) -> None:
        """Look for another router there, or for another link, before traffic stalls for long.

        One that does not answer gets no more packets; one that resigned, or that has not been heard
        for its lifetime, goes on until another one serves.
        """
        name = self._known.attachments.name(interface)
        self._known.tell(RouterLost(name, router, why))
        self._soliciting.again(interface, now)
        served = [
            lease
            for lease in self._known.leases.through(interface)
            if lease.served and lease.path is not None and lease.path.router == router
        ]
        if not served:
            return
        if why is Lack.UNREACHABLE:
            self._detach(served, interface, now)
        for lease in served:
            self._known.lanes.stranded(lease.lane)

    def _clash(self, interface: int, address: IPv6Address) -> None:
        """Tell of an address that somebody else has, and try another link-local one.

        The interface is off its link until then (RFC 4862 section 5.4.5); for all other addresses
        the kernel or an administrator has to find a remedy.
        """
        self._known.tell(AddressClash(self._known.attachments.name(interface), address))
        if not address.is_link_local or interface in self._known.attachments:
            return
        tried = self._clashes.get(interface, 0)
        if tried < _CLASHES:
            self._clashes[interface] = tried + 1
            another = self._known.identifiers.link_local()
            self._known.out.append(AddLinkLocal(interface, another))

    # ---- what a link leaves behind -------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Retire what the last link of an interface left, once nobody waits for a Reply there."""
        for interface, until in list(self._unsettled.items()):
            if now < until and self._known.requester.rebinds(interface):
                continue
            del self._unsettled[interface]
            moved = self._known.attachments.settle(interface)
            if moved:
                self._retire_foreign(interface)
            elif moved is None and self._has_foreign(interface):
                # Of this link, or of one that nobody remembers: all its routers have to be heard.
                self._soliciting.again(interface, now)
                self._strange[interface] = now + _STRANGE_WAIT
            self._known.out.append(Persist())
        for interface, until in list(self._strange.items()):
            if now >= until:
                del self._strange[interface]
                self._retire_foreign(interface)

    def _has_foreign(self, interface: int) -> bool:
        attachment = self._known.attachments.get(interface)
        return attachment is not None and bool(self._known.ordinary.foreign(attachment))

    def _retire_foreign(self, interface: int) -> None:
        """Retire the ordinary addresses and routers that an interface's link does not advertise."""
        attachment = self._known.attachments.get(interface)
        assert attachment is not None
        foreign = self._known.ordinary.take_foreign(attachment)
        self._retire(interface, foreign, frozenset(attachment.routers))

    def _retire_departed(self) -> None:
        """Retire the ordinary addresses of interfaces without a link, once there is another."""
        if not any(link.heard for link in self._known.attachments.newest_first()):
            return
        for interface in self._known.ordinary.interfaces():
            if interface not in self._known.attachments:
                self._retire(interface, self._known.ordinary.take_all(interface), frozenset())

    def _retire(
        self, interface: int, addresses: frozenset[IPv6Address], routers: frozenset[IPv6Address]
    ) -> None:
        if self._known.config.retire_slaac is RetireSlaac.NO:
            return
        self._known.out.append(RetireLink(interface, addresses, routers))
        for address in addresses:
            self._nonpersistent.end(address, Why.LEFT)

    # ---- who serves ----------------------------------------------------------------------------

    def review(self, now: float) -> None:
        """Decide which interfaces serve, move there, and ask for what is missing."""
        self._serve(now)
        link = self._known.lanes.foremost()
        if link is not None and self._known.networks.heed(link):
            self._demand.policy_changed(now)
        self._stopgap.review(now)
        self._asking.request_missing(now)
        self._asking.pay_debts(now)
        self._settle(now)
        for interface in self._soliciting.poll(now):
            self._known.out.append(SolicitRouters(interface))

    def _serve(self, now: float) -> None:
        """Move the leases whose lane calls for it, with one message for each network domain."""
        lanes = self._lanes()
        self._known.lanes.forget_others(lanes)
        moving: dict[tuple[int, bytes], list[Lease]] = {}
        for lane, leases in lanes.items():
            self._stop_abroad(lane, leases)
            chosen = self._known.lanes.choose(lane, now)
            if chosen is not None and lane.domain is not None:
                moving.setdefault((chosen, lane.domain), []).extend(leases)
        for (interface, domain), leases in moving.items():
            self._asking.rebind(interface, domain, leases, now)

    def _stop_abroad(self, lane: Lane, leases: Iterable[Lease]) -> None:
        """Ask no longer for prefixes of one network where another one has made itself known."""
        links = {link.interface for link in self._known.lanes.links(lane)}
        abroad = not links and bool(self._known.lanes.allowed(lane.type))
        for lease in leases:
            lease.abroad = abroad
            pending = self._known.requester.pending(lease.iaid)
            if pending is not None and pending[1] not in links:
                self._known.requester.cancel([lease.iaid])

    def _lanes(self) -> dict[Lane, list[Lease]]:
        lanes: dict[Lane, list[Lease]] = {}
        for lease in self._known.leases.alive():
            lanes.setdefault(lease.lane, []).append(lease)
        return lanes
