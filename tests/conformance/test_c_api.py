"""Draft sections 3.5 and 6.1: ``setsc()`` of the C library."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.lab.traffic import tcp_pair
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType
from tests.conformance.conftest import Stage
from tests.conformance.scene import Connection, Scene, eventually
from tests.native.workshop import UNTOUCHED, Library, Outcome, build_library

pytestmark = [pytest.mark.netns, pytest.mark.interop]

NOT_SUPPORTED = -180
FAILED = -181
IPV6_ADDR_PREFERENCES = 72


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    built = build_library(tmp_path_factory.mktemp("library"))
    return Library(built.with_suffix(".so"))


@pytest.fixture
def ask(library: Library, scene: Scene) -> Callable[..., Outcome]:
    """What a call makes for a socket that is closed at once."""

    def ask(number: int, **options: int) -> Outcome:
        with scene.new_socket() as sock:
            return library.call(sock.fileno(), number, **options)

    return ask


def connect(scene: Scene, library: Library, number: int, **options: int) -> Connection:
    """A connection from the address that a call gives."""
    return Connection(
        *tcp_pair(
            scene.host,
            scene.peer,
            scene.destination,
            lambda near: near.bind((str(library.setsc(near, number, **options)), 0)),
        )
    )


@pytest.mark.parametrize("service", ServiceType)
def test_setsc_gives_an_address(library: Library, scene: Scene, service: ServiceType) -> None:
    """3.5-a, 6.1-a: an address of the host, the one that Python gets; the socket has none by it."""
    with scene.new_socket() as sock:
        preferences = sock.getsockopt(socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES)
        address = library.setsc(sock, service)
        assert address in scene.addresses()
        assert address == moorage.setsc(sock, service)
        assert sock.getsockname()[:2] == ("::", 0)
        assert sock.getsockopt(socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES) == preferences


@pytest.mark.parametrize("service", ServiceType)
def test_bind_associates_the_address(library: Library, scene: Scene, service: ServiceType) -> None:
    """3.5-b: after bind() a connection comes from that address."""
    with connect(scene, library, service) as connection:
        assert connection.source == scene.setsc(service)
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
    with connect(scene, library, lasting) as old:
        router = scene.move()
        tap = scene.tap()
        with scene.new_socket() as sock:
            assert library.setsc(sock, lasting) == old.source
        assert tap.messages() == []
        with connect(scene, library, lasting, on_net=1) as new:
            assert new.source in scene.pool(router)
            assert new.source not in scene.binding(old.source).prefix
            assert old.works()
            assert new.works()


@pytest.mark.parametrize("number", [0, 5, 6, 7])
def test_reserved_types_are_refused(ask: Callable[..., Outcome], scene: Scene, number: int) -> None:
    """6.1-a: 0 and 5 to 7 are refused, and the network is not asked."""
    tap = scene.tap()
    assert ask(number) == Outcome(FAILED, errno.EINVAL, UNTOUCHED)
    assert tap.messages() == []


def test_the_codes(library: Library, stage: Stage) -> None:
    """6.1-b: 0, and the two codes, where a type is not offered and where there are no more."""
    offered = [service.slug for service in ServiceType if service is not ServiceType.FIXED]
    with stage(routers={"offered": offered, "quota": 1}) as scene:
        eventually(scene.settled)
        eventually(scene.typed)

        def ask(service: ServiceType, **options: int) -> Outcome:
            with scene.new_socket() as sock:
                return library.call(sock.fileno(), service, timeout_ms=20_000, **options)

        given = ask(ServiceType.SESSION_LASTING)
        assert (given.status, given.errno) == (0, 0)
        assert IPv6Address(given.address) in scene.typed()
        refused = ask(ServiceType.FIXED)
        assert refused == Outcome(NOT_SUPPORTED, errno.EOPNOTSUPP, UNTOUCHED)
        refused = ask(ServiceType.SESSION_LASTING, on_net=1)
        assert refused == Outcome(FAILED, errno.EDQUOT, UNTOUCHED)
        scene.lab.detach("mn", "wl0")
        refused = ask(ServiceType.SESSION_LASTING, on_net=1)
        assert refused == Outcome(FAILED, errno.ENETUNREACH, UNTOUCHED)


def test_a_host_without_the_service(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """6.1-b, 5.1-b: without a daemon every type is not supported."""
    monkeypatch.setenv("MOORAGE_SOCKET", "/nowhere")
    with socket.socket(socket.AF_INET6) as sock:
        for service in ServiceType:
            outcome = library.call(sock.fileno(), service)
            assert outcome == Outcome(NOT_SUPPORTED, errno.ENOENT, UNTOUCHED)
