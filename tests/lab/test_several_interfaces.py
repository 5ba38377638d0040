"""A host with two interfaces: each prefix is served by one, and Rebinds do not compete."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import moorage
from moorage.kernel.routes import RouteKind
from moorage.lab.pcap import capture_socket
from moorage.numbers import HOST_TABLE
from moorage.service import ServiceType
from moorage.wire.dhcp6 import CLIENT_PORT, SERVER_PORT, Message, MessageType, decode_message
from tests.conformance.conftest import LINGER
from tests.conformance.scene import Scene, eventually, open_scene
from tests.lab.flows import Flow, routes

pytestmark = pytest.mark.netns

FOREVER = 3600.0
TIMESTAMP = struct.Struct("=qq")
STATISTICS = struct.Struct("=II")
SOL_PACKET, PACKET_STATISTICS = 263, 6  # of <linux/if_packet.h>
ETHERNET, IPV6, UDP = 14, 40, 8


@dataclass(frozen=True, order=True)
class Seen:
    """A DHCPv6 message that an interface sent or received, at a moment of the kernel's clock."""

    moment: tuple[int, int]
    interface: str
    type: MessageType
    transaction: int


class Taps:
    """The DHCPv6 messages of both interfaces, in order of time."""

    def __init__(self, scene: Scene) -> None:
        self._sockets = {name: scene.host.call(capture_socket, name) for name in ("wl0", "wl1")}
        self._seen: list[Seen] = []

    def seen(self) -> list[Seen]:
        """All since the taps were made."""
        for name, frames in self._sockets.items():
            with suppress(BlockingIOError):
                while True:
                    frame, [(_, _, stamp)], *_ = frames.recvmsg(1 << 16, 64)
                    message = parsed(frame)
                    if message is not None:
                        moment = TIMESTAMP.unpack(stamp)
                        self._seen.append(Seen(moment, name, message.type, message.transaction_id))
        return sorted(self._seen)

    def rebinds(self) -> dict[int, str]:
        """The interface of every transaction that a Rebind began, in order of time."""
        return {
            seen.transaction: seen.interface
            for seen in self.seen()
            if seen.type is MessageType.REBIND
        }

    def compete(self) -> bool:
        """Whether a transaction's Rebinds went on after those of a later one had begun."""
        begun: set[int] = set()
        latest = 0
        for seen in self.seen():
            if seen.type is not MessageType.REBIND:
                continue
            if seen.transaction in begun and seen.transaction != latest:
                return True
            begun.add(seen.transaction)
            latest = seen.transaction
        return False


def parsed(frame: bytes) -> Message | None:
    if frame[12:14] != b"\x86\xdd" or frame[ETHERNET + 6] != socket.IPPROTO_UDP:
        return None
    _, port = struct.unpack_from("!HH", frame, ETHERNET + IPV6)
    if port not in (CLIENT_PORT, SERVER_PORT):
        return None
    message = decode_message(frame[ETHERNET + IPV6 + UDP :])
    assert isinstance(message, Message)
    return message


@dataclass(frozen=True)
class Moving:
    """A host at the first router by ``wl0``, with traffic on a Session-lasting address."""

    scene: Scene
    flow: Flow
    taps: Taps

    def attach(self, interface: str, router: str) -> None:
        self.scene.lab.attach("mn", interface, router)

    def detach(self, interface: str) -> None:
        self.scene.lab.detach("mn", interface)

    def serves(self, interface: str, router: str) -> bool:
        """Whether this interface and router serve the address, and no others do."""
        [binding] = self.scene.bindings()
        indexes = self.scene.host.call(lambda: {name: i for i, name in socket.if_nameindex()})
        leaving = {
            route.interface
            for route in routes(self.scene.host)
            if (route.table, route.source, route.kind)
            == (HOST_TABLE, binding.prefix, RouteKind.UNICAST)
        }
        arriving = {
            name
            for name in self.scene.topology.routers
            for route in routes(self.scene.lab.node(name))
            if route.destination == binding.prefix and route.gateway is not None
        }
        return (binding.serving, leaving, arriving) == (router, {indexes[interface]}, {router})

    def heard_at(self, router: str) -> bool:
        """Whether the host has an ordinary address of a router's link."""
        prefix = self.scene.slaac_prefix(router)
        return any(address in prefix for address in self.scene.ordinary())


@pytest.fixture
def dwell(request: pytest.FixtureRequest) -> float:
    return getattr(request, "param", 0.0)


