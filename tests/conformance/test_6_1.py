"""Draft section 6.1: the results of ``setsc()``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import moorage
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import Scene, eventually

pytestmark = pytest.mark.netns

NOT_SUPPORTED = -180
FAILED = -181


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Iterator[Scene]:
    """A lab whose routers do not offer Fixed, and give each host two prefixes at most."""
    offered = [service.slug for service in ServiceType if service is not ServiceType.FIXED]
    with stage(routers={"offered": offered, "quota": 2}, host={"linger": LINGER}) as scene:
        eventually(scene.settled)
        eventually(scene.typed)
        yield scene


def test_success(scene: Scene) -> None:
    """6.1-b: an address of the type was generated: it is returned, and nothing is raised."""
    address = scene.setsc(ServiceType.SESSION_LASTING)
    assert scene.binding(address).type is ServiceType.SESSION_LASTING


def test_a_type_that_the_network_does_not_offer(scene: Scene) -> None:
    """6.1-b: EAI_REQUIREDIPNOTSUPPORTED says that the service type is not supported."""
    with pytest.raises(moorage.RequiredIPNotSupported) as caught:
        scene.setsc(ServiceType.FIXED)
    assert (caught.value.errno, caught.value.eai) == (NOT_SUPPORTED, NOT_SUPPORTED)
    assert isinstance(caught.value, OSError)


def test_a_host_without_the_service(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """6.1-b: where nobody provides the service, EAI_REQUIREDIPNOTSUPPORTED comes for every type."""
    monkeypatch.setenv("MOORAGE_SOCKET", str(scene.host.folder / "nobody.sock"))
    for service in ServiceType:
        with pytest.raises(moorage.RequiredIPNotSupported) as caught:
            scene.setsc(service)
        assert caught.value.errno == NOT_SUPPORTED


def test_a_request_that_the_network_cannot_fulfil(scene: Scene) -> None:
    """6.1-b: EAI_REQUIREDIPFAILED says that the network has no prefix left for this host."""
    with (
        scene.connect(ServiceType.GRACEFUL_REPLACEMENT),
        pytest.raises(moorage.RequiredIPFailed) as caught,
    ):
        scene.setsc(ServiceType.SESSION_LASTING, on_net=True)
    assert (caught.value.errno, caught.value.eai) == (FAILED, FAILED)
    assert caught.value.reason is moorage.Reason.QUOTA


def test_a_host_without_a_link(scene: Scene) -> None:
    """6.1-b: EAI_REQUIREDIPFAILED comes also when there is no network to be asked."""
    router = scene.here
    scene.lab.detach("mn", "wl0")
    with pytest.raises(moorage.RequiredIPFailed) as caught:
        scene.setsc(ServiceType.SESSION_LASTING, on_net=True)
    assert caught.value.errno == FAILED
    assert caught.value.reason is moorage.Reason.DETACHED
    scene.lab.attach("mn", "wl0", router)
