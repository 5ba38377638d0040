"""An address for applications that know nothing of types, where no link gives an ordinary one.

On a link whose routers delegate prefixes and advertise none (RFC 9663) the kernel would take a
typed address for them, which somebody has asked for to use it himself. So the host asks for a
prefix of the network's default type, by naming none (draft section 5.2), and sockets that name no
address get one from that (`moorage.host.desired.default_route`).
"""

from __future__ import annotations

from ipaddress import IPv6Address

from moorage.host.actions import Persist, Reconcile
from moorage.host.attachment import Attachment
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.occupancy import Occupancy
from moorage.host.ordinary import ours
from moorage.host.tenure import Tenure
from moorage.kernel.addresses import Address
from moorage.service import ServiceType


class StopGap:
    """Sees to it that there is such an address where there has to be one, and nowhere else."""

    def __init__(self, known: Known, occupancy: Occupancy, tenure: Tenure) -> None:
        self._known = known
        self._occupancy = occupancy
        self._tenure = tenure
        self._ordinary: set[tuple[int, IPv6Address]] = set()

    def changed(self, address: Address) -> None:
        """Take in an address of the kernel's, on any interface."""
        self.removed(address)
        if address.usable and not (address.deprecated or ours(address)) and _global(address):
            self._ordinary.add((address.interface, address.address))

    def removed(self, address: Address) -> None:
        """Take in that the kernel has an address no more."""
        self._ordinary.discard((address.interface, address.address))

    def next_timer(self) -> float | None:
        """Return when `review` must be called at the latest."""
        link = self._known.lanes.present(None)
        if link is None or not self._wanted() or not self._missing():
            return None
        return _earliest(link)

    def review(self, now: float) -> None:
        """Have one such address where there has to be one, and let others go."""
        wanted = self._wanted()
        usable = self._known.leases.usable(None) if wanted else []
        chosen = max(usable, key=lambda lease: (lease.served, lease.stopgap), default=None)
        if chosen is not None and not chosen.stopgap:
            chosen.stopgap = True
            self._reconsider(chosen, now)
        if chosen is not None or not wanted:
            for lease in list(self._known.leases.all()):
                if lease.stopgap and lease is not chosen:
                    lease.stopgap = False
                    self._reconsider(lease, now)
        elif self._missing():
            self._ask(now)

    def _wanted(self) -> bool:
        """Whether there has to be one; between two links, if there was one before."""
        known = self._known
        default = known.admission.policy.default_type(known.networks.policy)
        links = known.attachments.newest_first()
        if self._ordinary or default not in (None, ServiceType.NON_PERSISTENT):
            return False
        if any(link.prefixes for link in links):
            return False
        if any(link.delegates_only for link in links):
            return True
        return any(lease.stopgap for lease in known.leases.all())

    def _missing(self) -> bool:
        leases = self._known.leases
        return not leases.usable(None) and leases.requested(None) is None

    def _ask(self, now: float) -> None:
        known = self._known
        link = known.lanes.asked(None, now)
        if link is not None and now >= _earliest(link):
            iaid, any_type = known.new_iaid(None), ServiceType.SESSION_LASTING
            known.leases.add(Lease(iaid, type=any_type, untyped=True, stopgap=True))

    def _reconsider(self, lease: Lease, now: float) -> None:
        """Let a lease stay or go, now that it is in that place, or no longer."""
        if lease.state is State.REQUESTED:
            if not lease.wanted and not self._known.waiting.awaits(lease.iaid):
                self._tenure.drop(lease)
            return
        if lease.usable and not lease.sockets:
            self._occupancy.unused(lease, now)
        self._known.out += [Reconcile(), Persist()]


def _global(address: Address) -> bool:
    return not (address.address.is_link_local or address.address.is_loopback)


def _earliest(link: Attachment) -> float:
    """Return when an address may be asked for on a link."""
    return max(link.unsupported_until, link.retry_at.get(None, 0.0))