@pytest.fixture
def serving(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    return getattr(request, "param", {})


@pytest.fixture
def moving(
    mark: str, tmp_path: Path, dwell: float, serving: dict[str, list[str]]
) -> Iterator[Moving]:
    settings = {"linger": LINGER, "at_boot": [], "dwell": dwell, "serving": serving}
    with open_scene(tmp_path, host=settings) as scene:
        eventually(scene.settled)
        with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
            found = Moving(scene, flow, Taps(scene))
            eventually(lambda: found.serves("wl0", "ar1"))
            yield found
            assert flow.goes_on()
            assert not found.taps.compete()


def test_the_newest_link_serves(moving: Moving) -> None:
    moving.attach("wl1", "ar2")
    eventually(lambda: moving.serves("wl1", "ar2"))
    assert moving.flow.goes_on()
    moving.detach("wl0")
    assert moving.flow.goes_on()
    assert moving.serves("wl1", "ar2")
    assert list(moving.taps.rebinds().values()) == ["wl1"]


def test_a_soft_move_and_back(moving: Moving) -> None:
    for interface, router in (("wl1", "ar2"), ("wl0", "ar1"), ("wl1", "ar2")):
        assert moving.scene.lab.move("mn", router, soft=True, overlap=0.1).interface == interface
        eventually(partial(moving.serves, interface, router))
        assert moving.flow.goes_on()
    assert list(moving.taps.rebinds().values()) == ["wl1", "wl0", "wl1"]


@pytest.mark.parametrize("dwell", [FOREVER], indirect=True)
def test_a_newer_link_waits_until_the_present_one_has_served_a_while(moving: Moving) -> None:
    moving.attach("wl1", "ar2")
    eventually(lambda: moving.heard_at("ar2"))
    assert moving.flow.goes_on()
    assert moving.serves("wl0", "ar1")
    assert moving.taps.rebinds() == {}


@pytest.mark.parametrize("dwell", [FOREVER], indirect=True)
def test_a_link_that_is_gone_makes_nobody_wait(moving: Moving) -> None:
    moving.attach("wl1", "ar2")
    eventually(lambda: moving.heard_at("ar2"))
    moving.detach("wl0")
    eventually(lambda: moving.serves("wl1", "ar2"))
    assert moving.flow.goes_on()
    moving.attach("wl0", "ar1")
    eventually(lambda: moving.heard_at("ar1"))
    assert moving.serves("wl1", "ar2")
    assert list(moving.taps.rebinds().values()) == ["wl1"]
    moving.detach("wl1")
    eventually(lambda: moving.serves("wl0", "ar1"))
    assert list(moving.taps.rebinds().values()) == ["wl1", "wl0"]


@pytest.mark.parametrize("dwell", [1.0], indirect=True)
def test_a_newer_link_serves_when_its_time_has_come(moving: Moving) -> None:
    moving.attach("wl1", "ar2")
    moving.detach("wl0")
    eventually(lambda: moving.serves("wl1", "ar2"))
    moving.attach("wl0", "ar1")  # nothing happens on any link after this
    eventually(lambda: moving.serves("wl0", "ar1"))
    assert list(moving.taps.rebinds().values()) == ["wl1", "wl0"]


@pytest.mark.parametrize("dwell", [1.0], indirect=True)
def test_links_that_flap(moving: Moving) -> None:
    for _ in range(5):
        moving.attach("wl1", "ar2")
        moving.detach("wl1")
    moving.attach("wl1", "ar2")
    eventually(lambda: moving.serves("wl1", "ar2"))
    assert moving.flow.goes_on()


def test_a_link_that_does_not_answer_gives_way(moving: Moving) -> None:
    moving.scene.lab.daemon("ar2").kill()
    moving.attach("wl1", "ar2")
    eventually(lambda: list(moving.taps.rebinds().values()) == ["wl1", "wl0"])
    assert moving.flow.goes_on()
    eventually(lambda: moving.serves("wl0", "ar1"))
    moving.scene.lab.daemon("ar2").start()
    eventually(lambda: moving.serves("wl1", "ar2"))


@pytest.mark.parametrize("serving", [{"session-lasting": ["wl0", "wl1"]}], indirect=True)
def test_policy_prefers_an_interface_to_a_newer_link(moving: Moving) -> None:
    moving.attach("wl1", "ar2")
    eventually(lambda: moving.heard_at("ar2"))
    assert moving.scene.setsc(ServiceType.FIXED) in moving.scene.pool("ar2")
    assert moving.flow.goes_on()
    moving.detach("wl0")
    eventually(lambda: moving.scene.binding(moving.flow.connection.source).serving == "ar2")
    assert moving.flow.goes_on()
    moving.attach("wl0", "ar1")
    eventually(lambda: moving.scene.binding(moving.flow.connection.source).serving == "ar1")


@pytest.mark.parametrize("serving", [{"session-lasting": ["wl0"]}], indirect=True)
def test_policy_keeps_a_type_off_an_interface(moving: Moving) -> None:
    moving.attach("wl1", "ar2")
    eventually(lambda: moving.heard_at("ar2"))
    moving.detach("wl0")
    assert moving.scene.setsc(ServiceType.FIXED) in moving.scene.pool("ar2")
    with pytest.raises(moorage.RequiredIPFailed):
        moving.scene.setsc(ServiceType.SESSION_LASTING, on_net=True)
    moving.attach("wl0", "ar1")
    assert moving.flow.goes_on()
    assert moving.scene.binding(moving.flow.connection.source).serving == "ar1"
