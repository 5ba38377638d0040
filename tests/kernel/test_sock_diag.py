"""Who uses an address, and the end of it: with real sockets."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moorage.kernel.netlink import Overrun
from moorage.kernel.sock_diag import (
    DestroyMonitor,
    SockDiag,
    SocketInfo,
    SocketState,
    socket_cookie,
)

if TYPE_CHECKING:
    from tests.kernel.conftest import KernelWorld

pytestmark = pytest.mark.netns

PREFIX = IPv6Network("2001:db8:a::/64")
ADDRESS = "2001:db8:a::1"
NEIGHBOURING = "2001:db8:a:1::1"
CORRESPONDENT = "2001:db8:c::1"
PORT = 4000
OSPF = 89
ECHO_IDENTIFIER = 77


class Sockets:
    """What an application opens; the addresses are all on ``lo``."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def keep(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(10)
        return self._stack.enter_context(sock)

    def bound(
        self,
        address: str = ADDRESS,
        port: int = PORT,
        kind: int = socket.SOCK_STREAM,
        proto: int = 0,
    ) -> socket.socket:
        sock = self.keep(socket.socket(socket.AF_INET6, kind, proto))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        return sock

    def listening(self, address: str, port: int = PORT) -> socket.socket:
        sock = self.bound(address, port)
        sock.listen()
        return sock

    def connection(self, near: str, far: str) -> tuple[socket.socket, socket.socket]:
        """Both ends: the one that asked and the one that was accepted."""
        listener = self.listening(far)
        asking = self.bound(near, 0)
        asking.connect((far, PORT))
        accepted, _ = listener.accept()
        return asking, self.keep(accepted)


@pytest.fixture
def sockets(kernel: KernelWorld) -> Iterator[Sockets]:
    for address in (ADDRESS, NEIGHBOURING, CORRESPONDENT):
        kernel.add_address(address, 128)
    with ExitStack() as stack:
        yield Sockets(stack)


@pytest.fixture
def table(sockets: Sockets) -> Iterator[SockDiag]:
    with closing(SockDiag()) as opened:
        yield opened


@pytest.fixture
def monitor(sockets: Sockets) -> Iterator[DestroyMonitor]:
    with closing(DestroyMonitor()) as opened:
        yield opened


def wait_for_end(monitor: DestroyMonitor, cookies: set[int]) -> set[int]:
    """The cookies that the monitor tells of until the sockets with these have ended."""
    seen: set[int] = set()
    while not cookies <= seen:
        assert select.select([monitor], [], [], 10)[0], f"only saw {seen}"
        seen.update(monitor.read())
    return seen


def only(found: list[SocketInfo]) -> SocketInfo:
    [info] = found
    return info


def kernel_states(port: int) -> set[SocketState]:
    """The states of all that the kernel has on a TCP port, what is left of sockets included."""
    rows = Path("/proc/thread-self/net/tcp6").read_text().splitlines()[1:]
    ports_and_states = ((row.split()[1].split(":")[1], row.split()[3]) for row in rows)
    return {
        SocketState(int(state, 16)) for near, state in ports_and_states if int(near, 16) == port
    }


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def test_connected_socket(sockets: Sockets, table: SockDiag) -> None:
    asking, _ = sockets.connection(ADDRESS, CORRESPONDENT)
    assert table.sockets_from(PREFIX) == [
        SocketInfo(
            cookie=socket_cookie(asking),
            protocol=socket.IPPROTO_TCP,
            source=IPv6Address(ADDRESS),
            source_port=asking.getsockname()[1],
            destination=IPv6Address(CORRESPONDENT),
            destination_port=PORT,
            interface=0,
            state=SocketState.ESTABLISHED,
            uid=os.getuid(),
            inode=inode(asking),
        )
    ]


def test_accepted_child_has_a_cookie_of_its_own(sockets: Sockets, table: SockDiag) -> None:
    _, accepted = sockets.connection(CORRESPONDENT, ADDRESS)
    found = {info.state: info.cookie for info in table.sockets_from(PREFIX)}
    assert found[SocketState.ESTABLISHED] == socket_cookie(accepted)
    assert found[SocketState.LISTEN] != socket_cookie(accepted)


