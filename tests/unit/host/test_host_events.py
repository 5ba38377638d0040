"""The events of the host, as sentences and as JSON."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import msgspec

from moorage.host.events import AddressGone, AddressServed, LinkLeft
from moorage.service import ServiceType
from moorage.wire.notice import Why

ADDRESS = IPv6Address("2001:db8:a::17")


def test_an_event_is_one_sentence() -> None:
    gone = AddressGone(ADDRESS, ServiceType.FIXED, Why.EXPIRED)
    assert str(gone) == "2001:db8:a::17 (fixed) is gone: its lifetime is over"


def test_an_event_is_a_json_object_with_its_name() -> None:
    assert msgspec.json.decode(msgspec.json.encode(LinkLeft("wlan0"))) == {
        "event": "link-left",
        "interface": "wlan0",
    }


def test_the_lifetimes_of_a_served_address_are_seconds() -> None:
    served = AddressServed(
        ADDRESS,
        ServiceType.SESSION_LASTING,
        IPv6Network("2001:db8:a::/64"),
        "wlan0",
        IPv6Address("fe80::1"),
        moved=True,
        preferred_for=3600,
        valid_for=7200,
    )
    assert "on wlan0 by fe80::1, valid for 7200 s" in str(served)
