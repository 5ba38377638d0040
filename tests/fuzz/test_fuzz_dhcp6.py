"""Whatever arrives, decoding ends in a message or in WireError, and a message survives encoding."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    Authentication,
    ClientId,
    ElapsedTime,
    GraceTime,
    IaAddr,
    IaNa,
    IaPd,
    IaPrefix,
    InfMaxRt,
    InterfaceId,
    LinkLayerAddress,
    Message,
    MessageType,
    NetworkPolicy,
    OfferedTypes,
    OnDemand,
    OptionRequest,
    PathMtu,
    Preference,
    PublicKey,
    RapidCommit,
    ReconfigureAccept,
    ReconfigureMessage,
    Refusal,
    RefusalReason,
    Relay,
    RelayMessageOption,
    ServerId,
    ServiceTypeOf,
    Signature,
    SolMaxRt,
    Status,
    StatusCode,
    TimeAndLink,
    UserClass,
    VendorClass,
    decode_duid,
    decode_message,
)
from moorage.wire.errors import WireError

PREFIX = IPv6Network("2001:db8:a01:7::/64")
ADDRESS = IPv6Address("2001:db8::1")
DUID = b"\x00\x04" + bytes(range(16))

REBIND = Message(
    MessageType.REBIND,
    0xC0FFEE,
    (
        ClientId(DUID),
        ElapsedTime(0),
        OptionRequest((17, 82)),
        IaPd(7, 0, 0, (IaPrefix(0, 0, PREFIX),)),
        OnDemand(
            (
                ServiceTypeOf(7, ServiceType.FIXED),
                LinkLayerAddress(b"\x02mac00"),
                PublicKey(bytes(32)),
                Signature(1, bytes(8), bytes(64)),
            )
        ).to_option(),
    ),
).encode()

REPLY = Message(
    MessageType.REPLY,
    0xC0FFEE,
    (
        ClientId(DUID),
        ServerId(DUID),
        Preference(255),
        RapidCommit(),
        IaPd(7, 600, 1200, (IaPrefix(3600, 7200, PREFIX, (StatusCode(Status.SUCCESS),)),)),
        IaPd(8, 0, 0, (StatusCode(Status.NO_PREFIX_AVAIL, "quota"),)),
        IaNa(9, 0, 0, (IaAddr(ADDRESS, 0, 0, (StatusCode(Status.NOT_ON_LINK),)),)),
        OnDemand(
            (
                ServiceTypeOf(7, ServiceType.GRACEFUL_REPLACEMENT),
                OfferedTypes(frozenset(ServiceType)),
                Refusal(8, RefusalReason.QUOTA),
                GraceTime(7, 60),
                PathMtu(7, 1460),
                NetworkPolicy(frozenset(ServiceType), frozenset(), ServiceType.FIXED),
                TimeAndLink(1, bytes(8)),
            )
        ).to_option(),
        SolMaxRt(3600),
        InfMaxRt(3600),
    ),
).encode()

RECONFIGURE = Message(
    MessageType.RECONFIGURE,
    0,
    (
        Authentication(3, 1, 0, 1, b"\x02" + bytes(16)),
        ReconfigureMessage(MessageType.REBIND),
        ReconfigureAccept(),
        UserClass((b"car",)),
        VendorClass(32473, (b"bus",)),
    ),
).encode()

RELAYED = Relay(
    MessageType.RELAY_FORW, 1, ADDRESS, ADDRESS, (InterfaceId(b"wl0"), RelayMessageOption(REBIND))
).encode()

GOLDEN = [REBIND, REPLY, RECONFIGURE, RELAYED]


def check(data: bytes) -> None:
    try:
        message = decode_message(data)
    except WireError:
        return
    assert decode_message(message.encode()) == message
    if isinstance(message, Relay):
        return
    try:
        content = OnDemand.of(message)
    except WireError:
        return
    if content is not None:
        again = Message(message.type, message.transaction_id, (content.to_option(),))
        assert OnDemand.of(again) == content


@pytest.mark.parametrize("packet", GOLDEN)
def test_packet_that_is_cut_anywhere(packet: bytes) -> None:
    for size in range(len(packet) + 1):
        check(packet[:size])


@pytest.mark.parametrize("packet", GOLDEN)
@pytest.mark.parametrize("value", [0x00, 0x01, 0x7F, 0xFF])
def test_packet_with_any_one_byte_changed(packet: bytes, value: int) -> None:
    for position in range(len(packet)):
        check(packet[:position] + bytes([value]) + packet[position + 1 :])


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    check(data)


@settings(max_examples=500)
@given(
    st.builds(
        lambda head, code, error, body: (
            head + code.to_bytes(2, "big") + max(0, len(body) + error).to_bytes(2, "big") + body
        ),
        st.sampled_from([b"\x01\0\0\0", b"\x07\0\0\0", b"\x0c" + bytes(33)]),
        st.integers(0, 30) | st.sampled_from([82, 83]),
        st.sampled_from([0, 0, 0, -1, 1]),
        st.binary(max_size=60),
    )
)
def test_plausible_option_with_any_body(data: bytes) -> None:
    check(data)


@settings(max_examples=500)
@given(
    st.sampled_from(GOLDEN),
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4)),
        min_size=1,
        max_size=4,
    ),
)
def test_mutated_packets(packet: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for position, removed, inserted in edits:
        start = position % len(packet) if packet else 0
        packet = packet[:start] + inserted + packet[start + removed :]
    check(packet)


@given(st.binary(max_size=140))
def test_duids(data: bytes) -> None:
    try:
        duid = decode_duid(data)
    except WireError:
        return
    assert duid.encode() == data
