"""Interfaces, kernel parameters and the tunnel source: in memory and in the kernel."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.links import Link, LinkTable
from moorage.kernel.monitor import Group, LinkChanged

if TYPE_CHECKING:
    from tests.kernel.conftest import World


def by_name(table: LinkTable) -> dict[str, Link]:
    return {link.name: link for link in table.links()}


def test_loopback(world: World) -> None:
    loopback = by_name(world.link_table())["lo"]
    assert loopback == Link(1, "lo", bytes(6), 65536, up=True, carrier=True, loopback=True)


def test_links_come_and_go(world: World) -> None:
    table = world.link_table()
    assert by_name(table).keys() == {"lo"}
    index = world.add_link("access")
    access = by_name(table)["access"]
    assert (access.index, access.mtu, len(access.mac)) == (index, 1500, 6)
    assert access.up
    assert not access.loopback
    world.set_down(index)
    access = by_name(table)["access"]
    assert not access.up
    assert not access.carrier
    world.remove_link(index)
    assert by_name(table).keys() == {"lo"}


def test_carrier(world: World) -> None:
    monitor = world.monitor([Group.LINK])
    index = world.add_link("access")
    world.wait(
        monitor, lambda e: isinstance(e, LinkChanged) and e.link.index == index and e.link.carrier
    )
    assert by_name(world.link_table())["access"].carrier


def test_sysctl(world: World) -> None:
    sysctl = world.sysctl()
    path = "net/ipv6/conf/lo/forwarding"
    assert sysctl.read(path) == "0"
    sysctl.write(path, "1")
    assert sysctl.read(path) == "1"
    with pytest.raises(FileNotFoundError):
        sysctl.read("net/ipv6/conf/nowhere/forwarding")


def test_tunnel_source(world: World) -> None:
    assert world.tunnel_source() == IPv6Address("::")
    world.set_tunnel_source(IPv6Address("2001:db8:c:1::1"))
    assert world.tunnel_source() == IPv6Address("2001:db8:c:1::1")
