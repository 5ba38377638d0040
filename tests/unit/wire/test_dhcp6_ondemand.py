from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import VENDOR_SPECIFIC_OPTION, DHCP6OptVendorSpecificInfo

from moorage.numbers import ENTERPRISE_NUMBER
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    GraceTime,
    LinkLayerAddress,
    Message,
    MessageType,
    NetworkPolicy,
    OfferedTypes,
    OnDemand,
    PathMtu,
    PublicKey,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServiceTypeOf,
    Signature,
    SubOption,
    TimeAndLink,
    UnknownSubOption,
    VendorOpts,
)
from moorage.wire.errors import WireError

KEY = bytes(range(32))
LINK = bytes.fromhex("1122334455667788")
SIGNED = bytes(range(64))
MAC = bytes.fromhex("0200000000a1")

# What a client says.
GOLDEN_REQUEST = bytes.fromhex(
    "00007ed9"  # enterprise number 32473
    "0001"  # sub-opt-code: service type
    "0005"  # sub-option-len 5
    "00000007"  # IAID 7
    "01"  # Fixed
    "000a"  # sub-opt-code: link-layer address
    "0006"  # sub-option-len 6
    "0200000000a1"
    "0005"  # sub-opt-code: public key
    "0020"  # sub-option-len 32
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"  # Ed25519 public key
    "0006"  # sub-opt-code: signature
    "0050"  # sub-option-len 80
    "0006000000000001"  # microseconds since 1970
    "1122334455667788"  # link id
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"  # first half of 64 bytes
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"  # second half
)
REQUEST = OnDemand(
    (
        ServiceTypeOf(7, ServiceType.FIXED),
        LinkLayerAddress(MAC),
        PublicKey(KEY),
        Signature(0x0006000000000001, LINK, SIGNED),
    )
)

# What a server may say; no real answer says all of it.
GOLDEN_ANSWER = bytes.fromhex(
    "00007ed9"  # enterprise number 32473
    "0001"  # sub-opt-code: service type
    "0005"  # sub-option-len 5
    "00000007"  # IAID 7
    "04"  # Graceful-replacement
    "0002"  # sub-opt-code: offered types
    "0001"  # sub-option-len 1
    "1e"  # all four
    "0003"  # sub-opt-code: refusal
    "0005"  # sub-option-len 5
    "00000008"  # IAID 8
    "03"  # quota
    "0004"  # sub-opt-code: grace time
    "0008"  # sub-option-len 8
    "00000007"  # IAID 7
    "0000003c"  # 60 s
    "0007"  # sub-opt-code: path MTU
    "0006"  # sub-option-len 6
    "00000007"  # IAID 7
    "05b4"  # 1460 bytes
    "0008"  # sub-opt-code: network policy
    "0003"  # sub-option-len 3
    "0c"  # permitted: Session-lasting, Non-persistent
    "04"  # at boot: Session-lasting
    "03"  # default: Non-persistent
    "0009"  # sub-opt-code: time and link
    "0010"  # sub-option-len 16
    "0006000000000001"  # microseconds since 1970
    "1122334455667788"  # link id
    "00c8"  # sub-opt-code 200, of a later version
    "0002"  # sub-option-len 2
    "beef"  # its body
)
ANSWER = OnDemand(
    (
        ServiceTypeOf(7, ServiceType.GRACEFUL_REPLACEMENT),
        OfferedTypes(frozenset(ServiceType)),
        Refusal(8, RefusalReason.QUOTA),
        GraceTime(7, 60),
        PathMtu(7, 1460),
        NetworkPolicy(
            permitted=frozenset({ServiceType.SESSION_LASTING, ServiceType.NON_PERSISTENT}),
            boot=frozenset({ServiceType.SESSION_LASTING}),
            default=ServiceType.NON_PERSISTENT,
        ),
        TimeAndLink(0x0006000000000001, LINK),
        UnknownSubOption(200, b"\xbe\xef"),
    )
)


def in_message(*options: VendorOpts) -> Message:
    return Message(MessageType.REBIND, 1, (RapidCommit(), *options))


@pytest.mark.parametrize(
    ("encoded", "content"), [(GOLDEN_REQUEST, REQUEST), (GOLDEN_ANSWER, ANSWER)]
)
def test_golden(encoded: bytes, content: OnDemand) -> None:
    assert content.to_option().encode() == encoded
    assert OnDemand.of(in_message(VendorOpts.decode(encoded))) == content


def test_scapy_agrees() -> None:
    sub_option = VENDOR_SPECIFIC_OPTION(optcode=1, optdata=bytes.fromhex("0000000701"))
    theirs = DHCP6OptVendorSpecificInfo(enterprisenum=ENTERPRISE_NUMBER, vso=[sub_option])
    ours = OnDemand((ServiceTypeOf(7, ServiceType.FIXED),)).to_option()
    assert bytes(theirs)[4:] == ours.encode()


def test_signature_ends_the_datagram_if_it_is_last() -> None:
    assert in_message(REQUEST.to_option()).encode().endswith(SIGNED)


