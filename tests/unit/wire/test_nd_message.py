from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptRouteInfo,
    ICMPv6NDOptSrcLLAddr,
)

from moorage.wire.errors import WireError
from moorage.wire.nd import (
    Mtu,
    PrefixInformation,
    Rdnss,
    RouteInformation,
    RouterAdvertisement,
    RouterSolicitation,
    SourceLinkLayerAddress,
    decode_message,
)

SOLICITATION_GOLDEN = bytes.fromhex(
    "85"  # type: Router Solicitation
    "00"  # code
    "0000"  # checksum: the kernel's
    "00000000"  # reserved
    "01"  # option: Source Link-Layer Address
    "01"  # length: 1 unit
    "020000000001"  # address
)
SOLICITATION = RouterSolicitation((SourceLinkLayerAddress(bytes.fromhex("020000000001")),))

ADVERTISEMENT_GOLDEN = bytes.fromhex(
    "86"  # type: Router Advertisement
    "00"  # code
    "0000"  # checksum: the kernel's
    "40"  # hop limit 64
    "c8"  # flags: M, O, preference high (01)
    "0708"  # router lifetime 1800 s
    "00007530"  # reachable time 30000 ms
    "000003e8"  # retrans timer 1000 ms
    "05"  # option: MTU
    "01"  # length: 1 unit
    "0000"  # reserved
    "000005dc"  # MTU 1500
    "03"  # option: Prefix Information
    "04"  # length: 4 units
    "40"  # prefix length 64
    "c0"  # flags: L, A
    "00000e10"  # valid lifetime 3600 s
    "00000708"  # preferred lifetime 1800 s
    "00000000"  # reserved
    "20010db8100100000000000000000000"  # prefix 2001:db8:1001::
)
ADVERTISEMENT = RouterAdvertisement(
    hop_limit=64,
    managed=True,
    other=True,
    router_lifetime=1800,
    reachable_time=30_000,
    retrans_timer=1_000,
    options=(
        Mtu(1500),
        PrefixInformation(
            IPv6Network("2001:db8:1001::/64"),
            on_link=True,
            autonomous=True,
            valid=3600,
            preferred=1800,
        ),
    ),
    preference=1,
)


@pytest.mark.parametrize(
    ("message", "golden"),
    [(SOLICITATION, SOLICITATION_GOLDEN), (ADVERTISEMENT, ADVERTISEMENT_GOLDEN)],
)
def test_golden(message: RouterSolicitation | RouterAdvertisement, golden: bytes) -> None:
    assert message.encode() == golden
    assert decode_message(golden) == message


def test_scapy_agrees_on_solicitation() -> None:
    theirs = ICMPv6ND_RS(cksum=0) / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")
    assert bytes(theirs) == SOLICITATION_GOLDEN


def test_scapy_agrees_on_advertisement() -> None:
    theirs = (
        ICMPv6ND_RA(
            cksum=0,
            chlim=64,
            M=1,
            O=1,
            prf=1,
            routerlifetime=1800,
            reachabletime=30_000,
            retranstimer=1_000,
        )
        / ICMPv6NDOptMTU(mtu=1500)
        / ICMPv6NDOptPrefixInfo(
            prefix="2001:db8:1001::", validlifetime=3600, preferredlifetime=1800
        )
    )
    assert bytes(theirs) == ADVERTISEMENT_GOLDEN


def test_scapy_reads_all_standard_options_of_one_advertisement() -> None:
    advertisement = replace(
        ADVERTISEMENT,
        options=(
            *ADVERTISEMENT.options,
            Rdnss(600, (IPv6Address("2001:db8:c0::53"),)),
            RouteInformation(IPv6Network("2001:db8:c0::/48"), -1, 900),
            *SOLICITATION.options,
        ),
        preference=-1,
    )
    theirs = ICMPv6ND_RA(advertisement.encode())
    assert (theirs.chlim, theirs.prf, theirs.routerlifetime) == (64, 0b11, 1800)
    assert theirs[ICMPv6NDOptMTU].mtu == 1500
    assert theirs[ICMPv6NDOptPrefixInfo].prefix == "2001:db8:1001::"
    assert theirs[ICMPv6NDOptRDNSS].dns == ["2001:db8:c0::53"]
    assert theirs[ICMPv6NDOptRouteInfo].plen == 48
    assert theirs[ICMPv6NDOptRouteInfo].prf == 0b11
    assert theirs[ICMPv6NDOptSrcLLAddr].lladdr == "02:00:00:00:00:01"


