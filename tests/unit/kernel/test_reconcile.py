"""From routes that should be to changes, against a model of what Linux does with them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel.fake import FakeKernel
from moorage.kernel.reconcile import Reconciler, difference, resync_routes
from moorage.kernel.routes import Add, Remove, Route, RouteChange
from moorage.numbers import ROUTE_PROTOCOL

PREFIXES = [IPv6Network((number << 64, 64)) for number in range(3)]

ROUTES = st.builds(
    Route,
    destination=st.sampled_from(PREFIXES),
    table=st.sampled_from([254, 300]),
    source=st.sampled_from([None, *PREFIXES[1:]]),
    gateway=st.sampled_from([None, IPv6Address("fe80::1"), IPv6Address("fe80::2")]),
    interface=st.just(1),
    metric=st.sampled_from([1, 1024]),
    mtu=st.sampled_from([0, 1400]),
)
ACTUAL = st.frozensets(ROUTES)
DESIRED = st.lists(ROUTES, unique_by=lambda route: route.key).map(frozenset)


def carry_out(changes: list[RouteChange], actual: frozenset[Route]) -> set[Route]:
    """What Linux does: an Add takes the place of at most one route with its key."""
    routes = sorted(actual, key=repr)
    for change in changes:
        route = change.route
        if isinstance(change, Remove):
            routes.remove(route)
            continue
        same = [n for n, other in enumerate(routes) if other.key == route.key]
        if same:
            routes[same[0]] = route
        else:
            routes.append(route)
    assert len(set(routes)) == len(routes)
    return set(routes)


@given(DESIRED, ACTUAL)
def test_the_difference_leads_to_what_is_desired(
    desired: frozenset[Route], actual: frozenset[Route]
) -> None:
    assert carry_out(difference(desired, actual), actual) == desired


@given(DESIRED)
def test_nothing_to_do(desired: frozenset[Route]) -> None:
    assert difference(desired, desired) == []


@given(DESIRED, DESIRED)
def test_no_route_is_away_while_it_is_replaced(
    desired: frozenset[Route], actual: frozenset[Route]
) -> None:
    changes = difference(desired, actual)
    kept = {route.key for route in desired}
    assert not any(isinstance(c, Remove) and c.route.key in kept for c in changes)
    kinds = [type(change) for change in changes]
    assert kinds == sorted(kinds, key=[Add, Remove].index)
    assert {c.route for c in changes if isinstance(c, Add)} == desired - actual


def test_two_desired_routes_with_one_key() -> None:
    route = Route(PREFIXES[0], 254, interface=1)
    with pytest.raises(ValueError, match="same destination"):
        difference({route, Route(PREFIXES[0], 254, interface=2)}, set())


@given(st.lists(DESIRED, max_size=5), DESIRED, st.booleans())
def test_it_ends_in_what_is_desired_whatever_happened_before(
    lives: list[frozenset[Route]], last: frozenset[Route], look: bool
) -> None:
    kernel = FakeKernel()
    foreign = Route(PREFIXES[0], 999, interface=1)
    others = kernel.route_table(4)
    assert others.apply([Add(foreign)]) == [None]
    reconciler = Reconciler(kernel.route_table())
    for desired in lives:
        assert reconciler.apply(desired) == []
    if look:
        # Somebody took a part away, and an earlier life left others.
        intruder = kernel.route_table()
        intruder.apply([Remove(route) for route in sorted(last, key=repr)[::2]])
        intruder.apply([Add(route) for route in sorted(last, key=repr)[1::3]])
        assert reconciler.resync(last) == []
    else:
        assert reconciler.apply(last) == []
    assert kernel.route_table().routes(ROUTE_PROTOCOL) == last
    assert others.routes(4) == {foreign}


def test_very_many_routes() -> None:
    table = FakeKernel().route_table()
    routes = [Route(IPv6Network((number << 64, 64)), 254, interface=1) for number in range(5000)]
    assert resync_routes(table, iter(routes[:4000])) == []
    changed = [replace(route, mtu=1400) for route in routes[2000:3000]]
    assert resync_routes(table, iter([*changed, *routes[3000:]])) == []
    assert table.routes(ROUTE_PROTOCOL) == {*changed, *routes[3000:]}
