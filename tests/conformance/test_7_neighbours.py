"""Draft section 7: who claims a host's link-local address gets none of its packets.

Neighbour discovery is not signed, so Eve, on the links of both routers, can say of any address that
it is hers, in every way that a router listens to.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether

from moorage.identity import NO_LINK, Identity
from moorage.kernel.nftables import DropReason
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType, RapidCommit
from moorage.wire.nd import OnDemandLink, RouterAdvertisement
from tests.conformance.conftest import Stage
from tests.conformance.eavesdropper import Disguise
from tests.conformance.scene import Connection, eventually
from tests.conformance.victim import ROUTERS, Victim, attacked
from tests.domain import ANY, Client, ia
from tests.lab.plain_host import dropped, interface

pytestmark = pytest.mark.netns

ALL_ROUTERS_MAC = bytes.fromhex("333300000002")
_DESTINATION = slice(38, 54)
"""Where the destination stands in a frame with an IPv6 packet."""


@pytest.fixture
def victim(stage: Stage) -> Iterator[Victim]:
    with attacked(stage) as made:
        yield made


def claims(address: IPv6Address, mac: bytes, router: IPv6Address) -> Iterator[bytes]:
    """Frames by which a router may come to believe that an address has a link-layer address."""
    source = ICMPv6NDOptSrcLLAddr(lladdr=mac.hex(":"))
    target = ICMPv6NDOptDstLLAddr(lladdr=mac.hex(":"))
    to_router, to_all, to_routers = str(router), "ff02::1", "ff02::2"
    said = [
        (destination, ICMPv6ND_NA(tgt=str(address), R=0, S=solicited, O=override) / target)
        for destination, solicited, override in (
            *itertools.product([to_router], (0, 1), (0, 1)),
            (to_all, 0, 1),
        )
    ]
    said += [
        (to_router, ICMPv6ND_NS(tgt=to_router) / source),
        (to_routers, ICMPv6ND_RS() / source),
        (to_all, ICMPv6ND_RA(routerlifetime=0) / source),
    ]
    for destination, message in said:
        packet = IPv6(src=str(address), dst=destination, hlim=255) / message
        yield bytes(Ether(src=mac.hex(":"), dst="33:33:00:00:00:01") / packet)


def router_on(victim: Victim, router: str) -> IPv6Address:
    """The link-local address of a router on its access link."""
    return victim.scene.lab.node(router).call(interface, "acc0")[1]


@contextmanager
def claimed(victim: Victim) -> Iterator[None]:
    """Eve claims the host's link-local address on both links, again and again."""
    eve = victim.eve
    frames = {
        router: [
            *claims(eve.victim.address, eve.undisguised[router].mac, router_on(victim, router))
        ]
        for router in ROUTERS
    }
    over = threading.Event()
    once = threading.Event()

    def go_on() -> None:
        while not over.wait(0.002):
            for router in ROUTERS:
                for frame in frames[router]:
                    eve.send(router, frame)
            once.set()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        assert once.wait(10)
        yield
    finally:
        over.set()
        thread.join()


def caught(victim: Victim, *connections: Connection) -> list[bytes]:
    """The packets of the host's connections that were sent to Eve."""
    found: list[bytes] = []
    theirs = {connection.source.packed for connection in connections}
    for router in ROUTERS:
        mine = victim.eve.undisguised[router].mac
        found += [
            frame
            for frame in victim.eve.heard(router)
            if frame.startswith(mine) and frame[_DESTINATION] in theirs
        ]
    return found


@pytest.mark.parametrize("goes_on", [False, True], ids=["for a moment", "all the time"])
def test_who_claims_a_hosts_address_gets_none_of_its_packets(victim: Victim, goes_on: bool) -> None:
    """7-g: packets go to the host that signed for them, whoever says that its address is his."""
    scene = victim.scene
    with ExitStack() as stack:
        if goes_on:
            stack.enter_context(claimed(victim))
        else:
            with claimed(victim):
                pass
        for _ in range(3):
            assert victim.connection.works()
            scene.move()
        assert victim.connection.works()
        another = stack.enter_context(scene.connect(ServiceType.SESSION_LASTING, on_net=True))
        assert another.works()
        assert caught(victim, victim.connection, another) == []


