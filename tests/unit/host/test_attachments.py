from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.host.attachment import MISSED
from moorage.host.attachments import Attachments
from moorage.host.findings import (
    Advertised,
    Attached,
    Clash,
    Contradicted,
    Finding,
    Lack,
    Left,
    PrefixesGone,
    PrefixesMissing,
    Recognised,
    RouterGone,
)
from moorage.kernel.addresses import Address, AddressFlags
from moorage.kernel.links import Link
from moorage.wire.nd import RouterAdvertisement
from tests.scripted import FIXED, LASTING, MAC, WL0, WL1, advertisement, link

OTHER_MAC = bytes.fromhex("0200000000ff")

OURS = IPv6Address("fe80::1234")
OTHER = IPv6Address("fe80::5678")
OPTIMISTIC = AddressFlags.OPTIMISTIC | AddressFlags.TENTATIVE
ROUTER, ROUTER_THERE = IPv6Address("fe80::a1"), IPv6Address("fe80::a2")
HERE, THERE = b"link one", b"link two"
PREFIX, PREFIX_THERE = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/64")


@pytest.fixture
def attachments() -> Attachments:
    return Attachments(["wl0", "wl1"])


def ours(
    interface: int = WL0, address: IPv6Address = OURS, flags: AddressFlags = AddressFlags.NONE
) -> Address:
    return Address(address, interface, 64, flags=flags)


def attach(attachments: Attachments, now: float, interface: int = WL0) -> list[Finding]:
    return [
        *attachments.link_changed(link(interface), now),
        *attachments.link_local_changed(ours(interface), now),
    ]


def detach(attachments: Attachments, interface: int = WL0) -> list[Finding]:
    return attachments.link_changed(link(interface, up=False), 0.0)


def hear(
    attachments: Attachments,
    message: RouterAdvertisement,
    router: IPv6Address = ROUTER,
    now: float = 9.0,
) -> list[Finding]:
    return attachments.advertised(WL0, router, message, now)


def test_attached_with_carrier_and_address_in_any_order(attachments: Attachments) -> None:
    assert attachments.link_changed(link(WL0), 1.0) == []
    assert attachments.link_local_changed(ours(), 2.0) == [Attached(WL0)]
    assert attachments.link_changed(link(WL0), 3.0) == []
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert (attachment.since, attachment.link_local, attachment.mac) == (2.0, OURS, MAC)
    # The address often outlives the carrier.
    assert detach(attachments) == [Left(WL0, "wl0")]
    assert attachments.link_changed(link(WL0), 4.0) == [Attached(WL0)]


def test_link_layer_address_is_not_told_while_ours_is_optimistic(attachments: Attachments) -> None:
    attachments.link_changed(link(WL0), 1.0)
    attachments.link_local_changed(ours(flags=OPTIMISTIC), 1.0)
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert attachment.optimistic


@pytest.mark.parametrize(
    "now", [replace(link(WL0), up=False), replace(link(WL0), carrier=False)], ids=["up", "carrier"]
)
def test_left(attachments: Attachments, now: Link) -> None:
    attach(attachments, 1.0)
    assert attachments.link_changed(now, 2.0) == [Left(WL0, "wl0")]
    assert WL0 not in attachments
    assert hear(attachments, advertisement(HERE)) == []


