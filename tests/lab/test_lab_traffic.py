"""Measurement traffic, and links that delay or lose it."""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from ipaddress import IPv6Network
from operator import lt

import msgspec
import pytest

from moorage.kernel.sock_diag import SockDiag
from moorage.lab import static, topology
from moorage.lab.lab import Lab
from moorage.lab.ping import ping
from moorage.lab.topology import Topology
from moorage.lab.traffic import Side, TcpFlow, UdpFlow, tcp_pair, udp_pair

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

NUMBER = 200
"""So few that they fit a socket's buffer."""
ADDRESS = topology.load("two-routers").correspondents["cn"].core.address


def with_core_link(delay: float = 0.0, loss: float = 0.0) -> Topology:
    """One router whose link to the core is like this."""
    plain = topology.load("two-routers")
    router = plain.routers["ar1"]
    core = msgspec.structs.replace(router.core, delay=delay, loss=loss)
    routers = {"ar1": msgspec.structs.replace(router, core=core)}
    return msgspec.structs.replace(plain, routers=routers)


@pytest.fixture
def attached(lab: Lab) -> Lab:
    """A lab whose host has an address at the first router."""
    settle(lab, "wl0", "ar1")
    assert ping(lab.node("mn"), ADDRESS) is not None
    return lab


def settle(lab: Lab, interface: str, router: str) -> None:
    lab.node("mn").call(static.settle, interface, lab.topology().routers[router].access)


def bind_nothing(_: socket.socket) -> None:
    """The kernel chooses the address."""


def arriving(lab: Lab, number: int) -> int:
    """How many of so many packets from a router arrive at the correspondent."""
    with (
        lab.node("cn").socket(socket.AF_INET6, socket.SOCK_DGRAM) as far,
        lab.node("ar1").socket(socket.AF_INET6, socket.SOCK_DGRAM) as near,
    ):
        far.bind((str(ADDRESS), 0))
        near.connect(far.getsockname()[:2])
        assert ping(lab.node("ar1"), ADDRESS) is not None
        for _ in range(number):
            near.send(b"x")
        # A link keeps the order: when this is answered, nothing is under way any more.
        assert ping(lab.node("ar1"), ADDRESS) is not None
        far.setblocking(False)
        count = 0
        try:
            while far.recv(10):
                count += 1
        except BlockingIOError:
            return count
    raise AssertionError("unreachable")


def test_a_lossy_link_loses_its_share() -> None:
    with Lab.start(with_core_link(loss=0.2)) as lab:
        assert NUMBER * 0.6 < arriving(lab, NUMBER) < NUMBER * 0.95


def test_a_slow_link_delays_and_loses_nothing() -> None:
    with Lab.start(with_core_link(delay=0.02)) as lab:
        assert arriving(lab, NUMBER) == NUMBER
        seconds = ping(lab.node("ar1"), ADDRESS)
        assert seconds is not None
        assert seconds >= 2 * 0.02


def test_a_stream_gets_through_a_slow_and_lossy_link() -> None:
    with Lab.start(with_core_link(delay=0.001, loss=0.01)) as lab:
        ends = tcp_pair(lab.node("ar1"), lab.node("cn"), ADDRESS, bind_nothing)
        near, far = ends
        data = bytes(range(256)) * 1000
        with near, far:
            near.settimeout(30)
            far.settimeout(30)
            near.sendall(data)
            near.shutdown(socket.SHUT_WR)
            received = b""
            while piece := far.recv(1 << 16):
                received += piece
        assert received == data


def test_a_udp_flow_counts_both_directions(attached: Lab) -> None:
    ends = udp_pair(attached.node("mn"), attached.node("cn"), ADDRESS, bind_nothing)
    with UdpFlow.start(*ends) as flow:
        # Another interface comes and goes meanwhile, which is none of the flow's business.
        moment = attached.attach("mn", "wl1", "ar2")
        attached.detach("mn", "wl1")
        assert not flow.ends_within(0.1)
        report = flow.stop()
    for probes in (report.up, report.down):
        assert len(probes.sent) == len(probes.received) > 50
        assert probes.lost == 0
        assert all(map(lt, probes.sent, probes.received))
    assert report.errors == ()
    for after in (report.up_after(moment), report.down_after(moment)):
        assert after is not None
        assert after > moment
    assert report.up_after(report.up.sent[-1] + 1) is None


def test_a_udp_flow_counts_what_is_lost(attached: Lab) -> None:
    ends = udp_pair(attached.node("mn"), attached.node("cn"), ADDRESS, bind_nothing)
    with UdpFlow.start(*ends) as flow:
        assert not flow.ends_within(0.05)
        down = attached.detach("mn", "wl0")
        assert not flow.ends_within(0.05)
        report = flow.stop()
    assert report.up.lost + len(report.errors) > 0
    assert report.down.lost > 0
    assert report.down_after(down + 5_000_000) is None


def test_a_tcp_flow_has_the_rates_that_were_asked_for(attached: Lab) -> None:
    ends = tcp_pair(attached.node("mn"), attached.node("cn"), ADDRESS, bind_nothing)
    with TcpFlow.start(*ends, up=1_000_000, down=500_000) as flow:
        assert not flow.ends_within(0.2)
        report = flow.stop()
    assert report.failure is None
    seconds = (report.end - report.start) / 1e9
    for arrivals, rate in ((report.up, 1_000_000), (report.down, 500_000)):
        assert 0 < sum(report.throughput(arrivals)) <= rate * seconds
        assert len(report.throughput(arrivals)) >= 20


def test_a_tcp_flow_notes_a_stall(attached: Lab) -> None:
    ends = tcp_pair(attached.node("mn"), attached.node("cn"), ADDRESS, bind_nothing)
    with TcpFlow.start(*ends, up=1_000_000) as flow:
        assert not flow.ends_within(0.05)
        down = attached.detach("mn", "wl0")
        assert not flow.ends_within(0.1)
        report = flow.stop()
    last = report.stalls(report.up)[-1]
    assert last.start <= down < last.end == report.end
    # Nothing was sent down, so that is one stall.
    assert [stall.duration for stall in report.stalls(report.down)] == [report.end - report.start]


def test_a_tcp_flow_ends_when_its_socket_is_destroyed(attached: Lab) -> None:
    near, far = tcp_pair(attached.node("mn"), attached.node("cn"), ADDRESS, bind_nothing)
    prefix = IPv6Network(near.getsockname()[0])

    def destroy() -> None:
        with closing(SockDiag()) as kernel:
            [info] = kernel.sockets_from(prefix)
            assert kernel.destroy(info)

    with TcpFlow.start(near, far, down=1_000_000) as flow:
        attached.node("mn").call(destroy)
        assert flow.ends_within(10)
        failure = flow.stop().failure
    assert failure is not None
    assert (failure.side, failure.number) == (Side.NEAR, errno.ECONNABORTED)
    assert str(failure) == "near end: ECONNABORTED"
