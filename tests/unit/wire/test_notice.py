from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.wire.errors import WireError
from moorage.wire.notice import (
    NOTICE_LENGTH,
    Attached,
    Deprecated,
    Detached,
    Gone,
    Moved,
    Notice,
    Overrun,
    Replaced,
    Why,
    decode_notice,
    encode_notice,
)

ADDRESS = IPv6Address("2001:db8:a01::1")

REPLACED_GOLDEN = bytes.fromhex(
    "4d52"  # magic "MR"
    "01"  # version
    "03"  # kind: notice
    "01"  # replaced
    "00"  # no cause
    "0000"  # unused
    "0000003c"  # valid for 60 s
    "20010db80a0100000000000000000001"  # address 2001:db8:a01::1
    "20010db80a0200000000000000000002"  # by 2001:db8:a02::2
)
REPLACED = Replaced(ADDRESS, IPv6Address("2001:db8:a02::2"), 60)

GONE_GOLDEN = bytes.fromhex(
    "4d52"  # magic "MR"
    "01"  # version
    "03"  # kind: notice
    "03"  # gone
    "02"  # cause 2: withdrawn
    "0000"  # unused
    "00000000"  # no number
    "20010db80a0100000000000000000001"  # address 2001:db8:a01::1
    "00000000000000000000000000000000"  # no other address
)
GONE = Gone(ADDRESS, Why.WITHDRAWN)


@pytest.mark.parametrize(
    ("notice", "golden"),
    [(REPLACED, REPLACED_GOLDEN), (GONE, GONE_GOLDEN)],
    ids=["replaced", "gone"],
)
def test_golden(notice: Notice, golden: bytes) -> None:
    assert encode_notice(notice) == golden
    assert decode_notice(golden) == notice
    assert len(golden) == NOTICE_LENGTH


addresses = st.ip_addresses(v=6)
u32 = st.integers(0, 2**32 - 1)
notices: st.SearchStrategy[Notice] = st.one_of(
    st.builds(Replaced, addresses, addresses, u32),
    st.builds(Deprecated, addresses, u32),
    st.builds(Gone, addresses, st.sampled_from(Why)),
    st.builds(Moved, addresses),
    st.builds(Detached, addresses),
    st.builds(Attached, addresses),
    st.builds(Overrun, u32),
)


@given(notices)
def test_every_notice_survives(notice: Notice) -> None:
    assert decode_notice(encode_notice(notice)) == notice


@pytest.mark.parametrize("size", [*range(NOTICE_LENGTH), NOTICE_LENGTH + 1])
def test_another_length_is_refused(size: int) -> None:
    with pytest.raises(WireError, match=f"notice: {size} bytes"):
        decode_notice((GONE_GOLDEN + b"\0")[:size])


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (0, b"RM", "magic"),
        (2, b"\x02", "version 2"),
        (3, b"\x02", "kind 2"),
        (4, b"\x00", "event 0"),
        (4, b"\x08", "event 8"),
        (5, b"\x00", "cause 0"),
        (5, b"\x06", "cause 6"),
    ],
)
def test_wrong_field_is_refused(at: int, value: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        decode_notice(GONE_GOLDEN[:at] + value + GONE_GOLDEN[at + len(value) :])


def test_what_a_notice_does_not_use_is_ignored() -> None:
    assert decode_notice(GONE_GOLDEN[:6] + b"\xff" * 6 + GONE_GOLDEN[12:28] + b"\xff" * 16) == GONE


@pytest.mark.parametrize("number", [-1, 2**32])
def test_impossible_value_is_our_own_mistake(number: int) -> None:
    with pytest.raises(ValueError, match="notice") as caught:
        encode_notice(Overrun(number))
    assert not isinstance(caught.value, WireError)
