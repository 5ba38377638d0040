"""The desired routes of several routers, put together into a network that forwards packets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel.nftables import Attachment, Members
from moorage.kernel.routes import RouteKind
from moorage.numbers import ROUTER_DOWN_TABLE, ROUTER_LINK_TABLE_BASE
from moorage.router.anchors import LINGER, Anchors
from moorage.router.config import AccessLink, RouterConfig
from moorage.router.mirror import Known, Mirror
from moorage.router.next_hop import next_hop
from moorage.router.paths import Macs, Paths, Traces
from moorage.router.settings import RelayAgent
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import BindingChanged
from tests.bindings import HERE
from tests.domain import START, router_config
from tests.forwarding_network import (
    ANCHORS,
    HOST,
    INTERFACES,
    KNOWN_ROUTERS,
    LINKS,
    MAC,
    MACS,
    OUTSIDE,
    PREFIX,
    ROUTERS,
    TARGET,
    Delivered,
    Desired,
    Dropped,
    Left,
    Network,
)

FIRST = replace(HERE, prefix=PREFIX, next_hop=HOST, valid_until=START + 1e6)

Place = tuple[str, str] | None
places = st.none() | st.tuples(st.sampled_from(sorted(KNOWN_ROUTERS)), st.sampled_from(LINKS))


def put(binding: Binding, place: Place) -> Binding:
    """Return the binding after its host went to a router's link, or nowhere."""
    serving, link = place or (None, None)
    return replace(
        binding,
        serving=serving,
        link=link,
        next_hop=HOST if place else None,
        state=BindingState.ACTIVE if place else BindingState.DETACHED,
        seq=binding.seq + 1,
    )


def history(moves: Sequence[Place]) -> list[Binding]:
    """Return the versions of the binding."""
    versions = [FIRST]
    for place in moves:
        versions.append(put(versions[-1], place))
    return versions


def mirror_of(versions: Sequence[Binding], now: float, anchors: Anchors = ANCHORS) -> Mirror:
    """Return what a router knows that has heard of these versions, each at once."""
    mirror = Mirror(hold=10.0)
    mirror.routers = dict(KNOWN_ROUTERS)
    mirror.anchors = anchors.copy()
    for revision, binding in enumerate(versions):
        mirror.learn(BindingChanged(revision, binding), START)
    mirror.forget(now)
    return mirror


def desired(
    config: RouterConfig,
    mirror: Mirror,
    interfaces: Mapping[str, int] = INTERFACES,
    macs: Macs = MACS,
) -> Desired:
    """Return what a router wants that knows this."""
    paths = Paths(config, interfaces, mirror.routers, mirror.anchors)
    traces = [paths.of(known, macs) for known in mirror.known()]
    routes = [*paths.standing(), *(route for each in traces for route in each.routes)]
    assert len({route.key for route in routes}) == len(routes)
    members = Members(
        tuple(one for each in traces for one in each.members.served),
        tuple(one for each in traces for one in each.members.attached),
    )
    return Desired(frozenset(routes), frozenset(paths.rules()), paths.filter(members))


def wanted(
    number: int, versions: Sequence[Binding], now: float = START, anchors: Anchors = ANCHORS
) -> Desired:
    """Return what the router ``ar<number>`` wants in its kernel."""
    return desired(ROUTERS[number - 1], mirror_of(versions, now, anchors))


def everywhere(
    versions: Sequence[Binding], now: float = START, anchors: Anchors = ANCHORS
) -> Network:
    """Return the network whose routers all know the newest version."""
    return Network(
        {config.id: wanted(i, versions, now, anchors) for i, config in enumerate(ROUTERS, 1)}
    )


