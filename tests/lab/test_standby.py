"""A router dies, and another one takes its pool over: connections go on, and nothing loops."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6

from moorage.kernel.links import NetlinkLinkTable
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.routes import Route
from moorage.lab import topology
from moorage.lab.pcap import capture_socket
from moorage.lab.static import PROTOCOL
from moorage.lab.topology import CORE
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import PATIENCE, Scene, eventually, open_scene
from tests.lab.flows import Flow, routes
from tests.lab.inside import metrics, moorage, moorage_json

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

LASTING = ServiceType.SESSION_LASTING
LEASE, AFTER = 1.0, 0.1
ETH_P_IPV6: Final = 0x86DD
PORT: Final = 7
HERE = ("--config", "/run/moorage/router.toml")
STANDBY = "ar2"
"""Stands by for ar1, the first router of the host; ar3 is another one."""


class Standing(Scene):
    """Three routers, the second of which stands by for the first one."""

    def holder(self, router: str = "ar1") -> str:
        """Who holds a router's pool, as the other routers see it."""
        status = moorage_json(self.lab.node("ar3"), "router", "status")
        [anchor] = [each for each in status["anchors"] if each["id"] == router]
        return str(anchor["holder"])

    def at_core(self, destination: IPv6Network) -> IPv6Address | None:
        """Where the core sends packets for a prefix."""
        found = self.lab.node(CORE).call(_static_routes)
        [gateway] = [route.gateway for route in found if route.destination == destination]
        return gateway

    def is_routed_to(self, router: str) -> bool:
        """Whether the network sends packets for the first router's pool to a router."""
        return self.at_core(self.pool("ar1")) == self.topology.routers[router].core.address

    def move_to(self, router: str) -> None:
        """Move the host, and return when it is served."""
        self.lab.move("mn", router)
        eventually(self.settled)

    def kill(self, router: str) -> None:
        """Let a router's daemon, and its machine, fall dead."""
        assert self.lab.daemon(router).kill() == -signal.SIGKILL
        for link in ("core0", "acc0"):
            self.lab.node(router).run(["ip", "link", "set", link, "down"])

    def taken_over(self) -> bool:
        """Whether the standby acts for the pool, and the network knows it."""
        return self.holder() == STANDBY and self.is_routed_to(STANDBY)

    def given_back(self) -> bool:
        """Whether the first router acts for its pool, and the network knows it."""
        return self.holder() == "ar1" and self.is_routed_to("ar1")


def _static_routes() -> set[Route]:
    with closing(NetlinkRouteTable(PROTOCOL)) as table:
        return table.routes(PROTOCOL)


def standing(lease: float, hand_back: float) -> topology.Topology:
    """Three routers, the second of which stands by for the first one."""
    plain = topology.load("three-routers")
    routers = {}
    for name, router in plain.routers.items():
        settings: dict[str, Any] = {"lease": lease}
        if name == STANDBY:
            settings["standby"] = {"for": ["ar1"], "after": AFTER, "hand_back": hand_back}
        routers[name] = msgspec.structs.replace(router, settings=settings)
    return msgspec.structs.replace(plain, routers=routers)


@pytest.fixture(params=[(LEASE, 3600.0)], ids=str)
def scene(mark: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Standing]:
    host = {"linger": LINGER, "at_boot": []}
    with open_scene(tmp_path, plain=standing(*request.param), host=host) as plain:
        scene = Standing(plain.lab, tmp_path / "bindings.db")
        eventually(scene.settled)
        yield scene


@pytest.fixture
def flow(scene: Standing) -> Iterator[Flow]:
    """Traffic from an address of the first router's pool, whose host has moved to the third."""
    with Flow(scene.connect(LASTING)) as flow:
        scene.move_to("ar3")
        assert flow.goes_on()
        yield flow


