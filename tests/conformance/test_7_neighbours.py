"""Draft section 7: who claims a host's link-local address gets none of its packets.

Neighbour discovery is not signed, so Eve, on the links of both routers, can say of any address that
it is hers. She does so all the time, in every way that a router listens to.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether

from tests.conformance.conftest import Stage
from tests.conformance.victim import ROUTERS, Victim, attacked
from tests.lab.plain_host import interface

pytestmark = pytest.mark.netns

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


def caught(victim: Victim) -> list[bytes]:
    """The host's packets that were sent to Eve."""
    found: list[bytes] = []
    for router in ROUTERS:
        mine = victim.eve.undisguised[router].mac
        found += [
            frame
            for frame in victim.eve.heard(router)
            if frame.startswith(mine) and frame[_DESTINATION] == victim.connection.source.packed
        ]
    return found


def test_main(victim: Victim) -> None:
    """7-g: who claims a host's address on its link gets none of its packets."""
    with claimed(victim):
        for _ in range(2):
            assert victim.connection.works()
            victim.scene.move()
        assert victim.connection.works()
    assert caught(victim) == []
