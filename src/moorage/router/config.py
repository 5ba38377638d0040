"""The access router's configuration file, ``/etc/moorage/router.toml``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated

import msgspec

from moorage.config import ConfigError, changed
from moorage.management.config import RouterManagement
from moorage.router.settings import FIELDS, Announce, Count, Dhcp, LimitTable, RelayAgent, Standby
from moorage.service import ServiceType
from moorage.store.model import Anchor, Router
from moorage.wire.dhcp6 import DuidUuid

ENCAPSULATION = 40
"""Bytes that one outer IPv6 header takes (H.Encaps.Red with one segment, RFC 8986 section 5.2)."""

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

Octets8 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
StoreUrl = Annotated[str, msgspec.Meta(pattern="^(sqlite:.+|etcd:.+|memory:)$")]
PrefixLength = Annotated[int, msgspec.Meta(ge=1, le=64)]
"""Of a prefix that hosts can form addresses from (RFC 7421), or several such prefixes."""
Mtu = Annotated[int, msgspec.Meta(ge=1280, le=65535)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFE)]

_TOLD = frozenset({"offered", "default_type", "lifetimes", "grace", "policy", "dhcp"})
"""Keys whose values make a difference to what hosts are told."""
_WHILE_RUNNING = _TOLD | {
    *("hold", "keyless", "quota", "limits", "capacity", "new_clients"),
    *("probe_interval", "ra_interval", "standby"),
}
"""Keys that a running daemon takes over."""


class Keyless(StrEnum):
    """When a prefix of a client that has no key may move to another place."""

    NEVER = "never"
    AFTER_DEPARTURE = "after-departure"
    ALWAYS = "always"


class Sids(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """This router's two SRv6 segment identifiers and the block of the whole domain."""

    block: IPv6Network
    down: IPv6Address
    up: IPv6Address

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        for name, sid in (("down", self.down), ("up", self.up)):
            if sid not in self.block:
                raise ValueError(f"{name}: must lie in the block {self.block}")
        if self.down == self.up:
            raise ValueError("up: must be another address than down")


class Lifetimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long the prefixes of one type last, in seconds.

    Attributes:
        preferred: preferred lifetime that a client is given.
        valid: valid lifetime that a client is given.
        t1: when the client is to renew.
        t2: when it is to rebind.
        detached: how long the anchor keeps a prefix whose host has left.
        quarantine: how long nobody else gets a prefix that was given back.
    """

    preferred: Seconds
    valid: Seconds
    t1: Seconds
    t2: Seconds
    detached: Annotated[int, msgspec.Meta(ge=0)]
    quarantine: Annotated[int, msgspec.Meta(ge=0)]

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if not self.t1 <= self.t2 <= self.preferred <= self.valid:
            raise ValueError("must be t1 <= t2 <= preferred <= valid")


class FixedLifetimes(Lifetimes, frozen=True):
    """Defaults for Fixed prefixes."""

    preferred: Seconds = 30 * _DAY
    valid: Seconds = 60 * _DAY
    t1: Seconds = _HOUR
    t2: Seconds = 2 * _HOUR
    detached: int = 60 * _DAY
    quarantine: int = _DAY


class SessionLastingLifetimes(Lifetimes, frozen=True):
    """Defaults for Session-lasting prefixes."""

    preferred: Seconds = _HOUR
    valid: Seconds = 2 * _HOUR
    t1: Seconds = 10 * _MINUTE
    t2: Seconds = 20 * _MINUTE
    detached: int = 2 * _HOUR
    quarantine: int = 10 * _MINUTE


class NonPersistentLifetimes(Lifetimes, frozen=True):
    """Defaults for Non-persistent prefixes; ``preferred`` and ``valid`` hold for SLAAC, too."""

    preferred: Seconds = 30 * _MINUTE
    valid: Seconds = _HOUR
    t1: Seconds = 10 * _MINUTE
    t2: Seconds = 20 * _MINUTE
    detached: int = 0
    quarantine: int = 10 * _MINUTE


class GracefulReplacementLifetimes(Lifetimes, frozen=True):
    """Defaults for Graceful-replacement prefixes, before a move."""

    preferred: Seconds = _HOUR
    valid: Seconds = 2 * _HOUR
    t1: Seconds = 10 * _MINUTE
    t2: Seconds = 20 * _MINUTE
    detached: int = _MINUTE
    quarantine: int = 10 * _MINUTE


class LifetimeTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="kebab"
):
    """The lifetimes of every type; a table in the file replaces single values of it."""

    fixed: FixedLifetimes = FixedLifetimes()
    session_lasting: SessionLastingLifetimes = SessionLastingLifetimes()
    non_persistent: NonPersistentLifetimes = NonPersistentLifetimes()
    graceful_replacement: GracefulReplacementLifetimes = GracefulReplacementLifetimes()

    def of(self, kind: ServiceType) -> Lifetimes:
        """Return the lifetimes of one type."""
        lifetimes: Lifetimes = getattr(self, FIELDS[kind])
        return lifetimes


def _every_type() -> list[str]:
    return [kind.slug for kind in ServiceType]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the operator dictates to hosts (draft section 3.4); types are written as slugs.

    Attributes:
        permitted: types that hosts may ask for.
        boot: types that a host is to have from the start.
        default: type for applications that say nothing; empty: none is dictated.
    """

    permitted: list[str] = msgspec.field(default_factory=_every_type)
    boot: list[str] = []
    default: str = ""

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        _check_types("permitted", self.permitted)
        _check_types("boot", self.boot)
        _check_types("default", [self.default] if self.default else [])

    @property
    def permitted_types(self) -> frozenset[ServiceType]:
        """``permitted`` as types."""
        return _types(self.permitted)

    @property
    def boot_types(self) -> frozenset[ServiceType]:
        """``boot`` as types."""
        return _types(self.boot)

    @property
    def default_type(self) -> ServiceType | None:
        """``default`` as a type."""
        return ServiceType.from_slug(self.default) if self.default else None


class AccessLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An interface towards hosts.

    Attributes:
        interface: its name.
        slaac_prefix: advertised for ordinary addresses; none: not advertised.
        autonomous: whether hosts form addresses of ``slaac_prefix`` by themselves (the A flag).
        prefer_delegation: whether hosts should rather ask for a prefix of their own than use
            ``slaac_prefix`` (the P flag, RFC 9762).
        address_pool: single addresses for clients that ask for one are drawn from it; none: they
            are drawn from ``slaac_prefix``.
        relays: the relay agents on the link that we listen to.
        other_sources: what hosts may send from although we know nothing of it, as the prefixes of
            other routers of the link.
        mtu: the interface's MTU in bytes.
        link_id: 8 bytes in hexadecimal; empty: made of the router's id and the interface's name.
    """

    interface: Annotated[str, msgspec.Meta(min_length=1, max_length=15)]
    slaac_prefix: IPv6Network | None = None
    autonomous: bool = True
    prefer_delegation: bool = False
    address_pool: IPv6Network | None = None
    relays: list[RelayAgent] = []
    other_sources: list[IPv6Network] = []
    mtu: Mtu = 1500
    link_id: Octets8 | None = None

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if self.slaac_prefix is not None and self.slaac_prefix.prefixlen != 64:
            raise ValueError("slaac_prefix: must be a /64")
        if self.prefer_delegation and self.slaac_prefix is None:
            raise ValueError("prefer_delegation: needs a slaac_prefix that says so")
        agents = [address for agent in self.relays for address in (agent.address, *agent.sources)]
        if len(set(agents)) != len(agents):
            raise ValueError("relays: an address is named twice")

    @property
    def networks(self) -> tuple[IPv6Network, ...]:
        """The prefixes of the addresses that are used on the link."""
        found = [net for net in (self.slaac_prefix, self.address_pool) if net is not None]
        return tuple(dict.fromkeys(found))

    @property
    def sources(self) -> frozenset[IPv6Network]:
        """What hosts may send from beside link-local addresses and what is delegated to them."""
        behind = [network for agent in self.relays for network in agent.links]
        return frozenset([*self.networks, *behind, *self.other_sources])


class RouterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of the file; times are seconds, service types are written as slugs.

    Attributes:
        id: this router's name, unique in the domain.
        domain: 8 bytes in hexadecimal, the same at all routers of the domain.
        core_interface: the interface towards the other routers.
        core_address: our address there, the outer source of all that we encapsulate.
        core_mtu: the smallest MTU between the routers of the domain, in bytes.
        sids: our segment identifiers.
        pool: what prefixes are delegated from; every router has its own.
        prefix_lengths: lengths of prefixes that clients may have; the first is for those that hint
            at none. The pool is shared out equally. They are the same for all types, or a length
            would tell a type.
        store: the binding store, as `moorage.store.open_store` takes it.
        lease: how long after our last sign of life the other routers take us for gone.
        access: the links that hosts attach to.
        offered: types that are delegated.
        default_type: type of a prefix for a client that asks for none.
        lifetimes: how long prefixes last.
        grace: how long a Graceful-replacement prefix is valid after a move.
        hold: how long packets to a host that left are dropped silently before its correspondents
            are told; also how long a keyless client waits whose departure nobody saw.
        probe_interval: how often a host that sends nothing is asked whether it is still there; 0:
            never. One that does not answer has left.
        keyless: when a prefix of a client without a key may move.
        quota: how many prefixes and addresses one client may hold.
        limits: how many leases of single types are given.
        capacity: how many prefixes and addresses this router gives in all.
        new_clients: how many messages a second are looked at that come by one access link from
            clients without any binding; after a pause as many may come at once.
        dhcp: what clients are told beside their leases.
        ra_interval: longest time between two multicast router advertisements (RFC 4861
            MaxRtrAdvInterval).
        policy: what is dictated to hosts; none: hosts follow their own policy.
        standby: whose pools are taken over when they are gone.
        announce: how the network is told which pools to route here; none: it is not.
        management: where, and for whom, the daemon can be looked into.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    domain: Octets8
    core_interface: Annotated[str, msgspec.Meta(min_length=1, max_length=15)]
    core_address: IPv6Address
    core_mtu: Annotated[int, msgspec.Meta(ge=1280 + ENCAPSULATION, le=65535)] = 1600
    sids: Sids
    pool: IPv6Network
    prefix_lengths: Annotated[list[PrefixLength], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: [64]
    )
    store: StoreUrl = "sqlite:/var/lib/moorage/bindings.db"
    lease: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 5.0
    access: Annotated[list[AccessLink], msgspec.Meta(min_length=1)]
    offered: list[str] = msgspec.field(default_factory=_every_type)
    default_type: str = ServiceType.SESSION_LASTING.slug
    lifetimes: LifetimeTable = LifetimeTable()
    grace: Annotated[int, msgspec.Meta(ge=0)] = 60
    hold: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    probe_interval: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    keyless: Keyless = Keyless.AFTER_DEPARTURE
    quota: Annotated[int, msgspec.Meta(ge=1)] = 32
    limits: LimitTable = LimitTable()
    capacity: Count = 100_000
    new_clients: Annotated[float, msgspec.Meta(gt=0)] = 200.0
    dhcp: Dhcp = Dhcp()
    ra_interval: Annotated[float, msgspec.Meta(ge=4, le=1800)] = 30.0
    policy: Policy | None = None
    standby: Standby = Standby()
    announce: Announce | None = None
    management: RouterManagement = RouterManagement()

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        shares, shortest = len(self.prefix_lengths), min(self.prefix_lengths)
        if len(set(self.prefix_lengths)) != shares:
            raise ValueError("prefix_lengths: a length is named twice")
        if self.pool.prefixlen > shortest or 1 << (shortest - self.pool.prefixlen) < shares:
            raise ValueError(f"pool: must hold a /{shortest} for each of prefix_lengths")
        if self.pool.overlaps(self.sids.block):
            raise ValueError("pool: must not overlap sids.block")
        for link in self.access:
            for network in link.sources:
                if network.overlaps(self.pool):
                    raise ValueError(f"access: {network} must not overlap the pool")
        if self.core_address in self.sids.block:
            raise ValueError("core_address: must not lie in sids.block")
        names = [link.interface for link in self.access]
        if len(set(names)) != len(names):
            raise ValueError("access: an interface is named twice")
        if self.core_interface in names:
            raise ValueError("core_interface: must not be an access link, too")
        if self.id in self.standby.routers:
            raise ValueError("standby.for: must name other routers than this one")
        _check_types("offered", self.offered)
        _check_types("default_type", [self.default_type])
        if self.default_type not in self.offered:
            raise ValueError("default_type: must be one of those offered")

    def check_takes_over(self, before: RouterConfig) -> None:
        """Check that a daemon can go on with this configuration in the place of another.

        Raises:
            ConfigError: it differs in what counts at the start only.
        """
        for key in changed(before, self):
            if key not in _WHILE_RUNNING:
                raise ConfigError(f"{key}: another value needs a restart")
        if before.dhcp.secret != self.dhcp.secret:
            raise ConfigError("dhcp.secret: another value needs a restart")

    def tells_other_than(self, before: RouterConfig) -> bool:
        """Whether hosts are told something else than by another configuration."""
        return not _TOLD.isdisjoint(changed(before, self))

    @property
    def offered_types(self) -> frozenset[ServiceType]:
        """``offered`` as types."""
        return _types(self.offered)

    @property
    def default(self) -> ServiceType:
        """``default_type`` as a type."""
        return ServiceType.from_slug(self.default_type)

    @property
    def domain_id(self) -> bytes:
        """``domain`` as bytes."""
        return bytes.fromhex(self.domain)

    @property
    def server_duid(self) -> bytes:
        """The DUID that all routers of the domain answer with.

        It is one, or a Release after a move would go to a server that is not there.
        """
        return DuidUuid(hashlib.sha256(b"moorage server" + self.domain_id).digest()[:16]).encode()

    def link_id(self, link: AccessLink) -> bytes:
        """Return the 8 bytes that tell an access link from every other."""
        if link.link_id is not None:
            return bytes.fromhex(link.link_id)
        return hashlib.sha256(f"{self.id}\0{link.interface}".encode()).digest()[:8]

    def path_mtu(self, link: AccessLink) -> int:
        """Return the size in bytes that passes on this link and on the way to any anchor."""
        return min(link.mtu, self.core_mtu - ENCAPSULATION)

    def router(self) -> Router:
        """Return this router as the store is to know it."""
        return Router(self.id, self.core_address, self.sids.down, self.sids.up, self.lease)

    def anchor(self) -> Anchor:
        """Return the anchor of the pool as it begins."""
        return Anchor(self.id, self.pool, self.id, 1)


def _check_types(key: str, slugs: Iterable[str]) -> None:
    for slug in slugs:
        try:
            ServiceType.from_slug(slug)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None


def _types(slugs: Iterable[str]) -> frozenset[ServiceType]:
    return frozenset(ServiceType.from_slug(slug) for slug in slugs)
