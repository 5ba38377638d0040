"""What a binding store holds: bindings, routers and anchors, as plain values.

A binding says who holds a prefix, who anchors it and who serves it now (the mobility context of
RFC 8885). The store keeps times, and whoever uses it judges them; the end of a router's lease is
all that it judges itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from moorage.service import ServiceType


class BindingState(StrEnum):
    """Where in its life a binding is."""

    ACTIVE = "active"
    """Held by its client."""

    DETACHED = "detached"
    """Held, while no router serves its client; the anchor keeps the prefix."""

    RELEASED = "released"
    """Given back; nobody gets the prefix before ``valid_until``, then the binding is forgotten."""


ADDRESS_LENGTH = 128
"""Length of what is one address (of an IA_NA) and no prefix to delegate (of an IA_PD)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A delegated prefix, or an address. Times are seconds since 1970 unless they say otherwise."""

    prefix: IPv6Network
    """The key: a store has one binding for a prefix."""

    client: bytes
    """The client's DUID."""

    iaid: int
    """The client's name for it, unique among the prefixes, or addresses, that the client holds."""

    type: ServiceType

    anchor: str
    """Id of the anchor from whose pool the prefix is: that of the router which gave it."""

    serving: str | None
    """Id of the router on whose link the client is, if any."""

    link: str | None
    """Name of the serving router's access interface."""

    next_hop: IPv6Address | None
    """The client's link-local address on that interface, or that of the relay agent before it."""

    seq: int
    """Raised by every change; the change must know the number that it replaces."""

    key: bytes | None
    """The client's Ed25519 public key; None: a client without a key."""

    last_time: int
    """Microseconds since 1970 in the last accepted signature; 0: none yet."""

    state: BindingState
    preferred_until: float
    valid_until: float

    reconfigurable: bool = False
    """Whether the client takes Reconfigure messages (RFC 8415 section 18.3.11)."""

    mac: bytes | None = None
    """The link-layer address of ``next_hop``, as the client's signature says; None: whichever
    neighbour discovery finds."""

    excluded: int | None = None
    """Length of the first part of the prefix, if that is for the client's link (RFC 6603)."""

    @property
    def excluded_prefix(self) -> IPv6Network | None:
        """The part of the prefix that is not delegated, but used on the link to the client."""
        if self.excluded is None:
            return None
        return IPv6Network((self.prefix.network_address, self.excluded))

    @property
    def is_address(self) -> bool:
        """Whether this is a single address, of use on its link alone."""
        return self.prefix.prefixlen == ADDRESS_LENGTH

    @property
    def name(self) -> tuple[bytes, int, bool]:
        """What tells it from everything else that a client holds."""
        return self.client, self.iaid, self.is_address

    @property
    def held(self) -> bool:
        """Whether a client holds the prefix: False as soon as it is released."""
        return self.state is not BindingState.RELEASED


@dataclass(frozen=True, slots=True)
class Router:
    """An access router as the others need to know it."""

    id: str

    address: IPv6Address
    """Its core address: the outer source of everything that it encapsulates."""

    down_sid: IPv6Address
    """Where an anchor sends packets for a prefix that this router serves."""

    up_sid: IPv6Address
    """Where a serving router sends packets from a prefix that this router anchors."""

    lease: float
    """Seconds without a sign of life after which it counts as gone."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A pool, and who acts as the anchor of its prefixes now: of all routers, that one alone."""

    id: str
    """The router that the pool is configured to; `Binding.anchor` names it."""

    pool: IPv6Network

    holder: str
    """Id of the router that acts for it: itself, or a standby that has taken over."""

    epoch: int
    """Raised by every change; the change must know the number that it replaces."""
