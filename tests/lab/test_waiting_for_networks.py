"""setsc() ends, whatever the network does or does not, with real sockets.

How soon is a matter of a clock that is turned by hand: see ``tests/unit/host``.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import moorage
from moorage.kernel.neighbours import NetlinkNeighbourTable
from moorage.lab.network import ACCESS
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import MessageType
from tests.conformance.scene import Scene, Tap, eventually, open_scene

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

LASTING = ServiceType.SESSION_LASTING
NOBODY = bytes.fromhex("020000000000")


@pytest.fixture
def bare(mark: str, tmp_path: Path) -> Iterator[Scene]:
    """A host whose link has no router yet."""
    with open_scene(tmp_path, host={"at_boot": []}, daemons=False) as scene:
        scene.lab.daemon("mn").start()
        yield scene


@pytest.fixture
def scene(mark: str, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(tmp_path, host={"at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


class DeafEar:
    """Lets a router's answers to the host go astray."""

    def __init__(self, scene: Scene, host: IPv6Address) -> None:
        self._node = scene.lab.node(scene.here)
        self._host = host
        self._change(lambda table, index: table.set_permanent(index, host, NOBODY))

    def hear(self) -> None:
        """Let them arrive from now on."""
        self._change(lambda table, index: table.remove(index, self._host))

    def _change(self, change: object) -> None:
        def changed() -> None:
            assert callable(change)
            with closing(NetlinkNeighbourTable()) as table:
                change(table, socket.if_nametoindex(ACCESS))

        self._node.call(changed)


@pytest.fixture
def deaf(scene: Scene) -> DeafEar:
    with scene.new_socket() as sock:
        moorage.setsc(sock, ServiceType.FIXED)
    [binding] = scene.bindings()
    assert binding.next_hop is not None
    return DeafEar(scene, binding.next_hop)


def sent(tap: Tap) -> list[MessageType]:
    return [message.type for message in tap.messages()]


def refused(scene: Scene, error: type[moorage.SetscError]) -> Reason:
    with scene.new_socket() as sock, pytest.raises(error) as caught:
        moorage.setsc(sock, LASTING)
    return caught.value.reason


def test_detached(scene: Scene) -> None:
    scene.lab.detach("mn", "wl0")
    eventually(lambda: refused(scene, moorage.RequiredIPFailed) is Reason.DETACHED)


def test_silence_is_not_supported_and_remembered_until_the_service_is_heard(bare: Scene) -> None:
    tap = bare.tap()
    assert refused(bare, moorage.RequiredIPNotSupported) is Reason.NO_SERVICE
    assert set(sent(tap)) == {MessageType.SOLICIT}
    assert refused(bare, moorage.RequiredIPNotSupported) is Reason.NO_SERVICE
    assert sent(tap) == []
    bare.lab.daemon("ar1").start()
    eventually(bare.ordinary)
    assert bare.setsc(LASTING) in bare.pool("ar1")


def test_a_network_that_knows_the_service_and_does_not_deliver(scene: Scene, deaf: DeafEar) -> None:
    with scene.new_socket() as sock, pytest.raises(moorage.RequiredIPFailed) as caught:
        moorage.setsc(sock, LASTING, timeout=1)
    assert caught.value.reason is Reason.TIMEOUT
    deaf.hear()
    assert scene.setsc(LASTING) in scene.pool(scene.here)


def test_a_lost_reply(scene: Scene, deaf: DeafEar) -> None:
    tap = scene.tap()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(partial(scene.setsc, LASTING))
        for _ in range(2):
            eventually(lambda: MessageType.SOLICIT in sent(tap))
        deaf.hear()
        assert waiting.result() in scene.pool(scene.here)


def test_refusal(mark: str, tmp_path: Path) -> None:
    with open_scene(tmp_path, routers={"quota": 1}, host={"at_boot": []}) as scene:
        eventually(scene.settled)
        scene.setsc(ServiceType.FIXED)
        assert refused(scene, moorage.RequiredIPFailed) is Reason.QUOTA
