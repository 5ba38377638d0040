"""Brings the kernel to what the store says, a binding at a time or as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import chain, islice
from time import perf_counter

from moorage.bulk import many_objects
from moorage.kernel.neighbours import NeighbourTable
from moorage.kernel.nftables import Attachment, Members, PacketFilter, Served
from moorage.kernel.reconcile import (
    Failure,
    carry_out,
    difference,
    resync_routes,
    resync_rules,
)
from moorage.kernel.routes import Add, Route, RouteTable, Seg6Encap
from moorage.management.metrics import Distribution
from moorage.router.config import RouterConfig
from moorage.router.groups import Groups
from moorage.router.mirror import Known, Mirror
from moorage.router.next_hop import (
    NextHop,
    NextHopListing,
    NextHops,
    link_local_of,
    next_hops,
)
from moorage.router.paths import NO_TRACES, Paths, Place, Traces
from moorage.router.too_big import Tunnelled
from moorage.store.model import Binding

_PORTION = 1024
"""Routes whose next hops are made at the same time."""


class Forwarding:
    """A router's routes, rules and filter in the kernel.

    Args:
        config: the router.
        mirror: what is known of the store.
        table: the kernel's routes and rules.
        packet_filter: the kernel's filter.
        neighbours: the kernel's neighbour cache.
        complain: told what the kernel refused.
    """

    def __init__(
        self,
        config: RouterConfig,
        mirror: Mirror,
        table: RouteTable,
        packet_filter: PacketFilter,
        neighbours: NeighbourTable,
        complain: Callable[[str], None],
    ) -> None:
        self._config = config
        self._mirror = mirror
        self._table = table
        self._filter = packet_filter
        self._hops = NextHops(neighbours, complain)
        self._complain = complain
        self._paths = Paths(config, {}, mirror.routers, mirror.anchors)
        self._names: dict[int, str] = {}
        self._macs: dict[Place, bytes] = {}
        # What the kernel has follows from these. It is not kept: it may be very much.
        self._done: dict[IPv6Network, Known] = {}
        self._prepared: dict[IPv6Network, list[Route]] = {}
        self._failed: set[Route] = set()
        self._at: Groups[Place, IPv6Network] = Groups()
        self.reconciled = Distribution()
        """How long it took to make everything as it should be."""

    def dropped(self) -> dict[str, int]:
        """Return how many packets the filter dropped, by reason; empty if it cannot be asked."""
        try:
            return self._filter.dropped()
        except OSError:
            return {}

    def resync(self, interfaces: Mapping[str, int]) -> None:
        """Make everything as it should be, whatever the kernel has.

        ``interfaces`` are the indexes of the interfaces that are up, by name.
        """
        started = perf_counter()
        mirror = self._mirror
        self._paths = Paths(self._config, interfaces, mirror.routers, mirror.anchors)
        self._names = {index: name for name, index in interfaces.items()}
        served: list[Served] = []
        attached: list[Attachment] = []
        with many_objects():
            self._put_routes(self._survey(served, attached))
            self._put_filter(Members(served, attached))
        self.reconciled.observe(perf_counter() - started)

    def resync_routes(self) -> None:
        """Put back what others did to our routes and rules."""
        with many_objects():
            self._put_routes(self._survey([], []))

    def resync_filter(self) -> None:
        """Put back what others did to our filter."""
        served: list[Served] = []
        attached: list[Attachment] = []
        with many_objects():
            _exhaust(self._survey(served, attached))
            self._put_filter(Members(served, attached))

    def _survey(self, served: list[Served], attached: list[Attachment]) -> Iterator[Route]:
        """Go through all bindings; yield what routes should be, and add the filter's members.

        All routes at once would take more memory for good: what stays is made meanwhile.
        """
        self._done = {}
        self._at = Groups()
        yield from self._paths.standing()
        for known in self._mirror.known():
            traces = self._paths.of(known, self._macs)
            if traces is not NO_TRACES:
                self._done[known.binding.prefix] = known
                self._index(known.binding.prefix, (), traces.places)
                served += traces.members.served
                attached += traces.members.attached
                yield from traces.routes

    def _put_routes(self, wanted: Iterator[Route]) -> None:
        try:
            resync_rules(self._table, self._paths.rules())
            hops = self._hops.listing()
            failures = resync_routes(self._table, self._with_hops(wanted, hops))
        except OSError as error:
            self._complain(f"the kernel refused: {error}")
            _exhaust(wanted)
        else:
            self._hops.remove(hops.surplus())
            self._prepared = {}
            self._failed = set()
            self._note(failures)

    def _with_hops(self, routes: Iterator[Route], there: NextHopListing) -> Iterator[Route]:
        """Yield the routes, each after its next hop is there."""
        while portion := list(islice(routes, _PORTION)):
            self._hops.add(there.missing(next_hops(portion)))
            yield from portion

    def _put_filter(self, members: Members) -> None:
        try:
            self._filter.resync(self._paths.filter(members))
        except OSError as error:
            self._complain(f"the kernel refused the filter: {error}")

    def prepare(self, bindings: Iterable[Binding]) -> None:
        """Be ready to deliver to hosts whose bindings are about to name us as serving.

        The anchor may hear of the move before we have done what follows from it, and send at once.
        What comes in by our *down* SID can only go to the link, so this is safe before it is true;
        `update` makes it right either way.
        """
        for binding in bindings:
            ours = self._paths.delivery(binding)
            if ours:
                before = self._present(binding.prefix)
                self._prepared[binding.prefix] = ours
                self._change({binding.prefix: before}, [self._present(binding.prefix)])

    def update(self, prefixes: Iterable[IPv6Network]) -> None:
        """Do what the news about some bindings asks for."""
        before = {prefix: self._present(prefix) for prefix in prefixes}
        after = []
        for prefix in before:
            self._prepared.pop(prefix, None)
            known = self._mirror.get(prefix)
            traces = NO_TRACES if known is None else self._paths.of(known, self._macs)
            if known is None or traces is NO_TRACES:
                self._done.pop(prefix, None)
            else:
                self._done[prefix] = known
            after.append(traces)
        self._change(before, after)

    def heard(self, place: Place, mac: bytes) -> None:
        """The host at ``place`` has this link-layer address."""
        if self._macs.get(place) == mac:
            return
        before = {prefix: self._present(prefix) for prefix in self._at.of(place)}
        self._macs[place] = mac
        self._change(before, [self._present(prefix) for prefix in before])

    def forgotten(self, place: Place) -> None:
        """Nobody needs the link-layer address of the host at ``place`` any longer."""
        if place not in self._at:
            self._macs.pop(place, None)

    def has_heard(self, place: Place) -> bool:
        """Return whether the link-layer address of the host at ``place`` is known."""
        return place in self._macs

    def restore(self, link: str, hop: IPv6Address) -> None:
        """Put a next hop back that somebody has changed or removed, if it is in use."""
        at = self._at.of((link, link_local_of(hop)))
        routes = chain(*(self._present(prefix).routes for prefix in at))
        self._hops.add(each for each in next_hops(routes) if each[1] == hop)

    def at(self, place: Place) -> list[Known]:
        """Return the bindings that a host has, or had a moment ago, on one of our links."""
        found = map(self._mirror.get, self._at.of(place))
        return [known for known in found if known is not None]

    def places(self) -> Collection[Place]:
        """Return where there are hosts on our links, or were a moment ago."""
        return self._at

    def sends(self, packet: Tunnelled) -> bool:
        """Return whether one of our routes encapsulates packets like this."""
        encap = Seg6Encap(packet.outer_destination)
        return packet.outer_source == self._config.core_address and any(
            route.encap == encap
            for address in (packet.source, packet.destination)
            if (known := self._mirror.covering(address)) is not None
            for route in self._present(known.binding.prefix).routes
        )

    def _present(self, prefix: IPv6Network) -> Traces:
        """What the kernel has of a prefix, or should have."""
        known = self._done.get(prefix)
        traces = NO_TRACES if known is None else self._paths.of(known, self._macs)
        prepared = self._prepared.get(prefix)
        if prepared:
            routes = {route.key: route for route in (*traces.routes, *prepared)}
            traces = replace(traces, routes=tuple(routes.values()))
        return traces

    def _change(self, before: Mapping[IPv6Network, Traces], after: Sequence[Traces]) -> None:
        had = {route for traces in before.values() for route in traces.routes}
        wanted = {route for traces in after for route in traces.routes}
        self._hops.add(next_hops(wanted - had))
        failures = carry_out(self._table, difference(wanted, had - self._failed))
        self._failed -= had
        self._note(failures)
        pairs = list(zip(before.items(), after, strict=True))
        for (prefix, old), new in pairs:
            self._index(prefix, old.places, new.places)
        self._leave(next_hops(had - wanted))
        add = _difference((new.members, old.members) for (_, old), new in pairs)
        remove = _difference((old.members, new.members) for (_, old), new in pairs)
        if not (add or remove):
            return
        try:
            self._filter.change(add, remove)
        except OSError:
            # Somebody has changed it, or taken it away.
            self.resync_filter()

    def _leave(self, hops: set[NextHop]) -> None:
        """Remove those of the next hops that no route leads through any longer."""
        if hops:
            places = [
                (self._names.get(interface, ""), link_local_of(hop)) for interface, hop in hops
            ]
            prefixes = {prefix for place in places for prefix in self._at.of(place)}
            used = [self._present(prefix).routes for prefix in prefixes.union(self._prepared)]
            self._hops.remove(hops - next_hops(chain(*used)))

    def _index(
        self, prefix: IPv6Network, before: Iterable[Place], after: tuple[Place, ...]
    ) -> None:
        for place in before:
            if place not in after:
                self._at.discard(place, prefix)
        for place in after:
            self._at.add(place, prefix)

    def _note(self, failures: Sequence[Failure]) -> None:
        """Complain of what failed, and do not take it for done."""
        if failures:
            change, error = failures[0]
            others = f", and {len(failures) - 1} other changes" if len(failures) > 1 else ""
            self._complain(f"the kernel refused {change}: {error}{others}")
        self._failed |= {change.route for change, _ in failures if isinstance(change, Add)}


def _exhaust(routes: Iterator[Route]) -> None:
    for _ in routes:
        pass


def _difference(pairs: Iterable[tuple[Members, Members]]) -> Members:
    """What the first ones have and the second ones have not."""
    pairs = list(pairs)
    return Members(
        [one for these, others in pairs for one in these.served if one not in others.served],
        [one for these, others in pairs for one in these.attached if one not in others.attached],
    )