def test_address_lost(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert attachments.link_local_removed(ours(), 2.0) == [Left(WL0, "wl0")]


def test_removed_or_renamed_interface(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert attachments.link_changed(replace(link(WL0), name="eth9"), 2.0) == [Left(WL0, "wl0")]
    assert not attachments.manages(WL0)
    assert attachments.name(WL0) == ""
    attach(attachments, 3.0)
    assert attachments.link_removed(WL0) == [Left(WL0, "wl0")]
    assert attachments.link_removed(WL0) == []


def test_interfaces_that_are_not_ours(attachments: Attachments) -> None:
    assert attachments.link_changed(replace(link(9), name="eth0"), 1.0) == []
    assert attachments.link_local_changed(ours(9), 1.0) == []
    assert not attachments.manages(9)


def test_newest_first(attachments: Attachments) -> None:
    attach(attachments, 1.0, WL0)
    attach(attachments, 2.0, WL1)
    assert [a.interface for a in attachments.newest_first()] == [WL1, WL0]


def test_first_link_is_no_move(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    found = hear(attachments, advertisement(HERE, PREFIX))
    assert found == [Recognised(WL0), Advertised(WL0)]
    assert not attachments.settle(WL0)
    assert hear(attachments, advertisement(HERE, PREFIX)) == [Advertised(WL0)]
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert attachment.heard
    assert attachment.knows_service
    assert attachment.prefixes == {PREFIX}


@pytest.mark.parametrize(
    ("before", "after", "router", "moved"),
    [
        (advertisement(HERE, PREFIX), advertisement(HERE, PREFIX_THERE), ROUTER_THERE, False),
        (advertisement(HERE, PREFIX), advertisement(THERE, PREFIX), ROUTER, True),
        (advertisement(None, PREFIX), advertisement(None, PREFIX_THERE), ROUTER_THERE, True),
        (advertisement(None, PREFIX), advertisement(None, PREFIX_THERE), ROUTER, False),
        (advertisement(None, PREFIX), advertisement(None, PREFIX), ROUTER_THERE, False),
        (advertisement(HERE, PREFIX), advertisement(None, PREFIX_THERE), ROUTER_THERE, True),
    ],
    ids=["same id", "other id", "nothing in common", "router", "prefix", "to one without service"],
)
def test_move_after_a_loss_of_carrier(
    attachments: Attachments,
    before: RouterAdvertisement,
    after: RouterAdvertisement,
    router: IPv6Address,
    moved: bool,
) -> None:
    attach(attachments, 1.0)
    hear(attachments, before)
    attachments.settle(WL0)
    detach(attachments)
    attach(attachments, 2.0)
    hear(attachments, after, router)
    assert attachments.settle(WL0) is moved


def test_other_link_without_a_loss_of_carrier(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE, PREFIX))
    attachments.settle(WL0)
    found = hear(attachments, advertisement(THERE, PREFIX_THERE))
    assert found == [Left(WL0, "wl0"), Attached(WL0), Recognised(WL0), Advertised(WL0)]
    assert attachments.settle(WL0)
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert (attachment.since, attachment.prefixes) == (9.0, frozenset({PREFIX_THERE}))


def test_two_routers_that_call_their_link_by_different_ids(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    here, there = advertisement(HERE, PREFIX), advertisement(THERE, PREFIX_THERE)
    hear(attachments, here)
    assert Left(WL0, "wl0") in hear(attachments, there, ROUTER_THERE)
    for _ in range(3):
        assert Contradicted(WL0, ROUTER_THERE) in hear(attachments, here)
        assert hear(attachments, there, ROUTER_THERE) == [Advertised(WL0)]
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert attachment.on_demand is not None
    assert attachment.on_demand.link_id == THERE
    assert attachment.routers.keys() == {ROUTER, ROUTER_THERE}
    assert attachment.prefixes == {PREFIX, PREFIX_THERE}


@pytest.mark.parametrize("silent", [False, True], ids=["resigned", "silent"])
def test_back_on_a_link_without_a_loss_of_carrier(attachments: Attachments, silent: bool) -> None:
    attach(attachments, 1.0)
    here, there = advertisement(HERE, PREFIX), advertisement(THERE, PREFIX_THERE)
    hear(attachments, here)
    hear(attachments, there, ROUTER_THERE)
    if silent:
        attachments.unreachable(WL0, ROUTER_THERE)
    else:
        hear(attachments, advertisement(THERE, lifetime=0), ROUTER_THERE)
    assert Left(WL0, "wl0") in hear(attachments, here)


def test_after_a_loss_of_carrier_every_id_is_believed(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    here, there = advertisement(HERE, PREFIX), advertisement(THERE, PREFIX_THERE)
    hear(attachments, here)
    hear(attachments, there, ROUTER_THERE)
    detach(attachments)
    attach(attachments, 2.0)
    hear(attachments, there, ROUTER_THERE)
    assert Left(WL0, "wl0") in hear(attachments, here)


def test_router_that_is_no_default_router(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE, PREFIX, lifetime=0))
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert not attachment.heard
    assert attachment.prefixes == {PREFIX}


def test_offers(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert attachment.offers(FIXED)
    attachment.unsupported_until = 99.0
    hear(attachments, advertisement(HERE, offered=[LASTING]))
    assert attachment.unsupported_until == 0.0
    assert not attachment.offers(FIXED)
    assert attachment.offers(LASTING)
    assert attachment.delegates_only
    attachment.not_offered.add(LASTING)
    assert not attachment.offers(LASTING)


def test_another_life_knows_the_link_before(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE, PREFIX))
    assert attachments.last == {}
    attachments.settle(WL0)
    again = Attachments(["wl0"])
    again.remember(attachments.last)
    attach(again, 1.0)
    hear(again, advertisement(THERE, PREFIX_THERE))
    assert again.settle(WL0)


def test_what_is_remembered_grows_with_what_is_heard(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(None, PREFIX))
    attachments.settle(WL0)
    hear(attachments, advertisement(None, PREFIX_THERE), ROUTER_THERE)
    detach(attachments)
    assert attachments.last["wl0"].routers == {ROUTER, ROUTER_THERE}
    assert attachments.last["wl0"].prefixes == {PREFIX, PREFIX_THERE}


def test_one_of_two_link_local_addresses_is_lost(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert attachments.link_local_changed(ours(address=OTHER), 2.0) == []
    found = attachments.link_local_removed(ours(), 3.0)
    assert found == [Left(WL0, "wl0"), Attached(WL0)]
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert attachment.link_local == OTHER


def test_address_that_somebody_else_has(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    failed = ours(flags=AddressFlags.DAD_FAILED | AddressFlags.TENTATIVE)
    assert attachments.link_local_changed(failed, 2.0) == [Clash(WL0, OURS), Left(WL0, "wl0")]


def test_link_layer_address_is_told_once_ours_is_confirmed(attachments: Attachments) -> None:
    attachments.link_changed(link(WL0), 1.0)
    attachments.link_local_changed(ours(flags=OPTIMISTIC), 1.0)
    attachments.link_local_changed(ours(), 2.0)
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert not attachment.optimistic


def test_another_link_layer_address_is_another_attachment(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    found = attachments.link_changed(replace(link(WL0), mac=OTHER_MAC), 2.0)
    assert found == [Left(WL0, "wl0"), Attached(WL0)]
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert (attachment.since, attachment.link_local, attachment.mac) == (2.0, OURS, OTHER_MAC)


def test_router_that_is_not_heard_for_its_lifetime(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert attachments.next_timer() is None
    hear(attachments, advertisement(HERE, lifetime=30), now=5.0)
    hear(attachments, advertisement(HERE, lifetime=60), ROUTER_THERE, now=5.0)
    assert attachments.next_timer() == 35.0
    assert attachments.poll(34.9) == []
    assert attachments.poll(35.0) == [RouterGone(WL0, ROUTER, Lack.SILENT)]
    assert attachments.next_timer() == 65.0


def test_router_that_resigns(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE))
    found = hear(attachments, advertisement(HERE, lifetime=0))
    assert found == [RouterGone(WL0, ROUTER, Lack.RESIGNED), Advertised(WL0)]
    assert hear(attachments, advertisement(HERE, lifetime=0)) == [Advertised(WL0)]


def test_neighbour_that_does_not_answer(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert attachments.unreachable(WL0, ROUTER) == []
    hear(attachments, advertisement(HERE))
    assert attachments.unreachable(WL0, OTHER) == []
    assert attachments.unreachable(WL0, ROUTER) == [RouterGone(WL0, ROUTER, Lack.UNREACHABLE)]


def test_prefix_that_is_no_longer_advertised(attachments: Attachments) -> None:
    """RFC 9096: a router that has started anew with another prefix says nothing of the old one."""
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE, PREFIX))
    for _ in range(MISSED - 1):
        found = hear(attachments, advertisement(HERE, PREFIX_THERE))
        assert found == [PrefixesMissing(WL0), Advertised(WL0)]
    found = hear(attachments, advertisement(HERE, PREFIX_THERE))
    assert found == [PrefixesGone(WL0, frozenset({PREFIX})), Advertised(WL0)]
    assert hear(attachments, advertisement(HERE, PREFIX_THERE)) == [Advertised(WL0)]


def test_prefixes_that_take_several_advertisements(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    for _ in range(5):
        for message in (advertisement(HERE, PREFIX), advertisement(HERE, PREFIX_THERE)):
            found = hear(attachments, message)
            assert not any(isinstance(each, PrefixesGone) for each in found)
        assert hear(attachments, advertisement(HERE)) == [Advertised(WL0)]


def test_prefix_that_another_router_advertises(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE, PREFIX))
    hear(attachments, advertisement(HERE, PREFIX), ROUTER_THERE)
    for _ in range(5):
        found = hear(attachments, advertisement(HERE, PREFIX_THERE))
        assert not any(isinstance(each, PrefixesGone) for each in found)


def test_after_sleep_every_link_is_perhaps_another(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE, PREFIX))
    attachments.settle(WL0)
    attach(attachments, 2.0, WL1)
    found = attachments.resumed(5000.0)
    assert found == [Left(WL0, "wl0"), Attached(WL0), Left(WL1, "wl1"), Attached(WL1)]
    hear(attachments, advertisement(THERE, PREFIX_THERE))
    assert attachments.settle(WL0)
