"""The monitor: in memory and in the kernel."""

from __future__ import annotations

import os
import select
import socket
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.addresses import Address, AddressFlags
from moorage.kernel.fake import FakeKernel
from moorage.kernel.monitor import (
    AddressChanged,
    AddressRemoved,
    Group,
    LinkChanged,
    LinkRemoved,
    NeighbourChanged,
    NeighbourState,
    RouteChanged,
    RouteRemoved,
    RuleChanged,
    RuleRemoved,
)
from moorage.kernel.netlink import Overrun
from moorage.kernel.routes import Add, Remove, Route, RouteChange, RouteKind, Rule
from moorage.numbers import ROUTE_PROTOCOL

if TYPE_CHECKING:
    from tests.kernel.conftest import Ip, KernelWorld, World

ADDRESS = Address(IPv6Address("2001:db8:1::5"), 1, 128, 0, None, ROUTE_PROTOCOL)
BLACKHOLE = Route(IPv6Network("2001:db8:1::/64"), 300, RouteKind.BLACKHOLE)
NEIGHBOUR = IPv6Address("fe80::1")
MAC = bytes.fromhex("020000000001")
GONE = NeighbourState.NONE


def test_links(world: World) -> None:
    monitor = world.monitor([Group.LINK])
    index = world.add_link("access")
    world.wait(monitor, lambda e: isinstance(e, LinkChanged) and e.link.name == "access")
    world.set_down(index)
    world.wait(monitor, lambda e: isinstance(e, LinkChanged) and not e.link.up)
    world.remove_link(index)
    world.wait(monitor, lambda e: e == LinkRemoved(index, "access"))


def test_addresses(world: World) -> None:
    monitor, table = world.monitor([Group.ADDRESS]), world.address_table()
    table.add(ADDRESS)
    works = AddressFlags.DEPRECATED | AddressFlags.PERMANENT
    *_, last = world.wait(
        monitor, lambda e: isinstance(e, AddressChanged) and e.address.flags == works
    )
    assert isinstance(last, AddressChanged)
    assert last.address.address == ADDRESS.address
    table.remove(ADDRESS)
    *_, event = world.wait(monitor, lambda e: isinstance(e, AddressRemoved))
    assert event == AddressRemoved(last.address)


def test_routes_and_rules_of_others(world: World) -> None:
    monitor, others = world.monitor([Group.ROUTE, Group.RULE]), world.route_table(4)
    assert others.apply([Add(BLACKHOLE), Remove(BLACKHOLE)]) == [None, None]
    others.add_rule(Rule(100, 300))
    others.remove_rule(Rule(100, 300))
    assert world.wait(monitor, lambda e: isinstance(e, RuleRemoved)) == [
        RouteChanged(4, BLACKHOLE),
        RouteRemoved(4, BLACKHOLE),
        RuleChanged(4, Rule(100, 300)),
        RuleRemoved(4, Rule(100, 300)),
    ]


def test_own_changes_are_no_news(world: World) -> None:
    table, intruder = world.route_table(), world.route_table()
    monitor = world.monitor([Group.ROUTE, Group.RULE], except_port=table.port)
    assert table.apply([Add(BLACKHOLE)]) == [None]
    table.add_rule(Rule(100, 300))
    assert intruder.apply([Remove(BLACKHOLE)]) == [None]
    assert world.wait(monitor, lambda _: True) == [RouteRemoved(ROUTE_PROTOCOL, BLACKHOLE)]


def test_routes_that_go_with_their_link(world: World) -> None:
    table = world.route_table()
    index = world.add_link("access")
    route = Route(BLACKHOLE.destination, 300, interface=index)
    assert table.apply([Add(route)]) == [None]
    monitor = world.monitor([Group.ROUTE], except_port=table.port)
    world.set_down(index)
    world.wait(monitor, lambda e: e == RouteRemoved(ROUTE_PROTOCOL, route))


def test_only_the_groups_that_were_asked_for(world: World) -> None:
    monitor, table = world.monitor([Group.RULE]), world.route_table()
    assert table.apply([Add(BLACKHOLE)]) == [None]
    table.add_rule(Rule(100, 300))
    assert world.wait(monitor, lambda _: True) == [RuleChanged(ROUTE_PROTOCOL, Rule(100, 300))]
    assert monitor.read() == []
    assert select.select([monitor], [], [], 0)[0] == []


@pytest.mark.netns
def test_neighbours(kernel: KernelWorld, ip: Ip) -> None:
    index = kernel.add_link("access")
    monitor = kernel.monitor([Group.NEIGHBOUR])
    entry = ("fe80::1", "dev", "access")
    ip("-6", "neighbour", "add", *entry, "lladdr", MAC.hex(":"), "nud", "permanent")
    ip("-4", "neighbour", "add", "192.0.2.1", "dev", "access", "lladdr", MAC.hex(":"))
    ip("-6", "neighbour", "delete", *entry)
    added = NeighbourChanged(index, NEIGHBOUR, MAC, NeighbourState.PERMANENT)
    gone = [NeighbourChanged(index, NEIGHBOUR, mac, GONE) for mac in (MAC, b"")]
    events = kernel.wait(monitor, lambda event: event in gone)
    assert added in events
    assert {event.address for event in events if isinstance(event, NeighbourChanged)} == {NEIGHBOUR}


@pytest.mark.netns
def test_overrun(kernel: KernelWorld) -> None:
    monitor, table = kernel.monitor([Group.ROUTE]), kernel.route_table()
    with socket.socket(fileno=os.dup(monitor.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    changes: list[RouteChange] = [Add(BLACKHOLE), Remove(BLACKHOLE)]
    assert not any(table.apply(changes * 50))
    with pytest.raises(Overrun):
        monitor.read()
    assert len(monitor.read()) < 100
    assert table.apply([Add(BLACKHOLE)]) == [None]
    assert monitor.read() == [RouteChanged(ROUTE_PROTOCOL, BLACKHOLE)]


def test_overrun_in_memory() -> None:
    fake = FakeKernel()
    monitor, table = fake.monitor([Group.ROUTE]), fake.route_table()
    table.apply([Add(BLACKHOLE)])
    fake.overrun()
    with pytest.raises(Overrun):
        monitor.read()
    table.apply([Remove(BLACKHOLE)])
    assert monitor.read() == [RouteRemoved(ROUTE_PROTOCOL, BLACKHOLE)]
    monitor.close()
