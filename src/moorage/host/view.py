"""What the host daemon shows of itself: plain values, which JSON and tables are made of.

Names of types, states and links are those of the command line; durations are seconds, and none
stands for no end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from ipaddress import IPv6Address, IPv6Network
from math import isinf

import msgspec

from moorage.host.attachment import Attachment
from moorage.host.known import Known
from moorage.host.lease import Lease
from moorage.host.ordinary import ours
from moorage.kernel.addresses import Address
from moorage.service import ServiceType


class LinkView(msgspec.Struct, frozen=True):
    """One of the interfaces that the configuration names.

    Attributes:
        state: ``serving`` (typed prefixes are served here), ``trying`` (they are asked for here),
            ``attached``, ``detached``.
        attached_for: since when it is on its link.
        service: what is known of the network: ``yes``, ``no`` (remembered for a while), or
            ``unknown``.
        offered: the types that its routers announce; none: they announce nothing.
    """

    interface: str
    state: str
    attached_for: float | None = None
    link_local: IPv6Address | None = None
    routers: list[IPv6Address] = []
    prefixes: list[IPv6Network] = []
    service: str = "unknown"
    offered: list[str] | None = None
    domain_id: str = ""
    link_id: str = ""


class AddressView(msgspec.Struct, frozen=True):
    """An address that applications may use, or one that the network was asked for.

    Attributes:
        state: of the life cycle (``docs/reference/lifecycle.md``); ``ordinary`` and ``temporary``:
            the kernel's and our own, formed from a router advertisement.
        reach: what becomes of its packets; empty for those two.
        kept: wanted by policy, whether a socket uses it or not.
        sockets: how many use it, as far as the daemon has heard.
        sent: bytes that were sent from it, with their IPv6 headers; none: they are not counted,
            since it is an ordinary one, or the kernel cannot.
        released_in: until it is given back, while nobody uses it.
    """

    address: IPv6Address | None
    type: str
    state: str
    reach: str
    prefix: IPv6Network | None
    interface: str
    router: IPv6Address | None
    mtu: int
    kept: bool
    sockets: int
    sent: int | None
    preferred_for: float | None
    valid_for: float | None
    released_in: float | None


class StatusView(msgspec.Struct, frozen=True):
    """The daemon at a glance.

    Attributes:
        addresses: how many there are of each type.
        waiting: applications that wait for an address.
        dropped: what came that was of no use, by kind, since the start.
    """

    version: str
    pid: int
    running_for: float
    links: list[LinkView]
    addresses: dict[str, int]
    waiting: int
    dropped: dict[str, int]


def links(known: Known, now: float) -> list[LinkView]:
    """Return the interfaces in the order of the configuration."""
    attached = {
        known.attachments.name(attachment.interface): attachment
        for attachment in known.attachments.newest_first()
    }
    return [
        _link(known, name, attached[name], now)
        if name in attached
        else LinkView(name, state="detached")
        for name in known.config.interfaces
    ]


def addresses(
    known: Known, present: Iterable[Address], sent: Mapping[IPv6Address, int], now: float
) -> list[AddressView]:
    """Return the typed addresses, the oldest first, and then the ordinary ones.

    ``present`` are the kernel's addresses as they are now, since lifetimes run, and ``sent`` the
    bytes that it has counted.
    """
    leases = sorted(known.leases.all(), key=lambda lease: lease.granted_at)
    ordinary = known.ordinary.addresses
    return [
        *(_typed(known, lease, sent, now) for lease in leases),
        *(_ordinary(known, address) for address in present if address.address in ordinary),
    ]


def status(known: Known, since: float, now: float, dropped: Mapping[str, int]) -> StatusView:
    """Return the daemon at a glance; it has been running ``since`` then."""
    present = Counter(lease.type for lease in known.leases.alive())
    present[ServiceType.NON_PERSISTENT] += len(known.ordinary.addresses)
    return StatusView(
        version=version("moorage"),
        pid=os.getpid(),
        running_for=now - since,
        links=links(known, now),
        addresses={kind.slug: present[kind] for kind in ServiceType},
        waiting=len(known.waiting),
        dropped=dict(dropped),
    )


def _link(known: Known, name: str, attachment: Attachment, now: float) -> LinkView:
    on_demand = attachment.on_demand
    return LinkView(
        name,
        state=known.lanes.state(attachment.interface) or "attached",
        attached_for=now - attachment.since,
        link_local=attachment.link_local,
        routers=sorted(attachment.routers),
        prefixes=sorted(attachment.prefixes),
        service=_service(attachment, now),
        offered=sorted(kind.slug for kind in on_demand.offered) if on_demand else None,
        domain_id=on_demand.domain_id.hex() if on_demand else "",
        link_id=on_demand.link_id.hex() if on_demand else "",
    )


def _service(attachment: Attachment, now: float) -> str:
    if attachment.knows_service:
        return "yes"
    return "no" if now < attachment.unsupported_until else "unknown"


def _typed(known: Known, lease: Lease, sent: Mapping[IPv6Address, int], now: float) -> AddressView:
    path = lease.path
    return AddressView(
        address=lease.address,
        type=lease.type.slug,
        state=lease.state,
        reach=lease.reach.state,
        prefix=lease.prefix,
        interface=known.attachments.name(path.interface) if path else "",
        router=path.router if path else None,
        mtu=path.mtu if path else 0,
        kept=lease.kept or lease.stopgap,
        sockets=len(lease.sockets),
        sent=None if lease.address is None else sent.get(lease.address),
        preferred_for=_left(lease.preferred_until, now) if lease.address else None,
        valid_for=_left(lease.valid_until, now) if lease.address else None,
        released_in=_left(lease.linger_until, now) if lease.lingers else None,
    )


def _ordinary(known: Known, address: Address) -> AddressView:
    return AddressView(
        address=address.address,
        type=ServiceType.NON_PERSISTENT.slug,
        state="temporary" if ours(address) else "ordinary",
        reach="",
        prefix=IPv6Network((address.address, address.prefix_length), strict=False),
        interface=known.attachments.name(address.interface),
        router=None,
        mtu=0,
        kept=False,
        sockets=known.ordinary.users(address.address),
        sent=None,
        preferred_for=address.preferred,
        valid_for=address.valid,
        released_in=None,
    )


def _left(until: float, now: float) -> float | None:
    return None if isinf(until) else max(0.0, until - now)
