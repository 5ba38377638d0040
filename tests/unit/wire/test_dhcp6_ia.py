from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import (
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptIAAddress,
    DHCP6OptIAPrefix,
    DHCP6OptStatusCode,
)

from moorage.wire.dhcp6 import (
    IaAddr,
    IaNa,
    IaPd,
    IaPrefix,
    IaTa,
    Option,
    Status,
    StatusCode,
    UnknownOption,
    decode_options,
    encode_options,
)
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

KNOWN = decoders(IaNa, IaTa, IaPd)

GOLDEN_PD = bytes.fromhex(
    "0019"  # option-code: IA_PD
    "003d"  # option-len 61
    "00000007"  # IAID 7
    "00000258"  # T1 600 s
    "000004b0"  # T2 1200 s
    "001a"  # option-code: IA Prefix
    "0019"  # option-len 25
    "00000e10"  # preferred lifetime 3600 s
    "00001c20"  # valid lifetime 7200 s
    "40"  # prefix length 64
    "20010db80a0100070000000000000000"  # prefix 2001:db8:a01:7::
    "000d"  # option-code: Status Code
    "0010"  # option-len 16
    "0000"  # status-code: Success
    "6b65707420617320697420776173"  # status-message: "kept as it was"
)
PREFIX = IaPrefix(3600, 7200, IPv6Network("2001:db8:a01:7::/64"))
PD = IaPd(7, 600, 1200, (PREFIX, StatusCode(Status.SUCCESS, "kept as it was")))

GOLDEN_HINT = bytes.fromhex(
    "0019"  # option-code: IA_PD
    "0029"  # option-len 41
    "00000007"  # IAID 7
    "00000000"  # T1: the server decides
    "00000000"  # T2: the server decides
    "001a"  # option-code: IA Prefix
    "0019"  # option-len 25
    "00000000"  # preferred lifetime: the server decides
    "00000000"  # valid lifetime: the server decides
    "40"  # prefix length 64
    "00000000000000000000000000000000"  # any prefix of that length
)
HINT = IaPd(7, 0, 0, (IaPrefix(0, 0, IPv6Network("::/64")),))

GOLDEN_NA = bytes.fromhex(
    "0003"  # option-code: IA_NA
    "0028"  # option-len 40
    "00000001"  # IAID 1
    "00000000"  # T1 0
    "00000000"  # T2 0
    "0005"  # option-code: IA Address
    "0018"  # option-len 24
    "20010db8000000000000000000000001"  # address 2001:db8::1
    "00000e10"  # preferred lifetime 3600 s
    "00001c20"  # valid lifetime 7200 s
)
ADDRESS = IaAddr(IPv6Address("2001:db8::1"), 3600, 7200)
NA = IaNa(1, 0, 0, (ADDRESS,))


@pytest.mark.parametrize(
    ("encoded", "option"), [(GOLDEN_PD, PD), (GOLDEN_HINT, HINT), (GOLDEN_NA, NA)]
)
def test_golden(encoded: bytes, option: Option) -> None:
    assert encode_options([option]) == encoded
    assert decode_options(encoded, KNOWN) == (option,)


def test_contents() -> None:
    assert PD.prefixes == (PREFIX,)
    assert PD.status == StatusCode(Status.SUCCESS, "kept as it was")
    assert HINT.status is None
    assert NA.addresses == (ADDRESS,)
    assert IaPd(7, 0, 0).prefixes == ()


def test_status_inside_a_lease_is_not_the_associations() -> None:
    lease = IaPrefix(0, 0, PREFIX.prefix, (StatusCode(Status.NO_BINDING),))
    ia = IaPd.decode(IaPd(7, 0, 0, (lease,)).encode())
    assert ia.status is None
    assert ia.prefixes[0].first(StatusCode) == StatusCode(Status.NO_BINDING)


def test_scapy_agrees_about_ia_pd() -> None:
    theirs = DHCP6OptIA_PD(
        iaid=7,
        T1=600,
        T2=1200,
        iapdopt=[
            DHCP6OptIAPrefix(preflft=3600, validlft=7200, plen=64, prefix="2001:db8:a01:7::"),
            DHCP6OptStatusCode(statuscode=0, statusmsg="kept as it was"),
        ],
    )
    assert bytes(theirs) == GOLDEN_PD
    parsed = DHCP6OptIA_PD(GOLDEN_PD)
    prefix, status = parsed.iapdopt
    assert (parsed.iaid, parsed.T1, parsed.T2) == (7, 600, 1200)
    assert (prefix.preflft, prefix.validlft, prefix.plen) == (3600, 7200, 64)
    assert prefix.prefix == "2001:db8:a01:7::"
    assert status.statusmsg == b"kept as it was"


