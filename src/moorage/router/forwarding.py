"""Brings the kernel to what the store says, a binding at a time or as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from moorage.kernel.nftables import Attachment, PacketFilter
from moorage.kernel.reconcile import Reconciler, resync_rules
from moorage.kernel.routes import Route, RouteTable
from moorage.router.config import RouterConfig
from moorage.router.mirror import Known, Mirror
from moorage.router.paths import Macs, Paths, Traces
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
        self._reconciler = Reconciler(table)
        self._filter = packet_filter
        self._macs = macs
        self._complain = complain
        self._traces: dict[IPv6Network, Traces] = {}
        self._served: set[tuple[IPv6Address, IPv6Network]] = set()
        self._attached: set[Attachment] = set()
        self._paths = Paths(config, {}, mirror.routers)

    def resync(self, interfaces: Mapping[str, int]) -> None:
        """Make everything as it should be, whatever the kernel has.

        ``interfaces`` are the indexes of the interfaces that are up, by name.
        """
        self._paths = Paths(self._config, interfaces, self._mirror.routers)
        self._traces = {
            known.binding.prefix: self._paths.of(known, self._macs)
            for known in self._mirror.known()
        }
        wanted = self._paths.desired(self._traces.values())
        self._served = set(wanted.filter.served)
        self._attached = set(wanted.filter.attached)
        try:
            resync_rules(self._table, wanted.rules)
            self._report(self._reconciler.resync(wanted.routes))
            self._filter.resync(wanted.filter)
        except OSError as error:
            self._complain(f"the kernel refused: {error}")

    def prepare(self, bindings: Iterable[Binding]) -> None:
        """Be ready to deliver to hosts whose bindings are about to name us as serving.

        The anchor may hear of the move before we have done what follows from it, and send at once.
        What comes in by our *down* SID can only go to the link, so this is safe before it is true;
        `update` makes it right either way.
        """
        routes: set[Route] = set()
        for binding in bindings:
            ours = self._paths.delivery(binding)
            known = self._traces.get(binding.prefix, Traces())
            self._traces[binding.prefix] = replace(known, routes=known.routes | ours)
            routes |= ours
        self._report(self._reconciler.change(routes, set()))

    def update(self, prefixes: Iterable[IPv6Network]) -> None:
        """Do what the news about some bindings asks for."""
        add: set[Route] = set()
        remove: set[Route] = set()
        filtered = False
        for prefix in prefixes:
            known = self._mirror.get(prefix)
            before = self._traces.pop(prefix, Traces())
            after = Traces() if known is None else self._paths.of(known, self._macs)
            if known is not None:
                self._traces[prefix] = after
            add |= after.routes
            remove |= before.routes - after.routes
            if (before.served, before.attached) != (after.served, after.attached):
                filtered = True
                self._served -= before.served
                self._served |= after.served
                self._attached -= before.attached
                self._attached |= after.attached
        self._report(self._reconciler.change(add, remove))
        if filtered:
            try:
                self._filter.apply(self._paths.filter(self._served, self._attached))
            except OSError as error:
                self._complain(f"the kernel refused a change of the filter: {error}")

    def of_host(self, link: str, host: IPv6Address) -> list[Known]:
        """Return the bindings that a host has, or had a moment ago, on one of our links."""

        def here(known: Known) -> bool:
            return any(
                binding is not None
                and (binding.serving, binding.link, binding.next_hop)
                == (self._config.id, link, host)
                for binding in (known.binding, known.former)
            )

        return [known for known in self._mirror.known() if here(known)]

    def _report(self, failures: Collection[tuple[object, OSError]]) -> None:
        for change, error in failures:
            self._complain(f"the kernel refused {change}: {error}")
