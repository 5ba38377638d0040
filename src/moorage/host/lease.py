"""A typed prefix that this host holds, and the address made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from random import Random

from moorage.host.lifecycle import Event, State, after
from moorage.host.requester import Association
from moorage.service import ServiceType

PREFIX_LENGTH = 64
"""The longest prefix that an address with a 64-bit interface identifier fits into."""


@dataclass(frozen=True, slots=True)
class Path:
    """Where a lease's packets leave: the serving router on one of our interfaces.

    ``mtu`` is the network's path MTU for the prefix in bytes, 0 if it did not say.
    """

    interface: int
    router: IPv6Address
    mtu: int

    def leads_where(self, other: Path) -> bool:
        """Whether both leave by the same router on the same interface."""
        return (self.interface, self.router) == (other.interface, other.router)


@dataclass(slots=True)
class Lease:
    """A prefix and its address; times are seconds on the core's clock.

    Attributes:
        kept: wanted by policy, so that it does not end when no socket is left.
        path: where it is, or was last, served.
        next_path: where it is served now while ``path`` still works, until ``switch_at``.
        detached_since: when the link of ``path`` went away, if it did.
        refusing: whether its packets are refused by now, instead of dropped in silence.
        renew_at: T1 and ...
        rebind_at: ... T2 of RFC 8415, as moments; infinity once the message is on its way.
        counting: whether the kernel was asked who uses it, before it is released.
        sockets: the cookies of the sockets that use it.
    """

    iaid: int
    type: ServiceType
    kept: bool
    state: State = State.REQUESTED
    prefix: IPv6Network | None = None
    address: IPv6Address | None = None
    server: bytes = b""
    path: Path | None = None
    next_path: Path | None = None
    switch_at: float = 0.0
    detached_since: float | None = None
    refusing: bool = False
    granted_at: float = 0.0
    preferred_until: float = 0.0
    valid_until: float = 0.0
    renew_at: float = 0.0
    rebind_at: float = 0.0
    linger_until: float = 0.0
    counting: bool = False
    sockets: set[int] = field(default_factory=set)

    def step(self, event: Event) -> None:
        """Change the state as the life-cycle table says."""
        self.state = after(self.state, event)

    @property
    def association(self) -> Association:
        """The lease as the network knows it."""
        return Association(self.iaid, self.type, self.prefix)

    def switch(self, path: Path) -> None:
        """Send by ``path`` from now on."""
        self.path, self.next_path = path, None
        self.detached_since, self.refusing = None, False

    @property
    def alive(self) -> bool:
        """Whether the lease has an address."""
        return self.address is not None and self.state is not State.ENDED

    @property
    def usable(self) -> bool:
        """Whether a new socket may take the address."""
        return self.alive and self.state is not State.RETIRING

    @property
    def served(self) -> bool:
        """Whether a link that is up carries its packets."""
        return self.path is not None and self.detached_since is None


def new_address(prefix: IPv6Network, random: Random) -> IPv6Address:
    """Return an address in ``prefix`` with a random interface identifier (RFC 8981 style).

    In a prefix shorter than /64 the first /64 is used. The identifier is never zero, which is the
    subnet router's (RFC 4291 section 2.6.1), nor one of the reserved block at the top (RFC 5453).
    """
    return prefix[random.randrange(1, 0xFDFF_FFFF_FFFF_FF7F)]


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
