from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import (
    DHCP6OptElapsedTime,
    DHCP6OptOptReq,
    DHCP6OptPref,
    DHCP6OptRapidCommit,
)

from moorage.wire.dhcp6 import (
    ElapsedTime,
    InfMaxRt,
    InformationRefreshTime,
    Option,
    OptionRequest,
    Preference,
    RapidCommit,
    SolMaxRt,
    decode_options,
    encode_options,
)
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

KINDS = (
    OptionRequest,
    Preference,
    ElapsedTime,
    RapidCommit,
    InformationRefreshTime,
    SolMaxRt,
    InfMaxRt,
)
KNOWN = decoders(*KINDS)

GOLDEN_OPTION_REQUEST = bytes.fromhex(
    "0006"  # option-code: Option Request
    "0004"  # option-len 4
    "0011"  # Vendor-specific Information
    "0052"  # SOL_MAX_RT
)
GOLDEN_PREFERENCE = bytes.fromhex(
    "0007"  # option-code: Preference
    "0001"  # option-len 1
    "ff"  # pref-value 255: no need to wait for others
)
GOLDEN_ELAPSED_TIME = bytes.fromhex(
    "0008"  # option-code: Elapsed Time
    "0002"  # option-len 2
    "000a"  # elapsed-time: 100 ms
)
GOLDEN_RAPID_COMMIT = bytes.fromhex(
    "000e"  # option-code: Rapid Commit
    "0000"  # option-len 0
)
GOLDEN_INFORMATION_REFRESH_TIME = bytes.fromhex(
    "0020"  # option-code: Information Refresh Time
    "0004"  # option-len 4
    "00015180"  # 86,400 s
)
GOLDEN_SOL_MAX_RT = bytes.fromhex(
    "0052"  # option-code: SOL_MAX_RT
    "0004"  # option-len 4
    "00000e10"  # 3600 s
)
GOLDEN_INF_MAX_RT = bytes.fromhex(
    "0053"  # option-code: INF_MAX_RT
    "0004"  # option-len 4
    "00015180"  # 86,400 s
)


@pytest.mark.parametrize(
    ("encoded", "option"),
    [
        (GOLDEN_OPTION_REQUEST, OptionRequest((17, 82))),
        (GOLDEN_PREFERENCE, Preference(255)),
        (GOLDEN_ELAPSED_TIME, ElapsedTime(10)),
        (GOLDEN_RAPID_COMMIT, RapidCommit()),
        (GOLDEN_INFORMATION_REFRESH_TIME, InformationRefreshTime(86_400)),
        (GOLDEN_SOL_MAX_RT, SolMaxRt(3600)),
        (GOLDEN_INF_MAX_RT, InfMaxRt(86_400)),
    ],
)
def test_golden(encoded: bytes, option: Option) -> None:
    assert encode_options([option]) == encoded
    assert decode_options(encoded, KNOWN) == (option,)


def test_scapy_agrees() -> None:
    assert bytes(DHCP6OptOptReq(reqopts=[17, 82])) == GOLDEN_OPTION_REQUEST
    assert bytes(DHCP6OptPref(prefval=255)) == GOLDEN_PREFERENCE
    assert bytes(DHCP6OptElapsedTime(elapsedtime=10)) == GOLDEN_ELAPSED_TIME
    assert bytes(DHCP6OptRapidCommit()) == GOLDEN_RAPID_COMMIT
    assert DHCP6OptOptReq(GOLDEN_OPTION_REQUEST).reqopts == [17, 82]
    assert DHCP6OptPref(GOLDEN_PREFERENCE).prefval == 255
    assert DHCP6OptElapsedTime(GOLDEN_ELAPSED_TIME).elapsedtime == 10


u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
all_options: st.SearchStrategy[Option] = st.one_of(
    st.builds(OptionRequest, st.lists(u16, max_size=20).map(tuple)),
    st.builds(Preference, st.integers(0, 0xFF)),
    st.builds(ElapsedTime, u16),
    st.builds(RapidCommit),
    st.builds(InformationRefreshTime, u32),
    st.builds(SolMaxRt, u32),
    st.builds(InfMaxRt, u32),
)


@given(all_options)
def test_everything_survives(option: Option) -> None:
    assert decode_options(encode_options([option]), KNOWN) == (option,)


@pytest.mark.parametrize(
    "encoded",
    [
        GOLDEN_OPTION_REQUEST,
        GOLDEN_PREFERENCE,
        GOLDEN_ELAPSED_TIME,
        GOLDEN_RAPID_COMMIT,
        GOLDEN_INFORMATION_REFRESH_TIME,
        GOLDEN_SOL_MAX_RT,
        GOLDEN_INF_MAX_RT,
    ],
)
def test_another_length_is_refused(encoded: bytes) -> None:
    code, body = int.from_bytes(encoded[:2], "big"), encoded[4:]
    for wrong in {body[:-1], body + b"\x00"} - {body}:
        with pytest.raises(WireError, match="DHCPv6"):
            KNOWN[code](wrong)


@pytest.mark.parametrize(
    "option",
    [
        OptionRequest((0x10000,)),
        Preference(256),
        ElapsedTime(0x10000),
        InformationRefreshTime(2**32),
        SolMaxRt(-1),
        InfMaxRt(2**32),
    ],
)
def test_impossible_value_is_our_own_mistake(option: Option) -> None:
    with pytest.raises(ValueError, match="DHCPv6") as caught:
        option.encode()
    assert not isinstance(caught.value, WireError)