@given(st.lists(places, max_size=6), st.sampled_from([START, START + LINGER, START + 11]))
def test_packets_reach_the_host_wherever_it_is(moves: list[Place], now: float) -> None:
    versions = history(moves)
    end = versions[-1]
    network = everywhere(versions, now)
    for entry in KNOWN_ROUTERS:
        found = network.from_core(entry, TARGET, OUTSIDE)
        network.tunnels = 0
        if end.serving is not None:
            assert found == Delivered(end.serving, str(end.link), HOST)
        else:
            assert isinstance(found, Dropped)
            assert found.router == "ar1"


@given(st.lists(places, max_size=6), st.sampled_from([START, START + LINGER]))
def test_packets_of_the_host_leave_from_the_anchor(moves: list[Place], now: float) -> None:
    versions = history(moves)
    end = versions[-1]
    if end.serving is not None and end.link is not None:
        assert everywhere(versions, now).from_host(end.serving, end.link, OUTSIDE) == Left("ar1")


@given(
    st.lists(places, min_size=1, max_size=6),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.sampled_from([START, START + LINGER, START + 11]),
)
def test_no_mixture_of_old_and_new_knowledge_makes_a_loop(
    moves: list[Place], known: tuple[int, int, int], now: float
) -> None:
    versions = history(moves)
    network = Network(
        {
            config.id: wanted(number, versions[: known[number - 1]], now)
            for number, config in enumerate(ROUTERS, 1)
        }
    )
    for entry in KNOWN_ROUTERS:
        network.tunnels = 0
        network.from_core(entry, TARGET, OUTSIDE)
        for link in LINKS:
            network.tunnels = 0
            network.from_host(entry, link, OUTSIDE)
            network.tunnels = 0
            network.from_host(entry, link, TARGET)


@given(st.lists(places.filter(bool), min_size=1, max_size=6))
def test_what_was_under_way_when_the_host_moved_arrives(moves: list[Place]) -> None:
    versions = history(moves)
    old, new = versions[-2:]
    assert old.serving
    assert old.link
    network = everywhere(versions)
    # Sent by the host on its old link, and by the anchor towards its old router.
    assert network.from_host(old.serving, old.link, OUTSIDE) == Left("ar1")
    if old.serving != "ar1":
        network.tunnels = 0
        found = network.from_core(old.serving, TARGET, OUTSIDE, ROUTER_DOWN_TABLE)
        late = old if new.serving != old.serving else new
        assert found == Delivered(str(late.serving), str(late.link), HOST)


@given(st.lists(places, max_size=6))
def test_nothing_is_left_of_a_binding_that_is_released(moves: list[Place]) -> None:
    versions = history(moves)
    released = replace(put(versions[-1], None), state=BindingState.RELEASED)
    for number in (1, 2, 3):
        assert wanted(number, [*versions, released]) == wanted(number, [])


def test_packets_for_a_host_that_left_are_dropped_quietly_and_then_refused() -> None:
    versions = history([("ar2", "acc0"), None])
    assert everywhere(versions).from_core("ar1", TARGET, OUTSIDE) == Dropped(
        "ar1", RouteKind.BLACKHOLE
    )
    assert everywhere(versions, START + 10).from_core("ar1", TARGET, OUTSIDE) == Dropped(
        "ar1", RouteKind.UNREACHABLE
    )


def test_prefixes_that_nobody_has_are_unreachable() -> None:
    other = IPv6Address("2001:db8:a100:43::1")
    assert everywhere([FIRST]).from_core("ar1", other, OUTSIDE) == Dropped(
        "ar1", RouteKind.UNREACHABLE
    )


def test_packets_of_an_unknown_anchor_do_not_leave_as_they_are() -> None:
    foreign = replace(put(FIRST, ("ar2", "acc0")), anchor="ar9")
    assert everywhere([foreign]).from_host("ar2", "acc0", OUTSIDE) == Dropped(
        "ar2", RouteKind.UNREACHABLE
    )


def test_the_rules_are_one_for_each_access_link() -> None:
    rules = {(rule.iif, rule.table) for rule in wanted(1, []).rules}
    assert rules == {("acc0", ROUTER_LINK_TABLE_BASE), ("acc1", ROUTER_LINK_TABLE_BASE + 1)}


