from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.host.attachment import Advertised, Attached, Attachments, Finding, Left
from moorage.kernel.links import Link
from moorage.wire.nd import RouterAdvertisement
from tests.scripted import FIXED, LASTING, MAC, WL0, WL1, advertisement, link

OURS = IPv6Address("fe80::1234")
ROUTER, ROUTER_THERE = IPv6Address("fe80::a1"), IPv6Address("fe80::a2")
HERE, THERE = b"link one", b"link two"
PREFIX, PREFIX_THERE = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/64")


@pytest.fixture
def attachments() -> Attachments:
    return Attachments(["wl0", "wl1"])


def attach(attachments: Attachments, now: float, interface: int = WL0) -> list[Finding]:
    return [
        *attachments.link_changed(link(interface), now),
        *attachments.link_local_changed(interface, OURS, False, now),
    ]


def detach(attachments: Attachments, interface: int = WL0) -> list[Finding]:
    return attachments.link_changed(link(interface, up=False), 0.0)


def hear(
    attachments: Attachments, message: RouterAdvertisement, router: IPv6Address = ROUTER
) -> list[Finding]:
    return attachments.advertised(WL0, router, message, 9.0)


def test_attached_with_carrier_and_address_in_any_order(attachments: Attachments) -> None:
    assert attachments.link_changed(link(WL0), 1.0) == []
    assert attachments.link_local_changed(WL0, OURS, False, 2.0) == [Attached(WL0)]
    assert attachments.link_changed(link(WL0), 3.0) == []
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert (attachment.since, attachment.link_local, attachment.mac) == (2.0, OURS, MAC)
    # The address often outlives the carrier.
    assert detach(attachments) == [Left(WL0)]
    assert attachments.link_changed(link(WL0), 4.0) == [Attached(WL0)]


def test_link_layer_address_is_not_told_while_ours_is_optimistic(attachments: Attachments) -> None:
    attachments.link_changed(link(WL0), 1.0)
    attachments.link_local_changed(WL0, OURS, True, 1.0)
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert attachment.mac == b""


@pytest.mark.parametrize(
    "now", [replace(link(WL0), up=False), replace(link(WL0), carrier=False)], ids=["up", "carrier"]
)
def test_left(attachments: Attachments, now: Link) -> None:
    attach(attachments, 1.0)
    assert attachments.link_changed(now, 2.0) == [Left(WL0)]
    assert WL0 not in attachments
    assert hear(attachments, advertisement(HERE)) == []


def test_address_lost(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert attachments.link_local_changed(WL0, None, False, 2.0) == [Left(WL0)]


def test_removed_or_renamed_interface(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert attachments.link_changed(replace(link(WL0), name="eth9"), 2.0) == [Left(WL0)]
    assert not attachments.manages(WL0)
    assert attachments.name(WL0) == ""
    attach(attachments, 3.0)
    assert attachments.link_removed(WL0) == [Left(WL0)]
    assert attachments.link_removed(WL0) == []


def test_interfaces_that_are_not_ours(attachments: Attachments) -> None:
    assert attachments.link_changed(replace(link(9), name="eth0"), 1.0) == []
    assert attachments.link_local_changed(9, OURS, False, 1.0) == []
    assert not attachments.manages(9)


def test_newest_first(attachments: Attachments) -> None:
    attach(attachments, 1.0, WL0)
    attach(attachments, 2.0, WL1)
    assert [a.interface for a in attachments.newest_first()] == [WL1, WL0]


def test_first_link_is_no_move(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    assert hear(attachments, advertisement(HERE, PREFIX)) == [Advertised(WL0, False)]
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
    detach(attachments)
    attach(attachments, 2.0)
    assert hear(attachments, after, router) == [Advertised(WL0, moved)]


def test_other_link_without_a_loss_of_carrier(attachments: Attachments) -> None:
    attach(attachments, 1.0)
    hear(attachments, advertisement(HERE, PREFIX))
    found = hear(attachments, advertisement(THERE, PREFIX_THERE))
    assert found == [Left(WL0), Attached(WL0), Advertised(WL0, True)]
    attachment = attachments.get(WL0)
    assert attachment is not None
    assert (attachment.since, attachment.prefixes) == (9.0, {PREFIX_THERE})


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
