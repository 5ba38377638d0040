"""The routes, rules and filter of a router: a function of what it knows of the store.

The rules are those of ``docs/protocol.md``, "Paths". Two SIDs keep packets from looping: what comes
in by *down* goes to an attached host or nowhere, what comes in by *up* leaves like any packet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from moorage.kernel.nftables import NO_MEMBERS, Attachment, FilterState, Members, Served
from moorage.kernel.routes import Route, RouteKind, Rule, Seg6Encap, Seg6EndDT6
from moorage.numbers import ROUTER_DOWN_TABLE, ROUTER_LINK_TABLE_BASE, ROUTER_METRIC
from moorage.router.anchors import Anchors
from moorage.router.config import AccessLink, RouterConfig
from moorage.router.mirror import Known
from moorage.router.next_hop import next_hop
from moorage.store.model import Binding, Router

MAIN_TABLE = 254
_ANYWHERE = IPv6Network("::/0")

_OF_EVERY_LINK = frozenset({IPv6Network("fe80::/10"), IPv6Network("::/128")})
"""Sources that are used on every link; the unspecified one before there is an address."""

Macs = Mapping[tuple[str, IPv6Address], bytes]
"""The link-layer addresses of hosts, by access interface and link-local address."""


Place = tuple[str, IPv6Address]
"""Where a host is: an access interface and the host's link-local address there."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What one binding leaves in a router.

    Attributes:
        routes: each with another key.
        members: of the packet filter's sets.
        places: where the host is on our links, or was a moment ago.
    """

    routes: tuple[Route, ...] = ()
    members: Members = NO_MEMBERS
    places: tuple[Place, ...] = ()


NO_TRACES = Traces()


class Paths:
    """What one router has to do for each binding.

    Args:
        config: the router.
        interfaces: the indexes of those of its interfaces that exist, by name.
        routers: all routers of the domain, by id.
        anchors: who acts for which pool.
    """

    def __init__(
        self,
        config: RouterConfig,
        interfaces: Mapping[str, int],
        routers: Mapping[str, Router],
        anchors: Anchors,
    ) -> None:
        self._config = config
        self._me = config.id
        self._core = interfaces.get(config.core_interface)
        self._interfaces = interfaces
        self._routers = dict(routers)
        self._anchors = anchors.copy()
        self._up = {name: Seg6Encap(router.up_sid) for name, router in routers.items()}
        self._down = {name: Seg6Encap(router.down_sid) for name, router in routers.items()}
        self._tables = {
            link.interface: ROUTER_LINK_TABLE_BASE + position
            for position, link in enumerate(config.access)
        }

    def rules(self) -> set[Rule]:
        """Return the rules that lead packets from hosts to the source routes of their link."""
        return {Rule(table, table, iif=name) for name, table in self._tables.items()}

    def standing(self) -> list[Route]:
        """Return the routes that are there whatever is bound."""
        routes = [
            _route(_ANYWHERE, ROUTER_DOWN_TABLE, RouteKind.BLACKHOLE),
            *(
                _route(anchor.pool, MAIN_TABLE, RouteKind.UNREACHABLE)
                for anchor in self._anchors.of(self._me)
            ),
        ]
        sids = self._config.sids
        if self._core is not None:
            for sid, table in ((sids.down, ROUTER_DOWN_TABLE), (sids.up, MAIN_TABLE)):
                end = Seg6EndDT6(table)
                routes.append(_route(IPv6Network(sid), MAIN_TABLE, interface=self._core, encap=end))
        for link in self._config.access:
            index = self._interfaces.get(link.interface)
            if index is not None:
                routes += _to_link(link, index)
        return routes

    def of(self, known: Known, macs: Macs) -> Traces:
        """Return what a binding needs here."""
        binding, former = known.binding, known.former
        if not binding.held:
            return NO_TRACES
        if binding.is_address:  # of a link whose prefix has a route of its own
            here = binding.serving == self._me
            return Traces(places=tuple(_place(binding))) if here else NO_TRACES
        routes: list[Route] = []
        served: list[Served] = []
        places: list[Place] = []
        if binding.serving == self._me:
            routes += self._on_link(binding, MAIN_TABLE)
            routes += self._visiting(binding)
            routes += self._to_anchor(binding)
            places += _place(binding)
        elif self._acts(binding):
            routes.append(self._to_serving(binding, known.quiet))
            served += self._served(binding)
        if former is not None and former.serving == self._me:
            if binding.serving != self._me:
                routes += self._visiting(former)
            if binding.serving != self._me or binding.link != former.link:
                routes += self._to_anchor(former)
            places += (place for place in _place(former) if place not in places)
        elif former is not None and self._acts(former):
            served += (pair for pair in self._served(former) if pair not in served)
        if not (routes or served):
            return NO_TRACES
        attached = tuple(
            Attachment(place[0], mac, binding.prefix)
            for place in places
            if (mac := _mac_at(place, known, macs)) is not None
        )
        members = Members(tuple(served), attached) if served or attached else NO_MEMBERS
        return Traces(tuple(routes), members, tuple(places))

    def delivery(self, binding: Binding) -> list[Route]:
        """Return the routes for what comes in by our *down* SID, if we are to serve the host."""
        if not binding.held or binding.is_address or binding.serving != self._me:
            return []
        return self._visiting(binding)

    def _is_held(self, binding: Binding) -> bool:
        """Whether we are the ones who act for the anchor of a binding."""
        return self._anchors.holder(binding.anchor) == self._me

    def _acts(self, binding: Binding) -> bool:
        """Whether packets for a binding come to us: we hold its anchor, or did a moment ago."""
        return self._is_held(binding) or self._anchors.former(binding.anchor) == self._me

    def _visiting(self, binding: Binding) -> list[Route]:
        """From the anchor to the host. Only anchors send to *down* SIDs, and none to its own."""
        ours_alone = self._is_held(binding) and self._anchors.former(binding.anchor) is None
        return [] if ours_alone else self._on_link(binding, ROUTER_DOWN_TABLE)

    def _on_link(self, binding: Binding, table: int) -> list[Route]:
        """To the host, by an address that it answers for, or that nobody has to answer for.

        A part that is excluded from what it is delegated is on the link itself.
        """
        index = self._interfaces.get(binding.link or "")
        if index is None:
            return []
        routes = [_route(binding.prefix, table, gateway=_gateway(binding), interface=index)]
        if binding.excluded_prefix is not None:
            routes.append(_route(binding.excluded_prefix, table, interface=index))
        return routes

    def _to_anchor(self, binding: Binding) -> list[Route]:
        """From the host: what has a source of this prefix, if the prefix is not ours."""
        table = self._tables.get(binding.link or "")
        if self._is_held(binding) or table is None:
            return []
        up = self._up.get(self._anchors.holder(binding.anchor))
        if up is None or self._core is None:
            # Sent from here, the packets would be another network's with a foreign source.
            return [_route(_ANYWHERE, table, RouteKind.UNREACHABLE, source=binding.prefix)]
        return [_route(_ANYWHERE, table, source=binding.prefix, interface=self._core, encap=up)]

    def _to_serving(self, binding: Binding, quiet: bool) -> Route:
        """From the anchor to where the host is, if it is anywhere."""
        down = self._down.get(binding.serving or "")
        if down is None or self._core is None:
            kind = RouteKind.BLACKHOLE if quiet else RouteKind.UNREACHABLE
            return _route(binding.prefix, MAIN_TABLE, kind)
        return _route(binding.prefix, MAIN_TABLE, interface=self._core, encap=down)

    def _served(self, binding: Binding) -> list[Served]:
        serving = self._routers.get(binding.serving or "")
        return [] if serving is None else [(serving.address, binding.prefix)]

    def filter(self, members: Members) -> FilterState:
        """Return what the packet filter must know, given what all bindings leave in its sets."""
        return FilterState(
            access=frozenset(self._tables),
            core=self._config.core_interface,
            block=self._config.sids.block,
            up_sid=self._config.sids.up,
            routers=frozenset(
                router.address for router in self._routers.values() if router.id != self._me
            ),
            lengths=members.lengths.union(self._config.prefix_lengths),
            pools=frozenset(anchor.pool for anchor in self._anchors),
            local=frozenset(
                (link.interface, network)
                for link in self._config.access
                for network in link.sources | _OF_EVERY_LINK
            ),
            members=members,
        )


_route = partial(Route, metric=ROUTER_METRIC)


def _to_link(link: AccessLink, index: int) -> Iterator[Route]:
    """To the addresses of an access link, and to the links behind its relay agents."""
    for network in link.networks:
        yield _route(network, MAIN_TABLE, interface=index)
    for agent in link.relays:
        for network in agent.links:
            yield _route(network, MAIN_TABLE, gateway=agent.address, interface=index)


def _gateway(binding: Binding) -> IPv6Address | None:
    if binding.next_hop is None or binding.mac is None:
        return binding.next_hop
    return next_hop(binding.next_hop, binding.mac)


def _mac_at(place: Place, known: Known, macs: Macs) -> bytes | None:
    """What the host sends from at ``place``: what it has signed, or else what was heard."""
    for binding in (known.binding, known.former):
        if binding is not None and binding.mac is not None and place in _place(binding):
            return binding.mac
    return macs.get(place)


def _place(binding: Binding) -> list[Place]:
    if binding.link is None or binding.next_hop is None:
        return []
    return [(binding.link, binding.next_hop)]