# ---- a router dies -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["ar2", "ar3"])
def test_a_connection_outlives_its_anchor(scene: Standing, place: str) -> None:
    with Flow(scene.connect(LASTING)) as flow:
        source = flow.connection.source
        scene.move_to(place)
        assert flow.goes_on()
        scene.kill("ar1")
        eventually(scene.taken_over)
        assert flow.goes_on()
        # Rebind and Release of what is from the pool of a router that is gone.
        scene.move_to({"ar2": "ar3", "ar3": "ar2"}[place])
        assert flow.goes_on()
        assert scene.binding(source).anchor == "ar1"
    eventually(lambda: not scene.binding(source).held)


def test_a_host_of_the_dead_router_keeps_what_others_anchor(scene: Standing) -> None:
    scene.move_to("ar3")
    with Flow(scene.connect(LASTING)) as flow:
        scene.move_to("ar1")
        assert flow.goes_on()
        scene.kill("ar1")
        scene.lab.move("mn", "ar2")
        assert flow.goes_on()
        assert flow.connection.source in scene.pool("ar3")
        # And what the dead router anchored, too, with new ones from where it is now.
        eventually(scene.taken_over)
        assert scene.setsc(LASTING, on_net=True) in scene.pool("ar2")


def test_a_host_of_the_dead_router_keeps_what_it_anchored(scene: Standing) -> None:
    with Flow(scene.connect(LASTING)) as flow:
        scene.kill("ar1")
        scene.lab.move("mn", "ar3")
        assert flow.goes_on()
        assert flow.connection.source in scene.pool("ar1")
        assert scene.taken_over()


def test_the_standby_ends_what_is_over(scene: Standing, flow: Flow) -> None:
    """Nobody else would: the prefixes of a router that is gone for good come to their end."""
    scene.kill("ar1")
    eventually(scene.taken_over)
    place = moorage_json(scene.lab.node(STANDBY), "router", "status")["bindings"]
    assert place["session-lasting"]["away"] == 1
    prefix = scene.binding(flow.connection.source).prefix
    expire(scene, prefix)
    eventually(lambda: not scene.bindings())


def expire(scene: Standing, prefix: IPv6Network) -> None:
    """Let the lifetime of a binding be over."""
    exported = moorage(scene.lab.node(STANDBY), "bindings", *HERE, "export").splitlines()
    [line] = [line for line in exported if str(prefix) in line]
    record = msgspec.json.decode(line)
    record["valid_until"] = 0.0
    (scene.lab.node(STANDBY).folder / "over.jsonl").write_bytes(msgspec.json.encode(record))
    file = "/run/moorage/over.jsonl"
    moorage(scene.lab.node(STANDBY), "bindings", *HERE, "import", "--overwrite", file)


# ---- its daemon dies -----------------------------------------------------------------------------


def test_a_daemon_that_comes_back_finds_its_pool_taken_and_clears_up(
    scene: Standing, flow: Flow
) -> None:
    home = scene.lab.node("ar1")
    anchoring = routes(home)
    assert scene.lab.daemon("ar1").kill() == -signal.SIGKILL
    assert flow.goes_on()
    eventually(scene.taken_over)
    assert routes(home) == anchoring  # which does no harm: nothing comes by there any longer
    assert flow.goes_on()
    scene.lab.daemon("ar1").start()
    assert not anchors_anything(scene, "ar1")
    assert flow.goes_on()
    assert scene.holder() == STANDBY
    # An operator gives it back.
    said = moorage(home, "store", "hand-over", *HERE, "ar1")
    assert said == f"{scene.pool('ar1')} of ar1 is held by ar1\n"
    eventually(scene.given_back)
    assert flow.goes_on()
    eventually(lambda: not anchors_anything(scene, STANDBY))
    assert flow.goes_on()


def anchors_anything(scene: Standing, router: str) -> bool:
    """Whether a router has a route for a part of the first router's pool that it does not serve."""
    pool = scene.pool("ar1")
    return any(
        route.destination.prefixlen and route.destination.overlaps(pool)
        for route in routes(scene.lab.node(router))
    )


