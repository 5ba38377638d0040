"""Access routers on the real kernel: prefixes, paths, filters, and daemons that die."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import ExitStack
from ipaddress import IPv6Address

import pytest

from moorage.kernel.routes import RouteKind, Seg6Encap
from moorage.lab.lab import Lab
from moorage.lab.ping import ping
from moorage.router.paths import MAIN_TABLE
from moorage.service import ServiceType
from moorage.wire import nd
from moorage.wire.dhcp6 import (
    MessageType,
    ServerId,
)
from tests.domain import ia, lease
from tests.lab.plain_host import (
    FIXED,
    PATIENCE,
    Host,
    await_routes,
    dropped,
    flush_routes,
    reached,
    routes_of,
    rules_of,
)

pytestmark = pytest.mark.netns


def test_a_prefix_goes_with_its_host_and_comes_back(routers: Lab, host: Host) -> None:
    prefix = host.obtain()
    assert reached(routers, prefix)
    topology = routers.topology()
    for name in ("ar2", "ar1"):
        routers.move("mn", name)
        assert lease(host.exchange(host.rebind(prefix, FIXED))).valid > 0
        assert reached(routers, prefix)
        down = Seg6Encap(topology.routers["ar2"].down_sid)
        at_anchor = [
            route
            for route in routes_of(routers.node("ar1"))
            if (route.destination, route.table) == (prefix, MAIN_TABLE)
        ]
        assert [route.encap for route in at_anchor] == [down if name == "ar2" else None]
    up = Seg6Encap(topology.routers["ar1"].up_sid)
    # What was under way is forwarded a little longer; then nothing is left at the other router.
    await_routes(
        routers.node("ar2"),
        lambda found: all(route.encap != up and route.destination != prefix for route in found),
    )


def test_the_next_life_of_a_killed_router_takes_everything_up(routers: Lab, host: Host) -> None:
    prefix = host.obtain()
    routers.move("mn", "ar2")
    host.exchange(host.rebind(prefix, FIXED))
    assert reached(routers, prefix)
    before = {name: routes_of(routers.node(name)) for name in ("ar1", "ar2")}
    for name in before:
        routers.daemon(name).kill()
    assert reached(routers, prefix)  # the kernel goes on by itself
    for name in before:
        flush_routes(routers.node(name))
        routers.daemon(name).start()
    assert reached(routers, prefix)
    for name, routes in before.items():
        assert {route for route in routes_of(routers.node(name)) if route.encap} >= {
            route for route in routes if route.encap
        }


def test_a_router_that_ends_leaves_its_paths_until_they_are_flushed(
    routers: Lab, host: Host
) -> None:
    prefix = host.obtain()
    router = routers.node("ar1")
    assert routers.daemon("ar1").stop() == 0
    assert reached(routers, prefix)
    config = "/run/moorage/router.toml"
    router.run([sys.executable, "-m", "moorage", "router", "--config", config, "--flush"])
    assert routes_of(router) == set()
    assert rules_of(router) == set()
    assert dropped(router) == {}


def test_routes_that_somebody_removes_come_back(routers: Lab, host: Host) -> None:
    prefix = host.obtain()
    before = routes_of(routers.node("ar1"))
    rules = rules_of(routers.node("ar1"))
    flush_routes(routers.node("ar1"))
    await_routes(routers.node("ar1"), lambda found: found == before)
    assert rules_of(routers.node("ar1")) == rules
    assert reached(routers, prefix)


def test_a_binding_ends_with_its_lifetime(lab: Lab) -> None:
    short = {"preferred": 1, "valid": 1, "t1": 1, "t2": 1, "quarantine": 0}
    lab.daemon("ar1").start(lifetimes={"session-lasting": short})
    with ExitStack() as stack:
        prefix = Host(lab, stack).obtain(ServiceType.SESSION_LASTING)
    await_routes(lab.node("ar1"), lambda found: all(route.destination != prefix for route in found))


# ---- who sends what he must not ------------------------------------------------------------------


def inner_packet(source: IPv6Address, destination: IPv6Address, port: int) -> bytes:
    """An IPv6 packet with an empty UDP datagram; nobody looks at its checksum before it arrives."""
    udp = struct.pack("!HHHH", 9, port, 8, 0xFFFF)
    pseudo = source.packed + destination.packed + struct.pack("!II", 8, 17) + udp[:6] + b"\0\0"
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    udp = udp[:6] + struct.pack("!H", ~total & 0xFFFF or 0xFFFF)
    header = struct.pack("!IHBB", 6 << 28, 8, 17, 64)
    return header + source.packed + destination.packed + udp


@pytest.mark.parametrize("sender", ["mn", "cn", "ar2"])
def test_nobody_injects_packets_by_a_sid(routers: Lab, host: Host, sender: str) -> None:
    prefix = host.obtain()
    topology = routers.topology()
    correspondent = topology.correspondents["cn"].core.address
    with (
        routers.node("cn").socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener,
        routers.node(sender).socket(socket.AF_INET6, socket.SOCK_RAW, 41) as raw,
    ):
        listener.bind(("::", 0))
        port = listener.getsockname()[1]
        # A router of the domain may send to SIDs, but not for prefixes that it does not serve.
        sids = (
            [topology.routers["ar1"].up_sid]
            if sender == "ar2"
            else [topology.routers["ar1"].up_sid, topology.routers["ar1"].down_sid]
        )
        for sid in sids:
            raw.sendto(inner_packet(prefix[1], correspondent, port), (str(sid), 0))
        # The path keeps the order: what is answered after the packets has passed them.
        assert reached(routers, prefix)
        assert ping(routers.node(sender), topology.routers["ar1"].core.address) is not None
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(10)
    reason = {"mn": "from-access-link", "cn": "unknown-router", "ar2": "not-served"}[sender]
    assert dropped(routers.node("ar1")) == {reason: len(sids)}


def test_a_host_does_not_send_from_what_it_does_not_hold(routers: Lab, host: Host) -> None:
    prefix = host.obtain()
    pool = routers.topology().routers["ar2"].pool
    with (
        routers.node("cn").socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener,
        routers.node("mn").socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        listener.bind(("::", 0))
        correspondent = routers.topology().correspondents["cn"].core.address
        packet = inner_packet(pool[1], correspondent, listener.getsockname()[1])
        raw.sendto(packet, (str(correspondent), 0))
        assert reached(routers, prefix)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(10)
    assert dropped(routers.node("ar1")) == {"forged-source": 1}


def test_garbage_harms_nobody(routers: Lab, host: Host) -> None:
    for data in (b"", b"\x01", b"\xff" * 40, bytes(1400), b"\x0c" + bytes(33)):
        host.send(data)
    with routers.node("mn").socket(socket.AF_INET6, socket.SOCK_RAW, 58) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.bind((str(host.source), 0, 0, host.index))
        for options in (b"\x01\x00", b"\xfd\x03", bytes(24)):
            solicitation = b"\x85\0\0\0\0\0\0\0" + options
            raw.sendto(solicitation, ("ff02::2", 0, 0, host.index))
    assert reached(routers, host.obtain())


# ---- advertisements ------------------------------------------------------------------------------


def advertised(raw: socket.socket) -> tuple[nd.RouterAdvertisement, IPv6Address]:
    """The next advertisement and where it was sent to."""
    while True:
        data, ancillary, _, _ = raw.recvmsg(2048, socket.CMSG_SPACE(20))
        if data[0] != nd.RouterAdvertisement.type:
            continue
        message = nd.decode_message(data)
        assert isinstance(message, nd.RouterAdvertisement)
        [(_, _, info)] = ancillary
        return message, IPv6Address(info[:16])


def test_solicitations_are_answered_and_the_end_is_announced(routers: Lab, host: Host) -> None:
    with routers.node("mn").socket(socket.AF_INET6, socket.SOCK_RAW, 58) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.settimeout(PATIENCE)
        raw.bind((str(host.source), 0, 0, host.index))
        raw.sendto(nd.RouterSolicitation().encode(), ("ff02::2", 0, 0, host.index))
        message, destination = advertised(raw)
        assert destination == host.source
        prefix = message.first(nd.PrefixInformation)
        assert prefix is not None
        assert prefix.prefix == routers.topology().routers["ar1"].access.prefix
        assert message.first(nd.OnDemandLink) is not None
    with routers.node("mn").socket(socket.AF_INET6, socket.SOCK_RAW, 58) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        raw.settimeout(PATIENCE)
        routers.daemon("ar1").stop()
        while message.router_lifetime:
            message, destination = advertised(raw)
        assert destination == IPv6Address("ff02::1")


def test_a_prefix_is_renewed_and_released(routers: Lab, host: Host) -> None:
    prefix = host.obtain()
    reply = host.exchange(host.rebind(prefix, FIXED))
    server = reply.first(ServerId)
    assert server is not None
    renew = host.message(MessageType.RENEW, [ia(1, prefix)], {1: FIXED}, server=server.duid)
    assert lease(host.exchange(renew)).prefix == prefix
    release = host.message(MessageType.RELEASE, [ia(1, prefix)], server=server.duid)
    host.send(host.sign(release))
    router = routers.node("ar1")
    await_routes(router, lambda found: all(route.destination != prefix for route in found))
    assert any(route.kind is RouteKind.UNREACHABLE for route in routes_of(router))
