"""Draft section 7: what is limited lasts for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType, RapidCommit
from tests.conformance.conftest import Stage
from tests.conformance.scene import Scene, eventually
from tests.domain import ANY, ia, lease
from tests.lab.endpoint import Endpoint

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def scarce(stage: Stage) -> Iterator[Scene]:
    """A network with a few prefixes, of which one host gets less, and of one type even fewer."""
    routers = {"pool": "2001:db8:a100::/61", "quota": 4, "limits": {"fixed": {"per_host": 2}}}
    with stage(routers=routers, host={"at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


def take_all(scene: Scene, service: ServiceType) -> moorage.Reason:
    """Have an application ask for new addresses until it gets none, and return why."""
    for _ in range(20):
        try:
            scene.setsc(service, on_net=True)
        except moorage.RequiredIPFailed as error:
            return error.reason
    raise AssertionError("no limit")


def test_one_host_cannot_take_what_there_is_for_all(scarce: Scene) -> None:
    """7-b: the network gives one host so many prefixes, and so many of a type, others theirs."""
    assert take_all(scarce, ServiceType.FIXED) is moorage.Reason.QUOTA
    assert len(scarce.of_type(ServiceType.FIXED)) == 2
    assert take_all(scarce, ServiceType.SESSION_LASTING) is moorage.Reason.QUOTA
    assert len(scarce.bindings()) == 4
    with ExitStack() as stack:
        other = Endpoint(scarce.lab, stack, plain_duid=b"\x00\x03another host")
        solicit = other.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
        assert lease(other.exchange(solicit)).valid > 0
