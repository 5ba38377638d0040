from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.host.desired import default_route, routes, silenced
from moorage.host.lease import Lease
from moorage.host.lifecycle import State
from moorage.host.reach import Path, Reachability
from moorage.kernel.routes import Route, RouteKind
from moorage.numbers import HOST_TABLE
from tests.scripted import FIXED, WL0

MAIN = 254
PREFIX = IPv6Network("2001:db8:a0:1::/64")
ANYWHERE = IPv6Network("::/0")
ROUTER = IPv6Address("fe80::a1")
GUARDS = {
    Route(PREFIX, MAIN, RouteKind.UNREACHABLE, metric=4096),
    Route(ANYWHERE, HOST_TABLE, RouteKind.UNREACHABLE, source=PREFIX, metric=4096),
}


@pytest.fixture
def lease() -> Lease:
    lease = Lease(1, PREFIX, type=FIXED, state=State.READY, address=PREFIX[1])
    lease.reach.serve(Path(WL0, ROUTER, 1400), 0.0)
    return lease


def served(mtu: int, advmss: int) -> Route:
    return Route(
        ANYWHERE,
        HOST_TABLE,
        source=PREFIX,
        gateway=ROUTER,
        interface=WL0,
        metric=64,
        mtu=mtu,
        advmss=advmss,
    )


def test_served(lease: Lease) -> None:
    assert routes([lease]) == {*GUARDS, served(1400, 1340)}
    assert silenced([lease]) == set()


def test_without_an_mtu(lease: Lease) -> None:
    lease.reach.serve(Path(WL0, ROUTER, 0), 0.0)
    assert routes([lease]) == {*GUARDS, served(0, 0)}


def test_link_gone(lease: Lease) -> None:
    lease.reach.leave(WL0, 1.0)
    assert routes([lease]) == {*GUARDS, served(1400, 1340)}
    assert silenced([lease]) == {(WL0, ROUTER)}


def test_link_gone_for_long(lease: Lease) -> None:
    lease.reach.leave(WL0, 1.0)
    lease.reach.poll(hold=10.0, now=11.0)
    assert routes([lease]) == GUARDS
    assert silenced([lease]) == set()


def test_never_served(lease: Lease) -> None:
    lease.reach = Reachability()
    assert routes([lease]) == GUARDS


@pytest.mark.parametrize("state", [State.REQUESTED, State.RELEASED, State.GONE])
def test_without_an_address(lease: Lease, state: State) -> None:
    lease.state = state
    if state is State.REQUESTED:
        lease.prefix = lease.address = None
    assert routes([lease]) == set()


def test_the_route_of_those_who_name_no_address(lease: Lease) -> None:
    assert default_route(lease) == Route(
        ANYWHERE,
        MAIN,
        source=IPv6Network("::/128"),
        gateway=ROUTER,
        interface=WL0,
        metric=64,
        mtu=1400,
        advmss=1340,
        preferred_source=lease.address,
    )
