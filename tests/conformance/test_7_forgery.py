"""Draft section 7: what is between a host and the network cannot be forged by another host.

Eve is on the links of both routers. She knows all about the other host but its key, and sends what
she likes, with its link-layer and link-local addresses if she likes.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6

from moorage.identity import Identity
from moorage.kernel.nftables import DropReason, SidFilter
from moorage.lab.pcap import capture_socket
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.wire.dhcp6 import (
    CLIENT_PORT,
    SERVER_PORT,
    ClientId,
    InterfaceId,
    Message,
    MessageType,
    OnDemand,
    Option,
    RapidCommit,
    ReconfigureMessage,
    Relay,
    RelayMessageOption,
    ServerId,
    ServiceTypeOf,
)
from tests.conformance.conftest import Stage
from tests.conformance.scene import Scene, Tap, eventually
from tests.conformance.victim import ROUTERS, Victim, attacked
from tests.domain import ia, router_config

pytestmark = pytest.mark.netns

FIXED = ServiceType.FIXED
SESSION_LASTING = ServiceType.SESSION_LASTING
ABOUT_A_PREFIX = [
    MessageType.SOLICIT,
    MessageType.REQUEST,
    MessageType.RENEW,
    MessageType.REBIND,
    MessageType.RELEASE,
    MessageType.DECLINE,
]
TO_ALL_SERVERS = {MessageType.SOLICIT, MessageType.REBIND}
TO_SERVERS = bytes.fromhex("333300010002")
"""How the frames begin that go to ff02::1:2."""
SERVER = router_config(domain="6d6f6f726167652d").server_duid


@pytest.fixture
def victim(stage: Stage) -> Iterator[Victim]:
    with attacked(stage) as made:
        yield made


# ---- messages ------------------------------------------------------------------------------------


def forgeries(binding: Binding, kind: MessageType, source: IPv6Address) -> Iterator[bytes]:
    """Messages in a client's name about its prefix, signed in no way or a wrong one."""
    body: list[Option] = [ClientId(binding.client)]
    if kind not in TO_ALL_SERVERS:
        body.append(ServerId(SERVER))
    if kind is MessageType.SOLICIT:
        body.append(RapidCommit())
    body.append(ia(binding.iaid, binding.prefix))
    service = ServiceTypeOf(binding.iaid, binding.type)
    plain = Message(kind, 0xE7E7E7, tuple(body))
    typed = Message(kind, 0xE7E7E8, (*body, OnDemand((service,)).to_option()))
    yield plain.encode()
    yield typed.encode()
    ahead = binding.last_time + 1_000_000
    yield Identity.generate().sign(typed, source, ahead)


@pytest.mark.parametrize("router", ROUTERS)
def test_nobody_else_has_a_say_in_a_prefix(victim: Victim, router: str) -> None:
    """7-g: messages in a host's name that its key did not sign change nothing of what it has."""
    eve, before = victim.eve, victim.bindings()
    for sender in (eve.undisguised[router], eve.victim):
        for kind in ABOUT_A_PREFIX:
            for datagram in forgeries(before[0], kind, sender.address):
                eve.send_dhcp(router, sender, datagram)
    eve.settle(router)
    assert victim.is_as(before)


def test_what_a_host_has_said_is_of_no_use_to_who_heard_it(victim: Victim) -> None:
    """7-g: what was heard does nothing when it is sent again, on any link and in any order."""
    scene, eve = victim.scene, victim.eve
    wire = scene.host.call(capture_socket, "wl0")
    with closing(wire):
        for _ in range(2):
            scene.move()
            scene.setsc(SESSION_LASTING, on_net=True)
            eventually(lambda: scene.of_type(SESSION_LASTING) == [])
            scene.setsc(FIXED, on_net=True)
        before = victim.bindings()
        heard = messages_to_servers(wire)
    assert len(heard) > 6
    random.Random(1).shuffle(heard)
    for router in ROUTERS:
        for frame in heard:
            eve.send(router, frame)
        eve.settle(router)
    assert victim.is_as(before)


def messages_to_servers(wire: socket.socket) -> list[bytes]:
    """The frames with DHCPv6 messages to servers that a packet socket has seen."""
    return [frame for frame in drained(wire) if frame.startswith(TO_SERVERS)]


