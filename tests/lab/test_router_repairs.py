"""What others do to a router's kernel is put right, and what is theirs is left alone."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.kernel.monitor import (
    Event,
    Group,
    NeighbourChanged,
    NeighbourState,
    NetlinkMonitor,
    RouteChanged,
    RouteRemoved,
    RuleChanged,
    RuleRemoved,
)
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.nft_monitor import FilterMonitor
from moorage.kernel.nftables import TABLE, SidFilter
from moorage.kernel.routes import Add, Remove, Route, RouteKind, Rule, Seg6Encap
from moorage.lab.lab import Lab, Node
from moorage.numbers import ROUTE_PROTOCOL, ROUTER_DOWN_TABLE, ROUTER_LINK_TABLE_BASE, ROUTER_METRIC
from moorage.router.paths import MAIN_TABLE
from tests.conformance.scene import eventually
from tests.domain import lease
from tests.lab.plain_host import FIXED, PATIENCE, Host, dropped, flush_routes, reached

pytestmark = pytest.mark.netns

ELSEWHERE = IPv6Network("2001:db8:ffff::/64")


Everything = tuple[str, str, list[str]]


def everything(node: Node) -> Everything:
    """All routes, rules and filters of a node, whosever they are."""
    routes = node.run(["ip", "-6", "route", "show", "table", "all"]).stdout
    rules = node.run(["ip", "-6", "rule"]).stdout
    # Tables are listed in the order in which they were made, elements of sets in any.
    filters = node.run(["nft", "--stateless", "list", "ruleset"]).stdout
    return routes, rules, sorted(filters.replace(",", " ").split())


def add_foreign(node: Node, prefix: IPv6Network) -> None:
    """Put things of others beside ours: for the same prefix, in the same tables."""
    for command in (
        f"ip -6 route add {ELSEWHERE} dev core0 metric {ROUTER_METRIC}",
        f"ip -6 route add unreachable {prefix} metric 4000",
        f"ip -6 route add {prefix} dev core0 table {ROUTER_DOWN_TABLE} metric 4000",
        f"ip -6 route add default from {ELSEWHERE} dev core0 table {ROUTER_LINK_TABLE_BASE}",
        f"ip -6 rule add iif acc0 from {ELSEWHERE} lookup 77 pref 77",
        "nft add table ip6 others",
        "nft add chain ip6 others moorage { type filter hook forward priority 0; }",
        "nft add table inet moorage",
    ):
        node.run(command.split())


@pytest.fixture
def prefix(routers: Lab, host: Host) -> IPv6Network:
    """A prefix of the first router whose host is at the second one."""
    found = host.obtain()
    routers.move("mn", "ar2")
    assert lease(host.exchange(host.rebind(found, FIXED))).valid > 0
    for name in ("ar1", "ar2"):
        add_foreign(routers.node(name), found)
    eventually(lambda: settled(routers, found))
    return found


def settled(lab: Lab, prefix: IPv6Network) -> bool:
    """Whether the first router no longer takes anything of the prefix from its own link."""
    *_, filters = everything(lab.node("ar1"))
    return filters.count(str(prefix.network_address)) == 1


# ---- what others do ------------------------------------------------------------------------------


def nothing(node: Node, prefix: IPv6Network) -> None:
    pass


def flush_filter(node: Node, prefix: IPv6Network) -> None:
    node.run(["nft", "delete", "table", "ip6", TABLE])


def remove_one_rule_of_the_filter(node: Node, prefix: IPv6Network) -> None:
    node.run(["nft", "flush", "chain", "ip6", TABLE, "prerouting"])


def empty_the_sets_of_the_filter(node: Node, prefix: IPv6Network) -> None:
    for name in ("served64", "attached64", "routers"):
        node.run(["nft", "flush", "set", "ip6", TABLE, name])


def flush_all(node: Node, prefix: IPv6Network) -> None:
    flush_routes(node)
    flush_filter(node, prefix)
    flush_neighbours(node)


def flush_neighbours(node: Node) -> None:
    node.run(["ip", "-6", "neigh", "flush", "dev", "acc0"])


def leave_stale_routes(node: Node, prefix: IPv6Network) -> None:
    """Put in what an earlier life may have left: too much, and with other contents."""

    def inside() -> None:
        sid = Seg6Encap(IPv6Address("2001:db8:5:3::d"))
        stale = [
            Route(prefix, MAIN_TABLE, metric=ROUTER_METRIC, interface=core, encap=sid),
            Route(prefix, ROUTER_DOWN_TABLE, RouteKind.BLACKHOLE, metric=ROUTER_METRIC),
            Route(ELSEWHERE, 500, RouteKind.BLACKHOLE),
            Route(ELSEWHERE, MAIN_TABLE, RouteKind.UNREACHABLE),
        ]
        with closing(NetlinkRouteTable()) as table:
            assert table.apply([Add(route) for route in stale]) == [None] * len(stale)
            table.add_rule(Rule(500, 500, iif="acc0"))

    [core] = {route.interface for route in node.call(ours) if route.encap}
    node.call(inside)


def ours() -> set[Route]:
    with closing(NetlinkRouteTable()) as table:
        return table.routes(ROUTE_PROTOCOL)


def remove_half_of_the_routes(node: Node, prefix: IPv6Network) -> None:
    def inside() -> None:
        with closing(NetlinkRouteTable()) as table:
            routes = sorted(table.routes(ROUTE_PROTOCOL), key=repr)
            table.apply([Remove(route) for route in routes[::2]])

    node.call(inside)


def remove_rules(node: Node, prefix: IPv6Network) -> None:
    node.run(["ip", "-6", "rule", "del", "pref", str(ROUTER_LINK_TABLE_BASE)])


DEEDS = [
    flush_filter,
    remove_one_rule_of_the_filter,
    empty_the_sets_of_the_filter,
    remove_half_of_the_routes,
    remove_rules,
    leave_stale_routes,
    flush_all,
]
Deed = Callable[[Node, IPv6Network], None]


@pytest.mark.parametrize("name", ["ar1", "ar2"])
def test_all_is_as_it_was_soon_after_somebody_changed_it(
    routers: Lab, prefix: IPv6Network, name: str
) -> None:
    node = routers.node(name)
    before = everything(node)
    for deed in DEEDS:
        deed(node, prefix)
        eventually(lambda: everything(node) == before)
    assert reached(routers, prefix)


@pytest.mark.parametrize("name", ["ar1", "ar2"])
def test_all_is_as_it_was_when_the_next_life_of_a_killed_router_begins(
    routers: Lab, prefix: IPv6Network, name: str
) -> None:
    node = routers.node(name)
    before = everything(node)
    for deed in (nothing, *DEEDS):
        routers.daemon(name).kill()
        deed(node, prefix)
        assert (everything(node) == before) is (deed is nothing), deed
        routers.daemon(name).start()
        assert everything(node) == before, deed
    assert reached(routers, prefix)


@contextmanager
def changes(node: Node) -> Iterator[list[Event]]:
    """What happens to our routes and rules during the block."""
    kinds = RouteChanged | RouteRemoved | RuleChanged | RuleRemoved
    with closing(node.call(NetlinkMonitor, [Group.ROUTE, Group.RULE])) as monitor:
        seen: list[Event] = []
        yield seen
        seen += [
            event
            for event in monitor.read()
            if isinstance(event, kinds) and event.protocol == ROUTE_PROTOCOL
        ]


@pytest.mark.parametrize("name", ["ar1", "ar2"])
def test_a_restart_changes_only_what_differs(routers: Lab, prefix: IPv6Network, name: str) -> None:
    node = routers.node(name)
    routers.daemon(name).kill()
    with changes(node) as seen:
        routers.daemon(name).start()
    assert seen == []
    routers.daemon(name).kill()
    node.run(["ip", "-6", "route", "del", str(prefix), "metric", str(ROUTER_METRIC)])
    with changes(node) as seen:
        routers.daemon(name).start()
    [change] = seen
    assert isinstance(change, RouteChanged)
    assert change.route.destination == prefix


def test_emptying_the_neighbour_cache_is_no_departure(
    routers: Lab, host: Host, prefix: IPv6Network
) -> None:
    node = routers.node("ar2")

    with closing(node.call(NetlinkMonitor, [Group.NEIGHBOUR])) as monitor, changes(node) as seen:
        flush_neighbours(node)
        while not any(
            isinstance(event, NeighbourChanged)
            and event.address == host.source
            and event.state is NeighbourState.REACHABLE
            for event in monitor.read()
        ):
            assert select.select([monitor], [], [], PATIENCE)[0]
        assert reached(routers, prefix)
    assert seen == []
    assert dropped(node) == {}


def test_a_host_that_only_sends_passes_the_filter_of_a_router_that_knows_nobody(
    routers: Lab, host: Host, prefix: IPv6Network
) -> None:
    routers.daemon("ar2").kill()
    flush_neighbours(routers.node("ar2"))
    routers.daemon("ar2").start()
    cn = routers.topology().correspondents["cn"].core.address
    with (
        routers.node("cn").socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener,
        host.node.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender,
    ):
        listener.bind(("::", 0))
        listener.setblocking(False)
        sender.bind((str(prefix[1]), 0))

        def arrived() -> bool:
            sender.sendto(b"here", (str(cn), listener.getsockname()[1]))
            return bool(select.select([listener], [], [], 0.1)[0])

        eventually(arrived)


def test_own_changes_of_the_filter_are_no_news_and_those_of_others_are(lab: Lab) -> None:
    node = lab.node("ar1")
    with (
        closing(node.call(SidFilter)) as mine,
        closing(node.call(SidFilter)) as others,
        closing(node.call(FilterMonitor, TABLE, except_port=mine.port)) as monitor,
    ):
        mine.remove()
        node.run(["nft", "add", "table", "ip6", "another"])
        assert select.select([monitor], [], [], PATIENCE)[0]
        assert not monitor.read()
        others.remove()
        assert select.select([monitor], [], [], PATIENCE)[0]
        assert monitor.read()
