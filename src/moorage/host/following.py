"""The shell around links, addresses, routes and neighbours: tells the core what becomes of them.

What others take away of ours is put back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from moorage.host.actions import Action
from moorage.host.attempt import attempt
from moorage.host.core import HostCore
from moorage.host.kernel import HostKernel, Until, Wanted, use_optimistic_addresses
from moorage.kernel.monitor import (
    AddressChanged,
    AddressRemoved,
    Event,
    Group,
    LinkChanged,
    LinkRemoved,
    NeighbourChanged,
    NeighbourState,
    NetlinkMonitor,
    RouteRemoved,
    RuleRemoved,
)
from moorage.kernel.netlink import Overrun
from moorage.numbers import ROUTE_PROTOCOL

_log = logging.getLogger("moorage.host")

_PAUSE = 0.05
"""Seconds between somebody's removal of what is ours and its repair, so that a flush is one."""


class Following:
    """What the kernel says of the host's network.

    Args:
        core: the host's.
        kernel: what is kept in it.
        do: does what the core wants done.
        clock: the core's.
    """

    def __init__(
        self,
        core: HostCore,
        kernel: HostKernel,
        do: Callable[[list[Action]], None],
        clock: Callable[[], float],
    ) -> None:
        self._core = core
        self._kernel = kernel
        self._do = do
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._monitor = NetlinkMonitor(
            [Group.LINK, Group.ADDRESS, Group.ROUTE, Group.RULE], except_port=kernel.route_port
        )
        self._neighbours = NetlinkMonitor([Group.NEIGHBOUR], except_port=kernel.neighbour_port)
        self._repair: asyncio.TimerHandle | None = None
        self._optimistic: set[str] = set()

    def start(self) -> None:
        """Begin to listen."""
        self._loop.add_reader(self._monitor, self._read_monitor)
        self._loop.add_reader(self._neighbours, self._read_neighbours)

    def close(self) -> None:
        """Listen no longer."""
        self._loop.remove_reader(self._monitor)
        self._loop.remove_reader(self._neighbours)
        if self._repair is not None:
            self._repair.cancel()

    def look(self) -> None:
        """Take in the present interfaces and addresses."""
        for link in self._kernel.links.links():
            self._event(LinkChanged(link))
        for address in self._kernel.all_addresses():
            self._event(AddressChanged(address))

    def _read_monitor(self) -> None:
        try:
            events = self._monitor.read()
        except Overrun:
            self.look()
            self._plan_repair()
            return
        for event in events:
            self._event(event)

    def _read_neighbours(self) -> None:
        # What is lost in an overrun is told again when the next packet finds no way.
        with contextlib.suppress(Overrun):
            for event in self._neighbours.read():
                self._event(event)

    def _event(self, event: Event) -> None:
        now = self._clock()
        match event:
            case LinkChanged(link):
                self._prepare(link.name)
                self._do(self._core.link_changed(link, now))
            case LinkRemoved(index, name):
                self._optimistic.discard(name)
                self._do(self._core.link_removed(index, now))
            case AddressChanged(address) if not self._kernel.is_typed(address):
                self._do(self._core.address_changed(address, now))
            case AddressRemoved(address):
                if not self._kernel.is_typed(address):
                    self._do(self._core.address_removed(address, now))
                if self._core.keeps(address):
                    self._plan_repair()
            case NeighbourChanged(interface, address, _, NeighbourState.FAILED):
                self._do(self._core.router_unreachable(interface, address, now))
            case RouteRemoved(protocol, _) | RuleRemoved(protocol, _):
                if protocol == ROUTE_PROTOCOL:
                    self._plan_repair()

    def _prepare(self, interface: str) -> None:
        config = self._core.known.config
        if not config.optimistic_dad or interface not in config.interfaces:
            return
        if interface not in self._optimistic:
            self._optimistic.add(interface)
            try:
                use_optimistic_addresses(interface)
            except OSError as error:
                _log.info("%s: no optimistic addresses: %s", interface, error)

    def _plan_repair(self) -> None:
        if self._repair is None:
            self._repair = self._loop.call_later(_PAUSE, self._put_back)

    def _put_back(self) -> None:
        self._repair = None
        attempt(self._kernel.repair, wanted(self._core), self._clock())


def wanted(core: HostCore) -> Wanted:
    """Return what has to be in the kernel by now."""
    default = core.known.default_lease()
    addresses = {
        lease.address: Until(lease.valid_until, lease.preferred_until if lease is default else 0.0)
        for lease in core.leases
        if lease.address is not None
    }
    return Wanted(core.desired_routes(), addresses, core.silenced(), core.formed())
