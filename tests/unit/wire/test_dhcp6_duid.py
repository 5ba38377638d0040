from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import DUID_EN, DUID_LL, DUID_LLT, DUID_UUID

from moorage.wire.dhcp6 import (
    Duid,
    DuidEn,
    DuidLl,
    DuidLlt,
    DuidUnknown,
    DuidUuid,
    decode_duid,
)
from moorage.wire.errors import WireError

GOLDEN_LLT = bytes.fromhex(
    "0001"  # type: DUID-LLT
    "0001"  # hardware type: Ethernet
    "2d0f5a80"  # 756,045,440 s after the year 2000 began
    "02005e105301"  # link-layer address
)
GOLDEN_EN = bytes.fromhex(
    "0002"  # type: DUID-EN
    "00007ed9"  # enterprise number 32473
    "0cc084d303000912"  # identifier
)
GOLDEN_LL = bytes.fromhex(
    "0003"  # type: DUID-LL
    "0001"  # hardware type: Ethernet
    "02005e105301"  # link-layer address
)
GOLDEN_UUID = bytes.fromhex(
    "0004"  # type: DUID-UUID
    "00112233445566778899aabbccddeeff"  # UUID
)
GOLDEN_UNKNOWN = bytes.fromhex(
    "0005"  # a type that nobody assigned
    "c0ffee"
)
GOLDEN = [
    (GOLDEN_LLT, DuidLlt(1, 0x2D0F5A80, bytes.fromhex("02005e105301"))),
    (GOLDEN_EN, DuidEn(32473, bytes.fromhex("0cc084d303000912"))),
    (GOLDEN_LL, DuidLl(1, bytes.fromhex("02005e105301"))),
    (GOLDEN_UUID, DuidUuid(bytes.fromhex("00112233445566778899aabbccddeeff"))),
    (GOLDEN_UNKNOWN, DuidUnknown(5, b"\xc0\xff\xee")),
]


@pytest.mark.parametrize(("encoded", "duid"), GOLDEN)
def test_golden(encoded: bytes, duid: Duid) -> None:
    assert duid.encode() == encoded
    assert decode_duid(encoded) == duid


def test_scapy_agrees() -> None:
    mac = "02:00:5e:10:53:01"
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    assert bytes(DUID_LLT(timeval=0x2D0F5A80, lladdr=mac)) == GOLDEN_LLT
    assert bytes(DUID_EN(enterprisenum=32473, id=GOLDEN_EN[6:])) == GOLDEN_EN
    assert bytes(DUID_LL(lladdr=mac)) == GOLDEN_LL
    assert bytes(DUID_UUID(uuid=uuid)) == GOLDEN_UUID
    assert DUID_LLT(GOLDEN_LLT).lladdr == mac
    assert DUID_EN(GOLDEN_EN).enterprisenum == 32473
    assert DUID_LL(GOLDEN_LL).lladdr == mac
    assert str(DUID_UUID(GOLDEN_UUID).uuid) == uuid


u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
duids: st.SearchStrategy[Duid] = st.one_of(
    st.builds(DuidLlt, hardware_type=u16, time=u32, address=st.binary(max_size=122)),
    st.builds(DuidEn, enterprise=u32, identifier=st.binary(max_size=124)),
    st.builds(DuidLl, hardware_type=u16, address=st.binary(max_size=126)),
    st.builds(DuidUuid, uuid=st.binary(min_size=16, max_size=16)),
    st.builds(DuidUnknown, type=st.integers(5, 0xFFFF), data=st.binary(min_size=1, max_size=128)),
)


@given(duids)
def test_everything_survives(duid: Duid) -> None:
    assert decode_duid(duid.encode()) == duid


@pytest.mark.parametrize("size", [0, 1, 2, 131])
def test_length_that_no_duid_has_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="DHCPv6 DUID"):
        decode_duid(bytes(size))


@pytest.mark.parametrize(
    "data", [GOLDEN_LLT[:7], GOLDEN_EN[:5], GOLDEN_LL[:3], GOLDEN_UUID[:17], GOLDEN_UUID + b"!"]
)
def test_length_that_the_type_forbids_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="DHCPv6 DUID-"):
        decode_duid(data)


@pytest.mark.parametrize(
    "duid",
    [
        DuidLlt(1, 0, bytes(123)),
        DuidLlt(1, 2**32, bytes(6)),
        DuidEn(-1, bytes(6)),
        DuidLl(2**16, bytes(6)),
        DuidUuid(bytes(15)),
        DuidUuid(bytes(17)),
        DuidUnknown(5, b""),
        DuidUnknown(5, bytes(129)),
    ],
)
def test_impossible_value_is_our_own_mistake(duid: Duid) -> None:
    with pytest.raises(ValueError, match="DHCPv6 DUID") as caught:
        duid.encode()
    assert not isinstance(caught.value, WireError)
