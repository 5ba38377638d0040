"""Draft section 5.3: hosts that know nothing of On-Demand Mobility, in our network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address

import pytest

from moorage.wire.dhcp6 import ClientId, IaNa, MessageType, OnDemand, ServerId
from tests.conformance.conftest import Stage
from tests.conformance.scene import Scene, eventually
from tests.domain import ANY, ia, lease
from tests.lab.endpoint import Endpoint
from tests.lab.plain_host import interface, reached, set_up

pytestmark = pytest.mark.netns


@pytest.fixture
def plain(stage: Stage) -> Iterator[Scene]:
    """Our network, and a host whose kernel is all that it has."""
    with stage(routers={"hold": 0}, daemons=False) as scene:
        for name in scene.topology.routers:
            scene.lab.daemon(name).start()
        eventually(scene.settled)
        yield scene


def test_a_host_without_dhcp_is_served(plain: Scene) -> None:
    """5.3-a: a host that does stateless configuration alone gets an address that works."""
    with plain.connect_plainly() as connection:
        assert connection.source in plain.slaac_prefix(plain.here)
        assert connection.works()
    assert plain.bindings() == []


def test_a_plain_client_gets_a_prefix_and_an_address(plain: Scene) -> None:
    """5.3-a: a DHCPv6 client that knows no types is served with four messages, and told of none."""
    with ExitStack() as stack:
        client = Endpoint(plain.lab, stack)
        wishes = [IaNa(1, 0, 0)]
        advertise = client.exchange(
            client.message(MessageType.SOLICIT, [ia(1, ANY)], options=wishes)
        )
        assert advertise.type is MessageType.ADVERTISE
        server = advertise.first(ServerId)
        assert server is not None
        request = client.message(
            MessageType.REQUEST, [ia(1, lease(advertise).prefix)], {}, server.duid, wishes
        )
        reply = client.exchange(request)
        assert OnDemand.of(advertise) is None
        assert OnDemand.of(reply) is None
        assert reply.first(ClientId) == ClientId(client.duid)
        prefix = lease(reply).prefix
        assert prefix == lease(advertise).prefix
        [address] = reply.every(IaNa)
        assert all(each.address in plain.slaac_prefix(plain.here) for each in address.addresses)
        client.node.call(set_up, prefix, client.index, IPv6Address(client.router))
        assert reached(plain.lab, prefix)


def test_a_plain_client_that_moves_and_rebinds_keeps_its_prefix(plain: Scene) -> None:
    """5.3-a: Rebind is all that a DHCPv6 client has to do after a move to keep its addresses."""
    with ExitStack() as stack:
        client = Endpoint(plain.lab, stack)
        solicit = client.message(MessageType.SOLICIT, [ia(1, ANY)])
        advertise = client.exchange(solicit)
        server = advertise.first(ServerId)
        assert server is not None
        prefix = lease(advertise).prefix
        request = client.message(MessageType.REQUEST, [ia(1, prefix)], {}, server.duid)
        client.exchange(request)
        plain.lab.move("mn", plain.elsewhere)
        client.index, client.source = client.node.call(interface, "wl0")
        reply = client.exchange(client.rebind(prefix))
        assert lease(reply).prefix == prefix
        client.node.call(set_up, prefix, client.index, IPv6Address(client.router))
        assert reached(plain.lab, prefix)
        [binding] = plain.bindings()
        assert binding.serving == plain.here