options = st.lists(st.builds(Mtu, st.integers(0, 2**32 - 1)), max_size=3).map(tuple)


@given(st.builds(RouterSolicitation, options))
def test_every_solicitation_survives(message: RouterSolicitation) -> None:
    assert decode_message(message.encode()) == message


@given(
    st.builds(
        RouterAdvertisement,
        hop_limit=st.integers(0, 255),
        managed=st.booleans(),
        other=st.booleans(),
        router_lifetime=st.integers(0, 2**16 - 1),
        reachable_time=st.integers(0, 2**32 - 1),
        retrans_timer=st.integers(0, 2**32 - 1),
        options=options,
        preference=st.sampled_from([-1, 0, 1]),
    )
)
def test_every_advertisement_survives(message: RouterAdvertisement) -> None:
    assert decode_message(message.encode()) == message


def test_options_are_found_by_class() -> None:
    message = RouterSolicitation((Mtu(1280), Mtu(1500), *SOLICITATION.options))
    assert message.first(Mtu) == Mtu(1280)
    assert message.every(Mtu) == (Mtu(1280), Mtu(1500))
    assert message.first(Rdnss) is None
    assert message.every(Rdnss) == ()


def test_checksum_is_not_looked_at() -> None:
    golden = SOLICITATION_GOLDEN[:2] + b"\xab\xcd" + SOLICITATION_GOLDEN[4:]
    assert decode_message(golden) == SOLICITATION


def test_reserved_preference_counts_as_medium() -> None:
    golden = bytearray(ADVERTISEMENT_GOLDEN)
    golden[5] = 0xC0 | 0b10 << 3
    assert decode_message(bytes(golden)) == replace(ADVERTISEMENT, preference=0)


def test_flags_of_others_are_ignored() -> None:
    golden = bytearray(ADVERTISEMENT_GOLDEN)
    golden[5] |= 0x27
    assert decode_message(bytes(golden)) == ADVERTISEMENT


@pytest.mark.parametrize("size", [size for size in range(len(SOLICITATION_GOLDEN)) if size != 8])
def test_truncated_solicitation_is_refused(size: int) -> None:
    with pytest.raises(WireError):
        decode_message(SOLICITATION_GOLDEN[:size])


@pytest.mark.parametrize(
    "size", [size for size in range(len(ADVERTISEMENT_GOLDEN)) if size not in (16, 24)]
)
def test_truncated_advertisement_is_refused(size: int) -> None:
    with pytest.raises(WireError):
        decode_message(ADVERTISEMENT_GOLDEN[:size])


def test_another_code_is_refused() -> None:
    with pytest.raises(WireError, match="code 1"):
        decode_message(b"\x85\x01" + SOLICITATION_GOLDEN[2:])


@pytest.mark.parametrize("message_type", [0, 128, 135, 137, 255])
def test_another_type_is_refused(message_type: int) -> None:
    with pytest.raises(WireError, match=f"type {message_type}"):
        decode_message(bytes([message_type]) + SOLICITATION_GOLDEN[1:])


@pytest.mark.parametrize(
    "impossible",
    [
        replace(ADVERTISEMENT, hop_limit=256),
        replace(ADVERTISEMENT, router_lifetime=65_536),
        replace(ADVERTISEMENT, reachable_time=-1),
        replace(ADVERTISEMENT, retrans_timer=2**32),
        replace(ADVERTISEMENT, preference=2),
    ],
)
def test_impossible_value_is_our_own_mistake(impossible: RouterAdvertisement) -> None:
    with pytest.raises(ValueError, match=r"ND Router Advertisement|preference") as caught:
        impossible.encode()
    assert not isinstance(caught.value, WireError)
