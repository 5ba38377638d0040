from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import DHCP6OptUnknown

from moorage.wire.dhcp6 import (
    ElapsedTime,
    Message,
    MessageType,
    Option,
    RapidCommit,
    UnknownOption,
    decode_options,
    encode_options,
)
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

KNOWN = decoders(ElapsedTime, RapidCommit)

# An option of another RFC, and one of ours behind it.
GOLDEN = bytes.fromhex(
    "0097"  # option-code 151, which nothing here understands
    "0003"  # option-len 3
    "a1a2a3"  # its body
    "0008"  # option-code: Elapsed Time
    "0002"  # option-len 2
    "0064"  # elapsed-time: 1 s
)
OPTIONS = (UnknownOption(151, b"\xa1\xa2\xa3"), ElapsedTime(100))


def test_golden() -> None:
    assert encode_options(OPTIONS) == GOLDEN
    assert decode_options(GOLDEN, KNOWN) == OPTIONS


def test_no_options() -> None:
    assert encode_options(()) == b""
    assert decode_options(b"", KNOWN) == ()


def test_known_option_that_is_out_of_place_is_kept_as_it_came() -> None:
    assert decode_options(GOLDEN, {}) == (OPTIONS[0], UnknownOption(8, b"\x00\x64"))


def test_scapy_agrees() -> None:
    theirs = DHCP6OptUnknown(optcode=151, data=b"\xa1\xa2\xa3")
    assert bytes(theirs) == encode_options(OPTIONS[:1])


unknown_options = st.builds(
    UnknownOption, option_code=st.integers(150, 0xFFFF), data=st.binary(max_size=40)
)


@given(st.lists(unknown_options, max_size=4))
def test_unknown_options_are_kept_in_order(options: list[Option]) -> None:
    assert decode_options(encode_options(options), KNOWN) == tuple(options)


@pytest.mark.parametrize("size", [size for size in range(1, len(GOLDEN)) if size != 7])
def test_truncation_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="DHCPv6 option"):
        decode_options(GOLDEN[:size], KNOWN)


@pytest.mark.parametrize(
    "option", [UnknownOption(151, bytes(0x10000)), UnknownOption(0x10000, b"")]
)
def test_what_16_bits_cannot_say_is_our_own_mistake(option: Option) -> None:
    with pytest.raises(ValueError, match="DHCPv6 option") as caught:
        encode_options([option])
    assert not isinstance(caught.value, WireError)


def test_longest_option() -> None:
    option = UnknownOption(0xFFFF, bytes(0xFFFF))
    assert decode_options(encode_options([option]), KNOWN) == (option,)


def test_look_up_by_class() -> None:
    second = UnknownOption(152, b"")
    message = Message(MessageType.SOLICIT, 1, (*OPTIONS, second))
    assert message.first(UnknownOption) == OPTIONS[0]
    assert message.first(RapidCommit) is None
    assert message.every(UnknownOption) == (OPTIONS[0], second)
    assert message.every(RapidCommit) == ()
