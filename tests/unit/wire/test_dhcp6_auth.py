from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import DHCP6OptAuth, DHCP6OptReconfAccept, DHCP6OptReconfMsg

from moorage.wire.dhcp6 import (
    Authentication,
    MessageType,
    Option,
    ReconfigureAccept,
    ReconfigureMessage,
    decode_options,
    encode_options,
)
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

KNOWN = decoders(Authentication, ReconfigureMessage, ReconfigureAccept)

GOLDEN_AUTHENTICATION = bytes.fromhex(
    "000b"  # option-code: Authentication
    "001c"  # option-len 28
    "03"  # protocol: Reconfigure Key
    "01"  # algorithm: HMAC-MD5
    "00"  # RDM: a counter
    "0000000000000102"  # replay detection 258
    "01"  # type: Reconfigure Key value
    "000102030405060708090a0b0c0d0e0f"  # the key
)
AUTHENTICATION = Authentication(3, 1, 0, 258, b"\x01" + bytes(range(16)))
GOLDEN_RECONFIGURE_MESSAGE = bytes.fromhex(
    "0013"  # option-code: Reconfigure Message
    "0001"  # option-len 1
    "06"  # msg-type: Rebind
)
GOLDEN_RECONFIGURE_ACCEPT = bytes.fromhex(
    "0014"  # option-code: Reconfigure Accept
    "0000"  # option-len 0
)


@pytest.mark.parametrize(
    ("encoded", "option"),
    [
        (GOLDEN_AUTHENTICATION, AUTHENTICATION),
        (GOLDEN_RECONFIGURE_MESSAGE, ReconfigureMessage(MessageType.REBIND)),
        (GOLDEN_RECONFIGURE_ACCEPT, ReconfigureAccept()),
    ],
)
def test_golden(encoded: bytes, option: Option) -> None:
    assert encode_options([option]) == encoded
    assert decode_options(encoded, KNOWN) == (option,)


def test_scapy_agrees() -> None:
    theirs = DHCP6OptAuth(
        proto=3,
        alg=1,
        rdm=0,
        replay=(258).to_bytes(8, "big"),
        authinfo=AUTHENTICATION.information,
    )
    assert bytes(theirs) == GOLDEN_AUTHENTICATION
    assert bytes(DHCP6OptReconfMsg(msgtype=6)) == GOLDEN_RECONFIGURE_MESSAGE
    assert bytes(DHCP6OptReconfAccept()) == GOLDEN_RECONFIGURE_ACCEPT
    parsed = DHCP6OptAuth(GOLDEN_AUTHENTICATION)
    assert (parsed.proto, parsed.alg, parsed.rdm) == (3, 1, 0)
    assert parsed.authinfo == AUTHENTICATION.information
    assert DHCP6OptReconfMsg(GOLDEN_RECONFIGURE_MESSAGE).msgtype == MessageType.REBIND


u8 = st.integers(0, 0xFF)
all_options: st.SearchStrategy[Option] = st.one_of(
    st.builds(Authentication, u8, u8, u8, st.integers(0, 2**64 - 1), st.binary(max_size=40)),
    st.builds(ReconfigureMessage, u8),
    st.builds(ReconfigureAccept),
)


@given(all_options)
def test_everything_survives(option: Option) -> None:
    assert decode_options(encode_options([option]), KNOWN) == (option,)


@pytest.mark.parametrize("size", range(11))
def test_truncated_authentication_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="DHCPv6 authentication"):
        Authentication.decode(bytes(size))


def test_another_length_is_refused() -> None:
    for size in (0, 2):
        with pytest.raises(WireError, match="DHCPv6 reconfigure message"):
            ReconfigureMessage.decode(bytes(size))
    with pytest.raises(WireError, match="DHCPv6 reconfigure accept"):
        ReconfigureAccept.decode(b"\x00")


@pytest.mark.parametrize(
    "option",
    [
        Authentication(256, 0, 0, 0, b""),
        Authentication(0, 0, 0, 2**64, b""),
        ReconfigureMessage(256),
    ],
)
def test_impossible_value_is_our_own_mistake(option: Option) -> None:
    with pytest.raises(ValueError, match="DHCPv6") as caught:
        option.encode()
    assert not isinstance(caught.value, WireError)
