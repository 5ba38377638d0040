"""What a lab consists of, read from a TOML file.

Around one node ``core`` stand access routers, correspondents and members of the routers' store,
each on a link of its own.
An access router's other link is an *access link*, where hosts come and go. Conventions keep the
files short: in the prefix of a link, the end nearer to the core has the address that ends in 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from ipaddress import IPv6Address, IPv6Network
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from moorage import config

CORE: Final = "core"
SHIPPED: Final = resources.files("moorage.lab") / "topologies"

# Short, since the port of a host's interface is named after both.
NodeName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,7}$")]
InterfaceName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9]{0,5}$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are errors."""


class Link(_Strict, frozen=True, kw_only=True):
    """A link; with delay or loss its frames go through a relay process.

    Attributes:
        mtu: bytes.
        delay: seconds, one way.
        loss: share of the frames that are lost, each way, from 0 to 1.
    """

    mtu: int = 1500
    delay: float = 0.0
    loss: float = 0.0

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if not 1280 <= self.mtu <= 65535:
            raise ValueError("mtu: IPv6 needs 1280 to 65535")
        if self.delay < 0:
            raise ValueError("delay: must not be negative")
        if not 0 <= self.loss <= 1:
            raise ValueError("loss: from 0 to 1")

    @property
    def relayed(self) -> bool:
        """Whether frames need a relay."""
        return self.delay > 0 or self.loss > 0


class CoreLink(Link, frozen=True, kw_only=True):
    """A node's link to the core; its /64 prefix gives the core ``::1`` and the node ``::2``."""

    prefix: IPv6Network
    mtu: int = 1600

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        super().__post_init__()
        _check_prefix("prefix", self.prefix, 64, 64)

    @property
    def core_address(self) -> IPv6Address:
        """The core's address on this link."""
        return self.prefix[1]

    @property
    def address(self) -> IPv6Address:
        """The address of the node at the other end."""
        return self.prefix[2]


class AccessLink(Link, frozen=True, kw_only=True):
    """The link between an access router and the radio cell where hosts attach.

    Attributes:
        cell: name of the cell, if not the router's; routers with the same cell share one link.
        prefix: the /64 for stateless addresses; the router has ``::1``.
    """

    prefix: IPv6Network
    cell: NodeName | None = None

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        super().__post_init__()
        _check_prefix("prefix", self.prefix, 64, 64)

    @property
    def router_address(self) -> IPv6Address:
        """The router's address on this link."""
        return self.prefix[1]


class Router(_Strict, frozen=True, kw_only=True):
    """An access router.

    Attributes:
        pool: what it delegates from.
        down_sid, up_sid: its two SRv6 segment identifiers.
        settings: keys of the router daemon's configuration that replace the generated ones.
    """

    core: CoreLink
    access: AccessLink
    pool: IPv6Network
    down_sid: IPv6Address
    up_sid: IPv6Address
    settings: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        _check_prefix("pool", self.pool, 1, 64)

    def prefixes(self) -> Iterator[IPv6Network]:
        """Every prefix that the core routes to this router."""
        yield self.pool
        yield self.access.prefix
        yield IPv6Network(self.down_sid)
        yield IPv6Network(self.up_sid)


class Correspondent(_Strict, frozen=True, kw_only=True):
    """A node that hosts talk to."""

    core: CoreLink


class StoreMember(_Strict, frozen=True, kw_only=True):
    """A member of the etcd cluster that the routers keep their bindings in.

    Attributes:
        settings: keys of etcd's configuration that replace the generated ones.
    """

    core: CoreLink
    settings: dict[str, Any] = {}


class Host(_Strict, frozen=True, kw_only=True):
    """A mobile host.

    Attributes:
        interfaces: its radio interfaces.
        attach: which of them is attached to which router at the start.
        mtu: of its interfaces, in bytes.
        settings: keys of the host daemon's configuration that replace the generated ones.
    """

    interfaces: tuple[InterfaceName, ...] = ("wl0", "wl1")
    attach: dict[str, str] = {}
    mtu: int = 1500
    settings: dict[str, Any] = {}


class Topology(_Strict, frozen=True, kw_only=True):
    """A whole lab.

    Attributes:
        stores: members of an etcd cluster; none: the routers share a file.
        sid_block: the prefix that holds the segment identifiers of all routers.
        seed: of the random numbers that decide which frames a lossy link loses.
    """

    routers: dict[NodeName, Router]
    correspondents: dict[NodeName, Correspondent] = {}
    stores: dict[NodeName, StoreMember] = {}
    hosts: dict[NodeName, Host] = {}
    sid_block: IPv6Network
    seed: int = 1

    def __post_init__(self) -> None:
        """Check what concerns several nodes."""
        names = [CORE, *self.routers, *self.correspondents, *self.stores, *self.hosts]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two nodes are called {name!r}")
        for name, host in self.hosts.items():
            for interface, router in host.attach.items():
                if interface not in host.interfaces:
                    raise ValueError(f"hosts.{name}.attach: no interface {interface!r}")
                if router not in self.routers:
                    raise ValueError(f"hosts.{name}.attach.{interface}: no router {router!r}")
        for (one, first), (other, second) in combinations(self._prefixes(), 2):
            if first.overlaps(second):
                raise ValueError(f"{one}: {first} overlaps {second} of {other}")

    def _prefixes(self) -> Iterator[tuple[str, IPv6Network]]:
        for name, router in self.routers.items():
            yield f"routers.{name}.core", router.core.prefix
            for prefix in router.prefixes():
                yield f"routers.{name}", prefix
        for name, correspondent in self.correspondents.items():
            yield f"correspondents.{name}.core", correspondent.core.prefix
        for name, store in self.stores.items():
            yield f"stores.{name}.core", store.core.prefix

    @property
    def announces(self) -> bool:
        """Whether routers tell the core which pools to route to them: some stand by for others."""
        return any("standby" in router.settings for router in self.routers.values())

    def cell_of(self, router: str) -> str:
        """The name of the cell that this router serves."""
        return self.routers[router].access.cell or router


def _check_prefix(key: str, prefix: IPv6Network, shortest: int, longest: int) -> None:
    if not shortest <= prefix.prefixlen <= longest:
        lengths = f"/{shortest}" if shortest == longest else f"/{shortest} to /{longest}"
        raise ValueError(f"{key}: {prefix} must be {lengths}")


def shipped() -> list[str]:
    """The names of the topologies that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in SHIPPED.iterdir()
        if entry.name.endswith(".toml")
    )


def load(source: str | Path) -> Topology:
    """The topology of a file, or the shipped one of that name.

    Raises:
        ConfigError: there is none, or it is wrong; the text has the path of the key.
    """
    if isinstance(source, str) and "/" not in source and not source.endswith(".toml"):
        if source not in shipped():
            raise config.ConfigError(
                f"no topology {source!r}; shipped: {', '.join(shipped())};"
                " a file's name ends in .toml"
            )
        text = (SHIPPED / f"{source}.toml").read_text(encoding="utf-8")
        return config.parse(text, Topology, source)
    return config.load(Path(source), Topology)
