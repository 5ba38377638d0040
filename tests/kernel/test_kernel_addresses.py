"""Addresses: in memory and in the kernel."""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.addresses import Address, AddressFlags, AddressTable
from moorage.kernel.monitor import AddressChanged, Group
from moorage.numbers import ROUTE_PROTOCOL

if TYPE_CHECKING:
    from tests.kernel.conftest import KernelWorld, World

LOOPBACK = 1
STARTED = 60.0
"""Seconds by which the kernel's time stamps and the clock may differ, set on when it started."""
TYPED = Address(IPv6Address("2001:db8:1::5"), LOOPBACK, 128, 0, None, ROUTE_PROTOCOL)


def add(world: World, table: AddressTable, address: Address) -> None:
    """Add an address and wait until it works, which is a moment after the kernel says yes."""
    monitor = world.monitor([Group.ADDRESS])
    table.add(address)
    world.wait(
        monitor,
        lambda event: (
            isinstance(event, AddressChanged) and AddressFlags.TENTATIVE not in event.address.flags
        ),
    )


def ours(table: AddressTable) -> list[Address]:
    return table.addresses(ROUTE_PROTOCOL)


def test_typed_addresses_are_deprecated(world: World) -> None:
    table = world.address_table()
    add(world, table, TYPED)
    flags = AddressFlags.DEPRECATED | AddressFlags.PERMANENT
    assert ours(table) == [replace(TYPED, flags=flags)]


def test_a_lifetime_is_in_seconds(world: World) -> None:
    table = world.address_table()
    add(world, table, replace(TYPED, preferred=0, valid=100_000))
    [seen] = ours(table)
    assert seen.flags == AddressFlags.DEPRECATED
    assert seen.preferred == 0
    assert seen.valid is not None
    assert 99_000 < seen.valid <= 100_000


def test_adding_again_changes_the_lifetimes(world: World) -> None:
    table = world.address_table()
    add(world, table, replace(TYPED, preferred=0, valid=100_000))
    add(world, table, replace(TYPED, preferred=None, valid=None))
    assert ours(table) == [replace(TYPED, preferred=None, flags=AddressFlags.PERMANENT)]


def test_flags_of_the_administrator(world: World) -> None:
    table = world.address_table()
    link = world.add_link("access")
    flags = AddressFlags.NO_DAD | AddressFlags.NO_PREFIX_ROUTE
    address = replace(TYPED, interface=link, prefix_length=64, preferred=None)
    add(
        world,
        table,
        replace(address, flags=flags | AddressFlags.TENTATIVE | AddressFlags.TEMPORARY),
    )
    assert ours(table) == [replace(address, flags=flags | AddressFlags.PERMANENT)]


def test_addresses_of_all(world: World) -> None:
    table = world.address_table()
    add(world, table, TYPED)
    plain = Address(IPv6Address("2001:db8:1::6"), LOOPBACK, 128)
    add(world, table, plain)
    assert ours(table) != []
    assert {a.address for a in table.addresses()} >= {TYPED.address, plain.address}
    assert plain.address in {a.address for a in table.addresses(0)}


def test_what_was_removed_is_gone(world: World) -> None:
    table = world.address_table()
    add(world, table, TYPED)
    table.remove(TYPED)
    assert ours(table) == []


def test_a_link_takes_its_addresses_with_it(world: World) -> None:
    table = world.address_table()
    link = world.add_link("access")
    add(world, table, replace(TYPED, interface=link))
    world.set_down(link)
    assert ours(table) == []


@pytest.mark.netns
def test_the_age_is_counted_from_the_first_time(kernel: KernelWorld) -> None:
    table = kernel.address_table()
    before = time.monotonic()
    add(kernel, table, replace(TYPED, valid=100_000))
    after = time.monotonic()
    [added] = ours(table)
    assert added.age >= time.monotonic() - after - 0.1
    add(kernel, table, replace(TYPED, valid=200_000))
    [changed] = ours(table)
    assert added.age <= changed.age <= time.monotonic() - before + STARTED


def test_refusals(world: World) -> None:
    table = world.address_table()
    with pytest.raises(OSError, match="Cannot assign") as gone:
        table.remove(TYPED)
    assert gone.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(OSError, match="No such device"):
        table.add(replace(TYPED, interface=999))
    for preferred, valid in ((5, 4), (None, 4), (0, 0)):
        with pytest.raises(OSError, match="Invalid argument"):
            table.add(replace(TYPED, preferred=preferred, valid=valid))
    assert ours(table) == []