def test_who_claims_a_hosts_address_does_not_send_as_the_host(victim: Victim) -> None:
    """7-g: what a host has signed is where packets with its sources are taken from."""
    scene, eve = victim.scene, victim.eve
    router = scene.lab.node(scene.here)
    packet = (
        IPv6(src=str(victim.connection.source), dst=str(scene.destination)) / ICMPv6EchoRequest()
    )
    with claimed(victim):
        before = dropped(router).get(DropReason.FORGED_SOURCE, 0)
        eve.send_packet(scene.here, eve.undisguised[scene.here].mac, packet)
        eventually(lambda: dropped(router).get(DropReason.FORGED_SOURCE, 0) > before)
        assert victim.connection.works()


def test_who_signs_for_himself_from_a_hosts_address_has_his_own_packets_only(
    victim: Victim,
) -> None:
    """7-g: of two that use one link-local address, each with a key, both get what is their own."""
    scene, eve = victim.scene, victim.eve
    thief = Client(time.time, Identity.generate(), source=eve.victim.address)  # type: ignore[arg-type]
    assert thief.identity is not None
    solicit = thief.message(
        MessageType.SOLICIT, [ia(1, ANY)], {1: ServiceType.FIXED}, options=[RapidCommit()]
    )
    for router in ROUTERS:
        mac = eve.undisguised[router].mac
        now = time.time_ns() // 1000
        datagram = thief.identity.sign(solicit, thief.source, now, NO_LINK, mac)
        eve.send_dhcp(router, Disguise(mac, thief.source), datagram)
        eve.settle(router)
    theirs = [binding for binding in scene.bindings() if binding.client == thief.duid]
    assert [binding.next_hop for binding in theirs] == [eve.victim.address]
    for _ in range(3):
        assert victim.connection.works()
        scene.lab.move("mn", scene.elsewhere)
        eventually(lambda: {each.serving for each in victim.bindings()} == {scene.here})
    assert victim.connection.works()
    assert caught(victim, victim.connection) == []


def test_who_calls_the_link_by_another_name_does_not_make_a_host_move_again_and_again(
    victim: Victim,
) -> None:
    """7-g: of two routers that both are there, and call one link by different ids, one is right."""
    scene, eve = victim.scene, victim.eve
    another = OnDemandLink(frozenset(ServiceType), b"moorage-", b"evelink!")
    false = RouterAdvertisement(64, False, False, 1800, 0, 0, (another,))
    solicit = IPv6(src=str(eve.victim.address), dst="ff02::2", hlim=255) / ICMPv6ND_RS()
    tap = scene.tap()
    for _ in range(20):
        eve.advertise(scene.here, false)
        # The router answers the host: what it says contradicts what Eve has said.
        eve.send_to(scene.here, eve.undisguised[scene.here].mac, ALL_ROUTERS_MAC, solicit)
        assert victim.connection.works()
    eventually(lambda: {each.serving for each in victim.bindings()} == {scene.here})
    moves = {each.transaction_id for each in tap.messages(MessageType.REBIND)}
    # Signed for what Eve says, and, as the router refuses that, for what the router says.
    assert 1 <= len(moves) <= 3
    assert victim.connection.works()


def test_a_host_that_changes_its_link_layer_address_says_so(victim: Victim) -> None:
    """7-g: a host is sent to by the link-layer address that it has signed last."""
    scene = victim.scene
    mac = bytes.fromhex("02000000beef")
    scene.host.run(["ip", "link", "set", "wl0", "address", mac.hex(":")])
    eventually(lambda: [binding.mac for binding in victim.bindings()] == [mac])
    assert victim.connection.works()
    scene.move()
    assert victim.connection.works()
