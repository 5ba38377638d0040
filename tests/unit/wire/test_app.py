from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.numbers import EAI_REQUIREDIPNOTSUPPORTED
from moorage.wire.app import (
    REPLY_LENGTH,
    REQUEST_LENGTH,
    Operation,
    Reason,
    Reply,
    Request,
    decode_reply,
    decode_request,
)
from moorage.wire.errors import WireError

REQUEST_GOLDEN = bytes.fromhex(
    "4d52"  # magic "MR"
    "01"  # version
    "01"  # kind: request
    "01020304"  # id
    "01"  # operation: SETSC
    "02"  # type: Session-lasting
    "01"  # on_net
    "00"  # unused
    "00001388"  # timeout 5000 ms
    "00000e10"  # lifetime 3600 s
)
REQUEST = Request(0x01020304, Operation.SETSC, 2, on_net=True, timeout_ms=5_000, lifetime=3_600)

REPLY_GOLDEN = bytes.fromhex(
    "4d52"  # magic "MR"
    "01"  # version
    "02"  # kind: reply
    "01020304"  # id
    "ffffff4c"  # status -180: EAI_REQUIREDIPNOTSUPPORTED
    "12"  # reason 18: NO_SERVICE
    "000000"  # unused
    "20010db80a0100000000000000000001"  # address 2001:db8:a01::1
    "00001c20"  # valid for 7200 s
)
REPLY = Reply(
    id=0x01020304,
    status=EAI_REQUIREDIPNOTSUPPORTED,
    reason=Reason.NO_SERVICE,
    address=IPv6Address("2001:db8:a01::1"),
    valid_for=7_200,
)


def test_golden_request() -> None:
    assert REQUEST.encode() == REQUEST_GOLDEN
    assert decode_request(REQUEST_GOLDEN) == REQUEST
    assert len(REQUEST_GOLDEN) == REQUEST_LENGTH


def test_golden_reply() -> None:
    assert REPLY.encode() == REPLY_GOLDEN
    assert decode_reply(REPLY_GOLDEN) == REPLY
    assert len(REPLY_GOLDEN) == REPLY_LENGTH


u32 = st.integers(0, 2**32 - 1)


@given(
    st.builds(
        Request,
        id=u32,
        lifetime=u32,
        operation=st.sampled_from(Operation),
        type=st.integers(0, 255),
        on_net=st.booleans(),
        timeout_ms=u32,
    )
)
def test_every_request_survives(request_record: Request) -> None:
    assert decode_request(request_record.encode()) == request_record


@given(
    st.builds(
        Reply,
        id=u32,
        status=st.integers(-(2**31), 2**31 - 1),
        reason=st.sampled_from(Reason),
        address=st.ip_addresses(v=6),
        valid_for=u32,
    )
)
def test_every_reply_survives(reply: Reply) -> None:
    assert decode_reply(reply.encode()) == reply


@pytest.mark.parametrize("size", range(REQUEST_LENGTH))
def test_truncated_request_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="request"):
        decode_request(REQUEST_GOLDEN[:size])


@pytest.mark.parametrize("size", range(REPLY_LENGTH))
def test_truncated_reply_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="reply"):
        decode_reply(REPLY_GOLDEN[:size])


def test_longer_records_are_refused() -> None:
    with pytest.raises(WireError, match="21 bytes"):
        decode_request(REQUEST_GOLDEN + b"\0")
    with pytest.raises(WireError, match="37 bytes"):
        decode_reply(REPLY_GOLDEN + b"\0")


HEAD_MISTAKES = [
    (0, b"RM", "magic"),
    (2, b"\x02", "version 2"),
    (3, b"\x03", "kind 3"),
]


def changed(record: bytes, at: int, value: bytes) -> bytes:
    return record[:at] + value + record[at + len(value) :]


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        *HEAD_MISTAKES,
        (3, b"\x02", "kind 2"),
        (8, b"\x00", "operation 0"),
        (8, b"\x06", "operation 6"),
        (10, b"\x02", "on_net is 2"),
    ],
)
def test_wrong_field_of_request_is_refused(at: int, value: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        decode_request(changed(REQUEST_GOLDEN, at, value))


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        *HEAD_MISTAKES,
        (3, b"\x01", "kind 1"),
        (12, b"\x07", "reason 7"),
        (12, b"\x18", "reason 24"),
    ],
)
def test_wrong_field_of_reply_is_refused(at: int, value: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        decode_reply(changed(REPLY_GOLDEN, at, value))


def test_unused_bytes_are_ignored() -> None:
    assert decode_request(changed(REQUEST_GOLDEN, 11, b"\xff")) == REQUEST
    assert decode_reply(changed(REPLY_GOLDEN, 13, b"\xff\xff\xff")) == REPLY


@pytest.mark.parametrize(
    "impossible",
    [
        replace(REQUEST, id=2**32),
        replace(REQUEST, type=256),
        replace(REQUEST, timeout_ms=-1),
        replace(REPLY, id=-1),
        replace(REPLY, status=2**31),
        replace(REPLY, valid_for=2**32),
    ],
)
def test_impossible_value_is_our_own_mistake(impossible: Request | Reply) -> None:
    with pytest.raises(ValueError, match=r"request|reply") as caught:
        impossible.encode()
    assert not isinstance(caught.value, WireError)
