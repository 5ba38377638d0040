"""Draft section 4.2: its message flow, in a network without Fixed and Graceful-replacement.

The applications are processes of their own on the host.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Address
from typing import Final, Self

import pytest

import moorage
from moorage.lab.traffic import TcpFlow, tcp_pair
from moorage.service import ServiceType
from tests.conformance import application
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import PATIENCE, Scene, eventually

pytestmark = pytest.mark.netns

NOT_AVAILABLE: Final = os.strerror(errno.EADDRNOTAVAIL)
OFFERED: Final = [ServiceType.SESSION_LASTING, ServiceType.NON_PERSISTENT]


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Iterator[Scene]:
    """The network of the draft's example, and a host that has just been attached to it."""
    routers = {"offered": [service.slug for service in OFFERED]}
    with stage(routers=routers, host={"linger": LINGER}) as scene:
        eventually(scene.booted)
        yield scene


class Application:
    """A process on the host, connected to a server at the correspondent."""

    def __init__(
        self, process: subprocess.Popen[bytes], listening: socket.socket, peer: socket.socket
    ) -> None:
        self._process = process
        self._listening = listening
        self._peer = peer
        self.address = IPv6Address(self.line())

    def line(self) -> str:
        """What it writes next."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def has_written(self) -> bool:
        """Whether there is a next line."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def await_reconnection(self) -> Self:
        """Let it connect to the server anew."""
        self._peer.close()
        self._peer, _ = self._listening.accept()
        self.address = IPv6Address(self.line())
        return self

    @property
    def source(self) -> IPv6Address:
        """Its address as the server sees it."""
        return IPv6Address(self._peer.getpeername()[0])

    def hang_up(self) -> None:
        """Let the server end the connection, and the application with it."""
        self._peer.close()


@contextmanager
def launched(scene: Scene, service: ServiceType) -> Iterator[Application]:
    """An application that asked for an address of this type."""
    environment = {name: value for name, value in os.environ.items() if name != "MOORAGE_SOCKET"}
    with scene.peer.socket(socket.AF_INET6, socket.SOCK_STREAM) as listening:
        listening.bind((str(scene.destination), 0))
        listening.listen()
        listening.settimeout(PATIENCE)
        host, port, *_ = listening.getsockname()
        with scene.host.popen(
            [sys.executable, application.__file__, service.slug, host, str(port)],
            stdout=subprocess.PIPE,
            env=environment,
        ) as process:
            try:
                peer, _ = listening.accept()
                running = Application(process, listening, peer)
                yield running
                hears = running.source in scene.addresses()
                running.hang_up()
                assert not hears or process.wait(PATIENCE) == 0
            finally:
                process.kill()


def test_the_network_gives_two_prefixes_on_attachment(scene: Scene) -> None:
    """4.2-a: an attached host has a Session-lasting and a Non-persistent prefix, unasked."""
    [address] = eventually(scene.typed)
    [binding] = scene.bindings()
    assert address in binding.prefix
    assert (binding.type, binding.anchor) == (ServiceType.SESSION_LASTING, scene.here)
    assert scene.ordinary()
    assert all(address in scene.slaac_prefix(scene.here) for address in scene.ordinary())


def test_two_applications_get_the_same_non_persistent_address(scene: Scene) -> None:
    """4.2-b: the second application that asks for Non-persistent gets the first one's address."""
    with (
        launched(scene, ServiceType.NON_PERSISTENT) as first,
        launched(scene, ServiceType.NON_PERSISTENT) as second,
    ):
        assert first.address == second.address
        assert first.source == second.source == first.address
        assert first.address in scene.slaac_prefix(scene.here)


def test_a_third_application_gets_a_session_lasting_address(scene: Scene) -> None:
    """4.2-c: the address is from the Session-lasting prefix that attachment brought."""
    [binding] = scene.of_type(ServiceType.SESSION_LASTING)
    with launched(scene, ServiceType.SESSION_LASTING) as third:
        assert third.address in binding.prefix
        assert third.source == third.address
        assert scene.bindings() == [binding]


def test_a_move_brings_a_new_non_persistent_prefix(scene: Scene) -> None:
    """4.2-d: after a move an address of the new prefix is valid, and the old one is not."""
    before = scene.ordinary()
    router = scene.move()
    after = scene.ordinary()
    assert after
    assert before.isdisjoint(after)
    assert all(address in scene.slaac_prefix(router) for address in after)
    for address in before:
        with scene.new_socket() as sock, pytest.raises(OSError, match=NOT_AVAILABLE):
            sock.bind((str(address), 0))


