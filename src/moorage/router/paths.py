"""The routes, rules and filter of a router: a function of what it knows of the store.

The rules are those of ``docs/protocol.md``, "Paths". Two SIDs keep packets from looping: what comes
in by *down* goes to an attached host or nowhere, what comes in by *up* leaves like any packet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from moorage.kernel.nftables import Attachment, FilterState
from moorage.kernel.routes import Route, RouteKind, Rule, Seg6Encap, Seg6EndDT6
from moorage.numbers import ROUTER_DOWN_TABLE, ROUTER_LINK_TABLE_BASE
from moorage.router.config import DELEGATED_LENGTH, AccessLink, RouterConfig
from moorage.router.mirror import Known
from moorage.store.model import Binding, Router

MAIN_TABLE = 254
_ANYWHERE = IPv6Network("::/0")

Macs = Mapping[tuple[str, IPv6Address], bytes]
"""The link-layer addresses of hosts, by access interface and link-local address."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What one binding leaves in a router's kernel."""

    routes: frozenset[Route] = frozenset()
    served: frozenset[tuple[IPv6Address, IPv6Network]] = frozenset()
    attached: frozenset[Attachment] = frozenset()


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything of ours that should be in a router's kernel."""

    routes: frozenset[Route]
    rules: frozenset[Rule]
    filter: FilterState


class Paths:
    """What one router has to do for each binding.

    Args:
        config: the router.
        interfaces: the indexes of those of its interfaces that exist, by name.
        routers: all routers of the domain, by id.
    """

    def __init__(
        self, config: RouterConfig, interfaces: Mapping[str, int], routers: Mapping[str, Router]
    ) -> None:
        self._config = config
        self._me = config.id
        self._core = interfaces.get(config.core_interface)
        self._interfaces = interfaces
        self._routers = routers
        self._tables = {
            link.interface: ROUTER_LINK_TABLE_BASE + position
            for position, link in enumerate(config.access)
        }

    def rules(self) -> set[Rule]:
        """Return the rules that lead packets from hosts to the source routes of their link."""
        return {Rule(table, table, iif=name) for name, table in self._tables.items()}

    def standing(self) -> set[Route]:
        """Return the routes that are there whatever is bound."""
        routes = {
            Route(_ANYWHERE, ROUTER_DOWN_TABLE, RouteKind.BLACKHOLE),
            Route(self._config.pool, MAIN_TABLE, RouteKind.UNREACHABLE),
        }
        sids = self._config.sids
        if self._core is not None:
            for sid, table in ((sids.down, ROUTER_DOWN_TABLE), (sids.up, MAIN_TABLE)):
                routes.add(
                    Route(
                        IPv6Network(sid),
                        MAIN_TABLE,
                        interface=self._core,
                        encap=Seg6EndDT6(table),
                    )
                )
        for link in self._config.access:
            routes |= self._slaac(link)
        return routes

    def _slaac(self, link: AccessLink) -> set[Route]:
        index = self._interfaces.get(link.interface)
        if link.slaac_prefix is None or index is None:
            return set()
        return {Route(link.slaac_prefix, MAIN_TABLE, interface=index)}

    def of(self, known: Known, macs: Macs) -> Traces:
        """Return what a binding needs here."""
        binding, former = known.binding, known.former
        if not binding.held:
            return Traces()
        routes: set[Route] = set()
        served: set[tuple[IPv6Address, IPv6Network]] = set()
        attached: set[Attachment] = set()
        if binding.serving == self._me:
            routes |= self._on_link(binding, (MAIN_TABLE, ROUTER_DOWN_TABLE))
            routes |= self._to_anchor(binding)
            attached |= _attachment(binding, macs)
        elif binding.anchor == self._me:
            routes |= self._to_serving(binding, known.quiet)
            served |= self._served(binding)
        if former is not None and former.serving == self._me:
            if binding.serving != self._me:
                routes |= self._on_link(former, (ROUTER_DOWN_TABLE,))
            if binding.serving != self._me or binding.link != former.link:
                routes |= self._to_anchor(former)
            attached |= _attachment(former, macs)
        elif former is not None and former.anchor == self._me:
            served |= self._served(former)
        return Traces(frozenset(routes), frozenset(served), frozenset(attached))

    def delivery(self, binding: Binding) -> set[Route]:
        """Return the routes for what comes in by our *down* SID, if we are to serve the host."""
        if not binding.held or binding.serving != self._me:
            return set()
        return self._on_link(binding, (ROUTER_DOWN_TABLE,))

    def _on_link(self, binding: Binding, tables: Iterable[int]) -> set[Route]:
        """To the host, by its link-local address: it answers for no other."""
        index = self._interfaces.get(binding.link or "")
        if index is None:
            return set()
        return {
            Route(binding.prefix, table, gateway=binding.next_hop, interface=index)
            for table in tables
        }

    def _to_anchor(self, binding: Binding) -> set[Route]:
        """From the host: what has a source of this prefix, if the prefix is not ours."""
        table = self._tables.get(binding.link or "")
        if binding.anchor == self._me or table is None:
            return set()
        anchor = self._routers.get(binding.anchor)
        if anchor is None or self._core is None:
            # Sent from here, the packets would be another network's with a foreign source.
            return {
                Route(_ANYWHERE, table, RouteKind.UNREACHABLE, source=binding.prefix),
            }
        return {
            Route(
                _ANYWHERE,
                table,
                source=binding.prefix,
                interface=self._core,
                encap=Seg6Encap(anchor.up_sid),
            )
        }

    def _to_serving(self, binding: Binding, quiet: bool) -> set[Route]:
        """From the anchor to where the host is, if it is anywhere."""
        serving = self._routers.get(binding.serving or "")
        if serving is None or self._core is None:
            kind = RouteKind.BLACKHOLE if quiet else RouteKind.UNREACHABLE
            return {Route(binding.prefix, MAIN_TABLE, kind)}
        return {
            Route(
                binding.prefix,
                MAIN_TABLE,
                interface=self._core,
                encap=Seg6Encap(serving.down_sid),
            )
        }

    def _served(self, binding: Binding) -> set[tuple[IPv6Address, IPv6Network]]:
        serving = self._routers.get(binding.serving or "")
        return set() if serving is None else {(serving.address, binding.prefix)}

    def desired(self, traces: Collection[Traces]) -> Desired:
        """Return everything that should be, given what each binding leaves."""
        return Desired(
            routes=frozenset(self.standing().union(*(trace.routes for trace in traces))),
            rules=frozenset(self.rules()),
            filter=self.filter(
                frozenset().union(*(trace.served for trace in traces)),
                frozenset().union(*(trace.attached for trace in traces)),
            ),
        )

    def filter(
        self,
        served: Iterable[tuple[IPv6Address, IPv6Network]],
        attached: Iterable[Attachment],
    ) -> FilterState:
        """Return what the packet filter must know, given what all bindings leave."""
        return FilterState(
            access=frozenset(self._tables),
            block=self._config.sids.block,
            up_sid=self._config.sids.up,
            routers=frozenset(
                router.address for router in self._routers.values() if router.id != self._me
            ),
            served=frozenset(served),
            prefix_length=DELEGATED_LENGTH,
            pools=frozenset(router.pool for router in self._routers.values()),
            attached=frozenset(attached),
        )


def _attachment(binding: Binding, macs: Macs) -> set[Attachment]:
    if binding.link is None or binding.next_hop is None:
        return set()
    mac = macs.get((binding.link, binding.next_hop))
    return set() if mac is None else {Attachment(binding.link, mac, binding.prefix)}
