"""The host daemon beside the programs that configure the interfaces of most hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from moorage.numbers import ROUTE_PROTOCOL
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import DELEGATED, Scene, eventually, open_scene
from tests.interop.clients import Client, dhcpcd, networkd
from tests.lab.flows import routes, rules

pytestmark = [pytest.mark.netns, pytest.mark.interop]

CLIENTS: Final = [dhcpcd, networkd]


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    return found


@pytest.fixture
def scene(mark: str, tmp_path: Path) -> Iterator[Scene]:
    """A network with the service and a host on which nothing runs."""
    settings = {"linger": LINGER, "at_boot": [], "interfaces": ["wl0"]}
    with open_scene(tmp_path, host=settings, daemons=False) as scene:
        scene.lab.attach("mn", "wl1", "ar2")
        for router in scene.topology.routers:
            scene.lab.daemon(router).start()
        yield scene


def table(scene: Scene, *what: str) -> set[frozenset[tuple[str, str]]]:
    """What iproute2 lists of others, without what changes by itself.

    What the kernel itself routes to the host's own addresses goes with those.
    """
    listed = json.loads(scene.host.run(["ip", "-6", "-json", *what]).stdout)
    return {
        frozenset((key, str(value)) for key, value in entry.items() if key != "expires")
        for entry in listed
        if entry.get("protocol") != str(ROUTE_PROTOCOL)
        and (entry.get("protocol"), entry.get("dev")) != ("kernel", "lo")
    }


def of_others(scene: Scene) -> tuple[object, ...]:
    """Their addresses, routes and rules."""
    addresses = set(scene.addresses()) - scene.typed()
    return addresses, table(scene, "route", "show", "table", "all"), table(scene, "rule")


def delegated(scene: Scene) -> bool:
    """Whether the other client has addresses, and one from a prefix that it was delegated."""
    addresses = set(scene.addresses()) - scene.typed()
    downstream = {address for address in addresses if address in scene.pool("ar1")}
    return bool(downstream) and bool(addresses - downstream)


def of_ours(scene: Scene) -> tuple[object, ...]:
    """Our addresses, routes and rules."""
    return scene.typed(), routes(scene.host), rules(scene.host)


@pytest.mark.parametrize("first", ["client", "daemon"])
def test_both_have_their_answers(scene: Scene, client: Client, first: str) -> None:
    """Whoever started first, each gets a prefix on the same interface."""
    with ExitStack() as running:
        if first == "client":
            running.enter_context(client(scene.host))
            eventually(lambda: delegated(scene))
            scene.lab.daemon("mn").start()
        else:
            scene.lab.daemon("mn").start()
            scene.setsc(ServiceType.FIXED)
            running.enter_context(client(scene.host))
            eventually(lambda: delegated(scene))
        for service in DELEGATED:
            with scene.connect(service) as connection:
                assert connection.source in scene.pool("ar1")
                assert connection.works()
        assert len({binding.client for binding in scene.bindings()}) == 2


def test_nothing_of_theirs_changes(scene: Scene, client: Client) -> None:
    with client(scene.host):
        eventually(lambda: delegated(scene))
        before = of_others(scene)
        scene.lab.daemon("mn").start()
        for service in DELEGATED:
            with scene.connect(service) as connection:
                assert connection.works()
        assert of_others(scene) == before
        scene.lab.daemon("mn").stop()
        assert of_others(scene) == before


def test_what_they_remove_is_put_back(scene: Scene, client: Client) -> None:
    """They end, and start again, and somebody flushes what is left."""
    scene.lab.daemon("mn").start()
    with scene.connect(ServiceType.SESSION_LASTING) as connection:
        before = of_ours(scene)
        for _ in range(2):
            with client(scene.host):
                eventually(lambda: delegated(scene))
                eventually(lambda: of_ours(scene) == before)
                assert connection.works()
        for what in (
            ["route", "flush", "table", "all", "proto", str(ROUTE_PROTOCOL)],
            ["rule", "flush"],
        ):
            scene.host.run(["ip", "-6", *what])
            eventually(lambda: of_ours(scene) == before)
        [address] = scene.typed()
        scene.host.run(["ip", "addr", "del", f"{address}/128", "dev", "lo"])
        eventually(lambda: of_ours(scene) == before)
        assert connection.works()


def test_a_connection_survives_a_move_beside_them(scene: Scene, client: Client) -> None:
    with client(scene.host):
        eventually(lambda: delegated(scene))
        scene.lab.daemon("mn").start()
        with scene.connect(ServiceType.SESSION_LASTING) as connection:
            scene.lab.detach("mn", "wl0")
            scene.lab.attach("mn", "wl0", "ar2")
            eventually(lambda: scene.binding(connection.source).serving == "ar2")
            assert connection.works()
