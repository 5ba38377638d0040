from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.service import ServiceType
from moorage.wire.errors import WireError
from moorage.wire.nd import OnDemandLink, UnknownNdOption, decode_options, encode_options

GOLDEN = bytes.fromhex(
    "fd"  # type: experiment 253 of RFC 4727
    "03"  # length: 3 units
    "01"  # version
    "16"  # offered types: Fixed (bit 1), Session-lasting (bit 2), Graceful-replacement (bit 4)
    "00000000"  # reserved
    "d0d1d2d3d4d5d6d7"  # domain id
    "a0a1a2a3a4a5a6a7"  # link id
)
OPTION = OnDemandLink(
    offered=frozenset(
        {ServiceType.FIXED, ServiceType.SESSION_LASTING, ServiceType.GRACEFUL_REPLACEMENT}
    ),
    domain_id=bytes.fromhex("d0d1d2d3d4d5d6d7"),
    link_id=bytes.fromhex("a0a1a2a3a4a5a6a7"),
)


def test_golden() -> None:
    assert encode_options([OPTION]) == GOLDEN
    assert decode_options(GOLDEN) == (OPTION,)


identifiers = st.binary(min_size=8, max_size=8)


@given(
    st.builds(
        OnDemandLink,
        offered=st.frozensets(st.sampled_from(ServiceType)),
        domain_id=identifiers,
        link_id=identifiers,
    )
)
def test_everything_survives(option: OnDemandLink) -> None:
    assert decode_options(encode_options([option])) == (option,)


def test_bits_of_no_type_and_reserved_bytes_are_ignored() -> None:
    body = bytearray(GOLDEN[2:])
    body[1] |= 0xE1
    body[2:6] = b"\xff" * 4
    assert OnDemandLink.decode(bytes(body)) == OPTION


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_kept_unread(version: int) -> None:
    body = bytes([version]) + GOLDEN[3:]
    assert decode_options(GOLDEN[:2] + body) == (UnknownNdOption(253, body),)


@pytest.mark.parametrize("units", [1, 2, 4])
def test_somebody_elses_experiment_is_kept_unread(units: int) -> None:
    body = b"\x01" + bytes(8 * units - 3)
    assert decode_options(bytes([253, units]) + body) == (UnknownNdOption(253, body),)


@pytest.mark.parametrize(
    ("domain_id", "link_id"), [(b"", bytes(8)), (bytes(8), bytes(7)), (bytes(9), bytes(8))]
)
def test_id_of_another_length_is_our_own_mistake(domain_id: bytes, link_id: bytes) -> None:
    with pytest.raises(ValueError, match="ND On-Demand") as caught:
        OnDemandLink(frozenset(), domain_id, link_id).encode()
    assert not isinstance(caught.value, WireError)
