"""Draft section 3.5: conveying the desired address type."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from ipaddress import IPv6Address

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import IaPd, MessageType, OnDemand
from tests.conformance.scene import PATIENCE, PREFERENCES, Scene

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("service", ServiceType)
def test_setsc_returns_an_address(scene: Scene, service: ServiceType) -> None:
    """3.5-a: ``setsc()`` returns an IPv6 address that is configured on the host, or a code."""
    with scene.new_socket() as sock:
        address = scene.ask(sock, service)
    assert isinstance(address, IPv6Address) is scene.served
    assert scene.sources(address) <= scene.addresses().keys()


@pytest.mark.parametrize("service", ServiceType)
def test_setsc_does_not_change_the_socket(scene: Scene, service: ServiceType) -> None:
    """3.5-a: after ``setsc()`` the socket has no address; without bind() the kernel chooses it."""
    choice = scene.ordinary()
    with scene.connect_plainly(lambda near: scene.ask(near, service)) as connection:
        assert connection.source in choice
        assert connection.works()


def test_setsc_says_what_became_of_it(scene: Scene) -> None:
    """3.5-a: a failure is told by the draft's number, and leaves the socket usable."""
    with scene.new_socket() as sock:
        with pytest.raises(moorage.SetscError) as caught:
            moorage.setsc(sock, 7)
        assert caught.value.errno in (
            moorage.EAI_REQUIREDIPFAILED,
            moorage.EAI_REQUIREDIPNOTSUPPORTED,
        )
        for source in scene.sources(scene.ask(sock, ServiceType.FIXED)):
            sock.bind((str(source), 0))


@pytest.mark.parametrize("service", ServiceType)
def test_bind_associates_the_address_with_a_stream(scene: Scene, service: ServiceType) -> None:
    """3.5-b: after bind() a connection comes from the address of ``setsc()``."""
    with scene.connect(service) as connection, scene.new_socket() as other:
        assert connection.source in scene.sources(scene.ask(other, service))
        assert connection.near.getsockname()[0] == str(connection.source)
        assert connection.works()


@pytest.mark.parametrize("service", ServiceType)
def test_bind_associates_the_address_with_datagrams(scene: Scene, service: ServiceType) -> None:
    """3.5-b: after bind() datagrams come from the address of ``setsc()``."""
    kind = socket.SOCK_DGRAM
    with scene.new_socket(kind) as near, scene.peer.socket(socket.AF_INET6, kind) as far:
        far.bind((str(scene.destination), 0))
        far.settimeout(PATIENCE)
        address = scene.ask(near, service)
        if address is not None:
            near.bind((str(address), 0))
        near.sendto(b"ahoy", far.getsockname()[:2])
        data, sender = far.recvfrom(100)
        assert data == b"ahoy"
        assert IPv6Address(sender[0]) in scene.sources(address)


def test_a_missing_prefix_is_requested(bare: Scene) -> None:
    """3.5-c: without a prefix of the type, a /64 of it is requested, whatever else is there."""
    bare.setsc(ServiceType.FIXED)
    tap = bare.tap()
    address = bare.setsc(ServiceType.SESSION_LASTING)
    [solicit] = tap.messages(MessageType.SOLICIT)
    [association] = solicit.every(IaPd)
    [hint] = association.prefixes
    said = OnDemand.of(solicit)
    assert said is not None
    assert said.service_type(association.iaid) is ServiceType.SESSION_LASTING
    assert (str(hint.prefix), hint.preferred, hint.valid) == ("::/64", 0, 0)
    assert bare.binding(address).iaid == association.iaid


def test_an_existing_address_is_used_without_the_flag(scene: Scene) -> None:
    """3.5-d: without ON_NET the address that is there is used after a move, too."""
    with scene.connect(ServiceType.SESSION_LASTING) as connection:
        scene.move()
        tap = scene.tap()
        assert scene.setsc(ServiceType.SESSION_LASTING) == connection.source
        assert tap.messages() == []


@pytest.mark.parametrize("service", [ServiceType.FIXED, ServiceType.SESSION_LASTING])
def test_a_new_prefix_is_requested_with_the_flag(scene: Scene, service: ServiceType) -> None:
    """3.5-d: with ON_NET there is a new prefix of the present router; the old one stays."""
    with scene.connect(service) as old:
        router = scene.move()
        with scene.connect(service, on_net=True) as new:
            assert new.source not in scene.binding(old.source).prefix
            assert new.source in scene.pool(router)
            assert (scene.binding(new.source).type, scene.binding(new.source).anchor) == (
                service,
                router,
            )
            assert old.works()
            assert new.works()


def test_the_flag_is_an_option_of_the_socket(scene: Scene) -> None:
    """3.5-e: setsockopt() sets it and getsockopt() reads it; where Linux drops it, that is told."""
    with scene.new_socket() as sock:
        usual = sock.getsockopt(*PREFERENCES)
        for flag in (moorage.IPV6_REQUIRE_SRC_ON_NET, 0):
            sock.setsockopt(*PREFERENCES, flag)
            assert sock.getsockopt(*PREFERENCES) == usual | (flag if scene.hooked else 0)
        with nullcontext() if scene.hooked else pytest.raises(moorage.FlagNotKept):
            moorage.require_src_on_net(sock)
