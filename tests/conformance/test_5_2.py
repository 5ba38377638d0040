"""Draft section 5.2: what the IP stack owes to applications that do and do not use it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, MessageType, OnDemand
from tests.conformance import selection
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import DELEGATED, Scene, eventually

pytestmark = pytest.mark.netns

LOCAL = IPv6Address("fd00:0:0:1::17")
FOREIGN = IPv6Address("2001:db8:7777::17")
OLD = IPv6Address("2001:db8:7778::17")


# ---- legacy operations and their source addresses ----------------------------------------------


def as_advertised(scene: Scene) -> None:
    """The host has what it forms from advertisements."""


def with_temporary(scene: Scene) -> None:
    """The host has temporary addresses, too."""
    selection.use_temporary_addresses(scene.host, "wl0")


def with_others(scene: Scene) -> None:
    """The host has local, foreign and deprecated addresses, too."""
    selection.add_address(scene.host, "wl0", LOCAL)
    selection.add_address(scene.host, "wl0", FOREIGN)
    selection.add_address(scene.host, "wl0", OLD, deprecated=True)


def with_two_links(scene: Scene) -> None:
    """The host is on two links."""
    scene.lab.attach("mn", "wl1", "ar2")


SITUATIONS = [as_advertised, with_temporary, with_others, with_two_links]


@pytest.fixture(params=SITUATIONS)
def without_daemon(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Scene]:
    """A host in some situation, whose daemon does not run yet, in a network with the service."""
    prepare: Callable[[Scene], None] = request.param
    with stage(host={"linger": LINGER, "at_boot": []}, daemons=False) as scene:
        prepare(scene)
        for router in scene.topology.routers:
            scene.lab.daemon(router).start()
        eventually(lambda: has_all(scene, prepare))
        yield scene


def has_all(scene: Scene, prepare: Callable[[Scene], None]) -> bool:
    """Whether every address that the situation brings is there and past its detection."""
    advertised = [scene.slaac_prefix(router) for router in scene.topology.routers]
    formed = [
        found
        for address, found in scene.addresses().items()
        if any(address in prefix for prefix in advertised)
    ]
    wanted = 1 if prepare in (as_advertised, with_others) else 2
    return len(formed) == wanted and not any(address.optimistic for address in formed)


def test_source_addresses_are_chosen_as_without_the_stack(without_daemon: Scene) -> None:
    """5.2-b: held addresses of other types change nothing in a table of all preferences."""
    scene = without_daemon
    interface = scene.host.call(socket.if_nametoindex, "wl0")
    destinations = [
        scene.destination,
        scene.topology.routers["ar2"].access.router_address,
        scene.pool("ar1")[0x1_0000],
        scene.pool("ar2")[0x1_0000],
        *(LOCAL + 1, FOREIGN + 1, OLD + 1),
        *(IPv6Address("fe80::1"), IPv6Address("ff02::1"), IPv6Address("::1")),
    ]
    before = selection.choices(scene.host, destinations, interface)
    assert str(next(iter(scene.ordinary()))) in {
        source.partition("%")[0] for source in before.values()
    }
    scene.lab.daemon("mn").start()
    with ExitStack() as held:
        for service in DELEGATED:
            sock = held.enter_context(scene.new_socket())
            moorage.setsc(sock, service)
        assert len(scene.typed()) == len(DELEGATED)
        assert selection.choices(scene.host, destinations, interface) == before
        scene.lab.daemon("mn").stop()
        assert selection.choices(scene.host, destinations, interface) == before


DEFAULT = ServiceType.GRACEFUL_REPLACEMENT
"""What the network gives to who names no type, where it advertises no prefix (RFC 9663)."""


@pytest.fixture
def without_prefixes(stage: Stage) -> Iterator[Scene]:
    """A host, whose daemon does not run yet, on a link that gives typed prefixes only."""
    router = {"access": [{"interface": "acc0"}], "default_type": DEFAULT.slug}
    with stage(host={"linger": LINGER, "at_boot": []}, daemons=False) as scene:
        scene.lab.daemon("ar1").start(**router)
        eventually(lambda: scene.host.run(["ip", "-6", "route", "show", "default"]).stdout)
        yield scene


def test_a_legacy_socket_has_the_networks_default_where_all_else_is_typed(
    without_prefixes: Scene,
) -> None:
    """5.2-b: with no ordinary address to choose the source is the default, never one of a type."""
    scene = without_prefixes
    interface = scene.host.call(socket.if_nametoindex, "wl0")
    near = [IPv6Address("fe80::1"), IPv6Address("ff02::1"), IPv6Address("::1")]
    far = [
        scene.destination,
        scene.topology.routers["ar2"].access.router_address,
        scene.pool("ar2")[0x1_0000],
        *(LOCAL, FOREIGN),
    ]
    before = selection.choices(scene.host, near, interface)
    scene.lab.daemon("mn").start()
    [default] = eventually(scene.typed)
    with ExitStack() as held:
        for service in set(DELEGATED) - {DEFAULT}:
            sock = held.enter_context(scene.new_socket())
            assert moorage.setsc(sock, service) != default
        assert len(scene.typed()) == len(DELEGATED)
        assert set(selection.choices(scene.host, far, interface).values()) == {str(default)}
        assert selection.choices(scene.host, near, interface) == before
        with scene.connect_plainly() as connection:
            assert connection.source == default
            assert connection.works()


def test_where_there_is_no_ordinary_address_no_type_is_asked_for(without_prefixes: Scene) -> None:
    """5.2-d: the host asks for an address for legacy sockets without a type."""
    scene = without_prefixes
    tap = scene.tap()
    scene.lab.daemon("mn").start()
    [default] = eventually(scene.typed)
    assert scene.binding(default).type is DEFAULT
    solicit, *_ = tap.messages(MessageType.SOLICIT)
    found = OnDemand.of(solicit)
    assert found is not None
    assert [found.service_type(ia.iaid) for ia in solicit.every(IaPd)] == [None]


def test_where_ordinary_addresses_are_found_again_the_default_is_given_back(
    without_prefixes: Scene,
) -> None:
    """5.2-b: a connection goes on from its address; the next one's is chosen as ever."""
    scene = without_prefixes
    scene.lab.daemon("mn").start()
    [default] = eventually(scene.typed)
    scene.lab.daemon("ar2").start()
    with scene.connect_plainly() as first:
        scene.lab.move("mn", "ar2")
        eventually(scene.ordinary)
        with scene.connect_plainly() as second:
            assert second.source in scene.ordinary()
            assert second.works()
        assert first.source == default
        assert first.works()
    eventually(lambda: not scene.typed())
    eventually(lambda: not scene.bindings())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_legacy_operations_work(scene: Scene, kind: socket.SocketKind) -> None:
    """5.2-a: bind, listen, accept, connect, send and receive work without any call of ours."""
    [own] = scene.ordinary()
    with scene.new_socket(kind) as server, scene.peer.socket(socket.AF_INET6, kind) as client:
        server.bind(("::", 0))
        port = server.getsockname()[1]
        if kind is socket.SOCK_STREAM:
            server.listen()
        client.settimeout(10)
        client.connect((str(own), port))
        client.send(b"ahoy")
        if kind is socket.SOCK_STREAM:
            accepted, peer = server.accept()
            with accepted:
                assert accepted.recv(100) == b"ahoy"
                accepted.send(b"hoy")
        else:
            data, peer = server.recvfrom(100)
            assert data == b"ahoy"
            server.sendto(b"hoy", peer)
        assert IPv6Address(peer[0]) == scene.destination
        assert client.recv(100) == b"hoy"