def test_a_wormhole_between_two_links_moves_nobody(victim: Victim) -> None:
    """7-g: a host is served where it is, although its messages reach two routers at once."""
    scene = victim.scene
    with victim.eve.wormhole() as carried:
        for _ in range(4):
            scene.move()
            assert victim.connection.works()
            address = scene.setsc(FIXED, on_net=True)
            assert scene.binding(address).serving == scene.here
    assert set(carried) == set(ROUTERS)
    victim.eve.settle(scene.elsewhere)
    assert {binding.serving for binding in victim.bindings()} == {scene.here}
    assert victim.connection.works()


def test_a_host_is_no_relay_agent(victim: Victim) -> None:
    """7-g: what a host passes on as if it were a relay agent is not looked at."""
    scene, eve = victim.scene, victim.eve
    tap = scene.tap()
    scene.setsc(FIXED, on_net=True)
    said = [message.encode() for message in tap.messages() if message.type is MessageType.SOLICIT]
    before = victim.bindings()
    for kind in ABOUT_A_PREFIX:
        said += forgeries(before[0], kind, eve.victim.address)
    for router in ROUTERS:
        link = scene.slaac_prefix(router)[1]
        for datagram in said:
            content = (InterfaceId(b"1"), RelayMessageOption(datagram))
            relayed = Relay(MessageType.RELAY_FORW, 0, link, eve.victim.address, content)
            eve.send_dhcp(router, eve.undisguised[router], relayed.encode())
        eve.settle(router)
    assert victim.is_as(before)


def test_a_host_does_not_reconfigure_on_demand_of_others(victim: Victim) -> None:
    """7-g: a Reconfigure message, which a host cannot check, makes it do nothing."""
    scene, eve = victim.scene, victim.eve
    before = victim.bindings()
    tap = scene.tap()
    options = (
        ClientId(before[0].client),
        ServerId(SERVER),
        ReconfigureMessage(MessageType.REBIND),
    )
    message = Message(MessageType.RECONFIGURE, 0, options).encode()
    here = eve.undisguised[scene.here]
    packet = IPv6(src=str(here.address), dst=str(eve.victim.address))
    udp = UDP(sport=SERVER_PORT, dport=CLIENT_PORT)
    eve.send_to(scene.here, here.mac, eve.victim.mac, packet / udp / message)
    scene.setsc(FIXED, on_net=True)
    assert MessageType.REBIND not in {each.type for each in told_to_servers(tap)}
    assert set(before) <= set(victim.bindings())


def told_to_servers(tap: Tap) -> list[Message]:
    """What the host has said to servers, at least one message."""
    return eventually(lambda: [each for each in tap.messages() if each.type in ABOUT_A_PREFIX])


# ---- packets -------------------------------------------------------------------------------------


