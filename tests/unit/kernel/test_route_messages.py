"""Routes and rules as bytes."""

from __future__ import annotations

import sys
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel.netlink_routes import encode_route, encode_rule, parse_routes, parse_rules
from moorage.kernel.routes import Route, RouteKind, Rule, Seg6Encap, Seg6EndDT6

ADDRESSES = st.integers(1, 2**128 - 1).map(IPv6Address)
TABLES = st.integers(1, 2**32 - 1)
SIZES = st.integers(0, 65535)


def networks(shortest: int) -> st.SearchStrategy[IPv6Network]:
    return st.builds(
        lambda address, length: IPv6Network((address, length), strict=False),
        ADDRESSES,
        st.integers(shortest, 128),
    )


ROUTES = st.builds(
    Route,
    destination=networks(0),
    table=TABLES,
    source=st.none() | networks(1),
    gateway=st.none() | ADDRESSES,
    interface=st.integers(0, 2**31 - 1),
    metric=st.integers(1, 2**32 - 1),
    mtu=SIZES,
    advmss=SIZES,
    encap=st.none() | st.builds(Seg6Encap, ADDRESSES) | st.builds(Seg6EndDT6, TABLES),
) | st.builds(
    Route,
    destination=networks(0),
    table=TABLES,
    kind=st.sampled_from([RouteKind.BLACKHOLE, RouteKind.UNREACHABLE]),
    source=st.none() | networks(1),
)

RULES = st.builds(
    Rule,
    priority=st.integers(0, 2**32 - 1),
    table=TABLES,
    iif=st.text("abcdefghij.-0123456789", max_size=15),
    source=st.none() | networks(1),
)


@given(ROUTES, st.integers(1, 255))
def test_routes_come_back(route: Route, protocol: int) -> None:
    assert list(parse_routes(encode_route(route, protocol))) == [(protocol, route)]


@given(RULES, st.integers(1, 255))
def test_rules_come_back(rule: Rule, protocol: int) -> None:
    assert list(parse_rules(encode_rule(rule, protocol))) == [(protocol, rule)]


@pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are those of a little-endian CPU")
def test_source_route_into_a_segment() -> None:
    route = Route(
        IPv6Network("::/0"),
        11_000,
        source=IPv6Network("2001:db8:1::/64"),
        interface=3,
        encap=Seg6Encap(IPv6Address("2001:db8:5:1::e")),
    )
    assert encode_route(route, 0x6D) == bytes.fromhex(
        "0a 00 40 00"  # IPv6, destination /0, source /64, no traffic class
        "00 6d 00 01"  # table: see RTA_TABLE; protocol, scope, RTN_UNICAST
        "00000000"
        "1400 0100 00000000000000000000000000000000"  # RTA_DST
        "0800 0f00 f82a0000"  # RTA_TABLE 11000
        "0800 0600 00040000"  # RTA_PRIORITY 1024
        "1400 0200 20010db8000100000000000000000000"  # RTA_SRC
        "0800 0400 03000000"  # RTA_OIF
        "0600 1500 0500 0000"  # RTA_ENCAP_TYPE: seg6
        "2400 1680"  # RTA_ENCAP, nested
        "2000 0100"  # SEG6_IPTUNNEL_SRH
        "03000000"  # mode encap.red
        "00 02 04 00 00 00 0000"  # RFC 8754 section 2: 16 octets follow the first 8, type 4
        "20010db800050001000000000000000e"
    )


def test_routes_that_cannot_be() -> None:
    prefix = IPv6Network("2001:db8:1::/64")
    with pytest.raises(ValueError, match="metric"):
        Route(prefix, 254, metric=0)
    with pytest.raises(ValueError, match="source"):
        Route(prefix, 254, source=IPv6Network("::/0"))
    with pytest.raises(ValueError, match="BLACKHOLE has no next hop"):
        Route(prefix, 254, RouteKind.BLACKHOLE, interface=1)
