"""The kernel follows what is known, a binding at a time or as a whole."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.kernel.fake import FakeKernel
from moorage.kernel.fake_filter import FakeSidFilter
from moorage.kernel.links import Link
from moorage.kernel.nftables import Members
from moorage.kernel.routes import Add, Remove, Route
from moorage.numbers import ROUTE_PROTOCOL, ROUTER_DOWN_TABLE
from moorage.router.anchors import Anchors
from moorage.router.forwarding import Forwarding
from moorage.router.mirror import Mirror
from moorage.router.next_hop import is_in_force, next_hop, next_hops
from moorage.router.paths import MAIN_TABLE, Paths
from moorage.router.too_big import Tunnelled
from moorage.store.model import Binding
from moorage.store.protocol import BindingChanged, BindingGone
from tests.bindings import HERE, NOWHERE
from tests.domain import SOURCE, START, router_config

CONFIG = router_config()
INTERFACES = {"core0": 1, "acc0": 2, "acc1": 3}
MAC = b"\x02\0\0\0\0\x01"
OTHER_MAC = b"\x02\0\0\0\0\x02"
OUTSIDE = IPv6Address("2001:db8:c0::2")


class World:
    """A router's forwarding on a kernel in memory."""

    def __init__(self) -> None:
        self.kernel = FakeKernel(
            Link(index, name, MAC, 1500, up=True, carrier=True, loopback=False)
            for name, index in INTERFACES.items()
        )
        self.table = self.kernel.route_table()
        self.filter = FakeSidFilter()
        self.mirror = Mirror(hold=10.0)
        self.mirror.routers = {f"ar{n}": router_config(n).router() for n in (1, 2)}
        self.mirror.anchors = Anchors(router_config(n).anchor() for n in (1, 2))
        self.complaints: list[str] = []
        self.macs = {("acc0", SOURCE): MAC}
        self.forwarding = self.new_life()

    def new_life(self) -> Forwarding:
        """What a daemon knows that has just been started."""
        made = Forwarding(
            CONFIG,
            self.mirror,
            self.table,
            self.filter,
            self.kernel.neighbour_table(),
            self.complaints.append,
        )
        for place, mac in self.macs.items():
            made.heard(place, mac)
        made.resync(INTERFACES)
        return made

    def check(self) -> None:
        """The kernel has exactly what should be there."""
        paths = Paths(CONFIG, INTERFACES, self.mirror.routers, self.mirror.anchors)
        traces = [paths.of(known, self.macs) for known in self.mirror.known()]
        routes = {route for each in traces for route in each.routes}
        served = frozenset(one for each in traces for one in each.members.served)
        attached = frozenset(one for each in traces for one in each.members.attached)
        hops = self.kernel.neighbour_table().neighbours()
        assert {(each.interface, each.address) for each in hops} == next_hops(routes)
        assert all(map(is_in_force, hops))
        assert self.table.routes(ROUTE_PROTOCOL) == routes.union(paths.standing())
        assert self.table.rules(ROUTE_PROTOCOL) == paths.rules()
        wanted, found = paths.filter(Members(served, attached)), self.filter.state
        assert found is not None
        # A length that nobody has any more may be left.
        assert found.lengths >= wanted.lengths
        assert replace(found, lengths=wanted.lengths) == wanted
        assert self.complaints == []


@pytest.fixture
def world() -> World:
    return World()


def binding(
    number: int, place: tuple[str, str] | None, seq: int, mac: bytes | None = None
) -> Binding:
    """Number 3 and 6 are of a length that the router itself gives nobody."""
    found = replace(
        HERE if place else NOWHERE,
        prefix=IPv6Network(f"2001:db8:a1{number:02x}::/{64 if number % 3 else 56}"),
        iaid=number,
        anchor="ar1" if number % 2 else "ar2",
        seq=seq,
    )
    if place is None:
        return found
    serving, link = place
    return replace(found, serving=serving, link=link, mac=mac)


def test_changes_one_by_one_lead_where_a_resync_leads(world: World) -> None:
    source = random.Random(3)
    places = [None, ("ar1", "acc0"), ("ar1", "acc1"), ("ar2", "acc0")]
    now = START
    for revision in range(300):
        now += source.choice([0.0, 0.5, 5.0])
        world.forwarding.update(world.mirror.forget(now))
        number = source.randint(1, 6)
        mac = source.choice([None, MAC, OTHER_MAC])
        changed = binding(number, source.choice(places), revision + 1, mac)
        if source.random() < 0.5:
            world.forwarding.prepare([changed])
        if source.random() < 0.1:
            world.mirror.learn(BindingGone(revision, changed.prefix), now)
        else:
            world.mirror.learn(BindingChanged(revision, changed), now)
        world.forwarding.update([changed.prefix])
        world.check()


