from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.host.attachment import Attachment
from moorage.host.ordinary import OrdinaryAddresses
from moorage.kernel.addresses import Address, AddressFlags
from tests.scripted import WL0, WL1, slaac

PREFIX, OTHER = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/64")


def attachment(interface: int, *prefixes: IPv6Network) -> Attachment:
    found = Attachment(interface, 0.0, IPv6Address("fe80::1"))
    found.missed[IPv6Address("fe80::a1")] = dict.fromkeys(prefixes, 0)
    return found


def best(
    ordinary: OrdinaryAddresses, attached: list[Attachment], *, advertised: bool = True
) -> Address | None:
    """Return the first address that a new socket may get."""
    return next(iter(ordinary.candidates(attached, advertised=advertised)), None)


@pytest.fixture
def ordinary() -> OrdinaryAddresses:
    ordinary = OrdinaryAddresses()
    ordinary.changed(slaac(WL0, PREFIX), 0.0)
    ordinary.changed(slaac(WL1, OTHER), 0.0)
    return ordinary


def test_best_is_of_the_first_attachment(ordinary: OrdinaryAddresses) -> None:
    first, second = attachment(WL0, PREFIX), attachment(WL1, OTHER)
    assert best(ordinary, [first, second]) == slaac(WL0, PREFIX)
    assert best(ordinary, [second, first]) == slaac(WL1, OTHER)
    assert best(ordinary, [], advertised=False) is None


def test_best_is_of_an_advertised_prefix_if_that_is_asked_for(ordinary: OrdinaryAddresses) -> None:
    elsewhere = attachment(WL0, OTHER)
    assert best(ordinary, [elsewhere]) is None
    assert best(ordinary, [elsewhere], advertised=False) == slaac(WL0, PREFIX)


@pytest.mark.parametrize(
    "flags", [AddressFlags.TENTATIVE, AddressFlags.DAD_FAILED, AddressFlags.DEPRECATED]
)
def test_best_can_be_used(ordinary: OrdinaryAddresses, flags: AddressFlags) -> None:
    ordinary.changed(replace(slaac(WL0, PREFIX), flags=flags), 0.0)
    assert best(ordinary, [attachment(WL0, PREFIX)]) is None


def test_optimistic_address_can_be_used(ordinary: OrdinaryAddresses) -> None:
    flags = AddressFlags.TENTATIVE | AddressFlags.OPTIMISTIC
    ordinary.changed(replace(slaac(WL0, PREFIX), flags=flags), 0.0)
    assert best(ordinary, [attachment(WL0, PREFIX)]) is not None


def test_removed(ordinary: OrdinaryAddresses) -> None:
    ordinary.removed(slaac(WL0, PREFIX))
    ordinary.removed(slaac(WL0, PREFIX))
    assert best(ordinary, [attachment(WL0, PREFIX)]) is None
    assert ordinary.interfaces() == {WL1}


def test_foreign_ones_are_taken_and_what_others_configured_is_left(
    ordinary: OrdinaryAddresses,
) -> None:
    by_hand = replace(slaac(WL0, OTHER), protocol=0)
    ordinary.changed(by_hand, 0.0)
    moved = attachment(WL0, IPv6Network("2001:db8:3::/64"))
    assert ordinary.take_foreign(moved) == {slaac(WL0, PREFIX).address}
    assert ordinary.take_foreign(moved) == frozenset()
    assert best(ordinary, [moved], advertised=False) == by_hand


def test_all_of_an_interface_are_taken(ordinary: OrdinaryAddresses) -> None:
    assert ordinary.take_all(WL0) == {slaac(WL0, PREFIX).address}
    assert ordinary.interfaces() == {WL1}


def test_users(ordinary: OrdinaryAddresses) -> None:
    address = slaac(WL0, PREFIX).address
    for cookie in (1, 2, 3):
        ordinary.opened(address, cookie)
    ordinary.closed(2)
    assert ordinary.take_users(address) == {1, 3}
    assert ordinary.take_users(address) == frozenset()