def test_scapy_agrees_about_ia_na() -> None:
    lease = DHCP6OptIAAddress(addr="2001:db8::1", preflft=3600, validlft=7200)
    assert bytes(DHCP6OptIA_NA(iaid=1, T1=0, T2=0, ianaopts=[lease])) == GOLDEN_NA
    parsed = DHCP6OptIA_NA(GOLDEN_NA)
    (address,) = parsed.ianaopts
    assert (parsed.iaid, address.addr, address.validlft) == (1, "2001:db8::1", 7200)


u32 = st.integers(0, 0xFFFFFFFF)
inner: st.SearchStrategy[StatusCode | UnknownOption] = st.one_of(
    st.builds(StatusCode, code=st.integers(0, 0xFFFF), message=st.text(max_size=9)),
    st.builds(UnknownOption, option_code=st.integers(150, 0xFFFF), data=st.binary(max_size=9)),
)
inners = st.lists(inner, max_size=2).map(tuple)
addresses = st.builds(
    IaAddr, address=st.ip_addresses(v=6), preferred=u32, valid=u32, options=inners
)
prefixes = st.builds(
    IaPrefix,
    preferred=u32,
    valid=u32,
    prefix=st.builds(
        lambda address, length: IPv6Network((address, length), strict=False),
        st.ip_addresses(v=6),
        st.integers(0, 128),
    ),
    options=inners,
)


@given(
    st.builds(
        IaNa, iaid=u32, t1=u32, t2=u32, options=st.lists(addresses | inner, max_size=3).map(tuple)
    )
    | st.builds(
        IaPd, iaid=u32, t1=u32, t2=u32, options=st.lists(prefixes | inner, max_size=3).map(tuple)
    )
    | st.builds(IaTa, iaid=u32, options=st.lists(addresses | inner, max_size=3).map(tuple))
)
def test_everything_survives(option: IaNa | IaTa | IaPd) -> None:
    assert decode_options(encode_options([option]), KNOWN) == (option,)


def test_bits_behind_the_prefix_are_cleared() -> None:
    body = bytearray(PREFIX.encode())
    body[-1] = 1
    assert IaPrefix.decode(bytes(body)) == PREFIX


def test_preferred_longer_than_valid_is_for_the_receiver_to_judge() -> None:
    lease = IaPrefix(7200, 3600, PREFIX.prefix)
    assert IaPrefix.decode(lease.encode()) == lease


def test_association_inside_an_association_is_not_looked_into() -> None:
    nested = b""
    for _ in range(4000):  # about as deep as a datagram allows
        nested = encode_options([UnknownOption(IaPd.option_code, bytes(12) + nested)])
    (ia,) = decode_options(nested, KNOWN)
    assert isinstance(ia, IaPd)
    assert isinstance(ia.options[0], UnknownOption)


@pytest.mark.parametrize(
    ("option", "size"), [(IaNa, 12), (IaTa, 4), (IaPd, 12), (IaAddr, 24), (IaPrefix, 25)]
)
def test_truncation_is_refused(
    option: type[IaNa] | type[IaTa] | type[IaPd] | type[IaAddr] | type[IaPrefix], size: int
) -> None:
    for shorter in range(size):
        with pytest.raises(WireError, match="DHCPv6 IA"):
            option.decode(bytes(shorter))
    assert option.decode(bytes(size)).options == ()


def test_prefix_longer_than_an_address_is_refused() -> None:
    with pytest.raises(WireError, match="prefix length 129"):
        IaPrefix.decode(bytes(8) + b"\x81" + bytes(16))


@pytest.mark.parametrize(
    "option",
    [
        IaPd(2**32, 0, 0),
        IaPd(0, -1, 0),
        IaNa(0, 0, 2**32),
        IaPrefix(2**32, 0, PREFIX.prefix),
        IaAddr(ADDRESS.address, 0, -1),
        IaPd(0, 0, 0, (IaPrefix(0, 2**32, PREFIX.prefix),)),
    ],
)
def test_impossible_value_is_our_own_mistake(option: Option) -> None:
    with pytest.raises(ValueError, match="DHCPv6 IA") as caught:
        option.encode()
    assert not isinstance(caught.value, WireError)
