"""Whatever arrives, decoding ends in a message or in WireError, and a message survives encoding."""

from __future__ import annotations

import struct
from typing import ClassVar, Protocol, Self

from hypothesis import given
from hypothesis import strategies as st

from moorage.wire.errors import WireError
from moorage.wire.nd import (
    Mtu,
    OnDemandLink,
    PrefixInformation,
    Rdnss,
    RouteInformation,
    SourceLinkLayerAddress,
    TargetLinkLayerAddress,
    decode_message,
    decode_options,
    encode_options,
)


class KnownOption(Protocol):
    type: ClassVar[int]

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> Self | None: ...


KNOWN: list[type[KnownOption]] = [
    SourceLinkLayerAddress,
    TargetLinkLayerAddress,
    PrefixInformation,
    Mtu,
    RouteInformation,
    Rdnss,
    OnDemandLink,
]

# Plausible options: a type that is known, a length that is (nearly always) right, any content.
plausible_options = st.lists(
    st.builds(
        lambda number, units, error, content: struct.pack(
            f"!BB{8 * units - 2}s", number, max(0, units + error), content
        ),
        st.sampled_from([known.type for known in KNOWN]),
        st.integers(1, 5),
        st.sampled_from([0, 0, 0, 0, 0, -1, 1]),
        st.binary(max_size=38),
    ),
    max_size=4,
).map(b"".join)


@given(st.binary() | plausible_options)
def test_options(data: bytes) -> None:
    try:
        options = decode_options(data)
    except WireError:
        return
    assert decode_options(encode_options(options)) == options


@given(st.sampled_from(KNOWN), st.binary(max_size=64))
def test_bodies(option: type[KnownOption], data: bytes) -> None:
    try:
        decoded = option.decode(data)
    except WireError:
        return
    assert decoded is None or option.decode(decoded.encode()) == decoded


@given(
    st.binary()
    | st.builds(
        lambda head, body, options: head + body + options,
        st.sampled_from([b"\x85\0\0\0", b"\x86\0\0\0"]),
        st.binary(min_size=4, max_size=12),
        plausible_options,
    )
)
def test_messages(data: bytes) -> None:
    try:
        message = decode_message(data)
    except WireError:
        return
    assert decode_message(message.encode()) == message
