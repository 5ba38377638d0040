"""Why a prefix is refused, in the numbers on the wire (`docs/protocol.md`, sub-option 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from moorage.router.config import Keyless, Policy
from moorage.router.inbox import Arrival
from moorage.router.settings import Limits, LimitTable
from moorage.service import ServiceType
from moorage.wire.dhcp6 import MessageType, RapidCommit
from tests.domain import ANY, Client, Domain, Site, ia, router_config, two_routers

FIXED = ServiceType.FIXED
SESSION_LASTING = ServiceType.SESSION_LASTING
ONE_FIXED = {"limits": LimitTable(fixed=Limits(per_host=1))}
ONE_FIXED_IN_ALL = {"limits": LimitTable(fixed=Limits(in_all=1))}
IAID = 0x0A0B0C0D

NO_PREFIX_AVAILABLE = b"\x00\x06"


def refused(reply: bytes | None) -> int:
    """The number in the refusal; beside it the IA_PD says NoPrefixAvail, and has no prefix."""
    assert reply is not None
    name = IAID.to_bytes(4, "big")
    _, refusal = reply.split(b"\x00\x03\x00\x05" + name)
    association = reply[reply.index(name) - 4 :]
    code, length = association[:2], int.from_bytes(association[2:4], "big")
    assert code == b"\x00\x19"
    status = association[16 : 4 + length]
    assert status[:2] == b"\x00\x0d"
    assert status[4:6] == NO_PREFIX_AVAILABLE
    assert len(status) == 4 + int.from_bytes(status[2:4], "big")
    return refusal[0]


async def solicit(client: Client, site: Site, kind: ServiceType = FIXED) -> bytes | None:
    """The answer to a request for one more prefix."""
    message = client.message(
        MessageType.SOLICIT, [ia(IAID, ANY)], {IAID: kind}, options=[RapidCommit()]
    )
    return await site.send(Arrival(client.sign(message, site.link_id), client.source))


@pytest.mark.parametrize("kind", ServiceType)
async def test_1_the_type_is_not_offered(kind: ServiceType) -> None:
    others = [each.slug for each in ServiceType if each is not kind]
    domain = two_routers(offered=others, default_type=others[0])
    client = Client(domain.clock)
    assert refused(await solicit(client, domain.sites[0], kind)) == 1
    for other in set(ServiceType) - {kind}:
        await client.acquire(domain.sites[0], other, 100 + other)


@pytest.mark.parametrize(
    "config",
    [{"pool": IPv6Network("2001:db8:a100::/64")}, {"capacity": 1}, ONE_FIXED_IN_ALL],
    ids=["no prefix is left", "capacity", "limit of the type"],
)
async def test_2_the_pool_is_full(config: Mapping[str, Any]) -> None:
    domain = Domain(router_config(**config))
    [site] = domain.sites
    await Client(domain.clock).acquire(site, FIXED)
    assert refused(await solicit(Client(domain.clock), site)) == 2


@pytest.mark.parametrize("config", [{"quota": 1}, ONE_FIXED], ids=["quota", "limit of the type"])
async def test_3_the_client_has_enough(config: Mapping[str, Any]) -> None:
    domain = two_routers(**config)
    client = Client(domain.clock)
    await client.acquire(domain.sites[0], FIXED)
    for site in domain.sites:  # what it has from another router counts
        assert refused(await solicit(client, site)) == 3


async def test_4_the_operator_does_not_permit_the_type() -> None:
    domain = two_routers(policy=Policy(permitted=["session-lasting"]))
    assert refused(await solicit(Client(domain.clock), domain.sites[0])) == 4


async def test_4_the_prefix_belongs_to_a_key() -> None:
    domain = two_routers()
    owner = Client(domain.clock)
    await owner.acquire(domain.sites[0], FIXED, IAID)
    stranger = replace(owner, identity=None, plain_duid=owner.duid)
    assert refused(await solicit(stranger, domain.sites[0])) == 4


async def test_5_the_prefix_is_served_elsewhere() -> None:
    domain = two_routers(keyless=Keyless.AFTER_DEPARTURE)
    client = Client(domain.clock, None)
    await client.acquire(domain.sites[0], FIXED, IAID)
    assert refused(await solicit(client, domain.sites[1])) == 5


@pytest.mark.parametrize("seconds", [-61, 61])
async def test_6_the_time_is_wrong(seconds: int) -> None:
    domain = two_routers()
    client = Client(domain.clock)
    domain.clock.now += seconds
    late = client.message(
        MessageType.SOLICIT, [ia(IAID, ANY)], {IAID: FIXED}, options=[RapidCommit()]
    )
    datagram = client.sign(late)
    domain.clock.now -= seconds
    assert refused(await domain.sites[0].send(Arrival(datagram, client.source))) == 6


async def test_6_the_signature_is_for_another_address() -> None:
    domain = two_routers()
    client = Client(domain.clock)
    message = client.message(
        MessageType.SOLICIT, [ia(IAID, ANY)], {IAID: FIXED}, options=[RapidCommit()]
    )
    arrival = Arrival(client.sign(message), IPv6Address("fe80::bad"))
    assert refused(await domain.sites[0].send(arrival)) == 6
