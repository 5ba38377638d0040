"""What the sender of a packet hears when it was too big for a tunnel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
)
from scapy.packet import Packet

from moorage.router.too_big import TooBig, Tunnelled, relayed

ROUTER = "2001:db8:c:1::2"
SID = "2001:db8:5:2::d"
SENDER = "2001:db8:c0::2"
HOST = "2001:db8:a100:42::7"
OURS = Tunnelled(*map(IPv6Address, (ROUTER, SID, SENDER, HOST)))
INNER = IPv6(src=SENDER, dst=HOST) / UDP(sport=1, dport=2) / bytes(1452)


def error(inner: Packet, mtu: int = 1500, outer_next: int = 41) -> bytes:
    """A Packet Too Big about an encapsulated packet, as the kernel makes it."""
    outer = bytes(IPv6(src=ROUTER, dst=SID, nh=outer_next) / inner)
    quoted = outer[: 1280 - 40 - 8]
    return bytes(ICMPv6PacketTooBig(mtu=mtu)) + quoted


def ours(packet: Tunnelled) -> bool:
    return packet == OURS


def test_the_sender_hears_what_fits() -> None:
    answer = relayed(error(INNER), ours)
    assert answer is not None
    assert answer.destination == IPv6Address(SENDER)
    message = ICMPv6PacketTooBig(answer.message)
    assert (message.type, message.code, message.mtu) == (2, 0, 1460)
    quoted = bytes(message.payload)
    assert bytes(INNER).startswith(quoted)
    assert len(quoted) == 1280 - 40 - 8 - 40


@pytest.mark.parametrize(("told", "mtu"), [(1500, 1460), (1320, 1280), (1300, 1280), (0, 1280)])
def test_nobody_hears_of_less_than_every_link_can_carry(told: int, mtu: int) -> None:
    answer = relayed(error(INNER, told), ours)
    assert answer is not None
    assert ICMPv6PacketTooBig(answer.message).mtu == mtu


def test_a_packet_that_segmentation_offload_made() -> None:
    inner = IPv6(src=SENDER, dst=HOST, plen=0) / TCP() / bytes(60_000)
    assert relayed(error(inner), ours) is not None


def test_packets_that_others_send_are_not_answered() -> None:
    for field in ("outer_source", "outer_destination", "source", "destination"):
        other = replace(OURS, **{field: IPv6Address("2001:db8::bad")})
        assert relayed(error(INNER), other.__eq__) is None


@pytest.mark.parametrize(
    "inner",
    [
        IPv6(src=SENDER, dst=HOST) / ICMPv6DestUnreach() / bytes(1452),
        IPv6(src="ff02::1", dst=HOST) / UDP() / bytes(1452),
        IPv6(src="::", dst=HOST) / UDP() / bytes(1452),
        IPv6(src="fe80::1", dst=HOST) / UDP() / bytes(1452),
        IPv6(src="::1", dst=HOST) / UDP() / bytes(1452),
        IPv6(src=SENDER, dst=HOST, version=4) / UDP() / bytes(1452),
        IPv6(src=SENDER, dst=HOST) / UDP() / bytes(100),
    ],
    ids=["error", "multicast", "unspecified", "link-local", "loopback", "version", "small"],
)
def test_what_must_not_be_answered(inner: Packet) -> None:
    assert relayed(error(inner), lambda _: True) is None


def test_an_echo_request_is_answered() -> None:
    inner = IPv6(src=SENDER, dst=HOST) / ICMPv6EchoRequest(data=bytes(1452))
    assert relayed(error(inner), ours) is not None


def test_what_is_no_tunnelled_packet_is_not_answered() -> None:
    assert relayed(error(INNER, outer_next=17), lambda _: True) is None
    unreachable = b"\x01" + error(INNER)[1:]
    assert relayed(unreachable, lambda _: True) is None


@given(st.binary(max_size=120), st.integers(0, 1300))
def test_anything_may_come(garbage: bytes, cut: int) -> None:
    for data in (garbage, error(INNER)[:cut], error(INNER)[:cut] + garbage):
        answer = relayed(data, lambda _: True)
        assert answer is None or isinstance(answer, TooBig)