def test_the_filter_knows_who_serves_and_who_is_attached() -> None:
    versions = history([("ar2", "acc1")])
    at_anchor, at_serving = wanted(1, versions, START + LINGER), wanted(2, versions)
    assert at_anchor.filter.members == Members(((IPv6Address("2001:db8:c:2::2"), PREFIX),), ())
    assert at_serving.filter.members == Members((), (Attachment("acc1", MAC, PREFIX),))
    assert at_serving.filter.routers == {
        IPv6Address("2001:db8:c:1::2"),
        IPv6Address("2001:db8:c:3::2"),
    }
    assert at_serving.filter.pools == {config.pool for config in ROUTERS}
    assert at_serving.filter.up_sid == ROUTERS[1].sids.up


SIGNED = bytes.fromhex("020000000099")


@pytest.mark.parametrize("claimed", [MACS, {}], ids=["claimed", "not heard"])
def test_what_a_host_has_signed_counts_and_not_what_is_claimed(claimed: Macs) -> None:
    versions = [replace(each, mac=SIGNED) for each in history([("ar2", "acc1")])]
    found = desired(ROUTERS[1], mirror_of(versions, START), macs=claimed)
    gateways = {route.gateway for route in found.routes if route.destination == PREFIX}
    assert gateways == {next_hop(HOST, SIGNED)}
    assert found.filter.members.attached == (Attachment("acc1", SIGNED, PREFIX),)


def test_who_changes_its_link_layer_address_is_sent_to_at_the_new_one() -> None:
    versions = [FIRST, replace(FIRST, seq=2, mac=SIGNED)]
    found = desired(ROUTERS[0], mirror_of(versions, START))
    [route] = [route for route in found.routes if route.destination == PREFIX]
    assert route.gateway == next_hop(HOST, SIGNED)
    assert found.filter.members.attached == (Attachment("acc0", SIGNED, PREFIX),)


def test_the_filter_knows_what_is_right_on_a_link_whoever_sends_it() -> None:
    agent = RelayAgent(address=IPv6Address("fe80::a"), links=[IPv6Network("2001:db8:2001::/60")])
    [first, second] = ROUTERS[0].access
    ours = msgspec.structs.replace(
        first, relays=[agent], other_sources=[IPv6Network("fd00:1::/64")]
    )
    router = msgspec.structs.replace(ROUTERS[0], access=[ours, second])
    local = desired(router, Mirror(0)).filter.local
    assert {str(network) for name, network in local if name == "acc0"} == {
        *("2001:db8:1001::/64", "2001:db8:2001::/60", "fd00:1::/64"),
        *("fe80::/10", "::/128"),
    }
    assert {str(network) for name, network in local if name == "acc1"} == {"fe80::/10", "::/128"}


def test_a_host_whose_address_is_not_known_yet_is_not_attached() -> None:
    assert not desired(ROUTERS[0], mirror_of([FIRST], START), macs={}).filter.members


def test_interfaces_that_are_not_there_have_no_routes() -> None:
    versions = history([("ar2", "acc1")])
    mirror = mirror_of(versions, START)
    for config in ROUTERS:
        routes = desired(config, mirror, interfaces={}).routes
        assert all(route.kind is not RouteKind.UNICAST for route in routes)


# ---- a standby -------------------------------------------------------------------------------


def taken_over(now: float) -> Anchors:
    """``ar2`` has taken the pool of ``ar1`` over at the start."""
    anchors = ANCHORS.copy()
    anchors.learn(replace(ROUTERS[0].anchor(), holder="ar2", epoch=2), START)
    anchors.forget(now)
    return anchors


