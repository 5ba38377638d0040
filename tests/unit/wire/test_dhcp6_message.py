from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import (
    DUID_UUID,
    DHCP6_Rebind,
    DHCP6_RelayForward,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptElapsedTime,
    DHCP6OptIA_PD,
    DHCP6OptIAPrefix,
    DHCP6OptIfaceId,
    DHCP6OptOptReq,
    DHCP6OptRapidCommit,
    DHCP6OptRelayMsg,
    DHCP6OptVendorSpecificInfo,
)

from moorage.wire.dhcp6 import (
    ClientId,
    ElapsedTime,
    IaPd,
    IaPrefix,
    InterfaceId,
    Message,
    MessageType,
    OptionRequest,
    RapidCommit,
    Relay,
    RelayMessageOption,
    UnknownOption,
    VendorOpts,
    decode_message,
)
from moorage.wire.errors import WireError

GOLDEN = bytes.fromhex(
    "01"  # msg-type: Solicit
    "c0ffee"  # transaction-id
    "0001"  # option-code: Client Identifier
    "0012"  # option-len 18
    "000400112233445566778899aabbccddeeff"  # DUID-UUID
    "0008"  # option-code: Elapsed Time
    "0002"  # option-len 2
    "0000"  # the first message of the exchange
    "0006"  # option-code: Option Request
    "0004"  # option-len 4
    "00110052"  # Vendor-specific Information, SOL_MAX_RT
    "000e"  # option-code: Rapid Commit
    "0000"  # option-len 0
    "0019"  # option-code: IA_PD
    "0029"  # option-len 41
    "00000007"  # IAID 7
    "00000000"  # T1 0
    "00000000"  # T2 0
    "001a"  # option-code: IA Prefix
    "0019"  # option-len 25
    "0000000000000000"  # lifetimes 0
    "40"  # prefix length 64
    "00000000000000000000000000000000"  # any prefix of that length
    "0011"  # option-code: Vendor-specific Information
    "000d"  # option-len 13
    "00007ed9"  # enterprise number 32473
    "0001"  # sub-opt-code: service type
    "0005"  # sub-option-len 5
    "00000007"  # IAID 7
    "02"  # session-lasting
)
DUID = bytes.fromhex("000400112233445566778899aabbccddeeff")
MESSAGE = Message(
    MessageType.SOLICIT,
    0xC0FFEE,
    (
        ClientId(DUID),
        ElapsedTime(0),
        OptionRequest((17, 82)),
        RapidCommit(),
        IaPd(7, 0, 0, (IaPrefix(0, 0, IPv6Network("::/64")),)),
        VendorOpts(32473, ((1, bytes.fromhex("0000000702")),)),
    ),
)

GOLDEN_RELAY = bytes.fromhex(
    "0c"  # msg-type: Relay-forward
    "01"  # hop-count 1
    "20010db8100100000000000000000001"  # link-address 2001:db8:1001::1
    "fe800000000000000000000000000007"  # peer-address fe80::7
    "0012"  # option-code: Interface-Id
    "0003"  # option-len 3
    "776c30"  # "wl0"
    "0009"  # option-code: Relay Message
    "0004"  # option-len 4
    "06c0ffee"  # a Rebind without options
)
RELAY = Relay(
    MessageType.RELAY_FORW,
    1,
    IPv6Address("2001:db8:1001::1"),
    IPv6Address("fe80::7"),
    (InterfaceId(b"wl0"), RelayMessageOption(bytes.fromhex("06c0ffee"))),
)


@pytest.mark.parametrize(("encoded", "message"), [(GOLDEN, MESSAGE), (GOLDEN_RELAY, RELAY)])
def test_golden(encoded: bytes, message: Message | Relay) -> None:
    assert message.encode() == encoded
    assert decode_message(encoded) == message


def test_what_scapy_builds_is_understood() -> None:
    theirs = (
        DHCP6_Solicit(trid=0xC0FFEE)
        / DHCP6OptClientId(duid=DUID_UUID(uuid="00112233-4455-6677-8899-aabbccddeeff"))
        / DHCP6OptElapsedTime(elapsedtime=0)
        / DHCP6OptOptReq(reqopts=[17, 82])
        / DHCP6OptRapidCommit()
        / DHCP6OptIA_PD(iaid=7, T1=0, T2=0, iapdopt=[DHCP6OptIAPrefix(plen=64, prefix="::")])
    )
    assert decode_message(bytes(theirs)) == Message(
        MessageType.SOLICIT, 0xC0FFEE, MESSAGE.options[:-1]
    )
    relayed = (
        DHCP6_RelayForward(hopcount=1, linkaddr="2001:db8:1001::1", peeraddr="fe80::7")
        / DHCP6OptIfaceId(ifaceid=b"wl0")
        / DHCP6OptRelayMsg(message=DHCP6_Rebind(trid=0xC0FFEE))
    )
    assert decode_message(bytes(relayed)) == RELAY


