"""Attributes: type, length, value."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel.netlink import (
    NetlinkError,
    attribute,
    attribute_u32,
    nested,
    parse_attributes,
)

KINDS = st.integers(0, 0x3FFF)


@given(st.lists(st.tuples(KINDS, st.binary(max_size=40))))
def test_what_was_packed_is_parsed(attributes: list[tuple[int, bytes]]) -> None:
    data = b"head" + b"".join(attribute(kind, value) for kind, value in attributes)
    assert len(data) % 4 == 0
    assert parse_attributes(data, 4) == dict(attributes)


def test_nested_attributes() -> None:
    data = nested(8, attribute_u32(2, 1400), attribute(3, b"x"))
    [(kind, inner)] = parse_attributes(data).items()
    assert kind == 8
    assert parse_attributes(inner) == {2: (1400).to_bytes(4, sys.byteorder), 3: b"x"}


@given(st.binary(max_size=60))
def test_anything_parses_or_is_refused(data: bytes) -> None:
    with suppress(NetlinkError):
        found = parse_attributes(data)
        assert sum(4 + len(value) for value in found.values()) <= len(data)


@pytest.mark.parametrize("size", [0, 3, 9])
def test_a_length_that_cannot_be(size: int) -> None:
    with pytest.raises(NetlinkError, match="exceeds"):
        parse_attributes(bytes((size, 0, 1, 0, 0, 0, 0, 0)))
