"""Routes, rules and the reconciler: in memory and in the kernel."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.reconcile import Reconciler, resync_rules
from moorage.kernel.routes import (
    Add,
    Remove,
    Route,
    RouteKind,
    RouteTable,
    Rule,
    Seg6Encap,
    Seg6EndDT6,
)
from moorage.numbers import ROUTE_PROTOCOL

if TYPE_CHECKING:
    from tests.kernel.conftest import World

PREFIX = IPv6Network("2001:db8:1::/64")
DEFAULT = IPv6Network("::/0")
NEXT = IPv6Address("fe80::1")
SEGMENT = Seg6Encap(IPv6Address("2001:db8:5:2::d"))
OTHER = 4


def zoo(link: int) -> set[Route]:
    """A route of every form that hosts and routers use."""
    return {
        Route(PREFIX, 254, gateway=NEXT, interface=link),
        Route(PREFIX, 10_901, gateway=NEXT, interface=link),
        Route(PREFIX, 254, gateway=NEXT, interface=link, metric=2048),
        Route(PREFIX, 254, interface=link, metric=1),
        Route(DEFAULT, 10_901, RouteKind.BLACKHOLE),
        Route(PREFIX, 10_902, RouteKind.UNREACHABLE, metric=4_294_967_295),
        Route(DEFAULT, 11_000, source=PREFIX, interface=link, encap=SEGMENT),
        Route(
            DEFAULT, 11_000, source=IPv6Network("2001:db8:2::/64"), interface=link, encap=SEGMENT
        ),
        Route(DEFAULT, 10_900, source=PREFIX, gateway=NEXT, interface=link, mtu=1436, advmss=1376),
        Route(DEFAULT, 10_903, gateway=NEXT, interface=link, mtu=1436),
        Route(DEFAULT, 10_904, gateway=NEXT, interface=link, advmss=1376),
        Route(IPv6Network("2001:db8:5:1::e/128"), 254, interface=link, encap=Seg6EndDT6(254)),
        Route(IPv6Network("2001:db8:5:1::d/128"), 254, interface=link, encap=Seg6EndDT6(10_901)),
        Route(IPv6Network("2001:db8:3::/64"), 254, gateway=NEXT, interface=link, encap=SEGMENT),
    }


def put(table: RouteTable, *routes: Route) -> None:
    assert table.apply([Add(route) for route in routes]) == [None] * len(routes)


def codes(results: list[OSError | None]) -> list[int | None]:
    return [error.errno if error else None for error in results]


def test_what_was_added_is_listed(world: World) -> None:
    table = world.route_table()
    routes = zoo(world.add_link("access"))
    put(table, *routes)
    assert table.routes(ROUTE_PROTOCOL) == routes


def test_what_was_removed_is_gone(world: World) -> None:
    table = world.route_table()
    routes = zoo(world.add_link("access"))
    put(table, *routes)
    assert codes(table.apply([Remove(route) for route in routes])) == [None] * len(routes)
    assert table.routes(ROUTE_PROTOCOL) == set()


def test_a_route_takes_the_place_of_one_with_its_key(world: World) -> None:
    table = world.route_table()
    link, other = world.add_link("access"), world.add_link("core")
    for route in (
        Route(PREFIX, 300, gateway=NEXT, interface=link),
        Route(PREFIX, 300, gateway=IPv6Address("fe80::2"), interface=link),
        Route(PREFIX, 300, gateway=NEXT, interface=other),
        Route(PREFIX, 300, interface=other),
        Route(PREFIX, 300, interface=other, encap=SEGMENT),
        Route(PREFIX, 300, interface=other, encap=Seg6Encap(IPv6Address("2001:db8:5:3::d"))),
        Route(PREFIX, 300, RouteKind.BLACKHOLE),
        Route(PREFIX, 300, gateway=NEXT, interface=link, mtu=1400),
        Route(PREFIX, 300, gateway=NEXT, interface=link),
    ):
        put(table, route)
        assert table.routes(ROUTE_PROTOCOL) == {route}


def test_other_metrics_tables_and_sources_stay(world: World) -> None:
    table = world.route_table()
    link = world.add_link("access")
    route = Route(PREFIX, 300, interface=link)
    others = {
        replace(route, metric=5),
        replace(route, table=301),
        replace(route, source=IPv6Network("2001:db8:9::/64")),
    }
    put(table, route, *others)
    table.apply([Remove(route)])
    assert table.routes(ROUTE_PROTOCOL) == others


def test_removing_what_is_not_there(world: World) -> None:
    table = world.route_table()
    link = world.add_link("access")
    route = Route(PREFIX, 300, gateway=NEXT, interface=link)
    put(table, route)
    missing = (
        replace(route, gateway=IPv6Address("fe80::2")),
        replace(route, table=301),
        replace(route, metric=1),
        replace(route, metric=1, source=PREFIX),
    )
    assert codes(table.apply([Remove(gone) for gone in missing])) == [errno.ESRCH] * 4
    assert table.routes(ROUTE_PROTOCOL) == {route}


def test_routes_of_others_are_neither_listed_nor_removed(world: World) -> None:
    ours, theirs = world.route_table(), world.route_table(OTHER)
    link = world.add_link("access")
    route = Route(PREFIX, 300, interface=link)
    put(theirs, route)
    assert ours.routes(ROUTE_PROTOCOL) == set()
    assert codes(ours.apply([Remove(route)])) == [errno.ESRCH]
    assert ours.routes(OTHER) == {route}


def test_each_change_has_its_own_error(world: World) -> None:
    table = world.route_table()
    link, down = world.add_link("access"), world.add_link("core")
    world.set_down(down)
    results = table.apply(
        [
            Add(Route(PREFIX, 300, interface=link)),
            Add(Route(PREFIX, 301, interface=999)),
            Add(Route(PREFIX, 302)),
            Add(Route(PREFIX, 303, interface=down)),
            Add(Route(PREFIX, 304, gateway=NEXT)),
            Add(Route(PREFIX, 305, RouteKind.BLACKHOLE)),
        ]
    )
    refused = [errno.ENODEV, errno.ENODEV, errno.ENETDOWN, errno.EINVAL]
    assert codes(results) == [None, *refused, None]
    assert {route.table for route in table.routes(ROUTE_PROTOCOL)} == {300, 305}


def test_a_preferred_source_is_an_address_of_this_host(world: World) -> None:
    table, link = world.route_table(), world.add_link("access")
    route = Route(PREFIX, 300, interface=link, preferred_source=IPv6Address("2001:db8::7"))
    assert codes(table.apply([Add(route)])) == [errno.EINVAL]
    world.add_address("2001:db8::7", 128)
    put(table, route)
    assert table.routes(ROUTE_PROTOCOL) == {route}


def test_thousands_of_changes_in_one_call(world: World) -> None:
    table = world.route_table()
    link = world.add_link("access")
    prefixes = list(IPv6Network("2001:db8::/32").subnets(new_prefix=44))
    routes = [
        Route(prefix, 254, interface=999 if number % 100 == 0 else link, encap=SEGMENT)
        for number, prefix in enumerate(prefixes)
    ]
    results = table.apply([Add(route) for route in routes])
    assert [n for n, error in enumerate(results) if error] == list(range(0, len(routes), 100))
    assert table.routes(ROUTE_PROTOCOL) == {route for route in routes if route.interface == link}


def test_a_link_that_goes_down_takes_its_routes(world: World) -> None:
    table = world.route_table()
    link, other = world.add_link("access"), world.add_link("core")
    put(table, Route(PREFIX, 300, interface=link), Route(PREFIX, 301, interface=other))
    world.set_down(link)
    assert {route.table for route in table.routes(ROUTE_PROTOCOL)} == {301}


RULES = {
    Rule(100, 300),
    Rule(100, 301, iif="access"),
    Rule(10_900, 10_900, source=PREFIX),
    Rule(11_000, 11_000, iif="access", source=IPv6Network("2001:db8::/32")),
}


def test_rules(world: World) -> None:
    table, others = world.route_table(), world.route_table(OTHER)
    theirs = Rule(99, 400)
    others.add_rule(theirs)
    for rule in RULES:
        table.add_rule(rule)
    assert table.rules(ROUTE_PROTOCOL) == RULES
    assert table.rules(OTHER) == {theirs}
    with pytest.raises(OSError, match="File exists"):
        table.add_rule(Rule(100, 300))
    for rule in RULES:
        table.remove_rule(rule)
    assert table.rules(ROUTE_PROTOCOL) == set()
    with pytest.raises(OSError, match="No such file"):
        table.remove_rule(Rule(100, 300))
    with pytest.raises(OSError, match="No such file"):
        table.remove_rule(theirs)


def test_rules_are_made_as_they_should_be(world: World) -> None:
    table, others = world.route_table(), world.route_table(OTHER)
    others.add_rule(Rule(99, 400))
    table.add_rule(Rule(98, 300))
    for _ in range(2):
        resync_rules(table, RULES)
        assert table.rules(ROUTE_PROTOCOL) == RULES
    assert table.rules(OTHER) == {Rule(99, 400)}


def test_reconciler_follows_what_is_desired(world: World) -> None:
    table = world.route_table()
    link = world.add_link("access")
    reconciler = Reconciler(table)
    first = zoo(link)
    moved = {replace(route, gateway=IPv6Address("fe80::9")) for route in first if route.gateway}
    for desired in (first, moved, set[Route](), first):
        assert reconciler.apply(desired) == []
        assert table.routes(ROUTE_PROTOCOL) == desired


def test_what_differs_from_what_is_desired(world: World) -> None:
    table, others = world.route_table(), world.route_table(OTHER)
    link = world.add_link("access")
    routes = zoo(link)
    there = table.listing()
    assert {*there.missing(routes)} == routes
    assert there.surplus() == set()
    put(table, *routes)
    put(others, Route(PREFIX, 600, interface=link))
    there = table.listing()
    assert there.twins() == set()
    assert there.surplus() == routes
    assert there.missing(routes) == []
    assert there.surplus() == set()
    changed = {replace(route, mtu=1300) for route in routes if route.mtu}
    others_of_ours = {
        replace(route, metric=route.metric - 1)
        for route in routes
        if route.metric > 1 and not route.mtu
    }
    there = table.listing()
    assert {*there.missing(changed | others_of_ours)} == changed | others_of_ours
    assert there.surplus() == {route for route in routes if not route.mtu}


def test_reconciler_repairs_what_others_did(world: World) -> None:
    table, ours_elsewhere = world.route_table(), world.route_table()
    link = world.add_link("access")
    reconciler = Reconciler(table)
    desired = zoo(link)
    assert reconciler.apply(desired) == []
    victims = sorted(desired, key=repr)[:4]
    leftover = Route(PREFIX, 500, RouteKind.BLACKHOLE)
    ours_elsewhere.apply([*(Remove(route) for route in victims), Add(leftover)])
    assert reconciler.resync(desired) == []
    assert table.routes(ROUTE_PROTOCOL) == desired


def test_a_new_reconciler_takes_over(world: World) -> None:
    table = world.route_table()
    link = world.add_link("access")
    assert Reconciler(table).apply(zoo(link)) == []
    successor = Reconciler(table)
    desired = {route for route in zoo(link) if route.gateway}
    assert successor.resync(desired) == []
    assert table.routes(ROUTE_PROTOCOL) == desired


def test_what_failed_is_tried_again(world: World) -> None:
    table = world.route_table()
    link = world.add_link("access")
    reconciler = Reconciler(table)
    good, bad = Route(PREFIX, 300, interface=link), Route(PREFIX, 301, interface=link + 2)
    [(change, error)] = reconciler.apply({good, bad})
    assert (change, error.errno) == (Add(bad), errno.ENODEV)
    assert table.routes(ROUTE_PROTOCOL) == {good}
    while world.add_link(f"core{link}") < bad.interface:
        link += 1
    assert reconciler.apply({good, bad}) == []
    assert table.routes(ROUTE_PROTOCOL) == {good, bad}


def test_removing_what_went_by_itself_is_no_failure(world: World) -> None:
    table = world.route_table()
    link = world.add_link("access")
    reconciler = Reconciler(table)
    assert reconciler.apply({Route(PREFIX, 300, interface=link)}) == []
    world.remove_link(link)
    assert reconciler.apply(set()) == []
