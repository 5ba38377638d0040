"""Everything that the host knows, and what it has decided to do; the core's parts share it."""

from __future__ import annotations

from ipaddress import IPv6Address
from random import Random

from moorage.host.actions import Action, DestroySockets, Tell
from moorage.host.admission import Admission
from moorage.host.attachments import Attachments
from moorage.host.config import HostConfig
from moorage.host.events import HostEvent
from moorage.host.interface_id import InterfaceIdentifiers
from moorage.host.lanes import Lanes
from moorage.host.lease import Lease
from moorage.host.leases import FIXED_IAIDS, Leases
from moorage.host.naming import Naming
from moorage.host.networks import Networks
from moorage.host.ordinary import OrdinaryAddresses
from moorage.host.owed import Debts
from moorage.host.requester import DuidOf, Requester
from moorage.host.waiting import Waiting
from moorage.host.watchers import Watchers
from moorage.service import ServiceType


class Known:
    """What the parts of the core share.

    Attributes:
        out: what the shell is to do, in the order in which it was decided.
    """

    def __init__(self, config: HostConfig, duid_of: DuidOf, secret: bytes, random: Random) -> None:
        self.config = config
        self.admission = Admission(config)
        self.random = random
        self.identifiers = InterfaceIdentifiers(secret, random)
        self.attachments = Attachments(config.interfaces)
        self.lanes = Lanes(self.attachments, lambda: self.config)
        self.requester = Requester(duid_of, random)
        self.networks = Networks(self.requester)
        self.leases = Leases()
        self.debts = Debts()
        self.waiting = Waiting()
        self.ordinary = OrdinaryAddresses()
        self.naming = Naming(config.dns)
        self.watchers = Watchers()
        self.out: list[Action] = []

    def reconfigure(self, config: HostConfig) -> None:
        """Go by another configuration from now on."""
        self.config = config
        self.admission.change(config)
        self.attachments.use(config.interfaces)

    @property
    def types_at_boot(self) -> list[ServiceType]:
        """The types to have an address of whenever there is a network."""
        return self.admission.policy.at_boot(self.networks.policy)

    @property
    def restricted_types(self) -> frozenset[ServiceType]:
        """The types whose addresses not everybody may use without ``setsc()``."""
        return self.admission.policy.restricted(self.networks.policy)

    def default_lease(self) -> Lease | None:
        """Return the lease whose address those get who know nothing of types, if any is for them.

        It is one of the default type, if that is not what every network gives by itself, or else
        one in the place of an ordinary address.
        """
        kind = self.admission.policy.default_type(self.networks.policy)
        if kind not in (None, ServiceType.NON_PERSISTENT):
            return next((lease for lease in self.leases.usable(kind) if lease.served), None)
        stopgaps = (x for x in self.leases.alive() if x.stopgap and x.routed)
        return max(stopgaps, key=lambda lease: (lease.usable, lease.served), default=None)

    def new_iaid(self, type_: ServiceType | None) -> int:
        """Return an IAID that no lease has, for a prefix of a type or of the network's choice."""
        if type_ is ServiceType.FIXED:
            for iaid in range(FIXED_IAIDS):
                if not (self._has(iaid) or self.requester.releases(iaid)):
                    return iaid
        while True:
            iaid = self.random.randrange(FIXED_IAIDS, 1 << 32)
            if not self._has(iaid):
                return iaid

    def _has(self, iaid: int) -> bool:
        return iaid in self.leases or iaid in self.debts

    def tell(self, event: HostEvent) -> None:
        """Tell whoever wants to know what happened; the applications concerned among them."""
        self.out.append(Tell(event))
        self.out += self.watchers.told(event)

    def end_sockets(self, address: IPv6Address, cookies: frozenset[int] | None) -> None:
        """End the sockets on an address that became invalid, if that is our policy."""
        if self.config.destroy_sockets:
            self.out.append(DestroySockets(address, cookies))
