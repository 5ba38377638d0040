"""The netlink socket against the kernel."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.netlink import (
    NETLINK_GENERIC,
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attribute_u32,
)

if TYPE_CHECKING:
    from tests.kernel.conftest import KernelWorld

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("namespace")]

RTM_NEWROUTE, RTM_GETROUTE, RTM_NEWLINK, RTM_GETLINK = 24, 26, 16, 18
RTNLGRP_LINK, RTNLGRP_IPV6_ROUTE = 1, 11
BLACKHOLE = 6


def blackhole(number: int) -> Message:
    body = struct.pack("=BBBBBBBBI", socket.AF_INET6, 64, 0, 0, 99, 109, 0, BLACKHOLE, 0)
    prefix = struct.pack("!QQ", 0x20010DB8_00000000 + number, 0)
    return Message(RTM_NEWROUTE, body + attribute(1, prefix), NLM_F_CREATE | NLM_F_EXCL)


def routes_of_table(table: int) -> Message:
    body = struct.pack("=BBBBBBBBI", socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)
    return Message(RTM_GETROUTE, body + attribute_u32(15, table))


def test_nothing_to_request() -> None:
    with NetlinkSocket(NETLINK_ROUTE) as kernel:
        assert kernel.request([]) == []


@pytest.mark.parametrize("count", [1, 127, 128, 129, 1000])
def test_errors_are_those_of_their_messages(count: int) -> None:
    with NetlinkSocket(NETLINK_ROUTE) as kernel:
        assert kernel.request([blackhole(n) for n in range(0, count, 3)]) == [None] * -(-count // 3)
        results = kernel.request([blackhole(n) for n in range(count)])
        refused = {n for n, error in enumerate(results) if error and error.errno == errno.EEXIST}
        assert refused == set(range(0, count, 3))
        assert len(kernel.dump(routes_of_table(99))) == count


def test_the_kernel_explains_itself() -> None:
    with NetlinkSocket(NETLINK_ROUTE) as kernel:
        gateway_of_ipv4 = attribute(5, bytes(4))
        [error] = kernel.request([Message(RTM_NEWROUTE, blackhole(1).payload + gateway_of_ipv4)])
        assert str(error).endswith(": Attribute failed policy validation")
        with pytest.raises(NetlinkError, match="Invalid values in header") as refused:
            kernel.dump(Message(RTM_GETROUTE, struct.pack("=BBBBBBBBI", 10, 9, *[0] * 7)))
        assert refused.value.errno == errno.EINVAL


def test_a_single_question() -> None:
    with NetlinkSocket(NETLINK_ROUTE) as kernel:
        [loopback] = kernel.query(Message(RTM_GETLINK, struct.pack("=BxHiII", 0, 0, 1, 0, 0)))
        assert loopback.type == RTM_NEWLINK
        with pytest.raises(NetlinkError) as refused:
            kernel.query(Message(RTM_GETLINK, struct.pack("=BxHiII", 0, 0, 999, 0, 0)))
        assert refused.value.errno == errno.ENODEV
        assert kernel.request([blackhole(1)]) == [None]


def test_sequence_numbers_begin_again() -> None:
    with NetlinkSocket(NETLINK_ROUTE) as kernel:
        kernel._sequence = 0xFFFFFFFE
        kernel.request([blackhole(2)])
        results = kernel.request([blackhole(n) for n in range(5)])
        assert [n for n, error in enumerate(results) if error] == [2]


def test_notifications(kernel: KernelWorld) -> None:
    with (
        NetlinkSocket(NETLINK_ROUTE) as actor,
        NetlinkSocket(NETLINK_ROUTE, [RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK]) as everything,
        NetlinkSocket(NETLINK_ROUTE, [RTNLGRP_IPV6_ROUTE], actor.port) as others,
    ):
        assert everything.receive() == []
        actor.request([blackhole(1)])
        [route] = everything.receive()
        assert route.type == RTM_NEWROUTE
        assert others.receive() == []
        kernel.add_link("access")
        assert {message.type for message in everything.receive()} >= {RTM_NEWLINK}


def test_what_the_kernel_does_not_have() -> None:
    with pytest.raises(OSError, match="not supported"):
        NetlinkSocket(31)
    with pytest.raises(OSError, match="Invalid argument"):
        NetlinkSocket(NETLINK_GENERIC, [123_456])


def test_messages_of_other_processes_are_ignored() -> None:
    with (
        NetlinkSocket(NETLINK_ROUTE) as ours,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as theirs,
    ):
        forged = struct.pack("=IHHIIi", 20, 2, 0, 0, 0, -errno.EPERM)
        theirs.sendto(forged, (ours.port, 0))
        assert ours.request([blackhole(1)]) == [None]
        theirs.sendto(forged, (ours.port, 0))
        assert ours.receive() == []