def test_what_somebody_took_away_is_put_back(world: World) -> None:
    world.mirror.learn(BindingChanged(1, binding(1, ("ar1", "acc0"), 1)), START)
    world.forwarding.update([binding(1, None, 1).prefix])
    world.table.apply([Remove(route) for route in world.table.routes(ROUTE_PROTOCOL)])
    for rule in world.table.rules(ROUTE_PROTOCOL):
        world.table.remove_rule(rule)
    world.filter.remove()
    world.forwarding.resync(INTERFACES)
    world.check()


def test_who_stands_for_a_host_is_put_back_as_long_as_it_is_there(world: World) -> None:
    mine = binding(1, ("ar1", "acc0"), 1, MAC)
    world.mirror.learn(BindingChanged(1, mine), START)
    world.forwarding.update([mine.prefix])
    hop = next_hop(SOURCE, MAC)
    neighbours = world.kernel.neighbour_table()
    neighbours.remove(INTERFACES["acc0"], hop)
    world.forwarding.restore("acc0", hop)
    world.check()
    neighbours.set_permanent(INTERFACES["acc0"], hop, OTHER_MAC)
    world.forwarding.resync(INTERFACES)
    world.check()
    world.mirror.learn(BindingChanged(2, binding(1, None, 2)), START)
    world.forwarding.update([mine.prefix])
    world.forwarding.restore("acc0", hop)
    world.check()


def test_a_second_life_takes_up_the_first_ones_routes(world: World) -> None:
    world.mirror.learn(BindingChanged(1, binding(1, ("ar1", "acc0"), 1, MAC)), START)
    world.forwarding.update([binding(1, None, 1).prefix])
    gone = next_hop(SOURCE, OTHER_MAC)
    world.kernel.neighbour_table().set_permanent(INTERFACES["acc0"], gone, OTHER_MAC)
    world.new_life()
    world.check()


def test_routes_of_others_are_left_alone(world: World) -> None:
    others = world.kernel.route_table(protocol=4)
    route = Route(IPv6Network("2001:db8:77::/48"), MAIN_TABLE, interface=1)
    others.apply([Add(route)])
    world.forwarding.resync(INTERFACES)
    assert others.routes(4) == {route}


def test_a_host_with_a_new_address_is_attached_by_it(world: World) -> None:
    place = ("acc0", SOURCE)
    mine = binding(1, place_of("ar1"), 1)
    world.mirror.learn(BindingChanged(1, mine), START)
    world.forwarding.update([mine.prefix])
    world.macs[place] = b"\x02\0\0\0\0\x09"
    world.forwarding.heard(place, world.macs[place])
    world.check()
    assert [known.binding for known in world.forwarding.at(place)] == [mine]
    assert list(world.forwarding.places()) == [place]
    assert world.forwarding.at(("acc0", IPv6Address("fe80::9"))) == []
    moved = binding(1, place_of("ar2"), 2)
    world.mirror.learn(BindingChanged(2, moved), START)
    assert [known.binding for known in world.forwarding.at(place)] == [moved]


def test_the_address_of_a_host_is_known_for_as_long_as_it_is_needed(world: World) -> None:
    place = ("acc0", SOURCE)
    mine = binding(1, place_of("ar1"), 1)
    world.mirror.learn(BindingChanged(1, mine), START)
    world.forwarding.update([mine.prefix])
    world.forwarding.forgotten(place)
    assert world.forwarding.has_heard(place)
    world.mirror.learn(BindingGone(2, mine.prefix), START)
    world.forwarding.update([mine.prefix])
    world.forwarding.forgotten(place)
    assert not world.forwarding.has_heard(place)
    assert list(world.forwarding.places()) == []


def place_of(router: str) -> tuple[str, str]:
    return router, "acc0"


def test_what_the_kernel_refuses_is_reported(world: World) -> None:
    world.kernel.remove_link(2)
    mine = binding(1, ("ar1", "acc0"), 1)
    world.mirror.learn(BindingChanged(1, mine), START)
    world.forwarding.update([mine.prefix])
    assert world.complaints
    assert all("the kernel refused" in complaint for complaint in world.complaints)


