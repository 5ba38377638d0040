"""The host daemon in networks of today, which know nothing of the service."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path
from typing import Final

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import DELEGATED, Scene, Tap, eventually, open_scene
from tests.interop.networks import LEASES, Network, dnsmasq, kea, radvd

pytestmark = [pytest.mark.netns, pytest.mark.interop]

NETWORKS: Final = [radvd, dnsmasq, kea]


@dataclass(frozen=True)
class Visit:
    """A host with the daemon, at a router that is somebody else's programs."""

    scene: Scene
    tap: Tap

    def refusal(self, service: ServiceType) -> moorage.SetscError:
        """What ``setsc()`` raises."""
        with pytest.raises(moorage.SetscError) as caught:
            self.scene.setsc(service)
        return caught.value


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    found: Network = request.param
    return found


@pytest.fixture
def visit(mark: str, tmp_path: Path, network: Network) -> Iterator[Visit]:
    with open_scene(tmp_path, host={"linger": LINGER, "at_boot": []}, daemons=False) as scene:
        router = scene.lab.node("ar1")
        with network(router, scene.topology.routers["ar1"]):
            tap = scene.tap()
            scene.lab.daemon("mn").start()
            eventually(scene.ordinary)
            yield Visit(scene, tap)


def test_non_persistent_is_what_the_network_gives(visit: Visit) -> None:
    with visit.scene.connect(ServiceType.NON_PERSISTENT) as connection:
        assert connection.source in visit.scene.slaac_prefix("ar1")
        assert connection.works()


@pytest.mark.parametrize("service", DELEGATED)
def test_the_other_types_are_not_supported(visit: Visit, service: ServiceType) -> None:
    assert visit.refusal(service).errno == moorage.EAI_REQUIREDIPNOTSUPPORTED
    assert not visit.scene.typed()


def test_that_is_remembered(visit: Visit) -> None:
    """Whoever asks next is told without another message to the network."""
    visit.refusal(ServiceType.FIXED)
    eventually(lambda: handed_back(visit) == given(visit))
    visit.tap.messages()
    for service in DELEGATED:
        assert visit.refusal(service).errno == moorage.EAI_REQUIREDIPNOTSUPPORTED
    assert visit.tap.messages(MessageType.SOLICIT) == []


def test_that_is_remembered_of_this_network_alone(visit: Visit) -> None:
    visit.refusal(ServiceType.SESSION_LASTING)
    visit.scene.lab.daemon("ar2").start()
    visit.scene.move()
    with visit.scene.connect(ServiceType.SESSION_LASTING) as connection:
        assert connection.source in visit.scene.pool("ar2")
        assert connection.works()


@pytest.mark.parametrize("network", [kea], indirect=True)
def test_a_prefix_without_a_type_is_handed_back(visit: Visit) -> None:
    """Kea's own lease file says so."""
    visit.refusal(ServiceType.FIXED)
    eventually(lambda: handed_back(visit))
    assert handed_back(visit) == given(visit)


def leases(visit: Visit) -> dict[IPv6Network, str]:
    """The valid lifetime of each prefix as Kea noted it last."""
    try:
        with (visit.scene.lab.node("ar1").folder / LEASES).open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["lease_type"] == "2"]
    except FileNotFoundError:
        return {}
    return {
        IPv6Network(f"{row['address']}/{row['prefix_len']}"): row["valid_lifetime"] for row in rows
    }


def given(visit: Visit) -> set[IPv6Network]:
    return set(leases(visit))


def handed_back(visit: Visit) -> set[IPv6Network]:
    return {prefix for prefix, lifetime in leases(visit).items() if lifetime == "0"}


def test_a_move_into_an_ordinary_network_and_back(mark: str, tmp_path: Path) -> None:
    """A typed connection waits for a network that serves it; an ordinary one works meanwhile."""
    with open_scene(tmp_path, host={"at_boot": []}, daemons=False) as scene:
        for name in ("ar2", "mn"):
            scene.lab.daemon(name).start()
        scene.lab.move("mn", "ar2")
        with (
            radvd(scene.lab.node("ar1"), scene.topology.routers["ar1"]),
            scene.connect(ServiceType.SESSION_LASTING) as typed,
        ):
            tap = scene.tap()
            scene.lab.move("mn", "ar1")
            eventually(lambda: tap.messages(MessageType.REBIND))
            with scene.connect(ServiceType.NON_PERSISTENT) as ordinary:
                assert ordinary.source in scene.slaac_prefix("ar1")
                assert ordinary.works()
            scene.move()
            assert typed.works()
