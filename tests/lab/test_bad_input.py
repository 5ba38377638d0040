"""What nobody should send: daemons drop it, live, and serve as before."""

from __future__ import annotations

import array
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.lab.lab import Node
from moorage.lab.network import ACCESS
from moorage.service import ServiceType
from moorage.wire import dhcp6, nd
from moorage.wire.app import REPLY_LENGTH, Operation, Reason, Request, decode_reply
from tests.conformance.conftest import LINGER
from tests.conformance.scene import PATIENCE, Scene, eventually, open_scene
from tests.leaks import nothing_left_behind

pytestmark = pytest.mark.netns

HDRINCL = 36  # IPV6_HDRINCL of <linux/in6.h>
NUMBERS = random.Random(20)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("store")
    with nothing_left_behind(), open_scene(folder, host={"linger": LINGER}) as scene:
        eventually(scene.settled)
        eventually(scene.typed)
        yield scene


@pytest.fixture
def survivors(scene: Scene) -> Iterator[None]:
    """The daemons of before the test are those of after it, and they serve."""
    before = daemons(scene)
    with scene.connect(ServiceType.SESSION_LASTING) as connection:
        yield
        scene.setsc(ServiceType.GRACEFUL_REPLACEMENT)
        scene.move()
        assert connection.works()
    assert daemons(scene) == before


def daemons(scene: Scene) -> list[int]:
    return [scene.lab.status().nodes[name].daemon for name in ("mn", "ar1", "ar2")]


def index_of(node: Node, interface: str) -> int:
    return node.call(socket.if_nametoindex, interface)


def damaged(whole: bytes) -> list[bytes]:
    """The message cut anywhere, and with single bytes changed, and things that are no message."""
    cut = [whole[:length] for length in range(len(whole))]
    changed = []
    for position in range(len(whole)):
        copy = bytearray(whole)
        copy[position] ^= 1 << NUMBERS.randrange(8)
        changed.append(bytes(copy))
    noise = [NUMBERS.randbytes(NUMBERS.randrange(1400)) for _ in range(50)]
    return [*cut, *changed, *noise, b"", bytes(1400), b"\xff" * 1400]


def dhcp_message(kind: dhcp6.MessageType) -> bytes:
    association = dhcp6.IaPd(7, 0, 0, ())
    on_demand = dhcp6.OnDemand((dhcp6.ServiceTypeOf(7, ServiceType.FIXED),))
    options = (dhcp6.ClientId(b"\0\4" + bytes(16)), association, on_demand.to_option())
    return dhcp6.Message(kind, 0x123456, options).encode()


@pytest.mark.usefixtures("survivors")
def test_malformed_dhcp_at_a_router(scene: Scene) -> None:
    index = index_of(scene.host, "wl0")
    with scene.host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        target = str(dhcp6.ALL_RELAY_AGENTS_AND_SERVERS), dhcp6.SERVER_PORT, 0, index
        for kind in dhcp6.MessageType:
            if kind in (dhcp6.MessageType.RELAY_FORW, dhcp6.MessageType.RELAY_REPL):
                continue
            for data in damaged(dhcp_message(kind)):
                sock.sendto(data, target)


@pytest.mark.usefixtures("survivors")
def test_malformed_dhcp_at_a_host(scene: Scene) -> None:
    router = scene.lab.node(scene.here)
    [host] = {binding.next_hop for binding in scene.bindings()}
    with router.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        target = str(host), dhcp6.CLIENT_PORT, 0, index_of(router, ACCESS)
        for kind in (dhcp6.MessageType.ADVERTISE, dhcp6.MessageType.REPLY):
            for data in damaged(dhcp_message(kind)):
                sock.sendto(data, target)


@pytest.mark.usefixtures("survivors")
def test_malformed_router_discovery(scene: Scene) -> None:
    router = scene.lab.node(scene.here)
    on_demand = nd.OnDemandLink(frozenset(ServiceType), bytes(8), bytes(8))
    link = nd.SourceLinkLayerAddress(bytes.fromhex("020000000001"))
    # Ours comes last, so that it is never whole: a whole one would be a forged network, not noise.
    advertisement = nd.RouterAdvertisement(64, False, False, 0, 0, 0, (link, on_demand))
    solicitation = nd.RouterSolicitation((link,))
    for node, interface, message, group in (
        (router, ACCESS, advertisement, "ff02::1"),
        (scene.host, "wl0", solicitation, "ff02::2"),
    ):
        with node.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            target = group, 0, 0, index_of(node, interface)
            whole = message.encode()
            for length in range(4, len(whole)):
                sock.sendto(whole[:length], target)
            for _ in range(200):
                sock.sendto(whole[:16] + NUMBERS.randbytes(NUMBERS.randrange(64)), target)


@pytest.mark.usefixtures("survivors")
def test_malformed_application_records(scene: Scene) -> None:
    path = os.environ["MOORAGE_SOCKET"]
    for data in damaged(request(ServiceType.SESSION_LASTING)):
        if data:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as application:
                application.settimeout(PATIENCE)
                application.connect(path)
                application.send(data)


