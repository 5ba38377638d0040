"""How routes are shown."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.demo.observations import describe_route
from moorage.kernel.routes import Route, RouteKind, Seg6Encap, Seg6EndDT6

PREFIX = IPv6Network("2001:db8:a100::/64")
ANYWHERE = IPv6Network("::/0")
SID = IPv6Address("2001:db8:5:2::d")
GATEWAY = IPv6Address("fe80::1")


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (
            Route(PREFIX, 254, interface=3, encap=Seg6Encap(SID)),
            "2001:db8:a100::/64 encap seg6 2001:db8:5:2::d (ar2 down) dev core0",
        ),
        (
            Route(ANYWHERE, 10900, source=PREFIX, gateway=GATEWAY, interface=9, mtu=1500),
            "default from 2001:db8:a100::/64 via fe80::1 dev 9 mtu 1500"
            " [table 10900, typed prefixes]",
        ),
        (Route(PREFIX, 254, RouteKind.BLACKHOLE), "blackhole 2001:db8:a100::/64"),
        (
            Route(PREFIX, 254, interface=3, encap=Seg6EndDT6(10901)),
            "2001:db8:a100::/64 encap seg6local End.DT6 table 10901 dev core0",
        ),
    ],
)
def test_route_in_words(route: Route, words: str) -> None:
    assert describe_route(route, {3: "core0"}, {SID: "ar2 down"}) == words
