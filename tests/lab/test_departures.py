"""Hosts that leave without a word, and come back without one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv6Network

import pytest

from moorage.kernel import sysctl
from moorage.kernel.routes import Route, RouteKind
from moorage.lab.lab import Lab
from moorage.lab.ping import ping
from moorage.router.paths import MAIN_TABLE
from tests.lab.plain_host import FIXED, Host, await_routes, reached, routes_of

pytestmark = pytest.mark.netns

NEIGHBOUR_SOLICITATION = 135


def notice_departures_soon() -> None:
    """Have the kernel miss a silent neighbour within a second instead of half a minute."""
    for key, value in (
        ("base_reachable_time_ms", 100),
        ("delay_first_probe_time", 0),
        ("retrans_time_ms", 100),
    ):
        sysctl.write(f"net/ipv6/neigh/acc0/{key}", str(value))


def goes(prefix: IPv6Network, *kinds: RouteKind) -> Callable[[set[Route]], bool]:
    """Whether packets for a prefix have a route of one of these kinds."""

    def found(routes: set[Route]) -> bool:
        [route] = [
            each for each in routes if (each.destination, each.table) == (prefix, MAIN_TABLE)
        ]
        return route.kind in kinds

    return found


def test_a_host_that_is_gone_is_missed_by_who_sends_to_it(lab: Lab) -> None:
    lab.daemon("ar1").start(probe_interval=0)
    router = lab.node("ar1")
    router.call(notice_departures_soon)
    with ExitStack() as stack:
        host = Host(lab, stack)
        prefix = host.obtain()
    assert reached(lab, prefix)
    lab.detach("mn", "wl0")
    assert ping(lab.node("cn"), prefix[1], within=0.2) is None
    # The correspondent goes on sending; that is how the kernel finds out.
    with lab.node("cn").socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"anybody there?", (str(prefix[1]), 9))
    await_routes(router, goes(prefix, RouteKind.BLACKHOLE))
    lab.attach("mn", "wl0", "ar1")
    # It does not know that it was missed, and just goes on.
    assert ping(host.node, lab.topology().routers["ar1"].core.address) is not None
    await_routes(router, goes(prefix, RouteKind.UNICAST))
    assert reached(lab, prefix)


@pytest.mark.parametrize("names_mac", [False, True], ids=["keeps its MAC secret", "signs its MAC"])
def test_a_host_that_is_gone_is_missed_although_nobody_sends(lab: Lab, names_mac: bool) -> None:
    lab.daemon("ar1").start(probe_interval=0.2)
    router = lab.node("ar1")
    router.call(notice_departures_soon)
    with ExitStack() as stack:
        prefix = Host(lab, stack, names_mac=names_mac).obtain()
    lab.detach("mn", "wl0")
    await_routes(router, goes(prefix, RouteKind.BLACKHOLE))
    lab.attach("mn", "wl0", "ar1")
    await_routes(router, goes(prefix, RouteKind.UNICAST))
    assert reached(lab, prefix)


def test_a_host_that_answers_is_asked_and_not_missed(lab: Lab) -> None:
    lab.daemon("ar1").start(probe_interval=0.1)
    with ExitStack() as stack:
        host = Host(lab, stack)
        prefix = host.obtain()
        seen = stack.enter_context(host.node.socket(socket.AF_INET6, socket.SOCK_RAW, 58))
        asked = 0
        while asked < 20:
            message, sender = seen.recvfrom(2000)
            asked += message[0] == NEIGHBOUR_SOLICITATION and sender[0].startswith("fe80:")
    assert goes(prefix, RouteKind.UNICAST)(routes_of(lab.node("ar1")))
    assert reached(lab, prefix)


def test_a_link_without_carrier_has_no_hosts(routers: Lab, host: Host) -> None:
    prefix = host.obtain()
    routers.move("mn", "ar2")
    host.exchange(host.rebind(prefix, FIXED))
    assert reached(routers, prefix)
    routers.node("ar2").run(["ip", "link", "set", "acc0", "down"])
    # The anchor hears of it by the store.
    await_routes(routers.node("ar1"), goes(prefix, RouteKind.BLACKHOLE, RouteKind.UNREACHABLE))
    routers.node("ar2").run(["ip", "link", "set", "acc0", "up"])
    await_routes(routers.node("ar1"), goes(prefix, RouteKind.UNICAST))
    assert reached(routers, prefix)
