"""The host's part of the kernel: addresses on ``lo``, routes, and the sockets that use them."""

from __future__ import annotations

import contextlib
import errno
import select
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from math import isinf
from typing import Final

from moorage.host import desired
from moorage.host.actions import RetireLink
from moorage.host.config import RetireSlaac
from moorage.host.desired import Neighbour
from moorage.kernel import sysctl
from moorage.kernel.addresses import Address, AddressFlags, NetlinkAddressTable
from moorage.kernel.links import NetlinkLinkTable
from moorage.kernel.monitor import AddressChanged, Group, NetlinkMonitor
from moorage.kernel.neighbours import NetlinkNeighbourTable
from moorage.kernel.netlink import Overrun
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.reconcile import Reconciler, resync_rules
from moorage.kernel.routes import Remove, Route
from moorage.kernel.sock_diag import SockDiag
from moorage.numbers import ROUTE_PROTOCOL

_FROM_ADVERTISEMENT: Final = 9
"""RTPROT_RA."""
_FORMED_LENGTH: Final = 64
_ADDRESS_WAIT: Final = 1.0
_NOBODY: Final = bytes.fromhex("020000000000")
"""A link-layer address that no interface has: locally administered, and zero."""


@dataclass(frozen=True, slots=True)
class Until:
    """Until when an address is valid, and until when the kernel may choose it by itself.

    The latter is a moment long past for most: so they are used by those only who ask for them.
    """

    valid: float
    preferred: float = 0.0


Formed = tuple[int, IPv6Address]
"""An interface and an address of our own on it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the host's addresses call for.

    ``formed`` are those of our own on links that advertise prefixes, by interface, with the moment
    at which they stop being valid.
    """

    routes: set[Route]
    addresses: Mapping[IPv6Address, Until]
    silenced: set[Neighbour]
    formed: Mapping[Formed, float]