@pytest.mark.parametrize("scene", [(LEASE, 1.0)], indirect=True, ids=str)
def test_a_router_that_is_back_has_its_pool_back_after_a_while(scene: Standing, flow: Flow) -> None:
    assert scene.lab.daemon("ar1").kill() == -signal.SIGKILL
    eventually(scene.taken_over)
    assert flow.goes_on()
    scene.lab.daemon("ar1").start()
    eventually(scene.given_back)
    assert flow.goes_on()
    eventually(lambda: not anchors_anything(scene, STANDBY))
    assert flow.goes_on()
    scene.move_to("ar1")
    assert flow.goes_on()
    assert scene.setsc(LASTING, on_net=True) in scene.pool("ar1")


@pytest.mark.parametrize("scene", [(300.0, 1.0)], indirect=True, ids=str)
def test_a_short_restart_changes_nothing(scene: Standing, flow: Flow) -> None:
    daemon = scene.lab.daemon("ar1")
    for end in (daemon.stop, daemon.kill):
        end()
        daemon.start()
        assert flow.goes_on()
    status = moorage_json(scene.lab.node(STANDBY), "router", "status")
    assert {each["epoch"] for each in status["anchors"]} == {1}


# ---- it is cut off and comes back ----------------------------------------------------------------


class Probe:
    """Single packets to the host's typed address that come into one router from the core."""

    def __init__(self, scene: Standing, target: IPv6Address, router: str) -> None:
        core = scene.lab.node(CORE)
        self._source, self._target = scene.destination, target
        self._to = (router, ETH_P_IPV6, 0, 0, scene.lab.node(router).call(_mac_at_core))
        self._sender = core.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._receiver = scene.host.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._receiver.bind((str(target), PORT))
        self._receiver.settimeout(PATIENCE)
        self._frames = core.call(capture_socket, router)
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._sender, self._receiver, self._frames):
            each.close()

    def send(self) -> bytes:
        """Send one, and return what is in it."""
        self._number += 1
        text = f"astray {self._number}".encode()
        header = IPv6(src=str(self._source), dst=str(self._target))
        self._sender.sendto(bytes(header / UDP(sport=PORT, dport=PORT) / text), self._to)
        return text

    def receive(self) -> bytes:
        """Return what arrives at the host next."""
        return self._receiver.recv(100)

    def passes(self, text: bytes) -> int:
        """How often one was on the link between core and router until now."""
        count = 0
        while True:
            try:
                count += text in self._frames.recv(2000)
            except BlockingIOError:
                return count


def _mac_at_core() -> bytes:
    with closing(NetlinkLinkTable()) as table:
        [mac] = [link.mac for link in table.links() if link.name == "core0"]
        return mac


CUT = """
table inet cut {
    chain arriving { type filter hook prerouting priority -500; policy drop; }
    chain leaving { type filter hook postrouting priority 500; policy drop; }
}
"""


def test_who_was_cut_off_and_is_back_makes_no_loop_and_is_no_second_holder(
    scene: Standing, flow: Flow
) -> None:
    home = scene.lab.node("ar1")
    anchoring = routes(home)
    daemon = str(scene.lab.status().nodes["ar1"].daemon)
    (home.folder / "cut").write_text(CUT)
    home.run(["nft", "-f", "/run/moorage/cut"])
    home.run(["kill", "-STOP", daemon])
    eventually(scene.taken_over)
    assert flow.goes_on()
    with Probe(scene, flow.connection.source, "ar1") as probe:
        # Back, but its daemon has heard of nothing: what still comes to it arrives, once.
        home.run(["nft", "delete", "table", "inet", "cut"])
        assert routes(home) == anchoring
        assert flow.goes_on()
        text = probe.send()
        assert probe.receive() == text
        assert probe.passes(text) == 2  # there, and on to the serving router
        # It hears of it: it is no anchor any longer, and sends nothing back.
        home.run(["kill", "-CONT", daemon])
        eventually(lambda: not anchors_anything(scene, "ar1"))
        text = probe.send()
        returned = 'moorage_router_filtered_packets_total{reason="returned"}'
        eventually(lambda: metrics(home, "router")[returned] == 1)
        assert probe.passes(text) == 1
        assert flow.goes_on()
    assert scene.holder() == STANDBY
    assert moorage_json(home, "router", "status")["present"]
