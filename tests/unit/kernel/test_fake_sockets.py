"""Sockets in memory behave as those of the kernel do in tests/kernel/test_sock_diag.py."""

from __future__ import annotations

import select
import socket
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.kernel.fake_sockets import FakeSockDiag
from moorage.kernel.netlink import Overrun
from moorage.kernel.sock_diag import SocketInfo, SocketState

PREFIX = IPv6Network("2001:db8:a::/64")
CONNECTED = SocketInfo(
    cookie=7,
    protocol=socket.IPPROTO_TCP,
    source=IPv6Address("2001:db8:a::1"),
    source_port=4000,
    destination=IPv6Address("2001:db8:c::1"),
    destination_port=80,
    interface=0,
    state=SocketState.ESTABLISHED,
    uid=1000,
    inode=1,
)
BOUND = replace(CONNECTED, cookie=8, state=SocketState.CLOSE)
BOUND_DATAGRAM = replace(BOUND, cookie=9, protocol=socket.IPPROTO_UDP)
RAW = replace(CONNECTED, cookie=0, protocol=89, state=SocketState.CLOSE)
ELSEWHERE = replace(CONNECTED, cookie=10, source=IPv6Address("2001:db8:b::1"))


@pytest.fixture
def table() -> FakeSockDiag:
    made = FakeSockDiag()
    for info in (CONNECTED, BOUND, BOUND_DATAGRAM, RAW, ELSEWHERE):
        made.open(info)
    return made


def test_only_the_prefix_that_was_asked_for(table: FakeSockDiag) -> None:
    assert table.sockets_from(PREFIX) == [CONNECTED, BOUND, BOUND_DATAGRAM, RAW]


def test_destroyed_connection_is_not_listed_and_ends_later(table: FakeSockDiag) -> None:
    with closing(table.monitor()) as monitor:
        assert table.destroy(CONNECTED)
        assert not table.destroy(CONNECTED)
        assert CONNECTED not in table.sockets_from(PREFIX)
        assert not select.select([monitor], [], [], 0)[0]
        table.end(CONNECTED)
        assert select.select([monitor], [], [], 0)[0]
        assert [info.cookie for info in monitor.read()] == [CONNECTED.cookie]
        assert monitor.read() == []


def test_destroyed_datagram_socket_stays_listed(table: FakeSockDiag) -> None:
    assert table.destroy(BOUND_DATAGRAM)
    assert BOUND_DATAGRAM in table.sockets_from(PREFIX)


@pytest.mark.parametrize("info", [BOUND, RAW, replace(CONNECTED, cookie=99)])
def test_what_cannot_be_destroyed(table: FakeSockDiag, info: SocketInfo) -> None:
    assert not table.destroy(info)


def test_raw_socket_ends_unheard(table: FakeSockDiag) -> None:
    with closing(table.monitor()) as monitor:
        table.end(RAW)
        assert monitor.read() == []
    assert RAW not in table.sockets_from(PREFIX)


def test_monitor_says_that_it_missed_something(table: FakeSockDiag) -> None:
    with closing(table.monitor()) as monitor:
        table.end(CONNECTED)
        monitor.lose()
        with pytest.raises(Overrun):
            monitor.read()
        assert monitor.read() == []
