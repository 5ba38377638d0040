from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6NDOptRDNSS

from moorage.wire.errors import WireError
from moorage.wire.nd import Rdnss, UnknownNdOption, decode_options, encode_options

GOLDEN = bytes.fromhex(
    "19"  # type: RDNSS
    "05"  # length: 1 unit and 2 for each server
    "0000"  # reserved
    "00000708"  # lifetime 1800 s
    "20010db800c000000000000000000053"  # 2001:db8:c0::53
    "20010db800c000000000000000000054"  # 2001:db8:c0::54
)
SERVERS = (IPv6Address("2001:db8:c0::53"), IPv6Address("2001:db8:c0::54"))
OPTION = Rdnss(lifetime=1800, servers=SERVERS)


def test_golden() -> None:
    assert encode_options([OPTION]) == GOLDEN
    assert decode_options(GOLDEN) == (OPTION,)


def test_scapy_agrees() -> None:
    assert bytes(ICMPv6NDOptRDNSS(lifetime=1800, dns=[str(s) for s in SERVERS])) == GOLDEN


@given(
    st.builds(
        Rdnss,
        lifetime=st.integers(0, 2**32 - 1),
        servers=st.lists(st.ip_addresses(v=6), min_size=1, max_size=127).map(tuple),
    )
)
def test_everything_survives(option: Rdnss) -> None:
    assert decode_options(encode_options([option])) == (option,)


@pytest.mark.parametrize("units", [1, 2, 4])
def test_option_to_be_discarded_spoils_no_message(units: int) -> None:
    # RFC 8106 section 5.3.1: at least 3 units, and an odd number of them.
    discarded = bytes([25, units]) + bytes(8 * units - 2)
    assert decode_options(discarded + GOLDEN) == (
        UnknownNdOption(25, bytes(8 * units - 2)),
        OPTION,
    )


def test_reserved_bytes_are_ignored() -> None:
    assert Rdnss.decode(b"\xff\xff" + GOLDEN[4:]) == OPTION


@pytest.mark.parametrize("size", range(6))
def test_body_without_lifetime_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="ND RDNSS"):
        Rdnss.decode(bytes(size))


@pytest.mark.parametrize("option", [Rdnss(1800, ()), Rdnss(2**32, SERVERS)])
def test_impossible_option_is_our_own_mistake(option: Rdnss) -> None:
    with pytest.raises(ValueError, match="ND RDNSS") as caught:
        option.encode()
    assert not isinstance(caught.value, WireError)


def test_more_servers_than_the_length_field_can_count() -> None:
    with pytest.raises(ValueError, match="ND option"):
        encode_options([Rdnss(1800, SERVERS * 64)])