def test_listening_socket(sockets: Sockets, table: SockDiag) -> None:
    listener = sockets.listening(ADDRESS)
    info = only(table.sockets_from(PREFIX))
    assert (info.cookie, info.state) == (socket_cookie(listener), SocketState.LISTEN)
    assert (info.source_port, info.destination) == (PORT, IPv6Address("::"))


def test_tcp_socket_that_is_only_bound(sockets: Sockets, table: SockDiag) -> None:
    bound = sockets.bound()
    found = table.sockets_from(PREFIX)
    if not found and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 8):
        pytest.skip("this kernel does not list TCP sockets that are only bound")
    info = only(found)
    assert (info.cookie, info.state) == (socket_cookie(bound), SocketState.CLOSE)
    assert not table.destroy(info)


def test_udp_sockets(sockets: Sockets, table: SockDiag) -> None:
    unconnected = sockets.bound(kind=socket.SOCK_DGRAM)
    connected = sockets.bound(kind=socket.SOCK_DGRAM, port=0)
    connected.connect((CORRESPONDENT, PORT))
    found = {info.cookie: info for info in table.sockets_from(PREFIX)}
    assert {info.protocol for info in found.values()} == {socket.IPPROTO_UDP}
    assert found[socket_cookie(unconnected)].state is SocketState.CLOSE
    assert found[socket_cookie(connected)].state is SocketState.ESTABLISHED
    assert found[socket_cookie(connected)].destination == IPv6Address(CORRESPONDENT)


def test_raw_socket(sockets: Sockets, table: SockDiag) -> None:
    raw = sockets.bound(kind=socket.SOCK_RAW, port=0, proto=OSPF)
    info = only(table.sockets_from(PREFIX))
    assert (info.protocol, info.source, info.source_port) == (OSPF, IPv6Address(ADDRESS), 0)
    assert (info.cookie, info.inode, info.uid) == (0, inode(raw), os.getuid())
    assert not table.destroy(info)


def test_ping_socket(sockets: Sockets, table: SockDiag) -> None:
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as allowed:
        allowed.write(f"{os.getgid()} {os.getgid()}")
    ping = sockets.bound(kind=socket.SOCK_DGRAM, port=ECHO_IDENTIFIER, proto=socket.IPPROTO_ICMPV6)
    info = only(table.sockets_from(PREFIX))
    assert (info.protocol, info.source_port) == (socket.IPPROTO_ICMPV6, ECHO_IDENTIFIER)
    assert (info.cookie, info.inode) == (0, inode(ping))
    assert not table.destroy(info)


def test_only_the_prefix_that_was_asked_for(sockets: Sockets, table: SockDiag) -> None:
    inside = sockets.listening(ADDRESS)
    outside = sockets.listening(NEIGHBOURING)
    sockets.listening("::", PORT + 1)
    sockets.bound(NEIGHBOURING, kind=socket.SOCK_RAW, proto=OSPF)

    def cookies(prefix: str) -> set[int]:
        return {info.cookie for info in table.sockets_from(IPv6Network(prefix))}

    assert cookies("2001:db8:a::/64") == {socket_cookie(inside)}
    assert cookies("2001:db8:a::/49") == {socket_cookie(inside), socket_cookie(outside), 0}
    assert cookies(f"{ADDRESS}/128") == {socket_cookie(inside)}
    assert cookies("2001:db8:a::2/128") == set()
    assert len(table.sockets_from(IPv6Network("::/0"))) == 4


def test_closed_connection_is_nobodys(sockets: Sockets, table: SockDiag) -> None:
    asking, accepted = sockets.connection(ADDRESS, CORRESPONDENT)
    asking_port = asking.getsockname()[1]
    asking.close()
    assert accepted.recv(1) == b""
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    assert kernel_states(asking_port) == {SocketState.FIN_WAIT2}
    assert table.sockets_from(PREFIX) == []
    accepted.close()
    assert kernel_states(asking_port) == {SocketState.TIME_WAIT}
    assert table.sockets_from(PREFIX) == []


