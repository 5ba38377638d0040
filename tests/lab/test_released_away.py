"""What happens to an address whose last socket closes while its host is on no link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import moorage
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import Scene, eventually, open_scene

pytestmark = pytest.mark.netns


@pytest.fixture
def scene(tmp_path: Path, mark: str) -> Iterator[Scene]:
    with open_scene(tmp_path, host={"linger": LINGER, "at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


@pytest.mark.parametrize("restarted", [False, True])
def test_another_router_takes_it_back(scene: Scene, restarted: bool) -> None:
    first, second = scene.here, scene.elsewhere
    with scene.new_socket() as sock:
        address = moorage.setsc(sock, ServiceType.SESSION_LASTING)
        scene.lab.detach("mn", "wl0")
    eventually(lambda: address not in scene.typed())
    assert scene.binding(address).held
    if restarted:
        scene.lab.daemon("mn").stop()
        scene.lab.daemon("mn").start()
    scene.lab.attach("mn", "wl0", second)
    eventually(lambda: not scene.bindings())
    assert scene.binding(address).anchor == first