class Listener:
    """A correspondent that hears what is sent to a port."""

    def __init__(self, scene: Scene, stack: ExitStack) -> None:
        self.address = scene.destination
        self._socket = stack.enter_context(scene.peer.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self._socket.bind(("::", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def packet(self, source: IPv6Address) -> IPv6:
        """A packet to it."""
        packet = IPv6(src=str(source), dst=str(self.address))
        return packet / UDP(sport=9, dport=self.port) / b"ahoy"

    def heard(self) -> set[IPv6Address]:
        """Whose packets have arrived since the last call."""
        found: set[IPv6Address] = set()
        while True:
            try:
                _, (source, *_) = self._socket.recvfrom(100)
            except BlockingIOError:
                return found
            found.add(IPv6Address(source))


@pytest.fixture
def listener(victim: Victim) -> Iterator[Listener]:
    with ExitStack() as stack:
        yield Listener(victim.scene, stack)


def dropped(scene: Scene, router: str) -> dict[str, int]:
    """What a router's filter has dropped, by reason."""

    def inside() -> dict[str, int]:
        with closing(SidFilter()) as found:
            return {str(why): count for why, count in found.dropped().items() if count}

    return scene.lab.node(router).call(inside)


@pytest.mark.parametrize("router", ROUTERS)
def test_a_host_sends_only_from_what_is_its_own(
    victim: Victim, listener: Listener, router: str
) -> None:
    """7-g: a packet with another host's source, or nobody's, does not leave its link."""
    scene, eve = victim.scene, victim.eve
    own = eve.settle(router)[7]
    ordinary = scene.slaac_prefix(router)[0xE7E]
    eve.settle(router)
    mac = eve.undisguised[router].mac
    wrong = [
        victim.connection.source,
        scene.pool(router)[0x1234567],
        scene.slaac_prefix("ar2" if router == "ar1" else "ar1")[7],
        scene.destination,
        scene.topology.routers["ar2"].core.address,
    ]
    before = dropped(scene, router).get(DropReason.FORGED_SOURCE, 0)
    for source in wrong:
        eve.send_packet(router, mac, listener.packet(source))
    eventually(lambda: dropped(scene, router) == {DropReason.FORGED_SOURCE: before + len(wrong)})
    for source in (own, ordinary):
        eve.send_packet(router, mac, listener.packet(source))
    right: list[IPv6Address] = []

    def both_arrived() -> bool:
        right.extend(listener.heard())
        return {own, ordinary} <= set(right)

    eventually(both_arrived)
    assert set(right) == {own, ordinary}
    assert victim.connection.works()


def test_who_has_left_leaves_no_address_behind(victim: Victim, listener: Listener) -> None:
    """7-g: where a host was before, its link-layer address gives no right to its prefix."""
    scene, eve = victim.scene, victim.eve
    source, former = victim.connection.source, scene.here
    scene.move()

    def is_dropped() -> bool:
        """Whether what was under way when it moved is over."""
        listener.heard()
        before = dropped(scene, former)
        eve.send_packet(former, eve.victim.mac, listener.packet(source))
        eventually(lambda: dropped(scene, former) != before or listener.heard())
        return dropped(scene, former) != before

    eventually(is_dropped)
    assert listener.heard() == set()
    assert victim.connection.works()


def test_who_gives_a_prefix_back_no_longer_sends_from_it(
    victim: Victim, listener: Listener
) -> None:
    """7-g: a prefix is good for packets from when it is given until it is given back."""
    scene, eve = victim.scene, victim.eve
    address = scene.setsc(SESSION_LASTING, on_net=True)
    eventually(lambda: not scene.binding(address).held)
    eve.send_packet(scene.here, eve.victim.mac, listener.packet(address))
    eventually(lambda: dropped(scene, scene.here).get(DropReason.FORGED_SOURCE, 0))
    assert listener.heard() == set()


@pytest.mark.parametrize("router", ROUTERS)
def test_nobody_gets_into_a_path_by_a_sid(victim: Victim, listener: Listener, router: str) -> None:
    """7-g: a host's packets to the routers' segments are dropped, whoever seems to send them."""
    scene, eve = victim.scene, victim.eve
    scene.move()
    eve.settle(router)
    before = dropped(scene, router)
    inner = listener.packet(victim.connection.source)
    for anchor in scene.topology.routers.values():
        for sid in (anchor.up_sid, anchor.down_sid):
            for outer in (scene.slaac_prefix(router)[0xE7E], anchor.core.address):
                packet = IPv6(src=str(outer), dst=str(sid), nh=socket.IPPROTO_IPV6) / inner
                eve.send_packet(router, eve.undisguised[router].mac, packet)
    wanted = {DropReason.FROM_ACCESS_LINK: 4, DropReason.FORGED_SOURCE: 4}

    def all_dropped() -> bool:
        after = dropped(scene, router)
        return all(after.get(why, 0) - before.get(why, 0) == n for why, n in wanted.items())

    eventually(all_dropped)
    assert listener.heard() == set()
    assert victim.connection.works()


# ---- what others see -----------------------------------------------------------------------------


def test_behind_the_router_nobody_learns_who_has_what(victim: Victim) -> None:
    """7-g: neither keys nor names nor types of prefixes leave the access link."""
    scene = victim.scene
    core = scene.lab.node("core")
    with ExitStack() as stack:
        wires = [
            stack.enter_context(closing(core.call(capture_socket, name)))
            for name in ("ar1", "ar2", "cn")
        ]
        scene.setsc(FIXED, on_net=True)
        scene.move()
        assert victim.connection.works()
        frames = [frame for wire in wires for frame in drained(wire)]
    [binding, *_] = victim.bindings()
    assert binding.key is not None
    assert frames
    for secret in (binding.client, binding.key):
        assert not any(secret in frame for frame in frames)


def test_a_neighbour_does_not_hear_what_a_host_is_given(victim: Victim) -> None:
    """7-g: an answer goes to its host alone: on a switched link others see requests at most."""
    scene, eve = victim.scene, victim.eve
    eve.heard(scene.here)
    address = scene.setsc(FIXED, on_net=True)
    prefix = scene.binding(address).prefix.network_address.packed[:8]
    frames = eve.heard(scene.here)
    assert any(frame.startswith(TO_SERVERS) for frame in frames)
    assert not any(prefix in frame for frame in frames)


def drained(wire: socket.socket) -> list[bytes]:
    """The frames that a packet socket has seen."""
    found: list[bytes] = []
    while True:
        try:
            found.append(wire.recv(1 << 16))
        except BlockingIOError:
            return found
