"""A link that an interface is on (draft section 4.2's point of attachment)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from moorage.service import ServiceType
from moorage.wire.nd import OnDemandLink, PrefixInformation, RouterAdvertisement

DOMAIN_WAIT = 0.2
"""Seconds that new prefixes are not asked for while the network may still say which one it is."""
MISSED = 3
"""Advertisements in a row that a router may leave a prefix out of (several may be needed to list
all of them, RFC 4861 section 6.2.3) before it counts as gone."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What tells a link from another.

    ``domain_id`` and ``link_id`` are empty where nobody announces the service.
    """

    domain_id: bytes
    link_id: bytes
    routers: frozenset[IPv6Address]
    prefixes: frozenset[IPv6Network]

    def differs(self, other: Traits) -> bool:
        """Whether these are certainly of another link than ``other``.

        Link ids decide. Without them, no common router and no common prefix do (RFC 6059 in
        spirit).
        """
        if self.link_id and other.link_id:
            return (self.domain_id, self.link_id) != (other.domain_id, other.link_id)
        return not (self.routers & other.routers) and not (self.prefixes & other.prefixes)


OnDemandLinkId = tuple[bytes, bytes]
"""What On-Demand routers call a link: the ids of the domain and of the link in it."""


def link_id_of(announced: OnDemandLink) -> OnDemandLinkId:
    """Return what an announcement calls the link."""
    return announced.domain_id, announced.link_id


@dataclass(slots=True)
class Attachment:
    """An interface on a link.

    Attributes:
        interface: its index.
        since: when it was attached; the newest attachment is the preferred one.
        link_local: our address there.
        mac: our link-layer address; empty if the link has none.
        optimistic: ``link_local`` may still be somebody else's, so that neighbours must not learn
            our link-layer address by it (RFC 4429 section 3.2).
        routers: the default routers, and until when each of them is one.
        unreachable: those of them that have not answered since they were heard.
        missed: for each router what it advertises for address autoconfiguration, and how many of
            its advertisements in a row did not mention it.
        on_demand: their announcement of the service.
        announcer: the router that it was taken from.
        passed: the links that other announcements have led the host away from, while its
            interface kept its carrier.
        knows_service: whether anything on this link has shown that it knows the service.
        unsupported_until: until when it counts as one without the service.
        not_offered: the types that it refused to offer.
        retry_at: when a type that policy wants may be asked for again after a refusal; none: what
            the network chooses.
    """

    interface: int
    since: float
    link_local: IPv6Address
    mac: bytes = b""
    optimistic: bool = False
    routers: dict[IPv6Address, float] = field(default_factory=dict)
    unreachable: set[IPv6Address] = field(default_factory=set)
    missed: dict[IPv6Address, dict[IPv6Network, int]] = field(default_factory=dict)
    on_demand: OnDemandLink | None = None
    announcer: IPv6Address | None = None
    passed: frozenset[OnDemandLinkId] = frozenset()
    knows_service: bool = False
    unsupported_until: float = 0.0
    not_offered: set[ServiceType] = field(default_factory=set)
    retry_at: dict[ServiceType | None, float] = field(default_factory=dict)

    @property
    def heard(self) -> bool:
        """Whether any router has advertised itself."""
        return bool(self.routers)

    @property
    def prefixes(self) -> frozenset[IPv6Network]:
        """What the routers advertise for address autoconfiguration."""
        return frozenset(prefix for missed in self.missed.values() for prefix in missed)

    @property
    def traits(self) -> Traits:
        """What tells this link from others."""
        announced = self.on_demand
        return Traits(
            announced.domain_id if announced is not None else b"",
            announced.link_id if announced is not None else b"",
            frozenset(self.routers),
            self.prefixes,
        )

    @property
    def delegates_only(self) -> bool:
        """Whether routers advertise no prefix here but delegate Non-persistent ones (RFC 9663)."""
        return self.heard and not self.missed and self.knows_service

    def domain(self, now: float) -> bytes | None:
        """Return the id of the link's network domain, or none while it may still be heard.

        It is empty where nobody has announced one for `DOMAIN_WAIT`.
        """
        if self.on_demand is not None:
            return self.on_demand.domain_id
        return b"" if now >= self.since + DOMAIN_WAIT else None

    def may_be_of(self, domain: bytes) -> bool:
        """Whether the link may be of a network domain, as far as is known."""
        if self.on_demand is None or not domain:
            return True
        return self.on_demand.domain_id == domain

    def offers(self, type_: ServiceType) -> bool:
        """Whether nothing that was heard excludes ``type_``."""
        if type_ in self.not_offered:
            return False
        return self.on_demand is None or type_ in self.on_demand.offered

    def is_another(self, router: IPv6Address, announced: OnDemandLink) -> bool:
        """Whether an announcement says that this is another link, and is to be believed.

        Without a loss of carrier it is, once for each link: where the same one is announced again,
        two routers of one link may not agree on what it is called. Then whose announcement was
        taken last is right, as long as it is there.
        """
        if self.on_demand is None or link_id_of(announced) == link_id_of(self.on_demand):
            return False
        if router == self.announcer or link_id_of(announced) not in self.passed:
            return True
        return self.announcer not in self.routers or self.announcer in self.unreachable

    def heard_service(self, router: IPv6Address, announced: OnDemandLink) -> None:
        """Take in a router's announcement of the service."""
        self.on_demand = announced
        self.announcer = router
        self.knows_service = True
        self.unsupported_until = 0.0

    def heard_prefixes(self, router: IPv6Address, message: RouterAdvertisement) -> bool:
        """Take in what a router advertises; return whether it left out what it had before.

        One that mentions no prefix at all says nothing about those that it had.
        """
        options = message.every(PrefixInformation)
        listed = {option.prefix for option in options if option.autonomous and option.valid}
        if not options:
            return False
        known = self.missed.setdefault(router, {})
        missing = known.keys() - listed
        for prefix in missing:
            known[prefix] += 1
        known.update(dict.fromkeys(listed, 0))
        if not known:
            del self.missed[router]
        return bool(missing)

    def forget_missed(self) -> frozenset[IPv6Network]:
        """Forget and return the prefixes that no router goes on advertising."""
        before = self.prefixes
        for router, known in list(self.missed.items()):
            self.missed[router] = {prefix: n for prefix, n in known.items() if n < MISSED}
            if not self.missed[router]:
                del self.missed[router]
        return before - self.prefixes
