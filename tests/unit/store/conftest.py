"""What all tests of stores start from."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.service import ServiceType
from moorage.store.model import Anchor, Binding, Router
from tests.bindings import HERE


@pytest.fixture
def binding() -> Binding:
    return replace(
        HERE,
        client=b"\x00\x04client",
        type=ServiceType.SESSION_LASTING,
        link="wlan0",
        next_hop=IPv6Address("fe80::1"),
        key=b"k" * 32,
        last_time=1_700_000_000_000_000,
        preferred_until=1_700_003_600.5,
        valid_until=1_700_007_200.25,
    )


@pytest.fixture
def router() -> Router:
    return Router(
        id="ar1",
        address=IPv6Address("2001:db8:c:1::1"),
        down_sid=IPv6Address("2001:db8:5:1::d"),
        up_sid=IPv6Address("2001:db8:5:1::e"),
        lease=60.0,
    )


@pytest.fixture
def anchor() -> Anchor:
    return Anchor("ar1", IPv6Network("2001:db8:a100::/40"), holder="ar1", epoch=1)
