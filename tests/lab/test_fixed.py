"""A Fixed address outlives what a host may lose: its power, its state, even its readable state."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import Scene, eventually, open_scene
from tests.lab.flows import flush, flush_addresses

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

PORT = 7


@pytest.fixture
def scene(mark: str, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(tmp_path, host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


@pytest.fixture
def fixed(scene: Scene) -> set[IPv6Address]:
    """Two Fixed addresses, which nobody uses."""
    return {scene.setsc(ServiceType.FIXED, on_net=True) for _ in range(2)}


def state(scene: Scene, name: str) -> Path:
    return scene.host.folder / "state" / name


def switch_off(scene: Scene) -> None:
    """Lose all that a host has in memory: its daemon, and what that put into the kernel."""
    scene.lab.daemon("mn").kill()
    flush(scene.host)
    flush_addresses(scene.host)
    scene.lab.detach("mn", "wl0")
    assert scene.typed() == set()


def is_reached(scene: Scene, address: IPv6Address) -> bool:
    """Whether a server at the address is reached from outside."""
    with closing(scene.host.socket(socket.AF_INET6, socket.SOCK_STREAM)) as server:
        server.bind((str(address), PORT))
        server.listen()
        with closing(scene.peer.socket(socket.AF_INET6, socket.SOCK_STREAM)) as client:
            client.settimeout(5)
            client.connect((str(address), PORT))
    return True


def are_back(scene: Scene, fixed: set[IPv6Address]) -> None:
    """Wait until the addresses are served where the host is, and try them."""
    eventually(lambda: scene.typed() == fixed)
    eventually(scene.settled)
    assert all(binding.serving == scene.here for binding in scene.bindings())
    assert {scene.binding(address).prefix for address in fixed} == {
        binding.prefix for binding in scene.bindings()
    }
    for address in fixed:
        assert is_reached(scene, address)


@pytest.mark.parametrize("router", ["ar1", "ar2"])
def test_after_a_reboot(scene: Scene, fixed: set[IPv6Address], router: str) -> None:
    switch_off(scene)
    scene.lab.attach("mn", "wl0", router)
    scene.lab.daemon("mn").start()
    are_back(scene, fixed)


@pytest.mark.parametrize("router", ["ar1", "ar2"])
def test_without_the_state_file(scene: Scene, fixed: set[IPv6Address], router: str) -> None:
    switch_off(scene)
    state(scene, "leases.json").unlink()
    scene.lab.attach("mn", "wl0", router)
    scene.lab.daemon("mn").start()
    are_back(scene, fixed)


def test_with_a_damaged_state_file(scene: Scene, fixed: set[IPv6Address]) -> None:
    switch_off(scene)
    damage = state(scene, "leases.json").read_bytes()[:-10]
    state(scene, "leases.json").write_bytes(damage)
    scene.lab.attach("mn", "wl0", "ar1")
    said = scene.lab.daemon("mn").log()
    scene.lab.daemon("mn").start()
    are_back(scene, fixed)
    assert state(scene, "leases.damaged").read_bytes() == damage
    [line] = scene.lab.daemon("mn").log().removeprefix(said).splitlines()
    assert "leases.json" in line


def test_a_connection_outlives_the_state_file(scene: Scene) -> None:
    with scene.connect(ServiceType.FIXED) as connection:
        scene.lab.daemon("mn").kill()
        state(scene, "leases.json").unlink()
        scene.lab.daemon("mn").start()
        eventually(lambda: connection.source in scene.typed())
        assert connection.works()


def test_without_the_key(scene: Scene, fixed: set[IPv6Address]) -> None:
    switch_off(scene)
    state(scene, "host.key").unlink()
    scene.lab.attach("mn", "wl0", "ar1")
    said = scene.lab.daemon("mn").log()
    scene.lab.daemon("mn").start()
    eventually(lambda: scene.typed() == set())
    [line] = [
        line
        for line in scene.lab.daemon("mn").log().removeprefix(said).splitlines()
        if "host.key" in line
    ]
    assert "2 addresses" in line
    eventually(lambda: scene.setsc(ServiceType.FIXED) not in fixed)
