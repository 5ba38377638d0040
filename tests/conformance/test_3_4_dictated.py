"""Draft section 3.4: the policy that the network's operator dictates, as the network tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import moorage
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType, NetworkPolicy, OnDemand, RapidCommit
from tests.conformance.conftest import Stage
from tests.conformance.scene import Scene, eventually
from tests.domain import ANY, ia, lease
from tests.lab.endpoint import Endpoint

pytestmark = pytest.mark.netns

PERMITTED = frozenset({ServiceType.SESSION_LASTING, ServiceType.GRACEFUL_REPLACEMENT})
BOOT = frozenset({ServiceType.GRACEFUL_REPLACEMENT})
DEFAULT = ServiceType.SESSION_LASTING


@pytest.fixture(scope="module")
def dictated(stage: Stage) -> Iterator[Scene]:
    """A network whose operator dictates, and a host that has not asked for anything yet."""
    policy = {
        "permitted": [kind.slug for kind in sorted(PERMITTED)],
        "boot": [kind.slug for kind in sorted(BOOT)],
        "default": DEFAULT.slug,
    }
    routers = {"policy": policy, "default_type": "graceful-replacement"}
    with stage(routers=routers, host={"at_boot": []}) as scene:
        eventually(scene.settled)
        yield scene


@pytest.fixture(scope="module")
def told(dictated: Scene) -> NetworkPolicy:
    """The policy in a Reply to the host."""
    tap = dictated.tap()
    dictated.setsc(ServiceType.SESSION_LASTING, on_net=True)
    replies = eventually(lambda: tap.messages(MessageType.REPLY))
    about = OnDemand.of(replies[0])
    assert about is not None
    policy = about.first(NetworkPolicy)
    assert policy is not None
    return policy


def test_the_network_says_what_to_have_at_boot(told: NetworkPolicy) -> None:
    """3.4-g: every Reply tells the types whose addresses the operator wants there at boot."""
    assert told.boot == BOOT


def test_the_network_says_what_is_permitted(told: NetworkPolicy) -> None:
    """3.4-h: every Reply tells which types the operator lets applications have."""
    assert told.permitted == PERMITTED


def test_the_network_refuses_what_it_does_not_permit(dictated: Scene) -> None:
    """3.4-h: a type that the operator does not permit is refused, whatever the host thinks."""
    before = dictated.bindings()
    with pytest.raises(moorage.RequiredIPFailed) as caught:
        dictated.setsc(ServiceType.FIXED)
    assert caught.value.reason is moorage.Reason.NOT_AUTHORISED
    assert dictated.bindings() == before


def test_the_network_says_the_default_type(told: NetworkPolicy) -> None:
    """3.4-i: every Reply tells the operator's default for applications that say nothing."""
    assert told.default is DEFAULT


def test_the_network_chooses_for_who_asks_for_no_type(dictated: Scene) -> None:
    """3.4-i: a request without a type gets a prefix of the network's default type."""
    with ExitStack() as stack:
        client = Endpoint(dictated.lab, stack)
        solicit = client.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
        prefix = lease(client.exchange(solicit)).prefix
    assert dictated.binding(prefix[1]).type is ServiceType.GRACEFUL_REPLACEMENT
