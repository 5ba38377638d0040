from __future__ import annotations

from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6NDOptPrefixInfo

from moorage.wire.errors import WireError
from moorage.wire.nd import PrefixInformation, decode_options, encode_options

GOLDEN = bytes.fromhex(
    "03"  # type: Prefix Information
    "04"  # length: 4 units
    "40"  # prefix length 64
    "d0"  # flags: L, A, not R, P
    "00000e10"  # valid lifetime 3600 s
    "00000708"  # preferred lifetime 1800 s
    "00000000"  # reserved
    "20010db8100100000000000000000000"  # prefix 2001:db8:1001::
)
OPTION = PrefixInformation(
    prefix=IPv6Network("2001:db8:1001::/64"),
    on_link=True,
    autonomous=True,
    valid=3600,
    preferred=1800,
    prefers_delegation=True,
)


def test_golden() -> None:
    assert encode_options([OPTION]) == GOLDEN
    assert decode_options(GOLDEN) == (OPTION,)


@pytest.mark.parametrize(
    ("flags", "on_link", "autonomous", "router_address", "prefers_delegation"),
    [
        (0x80, True, False, False, False),
        (0x40, False, True, False, False),
        (0x20, False, False, True, False),
        (0x10, False, False, False, True),
    ],
)
def test_each_flag_has_its_bit(
    flags: int, on_link: bool, autonomous: bool, router_address: bool, prefers_delegation: bool
) -> None:
    option = PrefixInformation(
        prefix=IPv6Network("::/0"),
        on_link=on_link,
        autonomous=autonomous,
        valid=0,
        preferred=0,
        prefers_delegation=prefers_delegation,
        router_address=router_address,
    )
    body = bytes([0, flags]) + bytes(28)
    assert option.encode() == body
    assert PrefixInformation.decode(body) == option


def test_reserved_bits_are_ignored() -> None:
    body = bytearray(GOLDEN[2:])
    body[1] |= 0x0F
    body[10:14] = b"\xff" * 4
    assert PrefixInformation.decode(bytes(body)) == OPTION


def test_bits_behind_the_prefix_are_ignored() -> None:
    assert PrefixInformation.decode(GOLDEN[2:-1] + b"\x01") == OPTION


def test_scapy_agrees() -> None:
    theirs = ICMPv6NDOptPrefixInfo(
        prefixlen=64,
        L=1,
        A=1,
        R=0,
        res1=0x10,  # the P flag is younger than scapy
        validlifetime=3600,
        preferredlifetime=1800,
        prefix="2001:db8:1001::",
    )
    assert bytes(theirs) == GOLDEN


lifetimes = st.integers(0, 2**32 - 1)
prefixes = st.builds(
    lambda address, length: IPv6Network((address, length), strict=False),
    st.ip_addresses(v=6),
    st.integers(0, 128),
)


@given(
    st.builds(
        PrefixInformation,
        prefix=prefixes,
        on_link=st.booleans(),
        autonomous=st.booleans(),
        valid=lifetimes,
        preferred=lifetimes,
        prefers_delegation=st.booleans(),
        router_address=st.booleans(),
    )
)
def test_everything_survives(option: PrefixInformation) -> None:
    assert PrefixInformation.decode(option.encode()) == option


@pytest.mark.parametrize("size", [0, 29, 31, 38])
def test_another_length_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="ND Prefix Information"):
        PrefixInformation.decode(bytes(size))


def test_prefix_longer_than_an_address_is_refused() -> None:
    with pytest.raises(WireError, match="129 bits"):
        PrefixInformation.decode(b"\x81" + bytes(29))


@pytest.mark.parametrize(("valid", "preferred"), [(2**32, 0), (0, 2**32), (-1, 0)])
def test_impossible_lifetime_is_our_own_mistake(valid: int, preferred: int) -> None:
    option = PrefixInformation(IPv6Network("::/64"), True, True, valid, preferred)
    with pytest.raises(ValueError, match="ND Prefix Information") as caught:
        option.encode()
    assert not isinstance(caught.value, WireError)
