"""The draft's names of addresses."""

from __future__ import annotations

from ipaddress import IPv6Address

from moorage.demo.names import Names
from moorage.service import ServiceType


def test_addresses_are_counted_by_type() -> None:
    names = Names()
    one, two, three = (IPv6Address(n) for n in (1, 2, 3))
    assert names.name(ServiceType.NON_PERSISTENT, one) == "IPnp1"
    assert names.name(ServiceType.SESSION_LASTING, two) == "IPsl1"
    assert names.name(ServiceType.NON_PERSISTENT, three) == "IPnp2"
    assert names.name(ServiceType.NON_PERSISTENT, one) == "IPnp1"
