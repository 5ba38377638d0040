"""The host daemon's configuration file, ``/etc/moorage/host.toml``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from moorage.config import ConfigError
from moorage.host.lifetimes import Lifetimes, Linger
from moorage.host.naming import DnsConfig
from moorage.host.quota import QuotaTable
from moorage.host.rules import Rule, default_rules, types_delegated, types_of
from moorage.management.config import HostManagement
from moorage.service import ServiceType

_AT_START = ("socket", "state", "management", "dns", "hooks")
"""Keys that a running daemon cannot take over."""


class RetireSlaac(StrEnum):
    """What happens to a SLAAC address whose prefix the new link does not advertise."""

    REMOVE = "remove"
    DEPRECATE = "deprecate"
    NO = "no"


class Obedience(StrEnum):
    """What becomes of the policy that a network dictates (draft section 3.4)."""

    FOLLOW = "follow"
    """All of it holds here, too: only what it permits, its types at boot beside ours, and its
    default type where we have none."""
    LIMIT = "limit"
    """Only what it permits is asked for; the rest is not heeded."""
    IGNORE = "ignore"
    """None of it is heeded; what it does not permit, the network has to refuse itself."""


class Authority(StrEnum):
    """Who may use a typed address without having it from ``setsc()``; kept by the hooks."""

    USER = "user"
    """Whoever runs as a user that the rules do not refuse the type."""
    SOCKET = "socket"
    """Nobody."""


class HostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of the file; times are seconds.

    Attributes:
        interfaces: the interfaces that may serve typed prefixes; the daemon uses no other.
        socket: where applications reach the daemon.
        state: folder of the host's key and of what must outlive the daemon.
        at_boot: types to have an address of whenever there is a network.
        default_type: what an application gets that names no type; empty: what the network chooses.
            Those that know nothing of types get it, too, by source address selection.
        fresh: types of which every socket gets an address of its own although there is one.
        keep: types whose address is kept for good, not only for the linger time.
        dwell: how long a link serves before a newer one takes over while both are up.
        serving: for types that not every interface may serve those that may, the most preferred
            one first.
        hold: how long packets of a detached host are dropped silently before they are refused.
        wait: how long ``setsc()`` waits for a network that knows the service.
        support_wait: how long it waits for a sign that the network knows the service at all.
        unsupported_memory: how long such a link is remembered as one without the service.
        retire_slaac: what is done with the ordinary addresses of a link that was left.
        destroy_sockets: end the sockets on an address that became invalid, so that calls on them
            fail at once.
        optimistic_dad: set optimistic duplicate address detection (RFC 4429) on the interfaces.
        network_policy: what becomes of the policy that a network dictates.
        hooks: put hooks into the kernel, so that applications need not always ask.
        authority: who may use a typed address that he has not from ``setsc()``.
        rules: who may have what; the first that fits a caller decides.
        quota: how many addresses and requests to the network somebody may have.
        lifetimes: how long addresses of each type are given to new sockets.
        linger: how long addresses of each type are kept after their last socket.
        management: where, and for whom, the daemon can be looked into.
        dns: where the host's Fixed addresses are published.
    """

    interfaces: list[str]
    socket: Path = Path("/run/moorage/host.sock")
    state: Path = Path("/var/lib/moorage")
    at_boot: list[str] = []
    default_type: str = ""
    fresh: list[str] = []
    keep: list[str] = msgspec.field(default_factory=lambda: [ServiceType.FIXED.slug])
    dwell: float = 1.0
    hold: float = 10.0
    wait: float = 5.0
    support_wait: float = 1.0
    unsupported_memory: float = 60.0
    retire_slaac: RetireSlaac = RetireSlaac.REMOVE
    destroy_sockets: bool = True
    optimistic_dad: bool = True
    network_policy: Obedience = Obedience.LIMIT
    hooks: bool = True
    authority: Authority = Authority.USER
    rules: list[Rule] = msgspec.field(name="rule", default_factory=default_rules)
    quota: QuotaTable = QuotaTable()
    lifetimes: Lifetimes = Lifetimes()
    linger: Linger = Linger()
    serving: dict[str, list[str]] = {}
    management: HostManagement = HostManagement()
    dns: DnsConfig = DnsConfig()

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if not self.interfaces:
            raise ValueError("interfaces: name at least one")
        types_delegated("at_boot", self.at_boot)
        types_delegated("fresh", self.fresh)
        types_of("keep", self.keep)
        for slug, names in self.serving.items():
            types_of("serving", [slug])
            for name in names:
                if name not in self.interfaces:
                    raise ValueError(f"serving.{slug}: {name!r} is not one of interfaces")
        types_of("default_type", [self.default_type] if self.default_type else [])
        for key in ("dwell", "hold", "wait", "support_wait", "unsupported_memory"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key}: must not be negative")

    def check_takes_over(self, before: HostConfig) -> None:
        """Check that a daemon can go on with this configuration in the place of another.

        Raises:
            ConfigError: it differs in what counts at the start only.
        """
        for key in _AT_START:
            if getattr(self, key) != getattr(before, key):
                raise ConfigError(f"{key}: another value needs a restart")

    @property
    def types_at_boot(self) -> frozenset[ServiceType]:
        """``at_boot`` as types."""
        return types_delegated("at_boot", self.at_boot)

    @property
    def types_fresh(self) -> frozenset[ServiceType]:
        """``fresh`` as types."""
        return types_delegated("fresh", self.fresh)

    @property
    def types_kept(self) -> frozenset[ServiceType]:
        """``keep`` as types."""
        return types_of("keep", self.keep)

    @property
    def type_by_default(self) -> ServiceType | None:
        """``default_type`` as a type."""
        return ServiceType.from_slug(self.default_type) if self.default_type else None
