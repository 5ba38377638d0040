"""Whatever arrives, decoding ends in a record or in WireError, and a record survives encoding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moorage.wire.app import REPLY_LENGTH, REQUEST_LENGTH, decode_reply, decode_request
from moorage.wire.errors import WireError
from moorage.wire.notice import NOTICE_LENGTH, decode_notice, encode_notice


def records(kind: int, length: int) -> st.SearchStrategy[bytes]:
    """Return anything, and records with a right head and any content."""
    rest = st.binary(min_size=length - 4, max_size=length - 4)
    return st.binary(max_size=2 * length) | rest.map(lambda tail: b"MR\x01" + bytes([kind]) + tail)


@given(records(1, REQUEST_LENGTH))
def test_requests(data: bytes) -> None:
    try:
        request = decode_request(data)
    except WireError:
        return
    assert decode_request(request.encode()) == request


@given(records(2, REPLY_LENGTH))
def test_replies(data: bytes) -> None:
    try:
        reply = decode_reply(data)
    except WireError:
        return
    assert decode_reply(reply.encode()) == reply


@given(records(3, NOTICE_LENGTH))
def test_notices(data: bytes) -> None:
    try:
        notice = decode_notice(data)
    except WireError:
        return
    assert decode_notice(encode_notice(notice)) == notice
