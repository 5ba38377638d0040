"""What the host finds out about its links: typed deltas instead of one "something changed"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network


@dataclass(frozen=True, slots=True)
class Attached:
    """The interface is on a link, perhaps a new one: ask there, at once."""

    interface: int


@dataclass(frozen=True, slots=True)
class Left:
    """The interface, which may be gone altogether, is no longer on the link that it was on."""

    interface: int
    name: str


@dataclass(frozen=True, slots=True)
class Recognised:
    """The first router of the link was heard: the link can be told from others."""

    interface: int


@dataclass(frozen=True, slots=True)
class Advertised:
    """A router has advertised itself."""

    interface: int


@dataclass(frozen=True, slots=True)
class Contradicted:
    """Another router calls the link what it was called before: see whether this one is there."""

    interface: int
    router: IPv6Address


class Lack(StrEnum):
    """Why a router no longer counts."""

    SILENT = "its advertisements ceased"
    """The router lifetime is over (RFC 4861 section 6.3.4)."""
    RESIGNED = "it is a default router no longer"
    """It said so, as a router does that shuts down."""
    UNREACHABLE = "it does not answer"
    """Neighbor Unreachability Detection failed (RFC 4861 section 7.3)."""


@dataclass(frozen=True, slots=True)
class RouterGone:
    """A router is gone while the link is still there."""

    interface: int
    router: IPv6Address
    why: Lack


@dataclass(frozen=True, slots=True)
class PrefixesMissing:
    """A router leaves out prefixes that it advertised before: ask it again (RFC 9096)."""

    interface: int


@dataclass(frozen=True, slots=True)
class PrefixesGone:
    """No router of the link advertises these prefixes any longer."""

    interface: int
    prefixes: frozenset[IPv6Network]


@dataclass(frozen=True, slots=True)
class Clash:
    """Somebody else on the link has this address of ours (RFC 4862 section 5.4)."""

    interface: int
    address: IPv6Address


Finding = (
    Attached
    | Left
    | Recognised
    | Advertised
    | Contradicted
    | RouterGone
    | PrefixesMissing
    | PrefixesGone
    | Clash
)
