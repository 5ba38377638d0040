"""Prefix Exclude on real links: a router's uplink address is from its own delegated prefix."""

from __future__ import annotations

from contextlib import ExitStack, closing
from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.kernel.addresses import Address, NetlinkAddressTable
from moorage.lab.lab import Lab
from moorage.lab.ping import ping
from moorage.wire.dhcp6 import (
    MessageType,
    Option,
    OptionRequest,
    PrefixExclude,
    RapidCommit,
)
from tests.domain import ia, lease
from tests.lab.endpoint import Endpoint
from tests.lab.plain_host import PATIENCE, interface, routes_of, set_up

pytestmark = pytest.mark.netns

WISH = OptionRequest((PrefixExclude.option_code,))
ROUTER = {
    "prefix_lengths": [64, 56],
    "dhcp": {"exclude": 64},
    "keyless": "always",
    "probe_interval": 0.1,
}


def add_address(address: IPv6Address, index: int) -> None:
    """Do what a client does on its uplink with the part that is for it."""
    with closing(NetlinkAddressTable()) as table:
        table.add(Address(address, index, 64))


def test_the_excluded_part_is_on_the_link_there_and_elsewhere(lab: Lab) -> None:
    for name in ("ar1", "ar2"):
        lab.daemon(name).start(**ROUTER)
    with ExitStack() as stack:
        client = Endpoint(lab, stack)
        rapid: list[Option] = [WISH, RapidCommit(), ia(1, IPv6Network("::/56"))]
        given = lease(client.exchange(client.message(MessageType.SOLICIT, options=rapid)))
        [option] = given.options
        assert isinstance(option, PrefixExclude)
        part = option.within(given.prefix)
        assert part == IPv6Network((given.prefix[0], 64))
        uplink, behind = part[5], given.prefix[7 << 64]
        client.node.call(add_address, uplink, client.index)
        client.node.call(
            set_up, IPv6Network((behind, 64)), client.index, IPv6Address(client.router)
        )
        for router in ("ar1", "ar2"):
            if router == "ar2":
                lab.move("mn", router)
                client.index, client.source = client.node.call(interface, "wl0")
                rebind = client.message(MessageType.REBIND, [ia(1, given.prefix)], options=[WISH])
                assert lease(client.exchange(rebind)).options == given.options
                client.node.call(
                    set_up, IPv6Network((behind, 64)), client.index, IPv6Address(client.router)
                )
            for address in (uplink, behind + 1):
                assert ping(lab.node("cn"), address, within=PATIENCE) is not None
            to = {
                route.destination: route.gateway
                for route in routes_of(lab.node(router))
                if route.destination.subnet_of(given.prefix)
            }
            assert to == {given.prefix: client.source, part: None}
