"""Daemons that are killed, and routes that others remove: whatever runs goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moorage import client
from moorage.kernel.routes import Route
from moorage.numbers import ROUTER_DOWN_TABLE
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import Scene, eventually, open_scene
from tests.lab.flows import Flow, flush, flush_addresses, routes, rules

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]


@pytest.fixture
def scene(mark: str, tmp_path: Path) -> Iterator[Scene]:
    """A host that has typed addresses for as long as sockets use them, and hardly longer."""
    with open_scene(tmp_path, host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


@pytest.fixture
def flow(scene: Scene) -> Iterator[Flow]:
    """Traffic on a Session-lasting address."""
    with Flow(scene.connect(ServiceType.SESSION_LASTING)) as flow:
        assert flow.goes_on()
        yield flow


@pytest.fixture
def away(scene: Scene, flow: Flow) -> Flow:
    """The same, moved from its anchor to the other router long enough ago."""
    anchor = scene.here
    scene.move()
    assert flow.goes_on()
    eventually(lambda: not attached(scene, anchor))
    return flow


def attached(scene: Scene, router: str) -> set[Route]:
    """The prefixes that a router takes for attached."""
    held = {binding.prefix for binding in scene.bindings()}
    return {
        route
        for route in routes(scene.lab.node(router))
        if route.table == ROUTER_DOWN_TABLE and route.destination in held
    }


def restart(scene: Scene, node: str) -> None:
    daemon = scene.lab.daemon(node)
    assert daemon.kill() == -signal.SIGKILL
    daemon.start()


def served(scene: Scene) -> bool:
    """Whether the router where the host is serves all that it has."""
    return {binding.serving for binding in scene.bindings()} == {scene.here}


def let_linger_time_pass(scene: Scene) -> None:
    """Wait until an address is released that is given out only now and that no socket uses."""
    with client.held(ServiceType.GRACEFUL_REPLACEMENT):
        assert scene.of_type(ServiceType.GRACEFUL_REPLACEMENT)
    eventually(lambda: not scene.of_type(ServiceType.GRACEFUL_REPLACEMENT))


def without_next_hops(found: set[Route]) -> set[Route]:
    return {replace(route, gateway=None) for route in found}


def is_released_after_the_last_socket(scene: Scene, flow: Flow) -> None:
    let_linger_time_pass(scene)
    [binding] = scene.bindings()
    assert flow.connection.source in binding.prefix
    assert flow.goes_on()
    flow.close()
    eventually(lambda: scene.bindings() == [])
    eventually(lambda: scene.typed() == set())
    eventually(lambda: routes(scene.host) == set())


# ---- the host daemon is killed -------------------------------------------------------------------


def test_a_flow_outlives_the_host_daemon(scene: Scene, flow: Flow) -> None:
    before = routes(scene.host), rules(scene.host), scene.typed(), scene.bindings()
    assert scene.lab.daemon("mn").kill() == -signal.SIGKILL
    assert flow.goes_on()
    scene.lab.daemon("mn").start()
    assert scene.typed() == before[2] == {flow.connection.source}
    eventually(lambda: (routes(scene.host), rules(scene.host)) == before[:2])
    assert flow.goes_on()
    [binding] = scene.bindings()
    assert binding.prefix == before[3][0].prefix
    is_released_after_the_last_socket(scene, flow)


def test_an_idle_socket_outlives_the_host_daemon(scene: Scene) -> None:
    with scene.connect(ServiceType.SESSION_LASTING) as connection:
        restart(scene, "mn")
        let_linger_time_pass(scene)
        assert connection.works()
        assert scene.typed() == {connection.source}
    eventually(lambda: scene.bindings() == [])
    assert scene.typed() == set()


def test_a_socket_that_closed_while_nobody_looked_is_noticed(scene: Scene) -> None:
    with scene.connect(ServiceType.SESSION_LASTING):
        assert scene.lab.daemon("mn").kill() == -signal.SIGKILL
    assert scene.bindings()
    scene.lab.daemon("mn").start()
    eventually(lambda: scene.bindings() == [])
    eventually(lambda: scene.typed() == set())


@pytest.mark.parametrize("moment", [None, MessageType.REBIND, MessageType.REPLY])
def test_a_move_outlives_the_host_daemon(
    scene: Scene, flow: Flow, moment: MessageType | None
) -> None:
    before = without_next_hops(routes(scene.host))
    tap = scene.tap()
    scene.lab.move("mn", scene.elsewhere)
    if moment is not None:
        eventually(lambda: tap.messages(moment))
    restart(scene, "mn")
    eventually(lambda: served(scene))
    assert flow.goes_on()
    assert scene.typed() == {flow.connection.source}
    eventually(lambda: without_next_hops(routes(scene.host)) == before)
    is_released_after_the_last_socket(scene, flow)


def test_a_move_while_the_host_daemon_is_dead(scene: Scene, flow: Flow) -> None:
    assert scene.lab.daemon("mn").kill() == -signal.SIGKILL
    scene.lab.move("mn", scene.elsewhere)
    scene.lab.daemon("mn").start()
    eventually(lambda: served(scene))
    assert flow.goes_on()
    is_released_after_the_last_socket(scene, flow)


# ---- a router daemon is killed -------------------------------------------------------------------


@pytest.mark.parametrize("role", ["anchor", "serving"])
def test_a_flow_outlives_a_router_daemon(scene: Scene, away: Flow, role: str) -> None:
    [binding] = scene.bindings()
    assert binding.serving is not None
    assert binding.anchor != binding.serving
    name = binding.anchor if role == "anchor" else binding.serving
    node = scene.lab.node(name)
    before = routes(node), rules(node)
    assert scene.lab.daemon(name).kill() == -signal.SIGKILL
    assert (routes(node), rules(node)) == before
    assert away.goes_on()
    scene.lab.daemon(name).start()
    assert (routes(node), rules(node)) == before
    assert away.goes_on()
    assert scene.bindings() == [binding]
    # It also serves again.
    for _ in range(2):
        scene.move()
        assert away.goes_on()
    is_released_after_the_last_socket(scene, away)


@pytest.mark.parametrize("role", ["anchor", "serving"])
def test_a_move_while_a_router_daemon_is_dead(scene: Scene, away: Flow, role: str) -> None:
    [binding] = scene.bindings()
    name = binding.anchor if role == "anchor" else scene.here
    assert scene.lab.daemon(name).kill() == -signal.SIGKILL
    scene.lab.move("mn", scene.elsewhere)
    scene.lab.daemon(name).start()
    eventually(scene.settled)
    assert away.goes_on()
    is_released_after_the_last_socket(scene, away)


def test_a_flow_outlives_all_daemons_at_once(scene: Scene, away: Flow) -> None:
    names = ["mn", *scene.topology.routers]
    before = [routes(scene.lab.node(name)) for name in names]
    for name in names:
        scene.lab.daemon(name).kill()
    assert away.goes_on()
    for name in reversed(names):
        scene.lab.daemon(name).start()
    eventually(lambda: [routes(scene.lab.node(name)) for name in names] == before)
    scene.lab.move("mn", scene.elsewhere)
    eventually(lambda: served(scene))
    assert away.goes_on()
    is_released_after_the_last_socket(scene, away)


# ---- somebody removes our routes -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["mn", "ar1", "ar2"])
def test_flushed_routes_are_put_back(scene: Scene, away: Flow, name: str) -> None:
    node = scene.lab.node(name)
    before = routes(node), rules(node)
    assert all(before)
    flush(node)
    eventually(lambda: (routes(node), rules(node)) == before)
    assert away.goes_on()


def test_flushed_addresses_are_put_back(scene: Scene, away: Flow) -> None:
    before = scene.typed()
    assert before == {away.connection.source}
    flush_addresses(scene.host)
    eventually(lambda: scene.typed() == before)
    assert away.goes_on()
    is_released_after_the_last_socket(scene, away)
