"""FRR's bgpd as the network's routing protocol: the core's routes follow whoever holds a pool."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address
from pathlib import Path

import msgspec
import pytest

from moorage.lab import topology
from moorage.lab.topology import CORE, Topology
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import Scene, eventually, open_scene
from tests.interop.frr import ANNOUNCE, NUMBERS, VTYSH, bgp
from tests.lab.flows import Flow

pytestmark = [pytest.mark.netns, pytest.mark.interop]


def announcing() -> Topology:
    """Routers that announce their pools by BGP, the second one the standby of the first."""
    plain = topology.load("three-routers")
    routers = {}
    for name, router in plain.routers.items():
        command = ["/usr/bin/env", f"VTYSH={VTYSH}", str(ANNOUNCE), str(NUMBERS[name])]
        settings = {"lease": 1.0, "announce": {"command": command, "retry": 0.2}}
        if name == "ar2":
            settings["standby"] = {"for": ["ar1"], "after": 0.1, "hand_back": 1.0}
        routers[name] = msgspec.structs.replace(router, settings=settings)
    return msgspec.structs.replace(plain, routers=routers)


class Announced(Scene):
    """A network whose core knows the pools by BGP alone."""

    def way(self, address: IPv6Address) -> str:
        """The router that the core sends packets for an address to; empty: none."""
        core = self.lab.node(CORE)
        route = core.run(["ip", "-6", "route", "get", str(address)], check=False).stdout.split()
        return route[route.index("dev") + 1] if "via" in route else ""


@pytest.fixture
def scene(mark: str, tmp_path: Path) -> Iterator[Announced]:
    host = {"at_boot": [], "linger": LINGER}
    with (
        open_scene(tmp_path, plain=announcing(), host=host, daemons=False) as plain,
        ExitStack() as stack,
    ):
        scene = Announced(plain.lab, tmp_path / "bindings.db")
        routers = scene.topology.routers
        core = scene.lab.node(CORE)
        for name, router in routers.items():
            core.run(["ip", "-6", "route", "del", str(router.pool)])
            stack.enter_context(bgp(scene.lab, name, {CORE: router.core.core_address}))
        neighbours = {name: router.core.address for name, router in routers.items()}
        stack.enter_context(bgp(scene.lab, CORE, neighbours))
        scene.lab.start_daemons()
        eventually(scene.settled)
        yield scene


def test_the_network_follows_who_holds_the_pool(scene: Announced) -> None:
    pool = scene.pool("ar1")
    eventually(lambda: scene.way(pool[1]) == "ar1")
    with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
        source = flow.connection.source
        assert source in pool
        scene.lab.move("mn", "ar3")
        eventually(scene.settled)
        assert flow.goes_on()
        # The daemon is dead, and the link of its machine.
        assert scene.lab.daemon("ar1").kill() == -signal.SIGKILL
        scene.lab.node("ar1").run(["ip", "link", "set", "core0", "down"])
        eventually(lambda: scene.way(source) == "ar2")
        assert flow.goes_on()


def test_a_pool_that_is_given_back_is_withdrawn(scene: Announced) -> None:
    pool = scene.pool("ar1")
    eventually(lambda: scene.way(pool[1]) == "ar1")
    with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
        scene.lab.move("mn", "ar3")
        eventually(scene.settled)
        assert scene.lab.daemon("ar1").kill() == -signal.SIGKILL
        eventually(lambda: paths(scene, str(pool)) == {"ar1", "ar2"})
        assert flow.goes_on()
        scene.lab.daemon("ar1").start()
        eventually(lambda: paths(scene, str(pool)) == {"ar1"})
        assert flow.goes_on()


def paths(scene: Announced, pool: str) -> set[str]:
    """The routers that announce a pool to the core."""
    command = [*VTYSH.split(), "-c", f"show bgp ipv6 unicast {pool} json"]
    answer = msgspec.json.decode(scene.lab.node(CORE).run(command).stdout)
    found = {path["aspath"]["string"] for path in answer.get("paths", [])}
    return {name for name, number in NUMBERS.items() if str(number) in found}
