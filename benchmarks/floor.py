"""The floor of a hand-off: the paths of a prefix, changed by hand in all nodes at once."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Final

from moorage.kernel import seg6
from moorage.kernel.addresses import Address, AddressFlags, NetlinkAddressTable
from moorage.kernel.links import NetlinkLinkTable
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.routes import Add, Route, RouteChange, Seg6Encap, Seg6EndDT6
from moorage.lab.lab import Lab, Node
from moorage.lab.network import ACCESS, UPLINK

_MAIN_TABLE: Final = 254
_DOWN_TABLE: Final = 100
_ANYWHERE: Final = IPv6Network("::/0")
_RADIO: Final = "wl0"


class _Place:
    """A node's route table, and the indexes and link-local addresses of its interfaces."""

    def __init__(self, node: Node) -> None:
        self.routes: Final = node.call(NetlinkRouteTable)
        links = node.call(lambda: NetlinkLinkTable().links())
        self.index: Final = {link.name: link.index for link in links}
        addresses = node.call(lambda: NetlinkAddressTable().addresses())
        self.link_local: Final = {
            address.interface: address.address
            for address in addresses
            if address.address.is_link_local
        }

    def address(self, interface: str) -> IPv6Address:
        return self.link_local[self.index[interface]]

    def apply(self, *changes: RouteChange) -> None:
        for error in self.routes.apply(changes):
            if error is not None:
                raise error


class Floor:
    """A host's prefix of one router, the anchor, and its paths by either of two routers."""

    def __init__(self, lab: Lab, host: str, anchor: str, other: str) -> None:
        """Make all that does not change. Raises OSError."""
        routers = lab.topology().routers
        self._names = (anchor, other)
        self._host = _Place(lab.node(host))
        self._anchor = _Place(lab.node(anchor))
        self._other = _Place(lab.node(other))
        self._prefix = IPv6Network((routers[anchor].pool[1 << 64], 64))
        self.address: Final = self._prefix[1]
        self._up_sid = routers[anchor].up_sid
        self._down_sid = routers[other].down_sid
        address = Address(self.address, self._host.index["lo"], 128, flags=AddressFlags.NO_DAD)
        lab.node(host).call(lambda: NetlinkAddressTable().add(address))
        for name, place in zip(self._names, (self._anchor, self._other), strict=True):
            router = routers[name]
            lab.node(name).call(seg6.set_tunnel_source, router.core.address)
            for sid, table in ((router.down_sid, _DOWN_TABLE), (router.up_sid, _MAIN_TABLE)):
                core = place.index[UPLINK]
                segment = Seg6EndDT6(table)
                place.apply(
                    Add(Route(IPv6Network(sid), _MAIN_TABLE, interface=core, encap=segment))
                )

    def route_by(self, router: str) -> None:
        """Let the prefix be served by this router. Raises OSError."""
        place = self._anchor if router == self._names[0] else self._other
        self._host.apply(
            Add(
                Route(
                    _ANYWHERE,
                    _MAIN_TABLE,
                    gateway=place.address(ACCESS),
                    interface=self._host.index[_RADIO],
                )
            )
        )
        here = [
            Route(
                self._prefix,
                table,
                gateway=self._host.address(_RADIO),
                interface=place.index[ACCESS],
            )
            for table in (_MAIN_TABLE, _DOWN_TABLE)
        ]
        core = self._other.index[UPLINK]
        to_anchor = Route(
            _ANYWHERE,
            _MAIN_TABLE,
            source=self._prefix,
            interface=core,
            encap=Seg6Encap(self._up_sid),
        )
        to_host = Route(
            self._prefix,
            _MAIN_TABLE,
            interface=self._anchor.index[UPLINK],
            encap=Seg6Encap(self._down_sid),
        )
        if place is self._anchor:
            self._anchor.apply(*map(Add, here))
        else:
            self._other.apply(*map(Add, here), Add(to_anchor))
            self._anchor.apply(Add(to_host))

    def close(self) -> None:
        """Close the route tables."""
        for place in (self._host, self._anchor, self._other):
            place.routes.close()
