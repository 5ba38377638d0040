from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import (
    USER_CLASS_DATA,
    VENDOR_CLASS_DATA,
    VENDOR_SPECIFIC_OPTION,
    DHCP6OptUserClass,
    DHCP6OptVendorClass,
    DHCP6OptVendorSpecificInfo,
)

from moorage.wire.dhcp6 import (
    Option,
    UserClass,
    VendorClass,
    VendorOpts,
    decode_options,
    encode_options,
)
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

KNOWN = decoders(UserClass, VendorClass, VendorOpts)

GOLDEN_USER_CLASS = bytes.fromhex(
    "000f"  # option-code: User Class
    "000a"  # option-len 10
    "0003"  # user-class-len 3
    "636172"  # "car"
    "0003"  # user-class-len 3
    "627573"  # "bus"
)
GOLDEN_VENDOR_CLASS = bytes.fromhex(
    "0010"  # option-code: Vendor Class
    "0009"  # option-len 9
    "00007ed9"  # enterprise number 32473
    "0003"  # vendor-class-len 3
    "627573"  # "bus"
)
GOLDEN_VENDOR_OPTS = bytes.fromhex(
    "0011"  # option-code: Vendor-specific Information
    "0012"  # option-len 18
    "00007ed9"  # enterprise number 32473
    "0001"  # sub-opt-code 1
    "0005"  # sub-option-len 5
    "0000000701"  # its body
    "ffff"  # sub-opt-code 65,535
    "0001"  # sub-option-len 1
    "78"  # its body
)
VENDOR_OPTS = VendorOpts(32473, ((1, bytes.fromhex("0000000701")), (0xFFFF, b"x")))


@pytest.mark.parametrize(
    ("encoded", "option"),
    [
        (GOLDEN_USER_CLASS, UserClass((b"car", b"bus"))),
        (GOLDEN_VENDOR_CLASS, VendorClass(32473, (b"bus",))),
        (GOLDEN_VENDOR_OPTS, VENDOR_OPTS),
    ],
)
def test_golden(encoded: bytes, option: Option) -> None:
    assert encode_options([option]) == encoded
    assert decode_options(encoded, KNOWN) == (option,)


def test_scapy_agrees() -> None:
    car, bus = USER_CLASS_DATA(data=b"car"), USER_CLASS_DATA(data=b"bus")
    assert bytes(DHCP6OptUserClass(userclassdata=[car, bus])) == GOLDEN_USER_CLASS
    vendor_class = DHCP6OptVendorClass(enterprisenum=32473, vcdata=[VENDOR_CLASS_DATA(data=b"bus")])
    assert bytes(vendor_class) == GOLDEN_VENDOR_CLASS
    vendor_opts = DHCP6OptVendorSpecificInfo(
        enterprisenum=32473,
        vso=[
            VENDOR_SPECIFIC_OPTION(optcode=code, optdata=data) for code, data in VENDOR_OPTS.options
        ],
    )
    assert bytes(vendor_opts) == GOLDEN_VENDOR_OPTS

    user_class = DHCP6OptUserClass(GOLDEN_USER_CLASS)
    assert [item.data for item in user_class.userclassdata] == [b"car", b"bus"]
    assert [item.data for item in DHCP6OptVendorClass(GOLDEN_VENDOR_CLASS).vcdata] == [b"bus"]
    parsed = DHCP6OptVendorSpecificInfo(GOLDEN_VENDOR_OPTS)
    assert parsed.enterprisenum == 32473
    assert tuple((item.optcode, item.optdata) for item in parsed.vso) == VENDOR_OPTS.options


u32 = st.integers(0, 0xFFFFFFFF)
classes = st.lists(st.binary(max_size=20), max_size=4).map(tuple)
sub_options = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=20)), max_size=4)
all_options: st.SearchStrategy[Option] = st.one_of(
    st.builds(UserClass, classes),
    st.builds(VendorClass, u32, classes),
    st.builds(VendorOpts, u32, sub_options.map(tuple)),
)


@given(all_options)
def test_everything_survives(option: Option) -> None:
    assert decode_options(encode_options([option]), KNOWN) == (option,)


@pytest.mark.parametrize("size", [1, 2, 4, 6, 7, 9])
def test_truncated_user_class_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="DHCPv6 class data"):
        UserClass.decode(GOLDEN_USER_CLASS[4 : 4 + size])


@pytest.mark.parametrize("size", [0, 3, 5, 6, 8])
def test_truncated_vendor_class_is_refused(size: int) -> None:
    with pytest.raises(WireError, match=r"DHCPv6 (vendor class|class data)"):
        VendorClass.decode(GOLDEN_VENDOR_CLASS[4 : 4 + size])


@pytest.mark.parametrize("size", [0, 3, 5, 7, 8, 12, 14, 17])
def test_truncated_vendor_options_are_refused(size: int) -> None:
    with pytest.raises(WireError, match=r"DHCPv6 (vendor options|option)"):
        VendorOpts.decode(GOLDEN_VENDOR_OPTS[4 : 4 + size])


@pytest.mark.parametrize(
    "option",
    [
        UserClass((bytes(0x10000),)),
        VendorClass(2**32, ()),
        VendorOpts(-1, ()),
        VendorOpts(32473, ((0x10000, b""),)),
        VendorOpts(32473, ((1, bytes(0x10000)),)),
    ],
)
def test_impossible_value_is_our_own_mistake(option: Option) -> None:
    with pytest.raises(ValueError, match="DHCPv6") as caught:
        option.encode()
    assert not isinstance(caught.value, WireError)