def test_applications_on_the_old_address_get_the_new_one(scene: Scene) -> None:
    """4.2-e: both learn by ECONNABORTED that their address is gone, reopen, and get the new one.

    Where nobody tells them, a new application has the new one.
    """
    with (
        launched(scene, ServiceType.NON_PERSISTENT) as first,
        launched(scene, ServiceType.NON_PERSISTENT) as second,
    ):
        old = first.address
        router = scene.move()
        reopened = [first, second] if scene.served else []
        for one in reopened:
            assert one.line() == "ECONNABORTED"
            one.await_reconnection()
        assert not any(one.has_written() for one in (first, second))
        with launched(scene, ServiceType.NON_PERSISTENT) as third:
            for one in (*reopened, third):
                assert one.address == one.source == third.address
            assert third.address in scene.slaac_prefix(router)
            assert third.address != old


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_a_read_on_the_old_address_ends(scene: Scene, kind: socket.SocketKind) -> None:
    """4.2-e: a recv() that waits on the old address ends; a new socket gets the new address.

    Where nobody knows of the socket, there is nothing to be read from it.
    """
    with connected(scene, kind) as near, ThreadPoolExecutor(1) as pool:
        old = IPv6Address(near.getsockname()[0])
        waiting = pool.submit(near.recv, 100) if scene.served else None
        router = scene.move()
        if waiting is not None:
            with pytest.raises(ConnectionAbortedError):
                waiting.result()
        else:
            near.setblocking(False)
            with pytest.raises(BlockingIOError):
                near.recv(100)
        with connected(scene, kind) as again:
            new = IPv6Address(again.getsockname()[0])
        assert new in scene.slaac_prefix(router)
        assert new != old


def test_who_watches_learns_why_the_address_is_gone(scene: Scene) -> None:
    """4.2-e: a notice comes that the host left the network of the address; another does not."""
    with (
        connected(scene, socket.SOCK_STREAM) as near,
        connected(scene, socket.SOCK_STREAM, ServiceType.SESSION_LASTING) as lasting,
        ExitStack() as watches,
    ):
        if not scene.served:
            with pytest.raises(moorage.RequiredIPNotSupported):
                moorage.watch(near)
            return
        watch, other = (watches.enter_context(moorage.watch(sock)) for sock in (near, lasting))
        old, kept = (IPv6Address(sock.getsockname()[0]) for sock in (near, lasting))
        scene.move()
        assert events_until(watch, moorage.Gone) == [
            moorage.Detached(old),
            moorage.Gone(old, moorage.Why.LEFT),
        ]
        assert events_until(other, moorage.Moved) == [moorage.Detached(kept), moorage.Moved(kept)]


def events_until(watch: moorage.Watch, last: type[moorage.Event]) -> list[moorage.Event]:
    """What is told up to an event of this kind."""
    events: list[moorage.Event] = []
    for event in watch.events(timeout=PATIENCE):
        events.append(event)
        if isinstance(event, last):
            break
    return events


@contextmanager
def connected(
    scene: Scene, kind: socket.SocketKind, service: ServiceType = ServiceType.NON_PERSISTENT
) -> Iterator[socket.socket]:
    """A socket with an address of a type, connected to one at the correspondent."""
    with scene.peer.socket(socket.AF_INET6, kind) as far, scene.new_socket(kind) as near:
        far.bind((str(scene.destination), 0))
        if kind is socket.SOCK_STREAM:
            far.listen()
        near.settimeout(PATIENCE)
        address = scene.ask(near, service)
        if address is not None:
            near.bind((str(address), 0))
        near.connect(far.getsockname()[:2])
        yield near


def test_the_session_lasting_application_goes_on(scene: Scene) -> None:
    """4.2-f: its connection fails at no move, and bytes pass both ways after each."""

    def prepare(near: socket.socket) -> None:
        near.bind((str(moorage.setsc(near, ServiceType.SESSION_LASTING)), 0))

    ends = tcp_pair(scene.host, scene.peer, scene.destination, prepare)
    with TcpFlow.start(*ends, up=100_000, down=100_000) as flow:
        moves = [scene.lab.move("mn", scene.elsewhere).up for _ in range(2)]
        with scene.connect(ServiceType.SESSION_LASTING) as later:
            assert later.works()
        assert not flow.ends_within(1)
        report = flow.stop()
    assert report.failure is None
    for arrivals in (report.up, report.down):
        assert any(arrival.first > moves[-1] for arrival in arrivals)


def test_an_application_retries_with_another_type(scene: Scene) -> None:
    """4.2-g: Graceful-replacement is refused; the application retries and gets Session-lasting.

    Where that is refused, too, it has an ordinary address.
    """
    before = scene.bindings()
    with scene.new_socket() as sock:
        with pytest.raises(moorage.RequiredIPNotSupported) as caught:
            moorage.setsc(sock, ServiceType.GRACEFUL_REPLACEMENT)
        assert caught.value.errno == moorage.EAI_REQUIREDIPNOTSUPPORTED
        for source in scene.sources(scene.ask(sock, ServiceType.SESSION_LASTING)):
            sock.bind((str(source), 0))
            assert scene.type_of(source) is scene.granted(ServiceType.SESSION_LASTING)
        assert scene.bindings() == before
