"""A typed prefix that this host holds, and the address made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Network

from moorage.host.lifecycle import State
from moorage.host.outcome import Association
from moorage.host.reach import Path, Reach, Reachability
from moorage.host.serving import Lane
from moorage.host.typed import TypedAddress
from moorage.service import ServiceType

PREFIX_LENGTH = 64
"""The longest prefix that an address with a 64-bit interface identifier fits into."""


@dataclass(slots=True)
class Lease(TypedAddress):
    """A delegated prefix and its address; moments are seconds on the core's clock.

    Attributes:
        domain: the network domain that gave it; empty: one that does not announce itself.
        abroad: whether the host is where only other domains are.
        untyped: whether no type was asked for (5.2-d); until the network has chosen one, ``type``
            is a mere guess.
        stopgap: whether it is there for sockets that name no address, in the place of an ordinary
            one (`moorage.host.stopgap`).
        reclaimed: whether a network that had forgotten it was asked for it anew.
        succeeds: the IAID of the lease whose place it takes, or is to take, if there is one.
        ask_again_at: when a lease may be asked for that takes its place.
        renew_at: T1 and ...
        rebind_at: ... T2 of RFC 8415, as moments; infinity once the message is on its way.
    """

    iaid: int
    prefix: IPv6Network | None = None
    server: bytes = b""
    reach: Reachability = field(default_factory=Reachability)
    domain: bytes = b""
    abroad: bool = False
    reclaimed: bool = False
    untyped: bool = False
    stopgap: bool = False
    succeeds: int | None = None
    ask_again_at: float = 0.0
    preferred_until: float = 0.0
    renew_at: float = 0.0
    rebind_at: float = 0.0

    @property
    def association(self) -> Association:
        """The lease as the network knows it."""
        return Association(self.iaid, None if self.undecided else self.type, self.prefix)

    @property
    def undecided(self) -> bool:
        """Whether the network has still to choose the type."""
        return self.untyped and self.address is None

    def suits(self, type_: ServiceType | None, lifetime: int | None) -> bool:
        """Whether it is what somebody is to get who wants ``type_``; none: the network's choice."""
        if self.lifetime != lifetime:
            return False
        if self.untyped and (self.address is None or type_ is None):
            return type_ is None
        return self.type is type_

    @property
    def lane(self) -> Lane:
        """What it is served together with."""
        return Lane(self.domain, self.type)

    @property
    def asked(self) -> Lane:
        """What it is asked for together with."""
        return Lane(None, self.association.type)

    @property
    def usable(self) -> bool:
        """Whether a new socket may take the address."""
        return not self.abroad and super(Lease, self).usable

    @property
    def wanted(self) -> bool:
        """Whether the network is asked for it even if no application waits."""
        return self.kept or self.stopgap or self.succeeds is not None

    @property
    def extended(self) -> bool:
        """Whether the network is asked for more time; what is gracefully replaced has its end."""
        graceful = self.type is ServiceType.GRACEFUL_REPLACEMENT
        return self.served and not (graceful and self.state is State.RETIRING)

    @property
    def path(self) -> Path | None:
        """Where it is, or was last, served."""
        return self.reach.path

    @property
    def routed(self) -> bool:
        """Whether its packets have a way out, be it one on which they are dropped for a while."""
        return self.path is not None and self.reach.state is not Reach.REFUSED

    @property
    def served(self) -> bool:
        """Whether a link that is up carries its packets."""
        return self.reach.served


def unwanted(prefix: IPv6Network) -> str:
    """Return why a host takes no such prefix, or an empty text if it does."""
    if prefix.prefixlen > PREFIX_LENGTH:
        return f"longer than /{PREFIX_LENGTH}"
    first = prefix.network_address
    if first.is_link_local:
        return "link-local"
    if first.is_multicast:
        return "multicast"
    if first.is_loopback or first.is_unspecified:
        return "no unicast prefix"
    return ""