def test_a_legacy_application_causes_no_request(bare: Scene) -> None:
    """5.2-d: the host asks the network for nothing when an application names no type."""
    tap = bare.tap()
    with bare.connect_plainly() as connection:
        assert connection.source in bare.ordinary()
        assert connection.works()
    bare.setsc(ServiceType.FIXED)  # its messages come after whatever the connection caused
    first = tap.messages()[0]
    found = OnDemand.of(first)
    assert first.type is MessageType.SOLICIT
    assert found is not None
    assert not bare.of_type(ServiceType.SESSION_LASTING)


@pytest.mark.parametrize("service", DELEGATED)
def test_a_type_is_passed_on_to_the_network(bare: Scene, service: ServiceType) -> None:
    """5.2-c: the Solicit names the type that the application asked for."""
    tap = bare.tap()
    bare.setsc(service)
    solicit, *_ = tap.messages(MessageType.SOLICIT)
    found = OnDemand.of(solicit)
    assert found is not None
    assert [found.service_type(ia.iaid) for ia in solicit.every(IaPd)] == [service]


@pytest.mark.parametrize("service", DELEGATED)
def test_an_allocated_prefix_is_used(bare: Scene, service: ServiceType) -> None:
    """5.2-e: the second request of a type is served without a message to the network."""
    with bare.new_socket() as first, bare.new_socket() as second:
        address = moorage.setsc(first, service)
        tap = bare.tap()
        assert moorage.setsc(second, service) == address
        assert tap.messages() == []