def request(service: int, operation: Operation = Operation.SETSC) -> bytes:
    return Request(1, operation, service, False, 0).encode()


def ask(data: bytes, *descriptors: int) -> bytes:
    """What the daemon answers an application; nothing if it hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as application:
        application.settimeout(PATIENCE)
        application.connect(os.environ["MOORAGE_SOCKET"])
        rights = array.array("i", descriptors).tobytes()
        message = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        application.sendmsg([data], message)
        with suppress(ConnectionResetError):
            return application.recv(REPLY_LENGTH + 1)
        return b""


@pytest.mark.usefixtures("survivors")
def test_wrong_descriptors(scene: Scene) -> None:
    whole = request(ServiceType.SESSION_LASTING)
    assert ask(whole) == b""
    with open(os.devnull) as file:
        assert ask(whole, file.fileno()) == b""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert ask(whole, sock.fileno()) == b""
    with scene.new_socket() as sock:
        assert decode_reply(ask(whole, sock.fileno())).status == 0
        assert ask(whole, *[sock.fileno()] * 100) in (b"", ask(whole, sock.fileno()))


@pytest.mark.usefixtures("survivors")
@pytest.mark.parametrize("service", [0, 5, 6, 7, 255])
def test_types_that_do_not_exist(scene: Scene, service: int) -> None:
    with scene.new_socket() as sock, pytest.raises(moorage.SetscError) as caught:
        moorage.setsc(sock, service)
    assert caught.value.reason is Reason.BAD_REQUEST


# ---- packets in packets --------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def ipv6(source: IPv6Address, destination: IPv6Address, protocol: int, payload: bytes) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    return header + source.packed + destination.packed + payload


def udp(source: IPv6Address, destination: IPv6Address, port: int, data: bytes) -> bytes:
    length = 8 + len(data)
    pseudo = source.packed + destination.packed + struct.pack("!II", length, socket.IPPROTO_UDP)
    fields = 9, port, length
    total = checksum(pseudo + struct.pack("!HHHH", *fields, 0) + data)
    payload = struct.pack("!HHHH", *fields, total) + data
    return ipv6(source, destination, socket.IPPROTO_UDP, payload)


def send(node: Node, packet: bytes) -> None:
    """Send a packet with whatever header it has."""
    with node.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, HDRINCL, 1)
        sock.sendto(packet, (str(IPv6Address(packet[24:40])), 0))


def test_packets_in_packets_reach_nobody(scene: Scene) -> None:
    """A host, and a stranger in the core, send to the SIDs of both routers."""
    anchor = scene.here
    with (
        scene.connect(ServiceType.SESSION_LASTING, on_net=True) as connection,
        scene.peer.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer,
        scene.new_socket(socket.SOCK_DGRAM) as host,
    ):
        scene.move()
        assert connection.works()
        typed, [ordinary] = connection.source, scene.ordinary()
        peer.bind((str(scene.destination), 0))
        host.bind((str(typed), 0))
        for sock in (peer, host):
            sock.settimeout(PATIENCE)
        routers = scene.topology.routers
        serving = routers[scene.here]
        ends = {
            scene.destination: peer.getsockname()[1],
            typed: host.getsockname()[1],
        }

        def forged(inner_source: IPv6Address, destination: IPv6Address, data: bytes) -> bytes:
            return udp(inner_source, destination, ends[destination], data)

        def into(outer: IPv6Address, sid: IPv6Address, packet: bytes) -> bytes:
            return ipv6(outer, sid, socket.IPPROTO_IPV6, packet)

        def drain(sock: socket.socket, sender: Callable[[], object]) -> list[bytes]:
            """What arrives before the packet that ``sender`` sends as the last one."""
            sender()
            found = []
            while (data := sock.recv(100)) != b"last":
                found.append(data)
            return found

        def at_peer() -> list[bytes]:
            return drain(peer, lambda: host.sendto(b"last", peer.getsockname()[:2]))

        def at_host() -> list[bytes]:
            return drain(host, lambda: peer.sendto(b"last", host.getsockname()[:2]))

        # What routers themselves send like this does arrive.
        up, down = routers[anchor].up_sid, serving.down_sid
        packet = forged(typed, scene.destination, b"by up")
        send(scene.lab.node(scene.here), into(serving.core.address, up, packet))
        assert at_peer() == [b"by up"]
        packet = forged(scene.destination, typed, b"by down")
        send(scene.lab.node(anchor), into(routers[anchor].core.address, down, packet))
        assert at_host() == [b"by down"]

        sids = [sid for router in routers.values() for sid in (router.up_sid, router.down_sid)]
        others = [router.core.address for router in routers.values()]
        foreign = [typed, ordinary, scene.destination, routers[anchor].pool[99], IPv6Address("::9")]
        for sid in sids:
            for inner in foreign:
                for destination in ends:
                    for outer in (ordinary, typed, *others):
                        send(scene.host, into(outer, sid, forged(inner, destination, b"host")))
                    for outer in (scene.destination, typed):
                        send(scene.peer, into(outer, sid, forged(inner, destination, b"peer")))
        assert at_peer() == []
        assert at_host() == []
