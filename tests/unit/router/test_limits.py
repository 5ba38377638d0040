"""How many leases of a type there are: for one client, and in all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from moorage.router.holdings import Holdings
from moorage.router.settings import Limits, LimitTable
from moorage.service import ServiceType
from moorage.store.model import Binding, BindingState
from moorage.wire.dhcp6 import MessageType, RapidCommit, Refusal, RefusalReason
from tests.domain import ANY, Client, Domain, ia, lease, said, two_routers

FIXED = ServiceType.FIXED
SESSION_LASTING = ServiceType.SESSION_LASTING


def limited(**limits: Any) -> Domain:
    return two_routers(limits=LimitTable(fixed=Limits(**limits)))


async def refused(domain: Domain, client: Client, kind: ServiceType, iaid: int) -> RefusalReason:
    """Why the first router refuses a prefix."""
    reply = await client.solicit(domain.sites[0], kind, iaid)
    refusal = said(reply).for_iaid(Refusal, iaid)
    assert refusal is not None
    return refusal.reason


async def test_one_client_gets_so_many_of_a_type() -> None:
    domain = limited(per_host=2)
    site, client = domain.sites[0], Client(domain.clock)
    kept = [await client.acquire(site, FIXED, iaid) for iaid in (1, 2)]
    assert await refused(domain, client, FIXED, 3) is RefusalReason.QUOTA
    # Another type, another client, and what it has already, are something else.
    await client.acquire(site, SESSION_LASTING, 4)
    await Client(domain.clock).acquire(site, FIXED)
    assert await client.acquire(site, FIXED, 1) == kept[0]
    await client.ask(site, client.release(site, kept[0], 1))
    await client.acquire(site, FIXED, 5)


async def test_a_router_gives_so_many_of_a_type() -> None:
    domain = limited(in_all=2)
    site = domain.sites[0]
    for _ in range(2):
        await Client(domain.clock).acquire(site, FIXED)
    late = Client(domain.clock)
    assert await refused(domain, late, FIXED, 1) is RefusalReason.POOL_FULL
    await late.acquire(site, SESSION_LASTING, 2)
    await Client(domain.clock).acquire(domain.sites[1], FIXED)


async def test_the_limits_hold_within_one_message() -> None:
    for limits in (Limits(per_host=2), Limits(in_all=2)):
        domain = two_routers(limits=LimitTable(fixed=limits))
        site, client = domain.sites[0], Client(domain.clock)
        iaids = range(1, 6)
        message = client.message(
            MessageType.SOLICIT,
            [ia(iaid, ANY) for iaid in iaids],
            dict.fromkeys(iaids, FIXED),
            options=[RapidCommit()],
        )
        reply = await client.ask(site, message)
        assert [said(reply).for_iaid(Refusal, iaid) is None for iaid in iaids] == [
            True,
            True,
            False,
            False,
            False,
        ]


async def test_a_type_may_be_limited_to_none() -> None:
    domain = limited(per_host=0)
    assert await refused(domain, Client(domain.clock), FIXED, 1) is RefusalReason.QUOTA


async def test_a_router_gives_so_much_in_all() -> None:
    domain = two_routers(capacity=3)
    site = domain.sites[0]
    clients = [Client(domain.clock) for _ in range(3)]
    prefixes = [await client.acquire(site, SESSION_LASTING) for client in clients]
    late = Client(domain.clock)
    assert await refused(domain, late, FIXED, 1) is RefusalReason.POOL_FULL
    # Who has something goes on with it; what was given back is not free yet.
    renewed = await clients[0].ask(site, clients[0].rebind(prefixes[0], SESSION_LASTING))
    assert lease(renewed).valid == 7200
    await clients[0].ask(site, clients[0].release(site, prefixes[0]))
    assert await refused(domain, late, FIXED, 1) is RefusalReason.POOL_FULL


@pytest.fixture
async def binding() -> Binding:
    domain = two_routers()
    await Client(domain.clock).acquire(domain.sites[0], FIXED)
    return await domain.binding()


def test_holdings_come_and_go(binding: Binding) -> None:
    other = replace(binding, prefix=ANY, state=BindingState.RELEASED)
    holdings = Holdings()
    holdings.add(binding)
    holdings.add(other)
    assert holdings.of_client(binding.client) == (binding.prefix, ANY)
    assert (holdings.given("ar1", FIXED), holdings.given("ar1", None)) == (1, 2)
    assert (holdings.given("ar2", FIXED), holdings.given("ar2", None)) == (0, 0)
    holdings.remove(binding)
    assert holdings.of_client(binding.client) == (ANY,)
    assert (holdings.given("ar1", FIXED), holdings.given("ar1", None)) == (0, 1)
    holdings.remove(other)
    assert holdings.of_client(binding.client) == ()
