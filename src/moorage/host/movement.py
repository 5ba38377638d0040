"""What a change of link calls for: who serves, what is asked there, what is retired."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address

from moorage.host.actions import Reconcile, RetireLink, SolicitRouters
from moorage.host.asking import Asking
from moorage.host.attachment import Advertised, Attached, Finding, Left
from moorage.host.config import RetireSlaac
from moorage.host.demand import Demand
from moorage.host.events import AddressAttached, AddressDetached, LinkAttached, LinkLeft
from moorage.host.known import Known
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType
from moorage.wire.notice import Why


class Movement:
    """Follows the host from link to link."""

    def __init__(self, known: Known, asking: Asking, demand: Demand) -> None:
        self._known = known
        self._asking = asking
        self._demand = demand

    def take(self, findings: Sequence[Finding], now: float) -> None:
        """Do what findings about links ask for."""
        for finding in findings:
            match finding:
                case Attached(interface):
                    self._known.serving.heard(interface)
                    self._known.out.append(SolicitRouters(interface))
                    self._known.tell(LinkAttached(self._known.attachments.name(interface)))
                case Left(interface):
                    self._left(interface, now)
                case Advertised(interface, moved):
                    self._advertised(interface, moved, now)
        if findings:
            self.review(now)
            self._asking.send(now)

    def _left(self, interface: int, now: float) -> None:
        self._known.requester.link_lost(interface)
        self._known.serving.left(interface)
        for lease in self._known.leases.alive():
            if not lease.reach.leave(interface, now):
                continue
            self._known.out.append(Reconcile())
            if not lease.served:
                assert lease.address is not None
                self._known.tell(AddressDetached(lease.address, lease.type))
        for address in self._known.ordinary.detach(interface):
            self._known.tell(AddressDetached(address, ServiceType.NON_PERSISTENT))
        self._retire_departed()
        self._known.tell(LinkLeft(self._known.attachments.name(interface)))

    def _advertised(self, interface: int, moved: bool, now: float) -> None:
        attachment = self._known.attachments.get(interface)
        if attachment is None:
            return
        if attachment.on_demand is not None:
            self._known.requester.link_heard(interface, attachment.on_demand.link_id)
        self._known.serving.heard(interface)
        if not self._known.leases.alive():
            self._known.serving.answered(interface, now)
        if moved:
            foreign = self._known.ordinary.take_foreign(attachment)
            self._retire(interface, foreign, frozenset(attachment.routers))
        for lease in self._known.leases.through(interface):
            if not lease.served and lease.path and lease.path.router in attachment.routers:
                # It was silenced when the link went; now it can be asked for again.
                self._known.out.append(Reconcile())
        for address in self._known.ordinary.attach(attachment):
            self._known.tell(AddressAttached(address, ServiceType.NON_PERSISTENT))
        self._retire_departed()
        self._demand.serve_ordinary()

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
            self._demand.end_ordinary(address, Why.LEFT)

    def review(self, now: float) -> None:
        """Decide which interface serves, move there, and ask for what is missing."""
        chosen = self._known.serving.choose(self._known.attachments.newest_first(), now)
        if chosen is not None:
            kept = [lease.association for lease in self._known.leases.alive()]
            attachment = self._known.attachments.get(chosen)
            if kept:
                self._known.requester.start(MessageType.REBIND, chosen, kept, now, urgent=True)
            elif attachment is not None and attachment.heard:
                self._known.serving.answered(chosen, now)
        attachment = self._asking.attachment()
        if attachment is not None:
            self._asking.request_missing(attachment, now)
