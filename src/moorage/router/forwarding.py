"""Brings the kernel to what the store says, a binding at a time or as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from moorage.bulk import many_objects
from moorage.kernel.nftables import Members, PacketFilter
from moorage.kernel.reconcile import (
    Failure,
    after_failures,
    carry_out,
    difference,
    resync_routes,
    resync_rules,
)
from moorage.kernel.routes import RouteTable, Seg6Encap
from moorage.router.config import DELEGATED_LENGTH, RouterConfig
from moorage.router.mirror import Known, Mirror
from moorage.router.paths import NO_TRACES, Macs, Paths, Place, Traces
from moorage.router.too_big import Tunnelled
from moorage.store.model import Binding


class Forwarding:
    """A router's routes, rules and filter in the kernel.

    Args:
        config: the router.
        mirror: what is known of the store.
        table: the kernel's routes and rules.
        packet_filter: the kernel's filter.
        macs: the hosts' link-layer addresses, kept up to date by the caller.
        complain: told what the kernel refused.
    """

    def __init__(
        self,
        config: RouterConfig,
        mirror: Mirror,
        table: RouteTable,
        packet_filter: PacketFilter,
        macs: Macs,
        complain: Callable[[str], None],
    ) -> None:
        self._config = config
        self._mirror = mirror
        self._table = table
        self._filter = packet_filter
        self._macs = macs
        self._complain = complain
        self._traces: dict[IPv6Network, Traces] = {}
        self._at: dict[Place, tuple[IPv6Network, ...]] = {}
        self._paths = Paths(config, {}, mirror.routers)

    def resync(self, interfaces: Mapping[str, int]) -> None:
        """Make everything as it should be, whatever the kernel has.

        ``interfaces`` are the indexes of the interfaces that are up, by name.
        """
        with many_objects():
            self._paths = Paths(self._config, interfaces, self._mirror.routers)
            self._traces = {}
            self._at = {}
            for known in self._mirror.known():
                traces = self._paths.of(known, self._macs)
                if traces is not NO_TRACES:
                    self._traces[known.binding.prefix] = traces
                    self._index(known.binding.prefix, (), traces.places)
            self.resync_routes()
            self.resync_filter()

    def resync_routes(self) -> None:
        """Put back what others did to our routes and rules."""
        try:
            resync_rules(self._table, self._paths.rules())
            failures = resync_routes(self._table, self._paths.routes(self._traces.values()))
        except OSError as error:
            self._complain(f"the kernel refused: {error}")
        else:
            self._forget(failures)

    def resync_filter(self) -> None:
        """Make the filter anew."""
        try:
            self._filter.resync(self._paths.filter(self._traces.values()))
        except OSError as error:
            self._complain(f"the kernel refused the filter: {error}")

    def prepare(self, bindings: Iterable[Binding]) -> None:
        """Be ready to deliver to hosts whose bindings are about to name us as serving.

        The anchor may hear of the move before we have done what follows from it, and send at once.
        What comes in by our *down* SID can only go to the link, so this is safe before it is true;
        `update` makes it right either way.
        """
        prepared: dict[IPv6Network, Traces] = {}
        for binding in bindings:
            ours = self._paths.delivery(binding)
            if ours:
                known = self._traces.get(binding.prefix, NO_TRACES)
                routes = {route.key: route for route in (*known.routes, *ours)}
                prepared[binding.prefix] = replace(known, routes=tuple(routes.values()))
        self._change(prepared)

    def update(self, prefixes: Iterable[IPv6Network]) -> None:
        """Do what the news about some bindings asks for."""
        after: dict[IPv6Network, Traces] = {}
        for prefix in prefixes:
            known = self._mirror.get(prefix)
            after[prefix] = NO_TRACES if known is None else self._paths.of(known, self._macs)
        self._change(after)

    def at(self, place: Place) -> list[Known]:
        """Return the bindings that a host has, or had a moment ago, on one of our links."""
        found = map(self._mirror.get, self._at.get(place, ()))
        return [known for known in found if known is not None]

    def sends(self, packet: Tunnelled) -> bool:
        """Return whether one of our routes encapsulates packets like this."""
        encap = Seg6Encap(packet.outer_destination)
        return packet.outer_source == self._config.core_address and any(
            route.encap == encap
            for address in (packet.source, packet.destination)
            for route in self._traces.get(_delegated(address), NO_TRACES).routes
        )

    def places(self) -> KeysView[Place]:
        """Return where there are hosts on our links, or were a moment ago."""
        return self._at.keys()

    def _change(self, after: Mapping[IPv6Network, Traces]) -> None:
        before = {prefix: self._traces.get(prefix, NO_TRACES) for prefix in after}
        changes = difference(
            {route for traces in after.values() for route in traces.routes},
            {route for traces in before.values() for route in traces.routes},
        )
        failures = carry_out(self._table, changes)
        for prefix, traces in after.items():
            self._index(prefix, before[prefix].places, traces.places)
            if traces is NO_TRACES:
                self._traces.pop(prefix, None)
            else:
                self._traces[prefix] = traces
        self._forget(failures)
        members = [(before[prefix].members, traces.members) for prefix, traces in after.items()]
        self._change_filter(
            add=_difference((new, old) for old, new in members), remove=_difference(members)
        )

    def _change_filter(self, add: Members, remove: Members) -> None:
        if not (add or remove):
            return
        try:
            self._filter.change(add, remove)
        except OSError:
            # Somebody has changed it, or taken it away.
            self.resync_filter()

    def _index(
        self, prefix: IPv6Network, before: Iterable[Place], after: tuple[Place, ...]
    ) -> None:
        for place in before:
            if place not in after:
                others = tuple(one for one in self._at.get(place, ()) if one != prefix)
                if others:
                    self._at[place] = others
                else:
                    self._at.pop(place, None)
        for place in after:
            here = self._at.get(place, ())
            if prefix not in here:
                self._at[place] = (*here, prefix)

    def _forget(self, failures: Sequence[Failure]) -> None:
        """Complain of what failed, and do not take it for done."""
        if failures:
            change, error = failures[0]
            others = f", and {len(failures) - 1} other changes" if len(failures) > 1 else ""
            self._complain(f"the kernel refused {change}: {error}{others}")
        for change, error in failures:
            prefix = change.route.source or change.route.destination
            traces = self._traces.get(prefix)
            if traces is not None:
                routes = after_failures(set(traces.routes), [(change, error)])
                self._traces[prefix] = replace(traces, routes=tuple(routes))


def _delegated(address: IPv6Address) -> IPv6Network:
    return IPv6Network((address, DELEGATED_LENGTH), strict=False)


def _difference(pairs: Iterable[tuple[Members, Members]]) -> Members:
    """What the first ones have and the second ones have not."""
    pairs = list(pairs)
    return Members(
        [one for these, others in pairs for one in these.served if one not in others.served],
        [one for these, others in pairs for one in these.attached if one not in others.attached],
    )