def delivered(world: World, prefix: IPv6Network) -> set[Route]:
    routes = world.table.routes(ROUTE_PROTOCOL)
    return {route for route in routes if route.destination == prefix}


def test_what_is_prepared_delivers_from_the_down_table_only(world: World) -> None:
    coming = binding(2, ("ar1", "acc0"), seq=1)
    world.forwarding.prepare([coming])
    [route] = delivered(world, coming.prefix)
    assert (route.table, route.gateway) == (ROUTER_DOWN_TABLE, SOURCE)
    assert route.interface == INTERFACES["acc0"]


def test_what_was_prepared_and_committed_is_as_it_should_be(world: World) -> None:
    coming = binding(2, ("ar1", "acc0"), seq=1)
    world.forwarding.prepare([coming])
    world.mirror.learn(BindingChanged(1, coming), START)
    world.forwarding.update([coming.prefix])
    world.check()


def test_what_was_prepared_in_vain_is_undone(world: World) -> None:
    lost = binding(2, ("ar1", "acc0"), seq=2)
    world.mirror.learn(BindingChanged(1, binding(2, ("ar2", "acc0"), seq=1)), START)
    world.forwarding.update([lost.prefix])
    world.forwarding.prepare([lost])
    world.forwarding.update([lost.prefix])
    world.check()


def test_what_others_serve_is_not_prepared(world: World) -> None:
    elsewhere = binding(1, ("ar2", "acc0"), seq=1)
    world.forwarding.prepare([elsewhere])
    assert delivered(world, elsewhere.prefix) == set()


def test_a_host_that_comes_home_is_delivered_to_when_its_binding_is_changed(world: World) -> None:
    home = binding(1, ("ar1", "acc0"), seq=1)
    world.forwarding.prepare([home])
    assert delivered(world, home.prefix) == set()


def test_a_filter_that_somebody_took_away_is_made_anew(world: World) -> None:
    world.filter.remove()
    mine = binding(1, ("ar1", "acc0"), 1)
    world.mirror.learn(BindingChanged(1, mine), START)
    world.forwarding.update([mine.prefix])
    world.check()


def test_what_the_kernel_refused_is_tried_again(world: World) -> None:
    link = world.kernel.links[2]
    world.kernel.remove_link(2)
    mine = binding(1, ("ar1", "acc0"), 1)
    world.mirror.learn(BindingChanged(1, mine), START)
    world.forwarding.update([mine.prefix])
    assert world.complaints
    world.complaints.clear()
    world.kernel.set_link(link)
    world.forwarding.update([mine.prefix])
    assert {route.destination for route in world.table.routes(ROUTE_PROTOCOL)} >= {mine.prefix}
    world.forwarding.resync_routes()
    world.check()


def test_only_packets_of_our_own_paths_are_ours(world: World) -> None:
    visiting, away = binding(2, ("ar1", "acc0"), seq=1), binding(3, ("ar2", "acc0"), seq=1)
    for number, each in enumerate((visiting, away), 1):
        world.mirror.learn(BindingChanged(number, each), START)
    world.forwarding.update([visiting.prefix, away.prefix])
    other = router_config(2).sids
    up = Tunnelled(CONFIG.core_address, other.up, visiting.prefix[7], OUTSIDE)
    down = Tunnelled(CONFIG.core_address, other.down, OUTSIDE, away.prefix[7 << 64])
    for packet in (up, down):
        assert world.forwarding.sends(packet)
        assert not world.forwarding.sends(replace(packet, outer_source=OUTSIDE))
        assert not world.forwarding.sends(replace(packet, outer_destination=CONFIG.sids.up))
    assert not world.forwarding.sends(replace(up, outer_destination=other.down))
    assert not world.forwarding.sends(replace(down, destination=visiting.prefix[7]))


@pytest.mark.parametrize("repair", ["resync_routes", "resync_filter"])
@pytest.mark.parametrize("comes", [True, False])
def test_what_is_repaired_while_a_host_comes(world: World, repair: str, comes: bool) -> None:
    coming = binding(2, ("ar1", "acc0"), seq=2)
    world.mirror.learn(BindingChanged(1, binding(2, ("ar2", "acc0"), seq=1)), START)
    world.forwarding.update([coming.prefix])
    world.forwarding.prepare([coming])
    getattr(world.forwarding, repair)()
    if comes:
        world.mirror.learn(BindingChanged(2, coming), START)
    world.forwarding.update([coming.prefix])
    world.check()
