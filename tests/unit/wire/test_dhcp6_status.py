from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import DHCP6OptStatusCode

from moorage.wire.dhcp6 import Status, StatusCode, decode_options, encode_options
from moorage.wire.dhcp6.option import decoders
from moorage.wire.errors import WireError

GOLDEN = bytes.fromhex(
    "000d"  # option-code: Status Code
    "0007"  # option-len 7
    "0006"  # status-code: NoPrefixAvail
    "656d707479"  # status-message: "empty"
)
OPTION = StatusCode(Status.NO_PREFIX_AVAIL, "empty")


def test_golden() -> None:
    assert encode_options([OPTION]) == GOLDEN
    assert decode_options(GOLDEN, decoders(StatusCode)) == (OPTION,)


def test_scapy_agrees() -> None:
    assert bytes(DHCP6OptStatusCode(statuscode=6, statusmsg="empty")) == GOLDEN
    parsed = DHCP6OptStatusCode(GOLDEN)
    assert parsed.statuscode == Status.NO_PREFIX_AVAIL
    assert parsed.statusmsg == b"empty"


@given(st.builds(StatusCode, code=st.integers(0, 0xFFFF), message=st.text()))
def test_everything_survives(option: StatusCode) -> None:
    assert StatusCode.decode(option.encode()) == option


def test_no_message() -> None:
    assert StatusCode.decode(b"\x00\x00") == StatusCode(Status.SUCCESS)


def test_code_of_another_rfc_is_kept() -> None:
    assert StatusCode.decode(b"\x00\x0a").code == 10


def test_bytes_that_are_no_text_are_left_out() -> None:
    assert StatusCode.decode(b"\x00\x01\xffno\xc3").message == "no"


@pytest.mark.parametrize("size", [0, 1])
def test_truncation_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="DHCPv6 status code"):
        StatusCode.decode(GOLDEN[4 : 4 + size])


def test_impossible_code_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="DHCPv6 status code") as caught:
        StatusCode(0x10000).encode()
    assert not isinstance(caught.value, WireError)
