"""What happened at this router, told to its operator; log, journal and watchers live on it."""

from __future__ import annotations

from ipaddress import IPv6Network

from moorage.management.event import Event
from moorage.router.announcements import Verb
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.wire.dhcp6 import RefusalReason


class LinkServed(Event, frozen=True):
    """Hosts of an access link are served from now on."""

    link: str

    def __str__(self) -> str:
        return f"{self.link}: served"


class LinkClosed(Event, frozen=True):
    """An access link is no longer served: it is down, or the daemon ends."""

    link: str

    def __str__(self) -> str:
        return f"{self.link}: no longer served"


class RouterJoined(Event, frozen=True):
    """A router of the domain is there: it is new, back, or another one than before."""

    router: str

    def __str__(self) -> str:
        return f"{self.router} is a router of the domain"


class RouterLeft(Event, frozen=True):
    """The lease of a router ended: it has failed, or cannot reach the store."""

    router: str

    def __str__(self) -> str:
        return f"{self.router} is gone"


class AnchorHeld(Event, frozen=True):
    """A router acts for a pool from now on.

    Attributes:
        anchor: the router that the pool is configured to.
        holder: the one that acts.
    """

    anchor: str
    pool: IPv6Network
    holder: str

    def __str__(self) -> str:
        return f"{self.pool} of {self.anchor} is held by {self.holder}"


class Announced(Event, frozen=True):
    """The network was told to route a pool here, or not to do so any longer."""

    verb: Verb
    pool: IPv6Network

    def __str__(self) -> str:
        return f"{self.verb} {self.pool}: done"


class NotAnnounced(Event, frozen=True):
    """The network could not be told so; it will be tried again."""

    verb: Verb
    pool: IPv6Network
    reason: str

    def __str__(self) -> str:
        return f"{self.verb} {self.pool}: {self.reason}"


class PrefixGiven(Event, frozen=True):
    """A host was given a prefix.

    Attributes:
        host: its DUID.
        at: the router that serves it.
    """

    prefix: IPv6Network
    type: ServiceType
    host: bytes
    at: str

    def __str__(self) -> str:
        return f"{self.prefix} ({self.type.slug}) given to {self.host.hex()} at {self.at}"


class HostMoved(Event, frozen=True):
    """A host is served with a prefix by another router, or on another link, than before.

    Attributes:
        host: its DUID.
        before: the router that served it; empty: none did.
        at: the router that serves it now.
    """

    prefix: IPv6Network
    type: ServiceType
    host: bytes
    before: str
    at: str

    def __str__(self) -> str:
        what = f"{self.prefix} ({self.type.slug}) of {self.host.hex()}"
        if not self.before:
            return f"{what} is back, at {self.at}"
        return f"{what} moved from {self.before} to {self.at}"


class HostLeft(Event, frozen=True):
    """Nobody serves a host with a prefix any longer; its anchor keeps the prefix.

    Attributes:
        host: its DUID.
        before: the router that served it.
    """

    prefix: IPv6Network
    type: ServiceType
    host: bytes
    before: str

    def __str__(self) -> str:
        return f"{self.prefix} ({self.type.slug}): {self.host.hex()} has left {self.before}"


class PrefixReleased(Event, frozen=True):
    """A prefix was given back, or its time is over; nobody gets it for a while."""

    prefix: IPv6Network
    type: ServiceType
    host: bytes

    def __str__(self) -> str:
        return f"{self.prefix} ({self.type.slug}) is no longer {self.host.hex()}'s"


class Refused(Event, frozen=True):
    """A host did not get what it asked for; told once a minute for a host and a reason.

    Attributes:
        host: its DUID.
        type: what it asked for; none: it left that to us.
        link: where it asked.
    """

    host: bytes
    type: ServiceType | None
    reason: RefusalReason
    link: str

    def __str__(self) -> str:
        what = "a prefix" if self.type is None else f"a {self.type.slug} prefix"
        why = self.reason.name.lower().replace("_", " ")
        return f"{what} refused to {self.host.hex()} on {self.link}: {why}"


RouterEvent = (
    LinkServed
    | LinkClosed
    | RouterJoined
    | RouterLeft
    | AnchorHeld
    | Announced
    | NotAnnounced
    | PrefixGiven
    | HostMoved
    | HostLeft
    | PrefixReleased
    | Refused
)


def of_change(before: Binding | None, after: Binding | None) -> RouterEvent | None:
    """Return what the change of a binding means to an operator; most mean nothing: a renewal."""
    if before is not None and not before.held:
        before = None
    if after is None or not after.held:
        if before is None:
            return None
        return PrefixReleased(before.prefix, before.type, before.client)
    if before is None or before.client != after.client:
        return PrefixGiven(after.prefix, after.type, after.client, after.serving or "")
    if (before.serving, before.link) == (after.serving, after.link):
        return None
    if after.serving is None:
        return HostLeft(after.prefix, after.type, after.client, before.serving or "")
    return HostMoved(after.prefix, after.type, after.client, before.serving or "", after.serving)
