"""Draft section 6.2: IPV6_REQUIRE_SRC_ON_NET, by keyword and as the socket option."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, Message, MessageType, OnDemand
from tests.conformance.scene import PATIENCE, Scene, eventually
from tests.hooked import HookedSocket

pytestmark = pytest.mark.netns

SOLICIT = MessageType.SOLICIT
LASTING, ORDINARY = ServiceType.SESSION_LASTING, ServiceType.NON_PERSISTENT
TYPES = pytest.mark.parametrize("service", ServiceType)


@pytest.fixture(autouse=True)
def _calm(scene: Scene) -> None:
    """Let go of what earlier tests used."""
    eventually(lambda: len([x for x in scene.bindings() if x.type is not ServiceType.FIXED]) <= 1)


def asked_type(solicit: Message) -> ServiceType | None:
    """The type of the one prefix that a message asks for."""
    [association] = solicit.every(IaPd)
    said = OnDemand.of(solicit)
    return None if said is None else said.service_type(association.iaid)


@TYPES
def test_set_a_new_prefix_is_requested_although_there_is_one(
    scene: Scene, service: ServiceType
) -> None:
    """6.2-a: set, a prefix is requested each time, of the type, and an address of it configured."""
    with scene.connect(service) as before, scene.connect(service, on_net=True) as first:
        tap = scene.tap()
        with scene.connect(service, on_net=True) as second:
            [solicit] = tap.messages(SOLICIT)
            assert asked_type(solicit) is service
            sources = {before.source, first.source, second.source}
            assert len(sources) == 3
            assert sources <= set(scene.addresses())
            assert scene.binding(second.source).type is service
            assert second.works()


@TYPES
def test_set_the_prefix_is_of_the_current_serving_network(
    scene: Scene, service: ServiceType
) -> None:
    """6.2-a: after a move the new prefix is of the router that serves the host now."""
    router = scene.move()
    with scene.connect(service, on_net=True) as connection:
        assert connection.source in scene.pool(router)
        assert scene.binding(connection.source).anchor == router
        assert connection.works()


@TYPES
def test_reset_the_configured_address_is_used(scene: Scene, service: ServiceType) -> None:
    """6.2-b: reset, nothing is requested where an address of the type is configured."""
    with scene.connect(service) as first:
        tap = scene.tap()
        with scene.connect(service) as second:
            assert second.source == first.source
        assert tap.messages(SOLICIT) == []


def test_reset_a_prefix_is_requested_where_none_is(bare: Scene) -> None:
    """6.2-b: reset, a prefix of the type is requested where no address of it is configured."""
    tap = bare.tap()
    with bare.connect(LASTING) as connection:
        [solicit] = tap.messages(SOLICIT)
        assert asked_type(solicit) is LASTING
        assert connection.source in bare.pool(bare.here)


def test_the_flag_of_a_socket(scene: Scene) -> None:
    """6.2-a, 6.2-b: ``setsc()`` does what the option of the socket says, as a kernel keeps it."""

    def given(sock: socket.socket) -> IPv6Address:
        return moorage.setsc(sock, LASTING, timeout=PATIENCE)

    with HookedSocket(fileno=scene.new_socket().detach()) as sock:
        configured = given(sock)
        moorage.require_src_on_net(sock)
        new = given(sock)
        assert new != configured
        assert new in scene.pool(scene.here)
        moorage.require_src_on_net(sock, False)
        tap = scene.tap()
        assert given(sock) in (configured, new)
        assert tap.messages(SOLICIT) == []


def test_non_persistent_goes_with_the_network_whoever_made_its_address(scene: Scene) -> None:
    """6.2-a: a new Non-persistent address holds no longer than the ordinary one: until a move."""
    with scene.connect(ORDINARY, on_net=True) as connection:
        scene.move()
        with pytest.raises(ConnectionAbortedError):
            connection.near.recv(1)
        eventually(lambda: connection.source not in scene.addresses())
