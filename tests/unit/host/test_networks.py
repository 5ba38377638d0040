from __future__ import annotations

from ipaddress import IPv6Address
from random import Random

import pytest

from moorage.host.attachment import Attachment
from moorage.host.networks import Networks
from moorage.host.requester import Requester
from moorage.service import ServiceType
from moorage.wire.dhcp6 import ClientId, Message, MessageType, NetworkPolicy, OnDemand, ServerId
from moorage.wire.nd import OnDemandLink
from tests.scripted import DOMAIN, DUID, LASTING, SERVER, WL0

ROUTER = IPv6Address("fe80::a1")
DICTATED = NetworkPolicy(frozenset({LASTING}), frozenset(), None)


@pytest.fixture
def requester() -> Requester:
    return Requester(lambda domain: DUID, Random(1))


@pytest.fixture
def networks(requester: Requester) -> Networks:
    return Networks(requester)


def on(domain: bytes | None, *, heard: bool = True) -> Attachment:
    link = None if domain is None else OnDemandLink(frozenset(ServiceType), domain, b"the link")
    routers = {ROUTER: 1800.0} if heard else {}
    return Attachment(WL0, 0.0, IPv6Address("fe80::1"), routers=routers, on_demand=link)


def hear(requester: Requester, policy: NetworkPolicy | None) -> None:
    requester.link_lost(WL0)
    requester.ask_policy(WL0, DOMAIN, 0.0)
    [sent] = requester.poll(0.0)
    ours = OnDemand(() if policy is None else (policy,)).to_option()
    options = (ClientId(DUID), ServerId(SERVER), ours)
    answer = Message(MessageType.REPLY, sent.message.transaction_id, options)
    requester.receive(WL0, ROUTER, answer, 0.0)


def test_nothing_is_known_of_a_new_network(networks: Networks) -> None:
    assert not networks.heed(on(b"operator"))
    assert networks.policy is None
    assert not networks.known(on(b"operator"))


def test_a_domain_is_remembered(requester: Requester, networks: Networks) -> None:
    hear(requester, DICTATED)
    assert networks.heed(on(b"operator"))
    assert networks.policy == DICTATED
    assert not networks.heed(on(b"operator"))
    requester.link_lost(WL0)
    assert networks.heed(on(b"somebody"))
    assert networks.policy is None
    assert not networks.known(on(b"somebody"))
    assert networks.heed(on(b"operator"))
    assert networks.policy == DICTATED
    assert networks.known(on(b"operator"))


def test_before_anything_was_heard_it_is_the_network_of_before(
    requester: Requester, networks: Networks
) -> None:
    hear(requester, DICTATED)
    networks.heed(on(b"operator"))
    requester.link_lost(WL0)
    assert not networks.heed(on(None, heard=False))
    assert networks.policy == DICTATED
    assert networks.heed(on(None))
    assert networks.policy is None


def test_what_is_said_now_counts(requester: Requester, networks: Networks) -> None:
    hear(requester, DICTATED)
    networks.heed(on(b"operator"))
    hear(requester, None)
    assert networks.heed(on(b"operator"))
    assert networks.policy is None
    requester.link_lost(WL0)
    assert not networks.heed(on(b"operator"))
    assert networks.known(on(b"operator"))


def test_before_its_domain_is_known_a_link_speaks_for_itself(
    requester: Requester, networks: Networks
) -> None:
    hear(requester, DICTATED)
    assert networks.heed(on(None, heard=False))
    assert networks.policy == DICTATED
    requester.link_lost(WL0)
    assert not networks.known(on(None))


def test_the_memory_is_bounded(requester: Requester, networks: Networks) -> None:
    hear(requester, DICTATED)
    for number in range(100):
        networks.heed(on(number.to_bytes(8, "big")))
    requester.link_lost(WL0)
    known = [networks.known(on(number.to_bytes(8, "big"))) for number in range(100)]
    assert known == [False] * 36 + [True] * 64
