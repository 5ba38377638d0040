"""Which links the host's interfaces are on (draft section 4.2's point of attachment).

Typed findings come out instead of one "something changed": an interface was attached, left its
link, or the link that it is on became known.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from moorage.kernel.links import Link
from moorage.service import ServiceType
from moorage.wire.nd import OnDemandLink, PrefixInformation, RouterAdvertisement


@dataclass(slots=True)
class Attachment:
    """An interface on a link.

    Attributes:
        interface: its index.
        since: when it was attached; the newest attachment is the preferred one.
        link_local: our address there.
        mac: our link-layer address, for routers to learn; empty while ``link_local`` is optimistic,
            when they must not (RFC 4429 section 3.2).
        routers: the routers that advertised themselves.
        prefixes: what they advertise for address autoconfiguration.
        on_demand: their announcement of the service.
        knows_service: whether anything on this link has shown that it knows the service.
        unsupported_until: until when it counts as one without the service.
        not_offered: the types that it refused to offer.
        retry_at: when a type that policy wants may be asked for again after a refusal.
    """

    interface: int
    since: float
    link_local: IPv6Address
    mac: bytes = b""
    routers: set[IPv6Address] = field(default_factory=set)
    prefixes: set[IPv6Network] = field(default_factory=set)
    on_demand: OnDemandLink | None = None
    knows_service: bool = False
    unsupported_until: float = 0.0
    not_offered: set[ServiceType] = field(default_factory=set)
    retry_at: dict[ServiceType, float] = field(default_factory=dict)

    @property
    def heard(self) -> bool:
        """Whether any router has advertised itself."""
        return bool(self.routers)

    @property
    def delegates_only(self) -> bool:
        """Whether routers advertise no prefix here but delegate Non-persistent ones (RFC 9663)."""
        return self.heard and not self.prefixes and self.knows_service

    def offers(self, type_: ServiceType) -> bool:
        """Whether nothing that was heard excludes ``type_``."""
        if type_ in self.not_offered:
            return False
        return self.on_demand is None or type_ in self.on_demand.offered


@dataclass(frozen=True, slots=True)
class Attached:
    """The interface is on a link, perhaps a new one: ask there, at once."""

    interface: int


@dataclass(frozen=True, slots=True)
class Left:
    """The interface is no longer on the link that it was on."""

    interface: int


@dataclass(frozen=True, slots=True)
class Advertised:
    """A router was heard; ``moved``: the link is certainly not the one before it."""

    interface: int
    moved: bool


Finding = Attached | Left | Advertised


@dataclass(slots=True)
class _Interface:
    name: str
    mac: bytes = b""
    ready: bool = False
    link_local: IPv6Address | None = None
    optimistic: bool = False
    last: Attachment | None = None


class Attachments:
    """The attachments of all interfaces that the host may use."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._interfaces: dict[int, _Interface] = {}
        self._attached: dict[int, Attachment] = {}

    def __contains__(self, interface: int) -> bool:
        return interface in self._attached

    def get(self, interface: int | None) -> Attachment | None:
        """Return the attachment of an interface, if it has one."""
        return None if interface is None else self._attached.get(interface)

    def name(self, interface: int) -> str:
        """Return the name of an interface of ours, empty if it is gone."""
        known = self._interfaces.get(interface)
        return known.name if known is not None else ""

    def manages(self, interface: int) -> bool:
        """Whether the interface is one that the host may use."""
        return interface in self._interfaces

    def hears(self, interface: int, router: IPv6Address) -> bool:
        """Whether a router has advertised itself on the link that an interface is on."""
        attachment = self._attached.get(interface)
        return attachment is not None and router in attachment.routers

    def newest_first(self) -> list[Attachment]:
        """Return the attachments, the newest first."""
        return sorted(self._attached.values(), key=lambda a: a.since, reverse=True)

    def link_changed(self, link: Link, now: float) -> list[Finding]:
        """Take in what the kernel says of an interface."""
        if link.name not in self._names:
            return self.link_removed(link.index)
        known = self._interfaces.setdefault(link.index, _Interface(link.name))
        known.mac = link.mac
        known.ready = link.up and link.carrier
        return self._update(link.index, now)

    def link_removed(self, interface: int) -> list[Finding]:
        """Forget an interface."""
        self._interfaces.pop(interface, None)
        if self._attached.pop(interface, None) is None:
            return []
        return [Left(interface)]

    def link_local_changed(
        self, interface: int, address: IPv6Address | None, optimistic: bool, now: float
    ) -> list[Finding]:
        """Take in our usable link-local address on an interface, or that there is none."""
        known = self._interfaces.get(interface)
        if known is None:
            return []
        known.link_local, known.optimistic = address, optimistic
        return self._update(interface, now)

    def advertised(
        self, interface: int, router: IPv6Address, message: RouterAdvertisement, now: float
    ) -> list[Finding]:
        """Take in a router advertisement."""
        attachment = self._attached.get(interface)
        if attachment is None:
            return []
        findings: list[Finding] = []
        on_demand = message.first(OnDemandLink)
        previous = self._interfaces[interface].last
        if attachment.on_demand and on_demand and _other_link(attachment.on_demand, on_demand):
            previous = attachment
            attachment = self._attached[interface] = Attachment(
                interface, now, attachment.link_local, attachment.mac
            )
            findings += [Left(interface), Attached(interface)]
        first = not attachment.heard
        prefixes = {
            option.prefix
            for option in message.every(PrefixInformation)
            if option.autonomous and option.valid
        }
        if message.router_lifetime:
            attachment.routers.add(router)
        attachment.prefixes |= prefixes
        if on_demand is not None:
            attachment.on_demand = on_demand
            attachment.knows_service = True
            attachment.unsupported_until = 0.0
        moved = first and previous is not None and _moved(previous, attachment)
        if attachment.heard:
            self._interfaces[interface].last = attachment
        findings.append(Advertised(interface, moved))
        return findings

    def _update(self, interface: int, now: float) -> list[Finding]:
        known = self._interfaces[interface]
        usable = known.ready and known.link_local is not None
        if usable and interface not in self._attached:
            assert known.link_local is not None
            mac = b"" if known.optimistic else known.mac
            self._attached[interface] = Attachment(interface, now, known.link_local, mac)
            return [Attached(interface)]
        if not usable and interface in self._attached:
            del self._attached[interface]
            return [Left(interface)]
        return []


def _other_link(before: OnDemandLink, after: OnDemandLink) -> bool:
    return (before.domain_id, before.link_id) != (after.domain_id, after.link_id)


def _moved(before: Attachment, after: Attachment) -> bool:
    """Whether ``after`` is certainly another link than ``before``.

    Link ids decide. Without them, no common router and no common prefix do (RFC 6059 in spirit).
    """
    if before.on_demand and after.on_demand:
        return _other_link(before.on_demand, after.on_demand)
    return not (before.routers & after.routers) and not (before.prefixes & after.prefixes)
