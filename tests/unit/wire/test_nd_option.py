from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.wire.errors import WireError
from moorage.wire.nd import Mtu, NdOption, UnknownNdOption, decode_options, encode_options

# A nonce option (RFC 3971), which nothing here understands, and an MTU behind it.
GOLDEN = bytes.fromhex(
    "0e"  # type: Nonce
    "01"  # length: 1 unit
    "a1a2a3a4a5a6"  # its body
    "05"  # type: MTU
    "01"  # length: 1 unit
    "0000"  # reserved
    "00000500"  # MTU 1280
)
OPTIONS = (UnknownNdOption(14, bytes.fromhex("a1a2a3a4a5a6")), Mtu(1280))


def test_golden() -> None:
    assert encode_options(OPTIONS) == GOLDEN
    assert decode_options(GOLDEN) == OPTIONS


def test_no_options() -> None:
    assert decode_options(b"") == ()
    assert encode_options(()) == b""


bodies = st.integers(1, 255).flatmap(lambda n: st.binary(min_size=8 * n - 2, max_size=8 * n - 2))


@given(st.lists(st.builds(UnknownNdOption, type=st.integers(26, 252), data=bodies), max_size=3))
def test_unknown_options_are_kept_in_order(options: list[NdOption]) -> None:
    assert decode_options(encode_options(options)) == tuple(options)


def test_length_zero_is_refused() -> None:
    with pytest.raises(WireError, match="type 14 of length 0"):
        decode_options(bytes.fromhex("0e00") + bytes(6))


@pytest.mark.parametrize("size", [size for size in range(1, len(GOLDEN)) if size != 8])
def test_truncation_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="ND option"):
        decode_options(GOLDEN[:size])


@pytest.mark.parametrize(
    "option",
    [
        UnknownNdOption(14, bytes(5)),  # no whole unit
        UnknownNdOption(14, bytes(7)),
        UnknownNdOption(14, bytes(8 * 256 - 2)),  # more units than Length can say
        UnknownNdOption(256, bytes(6)),
    ],
)
def test_impossible_option_is_our_own_mistake(option: UnknownNdOption) -> None:
    with pytest.raises(ValueError, match="ND option") as caught:
        encode_options([option])
    assert not isinstance(caught.value, WireError)
