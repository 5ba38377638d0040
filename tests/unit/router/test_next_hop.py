"""The addresses that stand for hosts in a router's routes."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel.routes import Route
from moorage.router.next_hop import is_next_hop, link_local_of, mac_of, next_hop, next_hops

link_locals = st.integers(0, 2**64 - 1).map(lambda number: IPv6Address((0xFE80 << 112) | number))
macs = st.binary(min_size=6, max_size=6).filter(any)


@given(link_locals, macs)
def test_one_stands_for_an_address_and_who_has_it(address: IPv6Address, mac: bytes) -> None:
    hop = next_hop(address, mac)
    assert hop.is_link_local
    assert is_next_hop(hop)
    assert (link_local_of(hop), mac_of(hop)) == (address, mac)


@given(link_locals)
def test_no_node_has_one(address: IPv6Address) -> None:
    assert not is_next_hop(address)


def test_they_are_found_in_routes() -> None:
    host, mac = IPv6Address("fe80::1"), bytes.fromhex("020000000001")
    prefix = IPv6Network("2001:db8::/64")
    routes = [
        Route(prefix, 254),
        Route(prefix, 254, gateway=host, interface=2),
        Route(prefix, 254, gateway=next_hop(host, mac), interface=2),
        Route(prefix, 9, gateway=next_hop(host, mac), interface=2),
    ]
    assert next_hops(routes) == {(2, IPv6Address("fe80:200:0:1::1"))}
