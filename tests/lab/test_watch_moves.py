"""Watching addresses on a host that moves, with the daemon that runs there."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

import moorage
from moorage import aio, client
from moorage.service import ServiceType
from tests.conformance.scene import PATIENCE, Connection, Scene, eventually, open_scene
from tests.leaks import nothing_left_behind

pytestmark = pytest.mark.netns

LASTING, ORDINARY = ServiceType.SESSION_LASTING, ServiceType.NON_PERSISTENT


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left_behind():
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A lab whose host is somewhere."""
    with open_scene(tmp_path_factory.mktemp("store")) as scene:
        eventually(scene.settled)
        yield scene


def until(watch: moorage.Watch, last: moorage.Event) -> list[moorage.Event]:
    """What is told before ``last``."""
    before: list[moorage.Event] = []
    for event in watch.events(timeout=PATIENCE):
        if event == last:
            return before
        before.append(event)
    raise AssertionError(f"{last} is not told, but {before}")


def test_a_restart_of_the_daemon(scene: Scene) -> None:
    daemon = scene.lab.daemon("mn")
    with scene.connect(LASTING) as connection:
        with moorage.watch(connection.near) as watch:
            assert daemon.kill() == -signal.SIGKILL
            assert until(watch, moorage.Interrupted()) == []
        with pytest.raises(moorage.RequiredIPNotSupported):
            moorage.watch(connection.near)
        daemon.start()
        with moorage.watch(connection.near) as watch:
            scene.lab.move("mn", scene.elsewhere)
            until(watch, moorage.Moved(connection.source))
        assert connection.works()


def test_a_move_while_no_daemon_runs(scene: Scene) -> None:
    daemon = scene.lab.daemon("mn")
    with scene.connect(ORDINARY) as connection:
        old = connection.near.getsockname()[0]
        daemon.kill()
        scene.lab.move("mn", scene.elsewhere)
        daemon.start()
        eventually(lambda: IPv6Address(old) not in scene.ordinary())
        with pytest.raises(OSError, match="looks after"):
            moorage.watch(connection.near)
    eventually(scene.settled)


def test_a_detached_host(scene: Scene) -> None:
    router = scene.here
    with scene.connect(LASTING) as connection:
        scene.lab.detach("mn", "wl0")
        with moorage.watch(connection.near) as watch:
            assert until(watch, moorage.Detached(connection.source)) == []
            scene.lab.attach("mn", "wl0", router)
            assert until(watch, moorage.Attached(connection.source)) == []
        assert connection.works()
    eventually(scene.settled)


def test_an_address_that_a_command_line_holds(scene: Scene) -> None:
    with client.held(LASTING) as held:
        address = held.address
    with scene.host.call(moorage.watch, address) as watch:
        scene.lab.move("mn", scene.elsewhere)
        until(watch, moorage.Moved(address))


def test_addresses_of_other_hosts(scene: Scene) -> None:
    with pytest.raises(OSError, match="assign"):
        scene.host.call(moorage.watch, scene.destination)


def test_an_address_that_the_daemon_does_not_look_after(scene: Scene) -> None:
    with pytest.raises(OSError, match="looks after"):
        scene.host.call(moorage.watch, "::1")


async def test_in_a_loop(scene: Scene) -> None:
    with scene.connect(LASTING) as connection:
        async with aio.watch(connection.near) as events:
            scene.lab.move("mn", scene.elsewhere)
            assert await anext(events) == moorage.Detached(connection.source)
            assert await anext(events) == moorage.Moved(connection.source)


def test_policy_may_spare_the_sockets(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("store")
    with open_scene(folder, host={"destroy_sockets": False}) as scene:
        eventually(scene.settled)
        with scene.connect(ORDINARY) as connection, moorage.watch(connection.near) as watch:
            gone = moorage.Gone(connection.source, moorage.Why.LEFT)
            scene.move()
            until(watch, gone)
            assert is_connected(connection)


def is_connected(connection: Connection) -> bool:
    error = connection.near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return error == 0 and connection.near.getpeername()[:2] == connection.far.getsockname()[:2]