@given(st.lists(places, max_size=6), st.sampled_from([START, START + LINGER]))
def test_packets_reach_the_host_by_the_standby(moves: list[Place], now: float) -> None:
    versions = history(moves)
    end = versions[-1]
    network = everywhere(versions, now, taken_over(now))
    found = network.from_core("ar2", TARGET, OUTSIDE)
    if end.serving is not None:
        assert found == Delivered(end.serving, str(end.link), HOST)
        network.tunnels = 0
        assert network.from_host(end.serving, str(end.link), OUTSIDE) == Left("ar2")
    else:
        assert isinstance(found, Dropped)
        assert found.router == "ar2"


@given(st.lists(places, max_size=6))
def test_who_held_the_pool_goes_on_for_a_moment_with_what_comes_to_him(moves: list[Place]) -> None:
    versions = history(moves)
    end = versions[-1]
    if end.serving is not None:
        network = everywhere(versions, START + LINGER, taken_over(START))
        found = network.from_core("ar1", TARGET, OUTSIDE)
        assert found == Delivered(end.serving, str(end.link), HOST)


def test_who_held_the_pool_has_nothing_of_it_left_in_the_end() -> None:
    anchors = taken_over(START + LINGER)
    left = wanted(1, history([("ar3", "acc0")]), START + LINGER, anchors)
    assert left == wanted(1, [], START + LINGER, anchors)
    destinations = {route.destination for route in left.routes if route.destination.prefixlen}
    assert not any(each.overlaps(ROUTERS[0].pool) for each in destinations)


@given(
    st.lists(places, min_size=1, max_size=6),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.tuples(*[st.sampled_from([ANCHORS, taken_over(START), taken_over(START + LINGER)])] * 3),
)
def test_no_mixture_of_knowledge_about_holders_makes_a_loop(
    moves: list[Place], known: tuple[int, int, int], anchors: tuple[Anchors, Anchors, Anchors]
) -> None:
    """Between routers; what the core brings to the wrong one does not go back there."""
    versions = history(moves)
    network = Network(
        {
            config.id: wanted(number, versions[: known[number - 1]], START, anchors[number - 1])
            for number, config in enumerate(ROUTERS, 1)
        }
    )
    for entry in KNOWN_ROUTERS:
        for link in LINKS:
            network.tunnels = 0
            network.from_host(entry, link, OUTSIDE)
        network.tunnels = 0
        network.from_core(entry, TARGET, OUTSIDE, ROUTER_DOWN_TABLE)


# ---- links and addresses -------------------------------------------------------------------------


def test_a_single_address_leaves_no_trace() -> None:
    address = replace(FIRST, prefix=IPv6Network("2001:db8:1001::5"))
    for place in (("ar1", "acc0"), ("ar2", "acc0"), None):
        for number in (1, 2):
            assert wanted(number, [address, put(address, place)]) == wanted(number, [])
    assert Paths(ROUTERS[0], INTERFACES, KNOWN_ROUTERS, ANCHORS).delivery(address) == []


def test_what_is_behind_a_relay_agent_is_handed_to_it() -> None:
    agent = RelayAgent(address=IPv6Address("fe80::5"), links=[IPv6Network("2001:db8:88::/64")])
    pool = IPv6Network("2001:db8:99::/120")
    link = AccessLink(interface="acc0", address_pool=pool, relays=[agent])
    routes = desired(router_config(access=[link]), mirror_of([], START)).routes
    found = {(route.destination, route.gateway, route.interface) for route in routes}
    assert (agent.links[0], agent.address, INTERFACES["acc0"]) in found
    assert (pool, None, INTERFACES["acc0"]) in found


def test_an_address_has_no_route_of_its_own_and_its_host_a_place() -> None:
    address = replace(FIRST, prefix=IPv6Network("2001:db8:1001::7/128"))
    paths = Paths(ROUTERS[0], INTERFACES, KNOWN_ROUTERS, ANCHORS)
    assert paths.of(Known(1, address), MACS) == Traces(places=(("acc0", HOST),))
    assert paths.of(Known(1, put(address, ("ar2", "acc0"))), MACS) == Traces()
