"""What the router daemon shows of itself: plain values, which JSON and tables are made of.

Names of types, states and places are those of the command line; durations are seconds.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from importlib.metadata import version
from ipaddress import IPv6Address, IPv6Network

import msgspec

from moorage.router.account import Account, Place, place_of
from moorage.router.announcer import Announcer
from moorage.router.config import RouterConfig
from moorage.router.forwarding import Forwarding
from moorage.router.metrics import pool_size
from moorage.router.mirror import Known, Mirror
from moorage.service import ServiceType


class LinkView(msgspec.Struct, frozen=True):
    """An access link.

    Attributes:
        slaac_prefix: advertised for ordinary addresses, if any is.
        path_mtu: bytes that hosts are told.
    """

    interface: str
    served: bool
    slaac_prefix: IPv6Network | None
    path_mtu: int


class PeerView(msgspec.Struct, frozen=True):
    """Another router of the domain; ``present`` is whether its lease lasts, of so many seconds."""

    id: str
    address: IPv6Address
    present: bool
    lease: float


class AnchorView(msgspec.Struct, frozen=True):
    """A pool of the domain, and the router that acts for it.

    Attributes:
        id: the router that it is configured to.
        announcement: what the network was told of it by us; empty: nothing.
    """

    id: str
    pool: IPv6Network
    holder: str
    epoch: int
    announcement: str


class StatusView(msgspec.Struct, frozen=True):
    """The daemon at a glance.

    Attributes:
        hosts: how many are on the links that hold a prefix.
        bindings: how many there are, by type and then by place.
        given: how many prefixes of the pool are taken, ...
        size: ... of so many.
        present: whether our own lease lasts, as far as we know.
        lease: its seconds.
        routers: the others.
        dropped: messages that were of no use, by kind, since the start.
        filtered: packets that the filter dropped, by reason.
    """

    version: str
    pid: int
    id: str
    running_for: float
    core_address: IPv6Address
    pool: IPv6Network
    given: int
    size: int
    offered: list[str]
    links: list[LinkView]
    hosts: int
    present: bool
    lease: float
    routers: list[PeerView]
    anchors: list[AnchorView]
    bindings: dict[str, dict[str, int]]
    dropped: dict[str, int]
    filtered: dict[str, int]


class PathView(msgspec.Struct, frozen=True):
    """How packets of a prefix go through this router.

    Attributes:
        place: where it is, as this router sees it.
        host: the client's DUID.
        via: the router that packets to the host are sent to (``away``), or that packets from it are
            (``visiting``); empty: none.
        segment: its SID.
        link: our link that the host is on; empty: none.
        next_hop: the host's link-local address there.
        draining: the router that still forwards what was under way when the host moved.
        quiet: packets are dropped without a word, since the host has left just now.
    """

    prefix: IPv6Network
    type: str
    place: str
    host: str
    via: str
    segment: IPv6Address | None
    link: str
    next_hop: IPv6Address | None
    draining: str
    quiet: bool


def status(
    config: RouterConfig,
    mirror: Mirror,
    account: Account,
    forwarding: Forwarding,
    dropped: Mapping[str, int],
    served: Container[str],
    announcer: Announcer | None,
    since: float,
    now: float,
) -> StatusView:
    """Return the daemon at a glance; see `moorage.router.metrics.look`.

    It has been running ``since`` then.
    """
    announcements = {} if announcer is None else announcer.shown()
    return StatusView(
        version=version("moorage"),
        pid=os.getpid(),
        id=config.id,
        running_for=now - since,
        core_address=config.core_address,
        pool=config.pool,
        given=mirror.holdings.given(config.id, None),
        size=pool_size(config),
        offered=sorted(kind.slug for kind in config.offered_types),
        links=[
            LinkView(
                link.interface,
                link.interface in served,
                link.slaac_prefix,
                config.path_mtu(link),
            )
            for link in config.access
        ],
        hosts=len(forwarding.places()),
        present=config.id in mirror.present,
        lease=config.lease,
        routers=[
            PeerView(router.id, router.address, router.id in mirror.present, router.lease)
            for router in sorted(mirror.routers.values(), key=lambda router: router.id)
            if router.id != config.id
        ],
        anchors=[
            AnchorView(
                anchor.id,
                anchor.pool,
                anchor.holder,
                anchor.epoch,
                announcements.get(anchor.pool, ""),
            )
            for anchor in sorted(mirror.anchors, key=lambda anchor: anchor.id)
        ],
        bindings={
            kind.slug: {place.value: account.bindings[kind, place] for place in Place}
            for kind in ServiceType
        },
        dropped=dict(dropped),
        filtered=forwarding.dropped(),
    )


def path(config: RouterConfig, mirror: Mirror, known: Known) -> PathView | None:
    """Return how packets of a binding go through this router; none: they do not."""
    binding, former = known.binding, known.former
    holder = mirror.holder(binding.anchor)
    place = place_of(binding, holder, config.id)
    if place is None or place is Place.RELEASED:
        return None
    via = {Place.AWAY: binding.serving, Place.VISITING: holder}.get(place)
    router = mirror.routers.get(via or "")
    segment = None
    if router is not None:
        segment = router.down_sid if place is Place.AWAY else router.up_sid
    here = binding.serving == config.id
    return PathView(
        prefix=binding.prefix,
        type=binding.type.slug,
        place=place,
        host=binding.client.hex(),
        via=via or "",
        segment=segment,
        link=(binding.link or "") if here else "",
        next_hop=binding.next_hop if here else None,
        draining=(former.serving or "") if former is not None else "",
        quiet=known.quiet,
    )