def test_destroyed_connection_fails_at_once(sockets: Sockets, table: SockDiag) -> None:
    asking, accepted = sockets.connection(ADDRESS, CORRESPONDENT)
    info = only(table.sockets_from(PREFIX))
    assert table.destroy(info)
    with pytest.raises(ConnectionAbortedError):
        asking.recv(1)
    with pytest.raises(ConnectionResetError):
        accepted.recv(1)
    assert table.sockets_from(PREFIX) == []
    assert not table.destroy(info)


def test_destroyed_listener_accepts_no_more(sockets: Sockets, table: SockDiag) -> None:
    listener = sockets.listening(ADDRESS)
    assert table.destroy(only(table.sockets_from(PREFIX)))
    with pytest.raises(ConnectionAbortedError):
        listener.recv(1)
    with pytest.raises(ConnectionRefusedError):
        sockets.bound(CORRESPONDENT, 0).connect((ADDRESS, PORT))


@pytest.mark.parametrize("is_connected", [True, False])
def test_destroyed_udp_socket_fails_at_once(
    sockets: Sockets, table: SockDiag, is_connected: bool
) -> None:
    sock = sockets.bound(kind=socket.SOCK_DGRAM)
    if is_connected:
        sock.connect((CORRESPONDENT, PORT))
    assert table.destroy(only(table.sockets_from(PREFIX)))
    with pytest.raises(ConnectionAbortedError):
        sock.recv(1)


def test_socket_bound_to_an_interface_can_be_destroyed(sockets: Sockets, table: SockDiag) -> None:
    sock = sockets.bound(kind=socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    info = only(table.sockets_from(PREFIX))
    assert info.interface == socket.if_nametoindex("lo")
    assert table.destroy(info)


def test_another_socket_with_the_same_addresses_is_spared(
    sockets: Sockets, table: SockDiag
) -> None:
    first = sockets.bound(kind=socket.SOCK_DGRAM)
    info = only(table.sockets_from(PREFIX))
    first.close()
    second = sockets.bound(kind=socket.SOCK_DGRAM)
    assert not table.destroy(info)
    second.sendto(b"still here", (ADDRESS, PORT))
    assert second.recv(16) == b"still here"


def test_monitor_tells_of_every_end(sockets: Sockets, monitor: DestroyMonitor) -> None:
    assert monitor.read() == []
    asking, accepted = sockets.connection(ADDRESS, CORRESPONDENT)
    datagram = sockets.bound(kind=socket.SOCK_DGRAM)
    bound = sockets.bound(NEIGHBOURING)
    opened = (asking, accepted, datagram, bound)
    cookies = {socket_cookie(sock) for sock in opened}
    for sock in opened:
        sock.close()
    assert cookies <= wait_for_end(monitor, cookies)


def test_monitor_tells_of_a_destroyed_socket_when_it_is_closed(
    sockets: Sockets, table: SockDiag, monitor: DestroyMonitor
) -> None:
    asking, accepted = sockets.connection(ADDRESS, CORRESPONDENT)
    cookie = socket_cookie(asking)
    assert table.destroy(only(table.sockets_from(PREFIX)))
    ended_first = socket_cookie(accepted)
    accepted.close()
    assert cookie not in wait_for_end(monitor, {ended_first})
    asking.close()
    wait_for_end(monitor, {cookie})


def test_monitor_says_that_it_missed_something(
    sockets: Sockets, table: SockDiag, monitor: DestroyMonitor
) -> None:
    with socket.fromfd(monitor.fileno(), socket.AF_NETLINK, socket.SOCK_RAW) as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(100):
        sockets.bound(kind=socket.SOCK_DGRAM).close()
    last = sockets.bound(kind=socket.SOCK_DGRAM, port=PORT + 1)
    full = select.poll()
    full.register(monitor, select.POLLERR)
    assert full.poll(10_000)
    with pytest.raises(Overrun):
        monitor.read()
    assert only(table.sockets_from(PREFIX)).cookie == socket_cookie(last)
