"""Full-size packets on paths where the encapsulated ones do not fit."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from typing import Self

import msgspec
import pytest

import moorage
from moorage.kernel import sysctl
from moorage.lab import topology
from moorage.lab.lab import Lab
from moorage.lab.topology import Topology
from moorage.lab.traffic import tcp_pair
from tests.domain import lease
from tests.lab.plain_host import FIXED, PATIENCE, Host, reached

pytestmark = pytest.mark.netns

PACKET_TOO_BIG = 2
HEADERS = 48
"""Of IPv6 and UDP."""
IPV6_MTU = 24
IPV6_DONTFRAG = 62


def with_core_mtu(mtu: int) -> Topology:
    """Two routers and a correspondent whose links to the core have this MTU."""
    plain = topology.load("two-routers")

    def narrowed(node: topology.Router | topology.Correspondent) -> object:
        return msgspec.structs.replace(node, core=msgspec.structs.replace(node.core, mtu=mtu))

    return msgspec.structs.replace(
        plain,
        routers={name: narrowed(router) for name, router in plain.routers.items()},
        correspondents={name: narrowed(node) for name, node in plain.correspondents.items()},
    )


def ignore_advertised_mtu() -> None:
    """Send packets as big as the link, whatever the router advertises."""
    sysctl.write("net/ipv6/conf/wl0/accept_ra_mtu", "0")
    sysctl.write("net/ipv6/conf/wl0/mtu", "1500")


class Away:
    """A host whose prefix is anchored at the first router, and that can go to the second.

    It does not do what it is told about sizes.
    """

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        self.lab = lab
        for name in ("ar1", "ar2"):
            lab.daemon(name).start()
        self.host = Host(lab, stack)
        self.host.node.call(ignore_advertised_mtu)
        self.prefix = self.host.obtain()
        self.address = self.prefix[1]
        self.peer = lab.topology().correspondents["cn"].core.address
        assert reached(lab, self.prefix)

    def go(self) -> None:
        self.lab.move("mn", "ar2")
        assert lease(self.host.exchange(self.host.rebind(self.prefix, FIXED))).valid > 0
        self.host.node.call(ignore_advertised_mtu)

    def udp(self, node: str) -> socket.socket:
        """A socket at the host or the correspondent that sends whole packets."""
        sock = self.lab.node(node).socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind((str(self.address if node == "mn" else self.peer), 0))
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)
        sock.settimeout(PATIENCE)
        return sock

    def errors(self, node: str) -> socket.socket:
        """The ICMPv6 messages that a node gets from now on."""
        sock = self.lab.node(node).socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        sock.settimeout(PATIENCE)
        return sock


@pytest.fixture(params=[1500, 1600])
def away(request: pytest.FixtureRequest, mark: str) -> Iterator[Away]:
    with Lab.start(with_core_mtu(request.param)) as lab, ExitStack() as stack:
        yield Away(lab, stack)


class Bulk:
    """Blocks of bytes that are sent both ways over a connection, in full-size packets."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._ends = (near, far)

    def __enter__(self) -> Self:
        for end in self._ends:
            end.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()

    def goes_on(self, amount: int = 1 << 20) -> bool:
        """Whether so many more bytes arrive at both ends, while as many as fit are sent."""
        missing = dict.fromkeys(self._ends, amount)
        deadline = time.monotonic() + PATIENCE
        while any(count > 0 for count in missing.values()):
            readable, writable, _ = select.select(self._ends, self._ends, [], PATIENCE)
            if time.monotonic() > deadline:
                return False
            for end in readable:
                missing[end] -= len(end.recv(1 << 20))
            for end in writable:
                end.send(bytes(1 << 16))
        return True


def test_a_full_size_transfer_goes_on_after_a_move(away: Away) -> None:
    def prepare(near: socket.socket) -> None:
        near.bind((str(away.address), 0))

    pair = tcp_pair(away.lab.node("mn"), away.lab.node("cn"), away.peer, prepare)
    with Bulk(*pair) as bulk:
        assert bulk.goes_on()
        away.go()
        assert bulk.goes_on()


