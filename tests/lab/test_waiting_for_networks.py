"""setsc() ends, whatever the network does or does not, with real sockets.

How soon is a matter of a clock that is turned by hand: see ``tests/unit/host``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import moorage
from moorage.lab.lab import Node
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import MessageType
from tests.conformance.scene import Scene, Tap, eventually, open_scene
from tests.lab.loss import lose_answers, lose_no_more

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("mark")]

LASTING = ServiceType.SESSION_LASTING


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


@pytest.fixture
def silenced(scene: Scene) -> Node:
    """The router of the host's link, whose answers are lost."""
    router = scene.lab.node(scene.here)
    lose_answers(router)
    return router


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


def test_a_network_that_knows_the_service_and_does_not_deliver(
    scene: Scene, silenced: Node
) -> None:
    with scene.new_socket() as sock, pytest.raises(moorage.RequiredIPFailed) as caught:
        moorage.setsc(sock, LASTING, timeout=1)
    assert caught.value.reason is Reason.TIMEOUT
    lose_no_more(silenced)
    assert scene.setsc(LASTING) in scene.pool(scene.here)


def test_a_lost_reply(scene: Scene, silenced: Node) -> None:
    tap = scene.tap()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(partial(scene.setsc, LASTING))
        for _ in range(2):
            eventually(lambda: MessageType.SOLICIT in sent(tap))
        lose_no_more(silenced)
        assert waiting.result() in scene.pool(scene.here)


def test_refusal(mark: str, tmp_path: Path) -> None:
    with open_scene(tmp_path, routers={"quota": 1}, host={"at_boot": []}) as scene:
        eventually(scene.settled)
        scene.setsc(ServiceType.FIXED)
        assert refused(scene, moorage.RequiredIPFailed) is Reason.QUOTA
