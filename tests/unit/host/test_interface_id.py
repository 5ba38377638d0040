from __future__ import annotations

from ipaddress import IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.host.interface_id import InterfaceIdentifiers
from moorage.identity import Identity
from moorage.service import ServiceType
from tests.scripted import FIXED, LASTING

PREFIX = IPv6Network("2001:db8:a0:1::/64")
OTHER = IPv6Network("2001:db8:a0:2::/64")
SHORTER = IPv6Network("2001:db8:a0::/48")
SECRET = b"known to this host only"


class Row(Random):
    """Gives these numbers, one after the other."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self._numbers = iter(numbers)

    def getrandbits(self, k: int, /) -> int:
        return next(self._numbers)


def identifiers(secret: bytes = SECRET, seed: int = 1) -> InterfaceIdentifiers:
    return InterfaceIdentifiers(secret, Random(seed))


@given(st.integers(0, 2**32), st.sampled_from([PREFIX, SHORTER]), st.sampled_from(ServiceType))
def test_address_in_the_first_64(seed: int, prefix: IPv6Network, kind: ServiceType) -> None:
    address = identifiers(seed=seed).address(prefix, kind)
    assert address in IPv6Network((prefix.network_address, 64))


def test_random_ones_differ() -> None:
    made = identifiers()
    assert len({made.address(PREFIX, LASTING) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "reserved",
    [
        0,
        0x0200_5EFF_FE00_0000,
        0x0200_5EFF_FEFF_FFFF,
        0xFDFF_FFFF_FFFF_FF80,
        0xFDFF_FFFF_FFFF_FFFF,
    ],
)
def test_reserved_identifiers_are_passed_over(reserved: int) -> None:
    made = InterfaceIdentifiers(SECRET, Row(reserved, 0xFDFF_FFFF_FFFF_FF7F))
    assert made.address(PREFIX, LASTING) == PREFIX[0xFDFF_FFFF_FFFF_FF7F]


def test_a_fixed_one_follows_from_host_and_prefix_alone() -> None:
    stable = identifiers().address(PREFIX, FIXED)
    assert identifiers(seed=2).address(PREFIX, FIXED) == stable
    assert int(identifiers().address(OTHER, FIXED)) - int(OTHER[0]) != int(stable) - int(PREFIX[0])
    assert identifiers(b"another host").address(PREFIX, FIXED) != stable


def test_a_secret_follows_from_the_key_and_its_purpose() -> None:
    one, other = Identity.generate(), Identity.generate()
    assert one.secret_for(b"a") == one.secret_for(b"a")
    assert len({one.secret_for(b"a"), one.secret_for(b"b"), other.secret_for(b"a")}) == 3
    assert len(one.secret_for(b"a")) == 32
