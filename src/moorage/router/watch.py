"""The router's kernel: what happens in it without our doing, and what follows from that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv6Network

from moorage.kernel.links import Link, NetlinkLinkTable
from moorage.kernel.monitor import (
    Group,
    NetlinkMonitor,
    RouteChanged,
    RouteRemoved,
    RuleChanged,
    RuleRemoved,
)
from moorage.kernel.neighbours import NetlinkNeighbourTable
from moorage.kernel.netlink import Overrun
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.nft_monitor import FilterMonitor
from moorage.kernel.nftables import TABLE, SidFilter
from moorage.numbers import ROUTE_PROTOCOL
from moorage.router.config import RouterConfig
from moorage.router.forwarding import Forwarding
from moorage.router.interfaces import (
    HostForgotten,
    HostHeard,
    HostLeft,
    Interfaces,
    News,
    NextHopLost,
    Reindexed,
    Touched,
)
from moorage.router.lifecycle import Departures
from moorage.router.mirror import Mirror
from moorage.router.paths import Place
from moorage.router.probing import Probing
from moorage.store.model import Binding
from moorage.store.protocol import Change

_REPAIR_PAUSE = 0.05
"""Seconds between somebody's change of what is ours and its repair, so that a flush is one."""


class KernelWatch:
    """Keeps a router's kernel as it should be, and sees hosts come and go.

    Args:
        config: the router.
        mirror: what is known of the store.
        commit: given changes of bindings whose hosts have left, or were only silent.
        touched: told the name of an access link when it may have become usable, or useless.
        complain: told what the kernel refused.

    Raises:
        OSError: the kernel or our rights do not suffice.
    """

    def __init__(
        self,
        config: RouterConfig,
        mirror: Mirror,
        commit: Callable[[Sequence[Change]], None],
        touched: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> None:
        self._mirror = mirror
        self._commit = commit
        self._touched = touched
        self._loop = asyncio.get_running_loop()
        self._access = [link.interface for link in config.access]
        self._interfaces = Interfaces(self._access)
        self._departures = Departures(config)
        self._probing = Probing(config.probe_interval)
        self._links = NetlinkLinkTable()
        self._neighbours = NetlinkNeighbourTable()
        routes, packet_filter = NetlinkRouteTable(), SidFilter()
        self._monitors = [
            NetlinkMonitor(
                [Group.LINK, Group.ADDRESS, Group.ROUTE, Group.RULE], except_port=routes.port
            ),
            NetlinkMonitor([Group.NEIGHBOUR], except_port=self._neighbours.port),
        ]
        self._filter_monitor = FilterMonitor(TABLE, except_port=packet_filter.port)
        self.forwarding = Forwarding(
            config,
            mirror,
            routes,
            packet_filter,
            self._neighbours,
            complain,
        )
        self._repairs: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._probe_timer: asyncio.TimerHandle | None = None
        self._look()

    @property
    def present(self) -> dict[str, Link]:
        """The interfaces that exist, by name."""
        return self._interfaces.present

    def start(self) -> None:
        """Act on what happens from now on, and on what happened since this was made.

        Before that `resync` has to know the bindings, or an earlier life's paths would go.
        """
        for monitor in self._monitors:
            self._loop.add_reader(monitor, self._read_monitor, monitor)
        self._loop.add_reader(self._filter_monitor, self._read_filter_monitor)

    def close(self) -> None:
        """Look no longer; the kernel keeps what it has."""
        for monitor in self._monitors:
            self._loop.remove_reader(monitor)
        self._loop.remove_reader(self._filter_monitor)
        for timer in (self._probe_timer, *self._repairs.values()):
            if timer is not None:
                timer.cancel()

    def resync(self) -> None:
        """Make everything as it should be, whatever the kernel has."""
        self.forwarding.resync(self._interfaces.indexes)
        now = self._loop.time()
        for place in self.forwarding.places():
            # Without its link-layer address nothing from a host passes the filter.
            self._probing.watch(place, now, at_once=not self.forwarding.has_heard(place))
        self._set_probe_timer()

    def reconfigure(self, config: RouterConfig) -> None:
        """Go by another configuration from now on."""
        self._departures.reconfigure(config)
        if config.probe_interval != self._probing.interval:
            self._probing.interval = config.probe_interval
            for place in self.forwarding.places():
                self._probing.watch(place, self._loop.time())
            self._set_probe_timer()

    def expect(self, binding: Binding) -> None:
        """See whether the host of a binding that we serve remains."""
        if binding.link is not None and binding.next_hop is not None:
            place = binding.link, binding.next_hop
            if binding.mac is not None:
                # Our answer goes there, too, and not to who has claimed the address meanwhile.
                self._ask(place, binding.mac)
            self._probing.watch(place, self._loop.time())
            self._set_probe_timer()

    # ---- what the kernel says ------------------------------------------------------------------

    def _look(self) -> None:
        for host in self._interfaces.look(self._links.links(), self._neighbours.neighbours()):
            self.forwarding.heard((host.link, host.host), host.mac)

    def _read_monitor(self, monitor: NetlinkMonitor) -> None:
        try:
            events = monitor.read()
        except Overrun:
            self._look()
            self.resync()
            for name in self._access:
                self._touched(name)
            return
        for event in events:
            match event:
                case (
                    RouteChanged(protocol, _)
                    | RouteRemoved(protocol, _)
                    | RuleChanged(protocol, _)
                    | RuleRemoved(protocol, _)
                ):
                    if protocol == ROUTE_PROTOCOL:
                        self._plan(self.forwarding.resync_routes)
                case _:
                    for news in self._interfaces.take(event):
                        self._happened(news)

    def _read_filter_monitor(self) -> None:
        if self._filter_monitor.read():
            self._plan(self.forwarding.resync_filter)

    def _plan(self, repair: Callable[[], None]) -> None:
        def put_back() -> None:
            del self._repairs[repair]
            repair()

        if repair not in self._repairs:
            self._repairs[repair] = self._loop.call_later(_REPAIR_PAUSE, put_back)

    def _happened(self, news: News) -> None:
        match news:
            case Reindexed():
                self.resync()
            case Touched(link):
                self._touched(link)
            case HostLeft(link, None):
                bindings = [known.binding for known in self._mirror.known()]
                gone = [binding for binding in bindings if binding.link == link]
                self._commit(self._departures.left(gone, time.time()))
            case HostLeft(link, host):
                assert host is not None
                self._missed((link, host))
            case HostHeard(link, host, mac):
                place = link, host
                self.forwarding.heard(place, mac)
                self._commit(self._departures.returned(self._binding, place, mac))
            case HostForgotten(link, host):
                place = link, host
                self.forwarding.forgotten(place)
                if self._served_at(place):
                    self._ask(place)
            case NextHopLost(link, hop):
                self.forwarding.restore(link, hop)

    # ---- hosts ---------------------------------------------------------------------------------

    def _binding(self, prefix: IPv6Network) -> Binding | None:
        known = self._mirror.get(prefix)
        return None if known is None else known.binding

    def _served_at(self, place: Place) -> list[Binding]:
        """The bindings of a host that is there, as far as we know."""
        bindings = [known.binding for known in self.forwarding.at(place)]
        return [each for each in bindings if (each.link, each.next_hop) == place]

    def _missed(self, place: Place) -> None:
        bindings = self._served_at(place)
        if not bindings:
            return
        if self._departures.missed(place):
            self._commit(self._departures.left(bindings, time.time()))
        else:
            self._ask(place)

    def _expected(self, place: Place) -> bool:
        return bool(self._served_at(place)) or self._departures.is_awaited(place, time.time())

    def _ask(self, place: Place, mac: bytes = b"") -> None:
        link, host = place
        if link in self.present:
            # Where it cannot be asked, the link is about to be reported as down.
            with suppress(OSError):
                self._neighbours.probe(self.present[link].index, host, mac)

    def _probe(self) -> None:
        self._probe_timer = None
        for place in self._probing.due(self._expected, self._loop.time()):
            signed = [each.mac for each in self._served_at(place) if each.mac is not None]
            self._ask(place, signed[0] if signed else b"")
        self._set_probe_timer()

    def _set_probe_timer(self) -> None:
        due = self._probing.next_timer
        if self._probe_timer is None and due is not None:
            self._probe_timer = self._loop.call_at(due, self._probe)
