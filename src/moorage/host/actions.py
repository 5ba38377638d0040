"""What the host core wants done; the shell does it in the order given."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address

from moorage.host.events import HostEvent
from moorage.host.transmission import Transmission
from moorage.service import ServiceType
from moorage.wire.app import Reply
from moorage.wire.notice import Notice


@dataclass(frozen=True, slots=True)
class SendDhcp:
    """Sign and send a DHCPv6 message."""

    transmission: Transmission


@dataclass(frozen=True, slots=True)
class SolicitRouters:
    """Send a router solicitation."""

    interface: int


@dataclass(frozen=True, slots=True)
class ProbeRouter:
    """See whether a router still answers; `Core.router_unreachable` is told if it does not."""

    interface: int
    router: IPv6Address


@dataclass(frozen=True, slots=True)
class AddLinkLocal:
    """Give an interface one more link-local address, in the place of one that others have."""

    interface: int
    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Make the kernel's addresses and routes what `HostCore.desired` says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an application's request."""

    client: Hashable
    reply: Reply


@dataclass(frozen=True, slots=True)
class Steer:
    """Let sockets of a program that name no source have this one; none: there is none for them."""

    client: Hashable
    address: IPv6Address | None


@dataclass(frozen=True, slots=True)
class CountSockets:
    """Ask the kernel which sockets use ``address``; tell `HostCore.sockets_counted`.

    Who was given it by the hooks less than ``linger`` seconds ago may not have bound to it yet.
    """

    address: IPv6Address
    linger: float


@dataclass(frozen=True, slots=True)
class Authorise:
    """Let a socket use addresses of a type that not everybody may use by himself."""

    cookie: int
    kind: ServiceType


@dataclass(frozen=True, slots=True)
class DestroySockets:
    """End sockets on ``address``: those with these cookies, or all of them."""

    address: IPv6Address
    cookies: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class RetireLink:
    """Take back what the kernel learnt from a link that was left.

    ``addresses`` are of address autoconfiguration; default routes of routers other than
    ``routers`` go with them.
    """

    interface: int
    addresses: frozenset[IPv6Address]
    routers: frozenset[IPv6Address]


@dataclass(frozen=True, slots=True)
class Publish:
    """Let the host's name have these addresses; tell `HostCore.published`."""

    addresses: frozenset[IPv6Address]


@dataclass(frozen=True, slots=True)
class Persist:
    """Write the state file."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell whoever wants to know what happened."""

    event: HostEvent


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell an application what happened to an address that it watches."""

    client: Hashable
    notice: Notice


Action = (
    SendDhcp
    | SolicitRouters
    | ProbeRouter
    | AddLinkLocal
    | Reconcile
    | Answer
    | Steer
    | CountSockets
    | Authorise
    | DestroySockets
    | RetireLink
    | Publish
    | Persist
    | Tell
    | Notify
)
