"""Draft section 3.4: addresses are configured on demand."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network

import pytest

import moorage
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER, Stage
from tests.conformance.scene import DELEGATED, Scene, eventually, refusal

pytestmark = pytest.mark.netns


def test_any_number_of_addresses_of_a_type_is_configured(bare: Scene) -> None:
    """3.4-a: none, one or several addresses of each type are on the host at once."""
    assert bare.typed() == set()
    sockets = []
    for service in DELEGATED:
        assert bare.of_type(service) == []
        for number in (1, 2):
            sockets.append(bare.new_socket())
            address = moorage.setsc(sockets[-1], service, on_net=True)
            assert address in bare.typed()
            assert len(bare.of_type(service)) == number
    assert len(bare.typed()) == 2 * len(DELEGATED)
    assert bare.ordinary()
    for sock in sockets:
        sock.close()


def test_there_are_several_non_persistent_addresses(bare: Scene) -> None:
    """3.4-a: a host with two links has a Non-persistent address of each, and no other without."""
    assert all(address in bare.slaac_prefix("ar1") for address in bare.ordinary())
    bare.lab.attach("mn", "wl1", "ar2")
    eventually(lambda: any(address in bare.slaac_prefix("ar2") for address in bare.ordinary()))
    assert any(address in bare.slaac_prefix("ar1") for address in bare.ordinary())


@pytest.mark.parametrize("service", DELEGATED)
def test_a_type_that_is_not_configured_is_requested(bare: Scene, service: ServiceType) -> None:
    """3.4-b: a request for a type that the host has not makes the network bind a prefix of it."""
    assert bare.bindings() == []
    address = bare.setsc(service)
    [binding] = bare.bindings()
    assert binding.type is service
    assert address in binding.prefix
    assert address in bare.typed()


@pytest.fixture(scope="module")
def scarce(stage: Stage) -> Iterator[Scene]:
    """A lab whose routers do not offer every type, and have one prefix."""
    routers = {
        "offered": ["session-lasting", "non-persistent"],
        "pool": "2001:db8:a100::/64",
    }
    with stage(routers=routers, host={"linger": LINGER}) as scene:
        eventually(scene.booted)
        yield scene


def held(scene: Scene) -> list[IPv6Network]:
    """The prefixes of the host, whose bindings may be renewed at any time."""
    return [binding.prefix for binding in scene.bindings()]


@pytest.mark.parametrize("service", [ServiceType.FIXED, ServiceType.GRACEFUL_REPLACEMENT])
def test_a_type_that_is_not_offered_is_an_error(scarce: Scene, service: ServiceType) -> None:
    """3.4-c: the request for a type that is not offered fails, and leaves nothing behind."""
    before = held(scarce), scarce.typed()
    with pytest.raises(moorage.RequiredIPNotSupported) as caught:
        scarce.setsc(service)
    assert refusal(caught) == scarce.refusal(
        moorage.EAI_REQUIREDIPNOTSUPPORTED, moorage.Reason.TYPE_NOT_OFFERED
    )
    assert (held(scarce), scarce.typed()) == before


def test_a_network_without_prefixes_is_an_error(scarce: Scene) -> None:
    """3.4-c: the request for which no prefix is left fails, and leaves nothing behind."""
    before = held(scarce), scarce.typed()
    with pytest.raises(moorage.SetscError) as caught:
        scarce.setsc(ServiceType.SESSION_LASTING, on_net=True)
    assert refusal(caught) == scarce.refusal(moorage.EAI_REQUIREDIPFAILED, moorage.Reason.POOL_FULL)
    assert (held(scarce), scarce.typed()) == before


def test_no_network_is_an_error(bare: Scene) -> None:
    """3.4-c: the request of a host without a link fails, and succeeds when it has one again."""
    bare.lab.detach("mn", "wl0")
    for service in ServiceType:
        with pytest.raises(moorage.SetscError) as caught:
            bare.setsc(service)
        assert refusal(caught) == bare.refusal(
            moorage.EAI_REQUIREDIPFAILED, moorage.Reason.DETACHED
        )
    bare.lab.attach("mn", "wl0", "ar1")
    for service in (ServiceType.NON_PERSISTENT, ServiceType.SESSION_LASTING):
        with bare.connect(service) as connection:
            assert bare.type_of(connection.source) is bare.granted(service)
            assert connection.works()


@pytest.mark.parametrize("service", ServiceType)
def test_a_later_socket_gets_the_same_address(scene: Scene, service: ServiceType) -> None:
    """3.4-d: while one socket has an address of a type, another one gets the same."""
    with scene.connect(service) as first, scene.connect(service) as second:
        assert first.source == second.source
        assert first.works()
        assert second.works()