def test_nothing_is_too_big_that_a_host_sends_or_asks_for_that_listens(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lab.start(with_core_mtu(1500)) as lab, ExitStack() as stack:
        lab.start_daemons()
        monkeypatch.setenv("MOORAGE_SOCKET", str(lab.node("mn").folder / "host.sock"))

        def prepare(near: socket.socket) -> None:
            near.bind((str(moorage.setsc(near, FIXED, timeout=PATIENCE)), 0))

        ends = lab.node("mn"), lab.node("cn")
        errors = [
            stack.enter_context(node.socket(socket.AF_INET6, socket.SOCK_RAW, 58)) for node in ends
        ]
        peer = lab.topology().correspondents["cn"].core.address
        with Bulk(*tcp_pair(*ends, peer, prepare)) as bulk:
            assert bulk.goes_on()
            for router in ("ar2", "ar1"):
                lab.move("mn", router)
                assert bulk.goes_on()
        for sock in errors:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                too_big(sock)


def too_big(errors: socket.socket) -> tuple[bytes, IPv6Address]:
    """The next Packet Too Big, and who sent it."""
    while True:
        message, sender = errors.recvfrom(2000)
        if message[0] == PACKET_TOO_BIG:
            return message, IPv6Address(sender[0])


@pytest.mark.parametrize("sender", ["cn", "mn"])
def test_the_sender_of_a_packet_that_does_not_fit_is_told(away: Away, sender: str) -> None:
    away.go()
    routers = away.lab.topology().routers
    core = routers["ar1"].core.mtu
    # What the sender's link takes, then the path between the routers, then the host's link.
    sizes, receiver = (
        ([core, core - 40, 1500], "mn") if sender == "cn" else ([1500, core - 40], "cn")
    )
    sizes = [size for n, size in enumerate(sizes) if size == min(sizes[: n + 1])]
    with (
        away.udp(sender) as near,
        away.udp(receiver) as far,
        away.errors(sender) as errors,
    ):
        near.connect(far.getsockname())
        for size, fits in pairwise(sizes):
            near.send(bytes(size - HEADERS))
            message, teller = too_big(errors)
            assert int.from_bytes(message[4:8], "big") == fits
            # It quotes the packet as it was sent, and comes from a router.
            assert IPv6Address(message[16:32]) == IPv6Address(near.getsockname()[0])
            assert IPv6Address(message[32:48]) == IPv6Address(far.getsockname()[0])
            assert teller in {
                address
                for router in routers.values()
                for address in (router.core.address, router.access.router_address)
            }
            # So the sender's kernel knows.
            assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
            assert near.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU) == fits
            with pytest.raises(OSError, match="Message too long"):
                near.send(bytes(size - HEADERS))
        near.send(bytes(sizes[-1] - HEADERS))
        assert len(far.recv(2000)) == sizes[-1] - HEADERS


def test_forged_errors_are_not_relayed(away: Away) -> None:
    """Only about packets that the router sends, as it sends them."""
    away.go()
    router = away.lab.topology().routers["ar1"]
    sid = away.lab.topology().routers["ar2"].down_sid
    stranger = IPv6Network("2001:db8:a100::/64")[1]
    with away.errors("cn") as errors, away.errors("cn") as forger:
        for mtu, outer, inner in (
            (1400, (router.core.address, sid), (away.peer, stranger)),
            (1401, (router.core.address, router.up_sid), (away.peer, away.address)),
            (1402, (router.access.router_address, sid), (away.peer, away.address)),
            (1403, (router.core.address, sid), (away.peer, away.address)),
        ):
            quoted = header(*outer, 41, 1500) + header(*inner, 17, 1460) + bytes(64)
            about = bytes((PACKET_TOO_BIG, 0, 0, 0)) + mtu.to_bytes(4, "big") + quoted
            forger.sendto(about, (str(router.core.address), 0))
        # They are relayed in their order; only the last one is as it should be.
        message, _ = too_big(errors)
        assert IPv6Address(message[32:48]) == away.address
        assert int.from_bytes(message[4:8], "big") == 1403 - 40


def header(source: IPv6Address, destination: IPv6Address, following: int, size: int) -> bytes:
    """An IPv6 header."""
    start = (6 << 28).to_bytes(4, "big") + size.to_bytes(2, "big") + bytes((following, 64))
    return start + source.packed + destination.packed