def test_scapy_understands_what_we_build() -> None:
    parsed = DHCP6_Solicit(MESSAGE.encode())
    assert (parsed.msgtype, parsed.trid) == (MessageType.SOLICIT, 0xC0FFEE)
    assert bytes(parsed[DHCP6OptClientId].duid) == DUID
    assert parsed[DHCP6OptOptReq].reqopts == [17, 82]
    assert parsed[DHCP6OptRapidCommit].optlen == 0
    assert parsed[DHCP6OptIA_PD].iapdopt[0].plen == 64
    assert parsed[DHCP6OptVendorSpecificInfo].vso[0].optdata == bytes.fromhex("0000000702")
    relayed = DHCP6_RelayForward(RELAY.encode())
    assert (relayed.hopcount, relayed.linkaddr) == (1, "2001:db8:1001::1")
    assert relayed.peeraddr == "fe80::7"
    assert relayed[DHCP6OptRelayMsg].message.trid == 0xC0FFEE


relayed_types = [MessageType.RELAY_FORW, MessageType.RELAY_REPL]
other_types = [member for member in MessageType if member not in relayed_types]
options = st.lists(
    st.builds(UnknownOption, st.integers(150, 0xFFFF), st.binary(max_size=9)), max_size=3
).map(tuple)


@given(
    st.builds(Message, st.sampled_from(other_types), st.integers(0, 2**24 - 1), options)
    | st.builds(
        Relay,
        st.sampled_from(relayed_types),
        st.integers(0, 255),
        st.ip_addresses(v=6),
        st.ip_addresses(v=6),
        options,
    )
)
def test_everything_survives(message: Message | Relay) -> None:
    assert decode_message(message.encode()) == message


def test_truncation_between_options_parses_and_elsewhere_is_refused() -> None:
    ends = {
        len(Message(MessageType.SOLICIT, 0, MESSAGE.options[:n]).encode())
        for n in range(len(MESSAGE.options))
    }
    parsed = set()
    for size in range(len(GOLDEN)):
        try:
            decode_message(GOLDEN[:size])
        except WireError:
            continue
        parsed.add(size)
    assert parsed == ends


@pytest.mark.parametrize("size", [*range(34), 35, 40, 42, 48])
def test_truncated_relay_message_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="DHCPv6"):
        decode_message(GOLDEN_RELAY[:size])


@pytest.mark.parametrize("number", [0, 14, 255])
def test_unknown_type_is_refused(number: int) -> None:
    with pytest.raises(WireError, match=f"unknown type {number}"):
        decode_message(bytes([number]) + GOLDEN_RELAY[1:])


def test_relayed_relay_messages_are_not_looked_into() -> None:
    message = RELAY.encode()
    for _ in range(1500):  # about as deep as a datagram allows
        message = Relay(
            MessageType.RELAY_FORW,
            0,
            RELAY.link_address,
            RELAY.peer_address,
            (RelayMessageOption(message),),
        ).encode()
    outermost = decode_message(message)
    assert outermost.encode() == message


@pytest.mark.parametrize(
    "message",
    [
        Message(MessageType.SOLICIT, 2**24),
        Message(MessageType.SOLICIT, -1),
        Message(MessageType.RELAY_FORW, 0),
        Relay(MessageType.SOLICIT, 0, RELAY.link_address, RELAY.peer_address),
        Relay(MessageType.RELAY_FORW, 256, RELAY.link_address, RELAY.peer_address),
        Message(MessageType.SOLICIT, 0, (RelayMessageOption(bytes(0x10000)),)),
    ],
)
def test_impossible_value_is_our_own_mistake(message: Message | Relay) -> None:
    with pytest.raises(ValueError, match=r"bits|relay|DHCPv6") as caught:
        message.encode()
    assert not isinstance(caught.value, WireError)
