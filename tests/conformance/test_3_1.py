"""Draft section 3.1: choosing and obtaining a source address by its service type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    IaPd,
    MessageType,
    OnDemand,
    Refusal,
    RefusalReason,
    ServiceTypeOf,
    Status,
)
from tests.conformance.conftest import Stage
from tests.conformance.scene import DELEGATED, Scene, eventually

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("service", DELEGATED)
def test_the_socket_gets_the_service_that_it_names(scene: Scene, service: ServiceType) -> None:
    """3.1-a: the address that a socket gets is from a prefix of the type that it named."""
    with scene.connect(service) as connection:
        assert scene.type_of(connection.source) is scene.granted(service)
        assert connection.works()


def test_a_socket_names_the_non_persistent_service(scene: Scene) -> None:
    """3.1-a: a socket that names Non-persistent gets an address of the serving router's prefix."""
    with scene.connect(ServiceType.NON_PERSISTENT) as connection:
        assert connection.source in scene.slaac_prefix(scene.here)
        assert connection.source in scene.ordinary()


def test_a_prefix_that_is_there_is_used(scene: Scene) -> None:
    """3.1-b: the address is of the prefix that the network gave before, and nothing is asked."""
    [given] = scene.of_type(ServiceType.SESSION_LASTING)
    tap = scene.tap()
    assert scene.setsc(ServiceType.SESSION_LASTING) in given.prefix
    assert tap.messages() == []
    assert scene.of_type(ServiceType.SESSION_LASTING) == [given]


@pytest.mark.parametrize("service", DELEGATED)
def test_a_missing_prefix_is_asked_for(bare: Scene, service: ServiceType) -> None:
    """3.1-c: with no prefix of the type, the host solicits one and names the type."""
    assert bare.bindings() == []
    tap = bare.tap()
    bare.setsc(service)
    solicit, *_ = tap.messages(MessageType.SOLICIT)
    [association] = solicit.every(IaPd)
    said = OnDemand.of(solicit)
    assert said is not None
    assert said.service_type(association.iaid) is service


def test_the_network_answers_with_a_prefix(bare: Scene) -> None:
    """3.1-d: the network's answer has a prefix of its pool, and says of which type it is."""
    tap = bare.tap()
    address = bare.setsc(ServiceType.FIXED)
    reply, *_ = tap.messages(MessageType.REPLY)
    [association] = reply.every(IaPd)
    [lease] = association.prefixes
    said = OnDemand.of(reply)
    assert said is not None
    assert said.for_iaid(ServiceTypeOf, association.iaid) == ServiceTypeOf(
        association.iaid, ServiceType.FIXED
    )
    assert address in lease.prefix
    assert lease.prefix.subnet_of(bare.pool(bare.here))
    assert lease.valid >= lease.preferred > 0


@pytest.fixture
def exhausted(stage: Stage) -> Iterator[Scene]:
    """A lab whose routers let a host have a single prefix, which it has."""
    with stage(routers={"quota": 1}) as scene:
        eventually(scene.settled)
        eventually(scene.typed)
        yield scene


def test_the_network_says_that_it_failed(exhausted: Scene) -> None:
    """3.1-d: the network's answer says that there is no prefix, and why."""
    tap = exhausted.tap()
    with pytest.raises(moorage.RequiredIPFailed) as caught:
        exhausted.setsc(ServiceType.FIXED)
    assert caught.value.reason is moorage.Reason.QUOTA
    reply, *_ = tap.messages(MessageType.REPLY)
    [association] = reply.every(IaPd)
    said = OnDemand.of(reply)
    assert said is not None
    assert association.status is not None
    assert association.status.code == Status.NO_PREFIX_AVAIL
    assert said.for_iaid(Refusal, association.iaid) == Refusal(
        association.iaid, RefusalReason.QUOTA
    )


def test_the_application_gets_the_new_address(scene: Scene) -> None:
    """3.1-e: the address that ``setsc()`` returns is new, configured, and can be bound at once."""
    service = ServiceType.GRACEFUL_REPLACEMENT
    eventually(lambda: not scene.of_type(service))
    before = set(scene.addresses())
    with scene.new_socket() as sock:
        address = scene.ask(sock, service)
        new = set(scene.addresses()) - before
        assert new == (scene.sources(address) if scene.served else set())
        for source in scene.sources(address):
            sock.bind((str(source), 0))
            assert scene.type_of(source) is scene.granted(service)