def test_none_in_a_message_of_somebody_who_does_not_know_us() -> None:
    assert OnDemand.of(in_message()) is None
    assert OnDemand.of(in_message(VendorOpts(9, ((1, b"?"),)))) is None


def test_empty_option_is_from_somebody_who_knows_us() -> None:
    empty = OnDemand(())
    assert OnDemand.of(in_message(VendorOpts(9, ()), empty.to_option())) == empty


def test_two_of_our_options_are_refused() -> None:
    option = REQUEST.to_option()
    with pytest.raises(WireError, match="more than one"):
        OnDemand.of(in_message(option, option))


def test_look_up() -> None:
    assert ANSWER.first(OfferedTypes) == ANSWER.sub_options[1]
    assert ANSWER.first(PublicKey) is None
    assert ANSWER.for_iaid(Refusal, 8) == Refusal(8, RefusalReason.QUOTA)
    assert ANSWER.for_iaid(Refusal, 7) is None
    assert ANSWER.service_type(7) is ServiceType.GRACEFUL_REPLACEMENT
    assert ANSWER.service_type(8) is None


types = st.sampled_from(ServiceType)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, 2**64 - 1)
link_ids = st.binary(min_size=8, max_size=8)


def _of_one(mac: bytes) -> bytes:
    """The address as one that is locally administered, and no group's."""
    return bytes([mac[0] & 0xFE | 0x02]) + mac[1:]


sub_options: st.SearchStrategy[SubOption] = st.one_of(
    st.builds(ServiceTypeOf, u32, types),
    st.builds(OfferedTypes, st.frozensets(types)),
    st.builds(Refusal, u32, st.sampled_from(RefusalReason)),
    st.builds(GraceTime, u32, u32),
    st.builds(PublicKey, st.binary(min_size=32, max_size=32)),
    st.builds(Signature, u64, link_ids, st.binary(min_size=64, max_size=64)),
    st.builds(PathMtu, u32, st.integers(0, 0xFFFF)),
    st.builds(NetworkPolicy, st.frozensets(types), st.frozensets(types), st.none() | types),
    st.builds(TimeAndLink, u64, link_ids),
    st.builds(LinkLayerAddress, st.binary(min_size=6, max_size=6).map(_of_one)),
    st.builds(UnknownSubOption, st.integers(11, 0xFFFF), st.binary(max_size=20)),
)


@given(st.lists(sub_options, max_size=4).map(tuple).map(OnDemand))
def test_everything_survives(content: OnDemand) -> None:
    assert OnDemand.of(in_message(content.to_option())) == content


@pytest.mark.parametrize(
    "sub_option", [item for item in REQUEST.sub_options + ANSWER.sub_options if item.code < 200]
)
def test_another_length_is_refused(sub_option: SubOption) -> None:
    body = sub_option.encode()
    for wrong in (b"", body[:-1], body + b"\x00"):
        with pytest.raises(WireError, match=f"On-Demand .*{len(wrong)} bytes"):
            OnDemand.of(in_message(VendorOpts(ENTERPRISE_NUMBER, ((sub_option.code, wrong),))))


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (1, "0000000700"),  # service type 0 is reserved
        (1, "0000000705"),  # so is 5
        (3, "0000000700"),  # no reason
        (3, "0000000707"),  # nobody's reason
        (10, "ffffffffffff"),  # everybody
        (10, "333300000001"),  # a group
        (10, "000000000000"),  # nobody
        (8, "000005"),  # default type 5
    ],
)
def test_number_without_a_meaning_is_refused(code: int, body: str) -> None:
    option = VendorOpts(ENTERPRISE_NUMBER, ((code, bytes.fromhex(body)),))
    with pytest.raises(WireError, match="On-Demand"):
        OnDemand.of(in_message(option))


def test_bits_of_no_type_are_ignored() -> None:
    option = VendorOpts(ENTERPRISE_NUMBER, ((2, b"\xe3"),))
    assert OnDemand.of(in_message(option)) == OnDemand(
        (OfferedTypes(frozenset({ServiceType.FIXED})),)
    )


@pytest.mark.parametrize(
    "sub_option",
    [
        ServiceTypeOf(2**32, ServiceType.FIXED),
        Refusal(-1, RefusalReason.QUOTA),
        GraceTime(7, 2**32),
        PublicKey(bytes(31)),
        Signature(2**64, LINK, SIGNED),
        Signature(0, LINK[1:], SIGNED),
        Signature(0, LINK, SIGNED + b"!"),
        PathMtu(7, 0x10000),
        TimeAndLink(-1, LINK),
        TimeAndLink(0, LINK + b"!"),
    ],
)
def test_impossible_value_is_our_own_mistake(sub_option: SubOption) -> None:
    with pytest.raises(ValueError, match=r"On-Demand|bytes instead of") as caught:
        OnDemand((sub_option,)).to_option()
    assert not isinstance(caught.value, WireError)