class HostKernel:
    """What the host daemon does in the network namespace of the thread that makes it.

    Raises:
        OSError: the kernel or our rights do not suffice.
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._routes = NetlinkRouteTable()
        self._reconciler = Reconciler(self._routes)
        self._learnt = NetlinkRouteTable(_FROM_ADVERTISEMENT)
        self._addresses = NetlinkAddressTable()
        self._added = NetlinkMonitor([Group.ADDRESS])
        self._neighbours = NetlinkNeighbourTable()
        self._silenced: set[Neighbour] = set()
        self._configured: dict[IPv6Address, Until] = {}
        self._formed: dict[Formed, float] = {}
        self._sockets = SockDiag()
        self.links = NetlinkLinkTable()
        self._loopback = next(link.index for link in self.links.links() if link.loopback)

    @property
    def route_port(self) -> int:
        """The netlink port that our own changes come from."""
        return self._routes.port

    @property
    def neighbour_port(self) -> int:
        """The netlink port that our changes of neighbours come from."""
        return self._neighbours.port

    def start(self, wanted: Wanted, now: float) -> None:
        """Bring the kernel from whatever an earlier life left to what is wanted.

        Addresses that it formed on links are told of later, as all that links have.
        """
        for address in self._addresses.addresses(ROUTE_PROTOCOL):
            if self.is_typed(address) and address.address not in wanted.addresses:
                self._addresses.remove(address)
        self._set_addresses(wanted, now)
        resync_rules(self._routes, [desired.RULE])
        self._report(self._reconciler.resync(wanted.routes))
        self._silence(wanted.silenced)

    def reconcile(self, wanted: Wanted, now: float) -> None:
        """Make the kernel's routes, neighbours and typed addresses these.

        Routes speak of new addresses, but must not wait for what can come later.
        """
        self._add_addresses(wanted.addresses.keys() - self._configured.keys(), wanted, now)
        self._report(self._reconciler.apply(wanted.routes))
        self._silence(wanted.silenced)
        self._set_addresses(wanted, now)
        self._set_formed(wanted.formed, now)

    def is_typed(self, address: Address) -> bool:
        """Whether an address is one of ours that belong to no link."""
        return address.protocol == ROUTE_PROTOCOL and address.interface == self._loopback

    def repair(self, wanted: Wanted, now: float) -> None:
        """Put back what somebody else removed."""
        present = {(each.interface, each.address) for each in self._addresses.addresses()}
        for address in list(self._configured):
            if (self._loopback, address) not in present:
                del self._configured[address]
        for formed in self._formed.keys() - present:
            del self._formed[formed]
        self._set_addresses(wanted, now)
        self._set_formed(wanted.formed, now)
        resync_rules(self._routes, [desired.RULE])
        self._report(self._reconciler.resync(wanted.routes))

    def add_link_local(self, interface: int, address: IPv6Address) -> None:
        """Add a link-local address, which has to pass duplicate address detection.

        Raises:
            OSError: the interface is gone.
        """
        self._addresses.add(Address(address, interface, 64, protocol=ROUTE_PROTOCOL))

    def all_addresses(self) -> list[Address]:
        """Return every address that the kernel has."""
        return self._addresses.addresses()

    def sockets_on(self, address: IPv6Address) -> set[int]:
        """Return the cookies of the sockets on an address; raw ones have none and count as 0."""
        return {info.cookie for info in self._sockets.sockets_from(IPv6Network(address))}

    def destroy_sockets(self, address: IPv6Address, cookies: Collection[int] | None) -> None:
        """End the sockets on an address: those with these cookies, or all."""
        for info in self._sockets.sockets_from(IPv6Network(address)):
            if cookies is None or info.cookie in cookies:
                self._sockets.destroy(info)

    def retire(self, link: RetireLink, how: RetireSlaac) -> None:
        """Take back addresses and default routes that a link advertised which was left."""
        for address in self._addresses.addresses():
            if address.interface != link.interface or address.address not in link.addresses:
                continue
            if how is RetireSlaac.REMOVE:
                self._remove(address)
            else:
                self._addresses.add(
                    Address(
                        address.address,
                        address.interface,
                        address.prefix_length,
                        preferred=0,
                        valid=address.valid,
                        protocol=address.protocol,
                    )
                )
        stale = [
            Remove(route)
            for route in self._learnt.routes(_FROM_ADVERTISEMENT)
            if route.interface == link.interface
            and route.gateway is not None
            and route.gateway not in link.routers
        ]
        self._report(
            [
                (change, error)
                for change, error in zip(stale, self._learnt.apply(stale), strict=True)
                if error is not None and error.errno != errno.ESRCH
            ]
        )

    def probe(self, interface: int, router: IPv6Address) -> None:
        """Have the kernel ask a router whether it is there, unless it is silenced.

        Raises:
            OSError: the interface is gone.
        """
        if (interface, router) not in self._silenced:
            self._neighbours.probe(interface, router)

    def _silence(self, wanted: set[Neighbour]) -> None:
        for interface, router in self._silenced - wanted:
            with contextlib.suppress(OSError):  # gone with its interface
                self._neighbours.remove(interface, router)
        for interface, router in wanted - self._silenced:
            with contextlib.suppress(OSError):
                self._neighbours.set_permanent(interface, router, _NOBODY)
        self._silenced = wanted

    def _set_addresses(self, wanted: Wanted, now: float) -> None:
        for address in self._configured.keys() - wanted.addresses.keys():
            del self._configured[address]
            self._remove(Address(address, self._loopback, 128))
        changed = {
            address
            for address, until in wanted.addresses.items()
            if self._configured.get(address) != until
        }
        self._add_addresses(changed, wanted, now)

    def _set_formed(self, wanted: Mapping[Formed, float], now: float) -> None:
        for interface, address in self._formed.keys() - wanted.keys():
            del self._formed[interface, address]
            self._remove(Address(address, interface, _FORMED_LENGTH))
        for (interface, address), until in wanted.items():
            if self._formed.get((interface, address)) == until:
                continue
            self._formed[interface, address] = until
            self._addresses.add(
                Address(
                    address,
                    interface,
                    _FORMED_LENGTH,
                    preferred=0,
                    valid=None if isinf(until) else max(1, int(until - now)),
                    protocol=ROUTE_PROTOCOL,
                    flags=AddressFlags.OPTIMISTIC | AddressFlags.NO_PREFIX_ROUTE,
                )
            )

    def _add_addresses(self, addresses: Set[IPv6Address], wanted: Wanted, now: float) -> None:
        for address in addresses:
            until = wanted.addresses[address]
            self._add(address, until, now)
            self._configured[address] = until

    def _add(self, address: IPv6Address, until: Until, now: float) -> None:
        """Configure an address and wait until it works.

        The kernel acknowledges it about 0.1 ms earlier; bind() would fail in between.
        """
        valid = max(1, int(until.valid - now))
        self._drain()
        self._addresses.add(
            Address(
                address,
                self._loopback,
                128,
                preferred=min(valid, max(0, int(until.preferred - now))),
                valid=valid,
                protocol=ROUTE_PROTOCOL,
                flags=AddressFlags.NO_DAD,
            )
        )
        while address not in self._configured:
            ready, _, _ = select.select([self._added], [], [], _ADDRESS_WAIT)
            if not ready:
                self._complain(f"the kernel does not say that {address} works")
                return
            if address in self._drain():
                return

    def _drain(self) -> set[IPv6Address]:
        """Return the addresses that have come to work since the last time."""
        try:
            events = self._added.read()
        except Overrun:
            events = [AddressChanged(address) for address in self._addresses.addresses()]
        return {
            event.address.address
            for event in events
            if isinstance(event, AddressChanged) and event.address.usable
        }

    def _remove(self, address: Address) -> None:
        try:
            self._addresses.remove(address)
        except OSError as error:
            # Others may have been first; a temporary address goes with its public one.
            if error.errno != errno.EADDRNOTAVAIL:
                self._complain(f"{address.address} cannot be removed: {error}")

    def _report(self, failures: Collection[tuple[object, OSError]]) -> None:
        for change, error in failures:
            self._complain(f"the kernel refused {change}: {error}")


def use_optimistic_addresses(interface: str) -> None:
    """Let new addresses on an interface work before DAD has ended (RFC 4429).

    Raises:
        OSError: the interface is gone, or the kernel knows no optimistic addresses.
    """
    for key in ("optimistic_dad", "use_optimistic"):
        sysctl.write(f"net/ipv6/conf/{interface}/{key}", "1")
