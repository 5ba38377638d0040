from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6NDOptDstLLAddr, ICMPv6NDOptMTU, ICMPv6NDOptSrcLLAddr

from moorage.wire.errors import WireError
from moorage.wire.nd import (
    Mtu,
    SourceLinkLayerAddress,
    TargetLinkLayerAddress,
    decode_options,
    encode_options,
)

GOLDEN = bytes.fromhex(
    "01"  # type: Source Link-Layer Address
    "01"  # length: 1 unit
    "020000000001"  # address
    "02"  # type: Target Link-Layer Address
    "01"  # length: 1 unit
    "020000000002"  # address
    "05"  # type: MTU
    "01"  # length: 1 unit
    "0000"  # reserved
    "000005dc"  # MTU 1500
)
OPTIONS = (
    SourceLinkLayerAddress(bytes.fromhex("020000000001")),
    TargetLinkLayerAddress(bytes.fromhex("020000000002")),
    Mtu(1500),
)


def test_golden() -> None:
    assert encode_options(OPTIONS) == GOLDEN
    assert decode_options(GOLDEN) == OPTIONS


def test_scapy_agrees() -> None:
    theirs = (
        ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")
        / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:02")
        / ICMPv6NDOptMTU(mtu=1500)
    )
    assert bytes(theirs) == GOLDEN


# Whole units of 8 bytes, less Type and Length.
addresses = st.integers(1, 255).flatmap(lambda n: st.binary(min_size=8 * n - 2, max_size=8 * n - 2))


@given(addresses)
def test_link_layer_addresses_of_any_length_survive(address: bytes) -> None:
    options = (SourceLinkLayerAddress(address), TargetLinkLayerAddress(address))
    assert decode_options(encode_options(options)) == options


@given(st.integers(0, 2**32 - 1))
def test_every_mtu_survives(mtu: int) -> None:
    assert Mtu.decode(Mtu(mtu).encode()) == Mtu(mtu)


@pytest.mark.parametrize("size", [0, 5, 7, 14])
def test_mtu_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="ND MTU"):
        Mtu.decode(bytes(size))


def test_reserved_bytes_of_mtu_are_ignored() -> None:
    assert Mtu.decode(bytes.fromhex("ffff000005dc")) == Mtu(1500)


@pytest.mark.parametrize("mtu", [-1, 2**32])
def test_impossible_mtu_is_our_own_mistake(mtu: int) -> None:
    with pytest.raises(ValueError, match="ND MTU") as caught:
        Mtu(mtu).encode()
    assert not isinstance(caught.value, WireError)
