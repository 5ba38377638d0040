from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import DHCP6_Solicit, DHCP6OptIfaceId, DHCP6OptRelayMsg

from moorage.wire.dhcp6 import (
    InterfaceId,
    Message,
    MessageType,
    RelayMessageOption,
    decode_options,
    encode_options,
)
from moorage.wire.dhcp6.option import decoders

KNOWN = decoders(RelayMessageOption, InterfaceId)

GOLDEN = bytes.fromhex(
    "0012"  # option-code: Interface-Id
    "0003"  # option-len 3
    "776c30"  # "wl0"
    "0009"  # option-code: Relay Message
    "0004"  # option-len 4
    "01c0ffee"  # a Solicit without options
)
OPTIONS = (
    InterfaceId(b"wl0"),
    RelayMessageOption(Message(MessageType.SOLICIT, 0xC0FFEE).encode()),
)


def test_golden() -> None:
    assert encode_options(OPTIONS) == GOLDEN
    assert decode_options(GOLDEN, KNOWN) == OPTIONS


def test_scapy_agrees() -> None:
    message = DHCP6OptRelayMsg(message=DHCP6_Solicit(trid=0xC0FFEE))
    assert bytes(DHCP6OptIfaceId(ifaceid=b"wl0") / message) == GOLDEN
    parsed = DHCP6OptIfaceId(GOLDEN)
    assert parsed.ifaceid == b"wl0"
    assert parsed[DHCP6OptRelayMsg].message.trid == 0xC0FFEE


@given(st.binary(max_size=99).map(RelayMessageOption) | st.binary(max_size=99).map(InterfaceId))
def test_everything_survives(option: RelayMessageOption | InterfaceId) -> None:
    assert decode_options(encode_options([option]), KNOWN) == (option,)


def test_relayed_garbage_is_left_to_whoever_looks_inside() -> None:
    assert RelayMessageOption.decode(b"\xff").message == b"\xff"
