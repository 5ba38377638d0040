"""Draft section 6.1: the results of ``setsc()``."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import Scene, eventually, refusal

pytestmark = pytest.mark.netns

NOT_SUPPORTED = -180
FAILED = -181
SESSION = ServiceType.SESSION_LASTING


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Iterator[Scene]:
    """A lab whose routers do not offer Fixed, and give each host two prefixes at most."""
    offered = [service.slug for service in ServiceType if service is not ServiceType.FIXED]
    with stage(routers={"offered": offered, "quota": 2}, host={"linger": LINGER}) as scene:
        eventually(scene.booted)
        yield scene


@pytest.mark.parametrize(
    ("number", "service"),
    [
        (1, ServiceType.FIXED),
        (2, ServiceType.SESSION_LASTING),
        (3, ServiceType.NON_PERSISTENT),
        (4, ServiceType.GRACEFUL_REPLACEMENT),
    ],
)
def test_the_types_have_the_numbers_of_the_draft(number: int, service: ServiceType) -> None:
    """6.1-a: the four types are 1 to 4, and a number does as well as its name."""
    assert service == number
    assert len(ServiceType) == 4


def test_setsc_takes_a_socket_and_a_type_and_gives_an_address(scene: Scene) -> None:
    """6.1-a: the type may be a number; the result is an IPv6 address that the socket can bind."""
    with scene.new_socket() as sock:
        address = scene.ask(sock, 2)
        assert isinstance(address, IPv6Address) is scene.served
        for source in scene.sources(address):
            sock.bind((str(source), 0))


@pytest.mark.parametrize("number", [0, 5, 6, 7])
def test_reserved_types_are_refused(scene: Scene, number: int) -> None:
    """6.1-a: 0 and 5 to 7 are reserved: they are refused at once, and the network is not asked."""
    tap = scene.tap()
    with scene.new_socket() as sock:
        with pytest.raises(moorage.SetscError) as caught:
            moorage.setsc(sock, number)
        assert refusal(caught) == scene.refusal(FAILED, moorage.Reason.BAD_REQUEST)
        assert sock.getsockname()[:2] == ("::", 0)
    assert tap.messages(MessageType.SOLICIT) == []


def test_setsc_blocks_while_the_network_is_asked(scene: Scene) -> None:
    """6.1-c: with ON_NET the thread waits for the network; one without goes on meanwhile.

    Where there is no service, nobody waits.
    """
    router = scene.lab.daemon(scene.here)
    tap = scene.tap()
    with ThreadPoolExecutor(1) as pool, scene.new_socket() as one, scene.new_socket() as other:
        present = scene.ask(other, SESSION)
        router.stop()
        try:
            asked = pool.submit(scene.ask, one, SESSION, on_net=True)
            if scene.served:
                eventually(lambda: tap.messages(MessageType.SOLICIT))
            else:
                asked.result()
            assert scene.ask(other, SESSION) == present
            assert asked.done() is not scene.served
        finally:
            router.start()
        answer = asked.result()
        assert scene.sources(answer) <= scene.addresses().keys()
        assert (answer != present) is scene.served
    eventually(lambda: len(scene.bindings()) == (1 if scene.served else 0))


def test_setsc_returns_at_once_where_an_address_exists(scene: Scene) -> None:
    """6.1-c: without ON_NET nothing is asked for, whatever the network would say.

    With hooks not even the daemon is asked.
    """
    router = scene.lab.daemon(scene.here)
    with scene.new_socket() as sock:
        present = scene.ask(sock, SESSION)
        tap = scene.tap()
        router.stop()
        try:
            if scene.hooked:
                eventually(lambda: scene.hooks_offer(SESSION))
            assert scene.ask(sock, SESSION) == present
            assert tap.messages(MessageType.SOLICIT) == []
        finally:
            router.start()


def test_success(scene: Scene) -> None:
    """6.1-b: an address of the type was generated: it is returned, and nothing is raised."""
    with scene.new_socket() as sock:
        for source in scene.sources(scene.ask(sock, SESSION)):
            assert scene.type_of(source) is scene.granted(SESSION)


def test_a_type_that_the_network_does_not_offer(scene: Scene) -> None:
    """6.1-b: EAI_REQUIREDIPNOTSUPPORTED says that the service type is not supported."""
    with pytest.raises(moorage.RequiredIPNotSupported) as caught:
        scene.setsc(ServiceType.FIXED)
    assert (caught.value.errno, caught.value.eai) == (NOT_SUPPORTED, NOT_SUPPORTED)
    assert isinstance(caught.value, OSError)


def test_a_request_that_the_network_cannot_fulfil(scene: Scene) -> None:
    """6.1-b: EAI_REQUIREDIPFAILED says that the network has no prefix left for this host."""
    with (
        scene.connect(ServiceType.GRACEFUL_REPLACEMENT),
        pytest.raises(moorage.SetscError) as caught,
    ):
        scene.setsc(SESSION, on_net=True)
    assert refusal(caught) == scene.refusal(FAILED, moorage.Reason.QUOTA)
    assert caught.value.errno == caught.value.eai


def test_a_host_without_a_link(scene: Scene) -> None:
    """6.1-b: EAI_REQUIREDIPFAILED comes also when there is no network to be asked."""
    router = scene.here
    scene.lab.detach("mn", "wl0")
    with pytest.raises(moorage.SetscError) as caught:
        scene.setsc(SESSION, on_net=True)
    assert refusal(caught) == scene.refusal(FAILED, moorage.Reason.DETACHED)
    scene.lab.attach("mn", "wl0", router)
