"""Draft sections 3.5 and 6.1: ``setsc()`` of the C library."""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType
from tests.conformance.conftest import Stage
from tests.conformance.scene import Scene, eventually
from tests.native.workshop import UNTOUCHED, Library, Outcome

pytestmark = [pytest.mark.netns, pytest.mark.interop]

NOT_SUPPORTED = -180
FAILED = -181
NOBODY = Outcome(NOT_SUPPORTED, errno.ENOENT, UNTOUCHED)
"""What comes of a call where there is no daemon."""


@pytest.fixture
def ask(library: Library, scene: Scene) -> Callable[..., Outcome]:
    """What a call makes for a socket that is closed at once."""

    def ask(number: int, **options: int) -> Outcome:
        with scene.new_socket() as sock:
            return library.call(sock.fileno(), number, **options)

    return ask


@pytest.mark.parametrize("service", ServiceType)
def test_setsc_gives_an_address(library: Library, scene: Scene, service: ServiceType) -> None:
    """3.5-a, 6.1-a: an address of the host, the one that Python gets; the socket has none by it."""
    with scene.new_socket() as sock:
        address = scene.ask(sock, service, setsc=library.setsc)
        assert address == scene.ask(sock, service)
        assert scene.sources(address) <= scene.addresses().keys()


@pytest.mark.parametrize("service", ServiceType)
def test_bind_associates_the_address(library: Library, scene: Scene, service: ServiceType) -> None:
    """3.5-b: after bind() a connection comes from that address."""
    with scene.connect(service, setsc=library.setsc) as connection, scene.new_socket() as sock:
        assert connection.source in scene.sources(scene.ask(sock, service))
        assert connection.works()


def test_a_missing_prefix_is_requested(library: Library, bare: Scene) -> None:
    """3.5-c: without a prefix of the type, one is requested."""
    tap = bare.tap()
    with bare.new_socket() as sock:
        address = library.setsc(sock, ServiceType.SESSION_LASTING)
    assert len(tap.messages(MessageType.SOLICIT)) == 1
    assert bare.binding(address).type is ServiceType.SESSION_LASTING


def test_on_net(library: Library, scene: Scene) -> None:
    """3.5-d: without ON_NET the address that is there is used after a move, with it a new one."""
    lasting = ServiceType.SESSION_LASTING
    with scene.connect(lasting, setsc=library.setsc) as old:
        router = scene.move()
        tap = scene.tap()
        with scene.new_socket() as sock:
            assert library.setsc(sock, lasting) == old.source
        assert tap.messages() == []
        with scene.connect(lasting, on_net=True, setsc=library.setsc) as new:
            assert new.source in scene.pool(router)
            assert new.source not in scene.binding(old.source).prefix
            assert old.works()
            assert new.works()


@pytest.mark.parametrize("number", [0, 5, 6, 7])
def test_reserved_types_are_refused(ask: Callable[..., Outcome], scene: Scene, number: int) -> None:
    """6.1-a: 0 and 5 to 7 are refused, and the network is not asked."""
    tap = scene.tap()
    assert ask(number) == Outcome(FAILED, errno.EINVAL, UNTOUCHED)
    assert tap.messages(MessageType.SOLICIT) == []


def test_the_codes(library: Library, stage: Stage) -> None:
    """6.1-b: 0, and the two codes, where a type is not offered and where there are no more."""
    offered = [service.slug for service in ServiceType if service is not ServiceType.FIXED]
    with stage(routers={"offered": offered, "quota": 1}) as scene:
        eventually(scene.booted)

        def ask(service: ServiceType, **options: int) -> Outcome:
            with scene.new_socket() as sock:
                return library.call(sock.fileno(), service, timeout_ms=20_000, **options)

        def refused(status: int, number: int) -> Outcome:
            return Outcome(status, number, UNTOUCHED) if scene.served else NOBODY

        given = ask(ServiceType.SESSION_LASTING)
        if scene.served:
            assert (given.status, given.errno) == (0, 0)
            assert IPv6Address(given.address) in scene.typed()
        else:
            assert given == NOBODY
        assert ask(ServiceType.FIXED) == refused(NOT_SUPPORTED, errno.EOPNOTSUPP)
        assert ask(ServiceType.SESSION_LASTING, on_net=1) == refused(FAILED, errno.EDQUOT)
        scene.lab.detach("mn", "wl0")
        assert ask(ServiceType.SESSION_LASTING, on_net=1) == refused(FAILED, errno.ENETUNREACH)


@pytest.mark.parametrize("service", ServiceType)
def test_a_host_with_the_service_or_without(
    ask: Callable[..., Outcome], scene: Scene, service: ServiceType
) -> None:
    """6.1-b, 5.1-b: without a daemon every type is not supported."""
    outcome = ask(service)
    assert outcome.status == 0 if scene.served else outcome == NOBODY
