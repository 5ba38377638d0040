from __future__ import annotations

from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6NDOptRouteInfo

from moorage.wire.errors import WireError
from moorage.wire.nd import RouteInformation, UnknownNdOption, decode_options, encode_options

GOLDEN = bytes.fromhex(
    "18"  # type: Route Information
    "02"  # length: 2 units, since the prefix needs 8 bytes
    "30"  # prefix length 48
    "18"  # preference: low (11)
    "00000e10"  # lifetime 3600 s
    "20010db800c00000"  # prefix 2001:db8:c0::
)
OPTION = RouteInformation(IPv6Network("2001:db8:c0::/48"), preference=-1, lifetime=3600)


def test_golden() -> None:
    assert encode_options([OPTION]) == GOLDEN
    assert decode_options(GOLDEN) == (OPTION,)


@pytest.mark.parametrize(
    ("prefix", "units"),
    [("::/0", 1), ("8000::/1", 2), ("2001:db8::/64", 2), ("2001:db8::/65", 3), ("::1/128", 3)],
)
@pytest.mark.parametrize(("preference", "bits"), [(1, 0b01), (0, 0b00), (-1, 0b11)])
def test_scapy_agrees(prefix: str, units: int, preference: int, bits: int) -> None:
    network = IPv6Network(prefix)
    theirs = ICMPv6NDOptRouteInfo(
        len=units,
        plen=network.prefixlen,
        prf=bits,
        rtlifetime=3600,
        prefix=str(network.network_address),
    )
    ours = encode_options([RouteInformation(network, preference, 3600)])
    assert ours == bytes(theirs)
    assert ours[1] == units


prefixes = st.builds(
    lambda address, length: IPv6Network((address, length), strict=False),
    st.ip_addresses(v=6),
    st.integers(0, 128),
)


@given(
    st.builds(
        RouteInformation,
        prefix=prefixes,
        preference=st.sampled_from([-1, 0, 1]),
        lifetime=st.integers(0, 2**32 - 1),
    )
)
def test_everything_survives(option: RouteInformation) -> None:
    assert decode_options(encode_options([option])) == (option,)


def test_longer_field_than_needed_is_allowed() -> None:
    longer = b"\x18\x03" + GOLDEN[2:] + bytes(8)
    assert decode_options(longer) == (OPTION,)


def test_reserved_bits_and_bits_behind_the_prefix_are_ignored() -> None:
    body = bytearray(GOLDEN[2:])
    body[1] |= 0xE7
    body[-1] = 0xFF
    assert RouteInformation.decode(bytes(body)) == OPTION


def test_reserved_preference_means_ignore() -> None:
    body = bytearray(GOLDEN[2:])
    body[1] = 0b10 << 3
    assert decode_options(GOLDEN[:2] + body) == (UnknownNdOption(24, bytes(body)),)


@pytest.mark.parametrize(
    ("length", "size"),
    [(1, 0), (64, 0), (65, 8), (128, 8), (129, 16), (255, 16)],
)
def test_prefix_longer_than_its_field_is_refused(length: int, size: int) -> None:
    with pytest.raises(WireError, match=f"prefix of {length} bits"):
        RouteInformation.decode(bytes([length]) + bytes(5 + size))


def test_field_longer_than_an_address_is_refused() -> None:
    with pytest.raises(WireError, match="24 bytes of prefix"):
        RouteInformation.decode(bytes(6 + 24))


@pytest.mark.parametrize("size", range(6))
def test_body_without_lifetime_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="ND Route Information"):
        RouteInformation.decode(bytes(size))


@pytest.mark.parametrize(("preference", "lifetime"), [(2, 0), (-2, 0), (0, -1), (0, 2**32)])
def test_impossible_value_is_our_own_mistake(preference: int, lifetime: int) -> None:
    with pytest.raises(ValueError, match=r"preference|ND Route") as caught:
        RouteInformation(IPv6Network("::/0"), preference, lifetime).encode()
    assert not isinstance(caught.value, WireError)
