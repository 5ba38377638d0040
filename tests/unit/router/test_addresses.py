"""Single addresses (IA_NA): RFC 8415 sections 13.1 and 18.3."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from moorage.router.config import AccessLink, Keyless
from moorage.router.lifecycle import Departures, Expiry
from moorage.router.pool import Pool
from moorage.router.settings import Dhcp
from moorage.router.supply import Addresses
from moorage.service import ServiceType
from moorage.store.model import BindingState
from moorage.wire.dhcp6 import (
    IaAddr,
    IaNa,
    IaPd,
    Message,
    MessageType,
    Option,
    RapidCommit,
    Refusal,
    Status,
    StatusCode,
)
from tests.domain import ANY, SOURCE, Client, Domain, Site, ia, lease, said, two_routers

SLAAC = IPv6Network("2001:db8:1001::/64")
ELSEWHERE = IPv6Address("2001:db8:9::5")


def na(iaid: int, *addresses: IPv6Address) -> IaNa:
    """The IA_NA of a request."""
    return IaNa(iaid, 0, 0, tuple(IaAddr(address, 0, 0) for address in addresses))


def given(reply: Message, iaid: int = 1) -> IaAddr:
    """The only address of an IA_NA, which has no status."""
    [found] = [each for each in reply.every(IaNa) if each.iaid == iaid]
    assert found.status is None, found.status
    [address] = found.addresses
    return address


def status(reply: Message, iaid: int = 1) -> int:
    """The status of an IA_NA without addresses."""
    [found] = [each for each in reply.every(IaNa) if each.iaid == iaid]
    assert found.addresses == ()
    assert found.status is not None
    return found.status.code


class Plain(Client):
    """A client of somebody else."""

    def __init__(self, domain: Domain, **changes: Any) -> None:
        super().__init__(domain.clock, None, speaks=False, **changes)

    async def get(self, site: Site, iaid: int = 1) -> IPv6Address:
        """Ask for an address with two messages."""
        rapid: list[Option] = [RapidCommit(), na(iaid)]
        reply = await self.ask(site, self.message(MessageType.SOLICIT, options=rapid))
        return given(reply, iaid).address

    async def say(self, site: Site, kind: MessageType, *associations: Option) -> Message:
        """Send a message to a server that is known, and return the answer."""
        one_server = kind not in {MessageType.SOLICIT, MessageType.CONFIRM, MessageType.REBIND}
        server = site.config.server_duid if one_server else None
        return await self.ask(site, self.message(kind, server=server, options=associations))


async def test_an_address_of_the_link_is_assigned_and_kept() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    rapid: list[Option] = [RapidCommit(), na(1)]
    reply = await client.ask(site, client.message(MessageType.SOLICIT, options=rapid))
    lifetimes = site.config.lifetimes.non_persistent
    address = given(reply)
    assert address.address in SLAAC
    assert (address.preferred, address.valid) == (lifetimes.preferred, lifetimes.valid)
    [found] = reply.every(IaNa)
    assert (found.t1, found.t2) == (lifetimes.t1, lifetimes.t2)
    binding = await domain.binding()
    assert binding.prefix == IPv6Network(address.address)
    assert binding.type is ServiceType.NON_PERSISTENT
    assert (binding.anchor, binding.serving, binding.next_hop) == ("ar1", "ar1", SOURCE)
    assert await client.get(site) == address.address


async def test_four_messages_give_what_was_advertised() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    advertised = given(await client.say(site, MessageType.SOLICIT, na(1))).address
    assert await domain.bindings() == []
    reply = await client.say(site, MessageType.REQUEST, na(1, advertised))
    assert given(reply).address == advertised


async def test_an_address_and_a_prefix_may_have_one_iaid() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    rapid: list[Option] = [RapidCommit(), na(1)]
    reply = await client.ask(site, client.message(MessageType.SOLICIT, [ia(1, ANY)], options=rapid))
    assert given(reply).address in SLAAC
    assert lease(reply).prefix.subnet_of(site.config.pool)
    [address] = reply.every(IaNa)
    [prefix] = reply.every(IaPd)
    assert (address.t1, address.t2) == (prefix.t1, prefix.t2)
    assert len(await domain.bindings()) == 2


async def test_a_keyed_host_may_ask_too_and_its_address_has_no_service_type() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    rapid: list[Option] = [RapidCommit(), na(1)]
    reply = await client.ask(site, client.message(MessageType.SOLICIT, options=rapid))
    assert given(reply).address in SLAAC
    assert said(reply).service_type(1) is None
    assert (await domain.binding()).key == (client.identity and client.identity.public_key)


@pytest.mark.parametrize("kind", [MessageType.RENEW, MessageType.REBIND])
async def test_an_address_is_extended(kind: MessageType) -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    address = await client.get(site)
    domain.clock.now += 600
    reply = await client.say(site, kind, na(1, address))
    assert given(reply) == IaAddr(address, 1800, 3600)
    assert (await domain.binding()).valid_until == domain.clock.now + 3600


async def test_an_address_that_was_released_rests_before_somebody_gets_it() -> None:
    pool = IPv6Network("2001:db8:1001::10/128")
    domain = two_routers(access=[AccessLink(interface="acc0", address_pool=pool)])
    site = domain.sites[0]
    client, other = Plain(domain), Plain(domain, plain_duid=b"\x00\x03other")
    address = await client.get(site)
    assert address == pool.network_address
    reply = await client.say(site, MessageType.RELEASE, na(1, address))
    assert reply.first(StatusCode) == StatusCode(Status.SUCCESS)
    assert (await domain.binding()).state is BindingState.RELEASED
    refused = await other.say(site, MessageType.SOLICIT, na(1))
    assert status(refused) == Status.NO_ADDRS_AVAIL


async def test_a_declined_address_is_not_given_to_anybody_for_long() -> None:
    domain = two_routers(dhcp=Dhcp(declined=3600))
    site, client = domain.sites[0], Plain(domain)
    address = await client.get(site)
    reply = await client.say(site, MessageType.DECLINE, na(1, address))
    assert reply.first(StatusCode) == StatusCode(Status.SUCCESS)
    assert reply.every(IaNa) == ()
    binding = await domain.binding()
    assert (binding.state, binding.valid_until) == (
        BindingState.RELEASED,
        domain.clock.now + 3600,
    )
    assert await client.get(site) != address


async def test_what_is_not_the_clients_is_not_declined_or_released() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    address = await client.get(site)
    other = Plain(domain, plain_duid=b"\x00\x03other")
    for kind in (MessageType.DECLINE, MessageType.RELEASE):
        reply = await other.say(site, kind, na(1, address))
        assert reply.first(StatusCode) == StatusCode(Status.SUCCESS)
        assert status(reply) == Status.NO_BINDING
        assert status(await client.say(site, kind, na(1, ELSEWHERE))) == Status.NO_BINDING
    assert (await domain.binding()).held


async def test_a_prefix_cannot_be_declined() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    prefix = await client.acquire(site, None)
    reply = await client.say(site, MessageType.DECLINE, ia(1, prefix), ia(2, prefix))
    [unknown] = reply.every(IaPd)
    assert unknown.iaid == 2
    assert unknown.status is not None
    assert unknown.status.code == Status.NO_BINDING
    assert (await domain.binding()).held


# ---- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ([SLAAC[5]], Status.SUCCESS),
        ([SLAAC[5], SLAAC[6]], Status.SUCCESS),
        ([ELSEWHERE], Status.NOT_ON_LINK),
        ([SLAAC[5], ELSEWHERE], Status.NOT_ON_LINK),
    ],
)
async def test_a_confirm_says_whether_all_addresses_are_of_the_link(
    addresses: Iterable[IPv6Address], expected: Status
) -> None:
    domain = two_routers()
    reply = await Plain(domain).say(domain.sites[0], MessageType.CONFIRM, na(1, *addresses))
    found = reply.first(StatusCode)
    assert found is not None
    assert found.code == expected


@pytest.mark.parametrize("link", [0, 1])
async def test_a_confirm_of_which_nothing_can_be_said_is_dropped(link: int) -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    site.link = site.config.access[link]
    addresses = () if link == 0 else (ELSEWHERE,)
    message = client.message(MessageType.CONFIRM, options=[na(1, *addresses)])
    assert await client.try_ask(site, message) is None
    assert site.complaints.counts["DHCPv6 message"] == 1


async def test_a_request_for_an_address_of_another_link_is_not_on_link() -> None:
    domain = two_routers()
    reply = await Plain(domain).say(domain.sites[0], MessageType.REQUEST, na(1, ELSEWHERE))
    assert status(reply) == Status.NOT_ON_LINK
    assert await domain.bindings() == []


async def test_an_address_of_another_link_is_withdrawn() -> None:
    domain = two_routers()
    for kind in (MessageType.RENEW, MessageType.REBIND):
        reply = await Plain(domain).say(domain.sites[0], kind, na(1, ELSEWHERE))
        assert given(reply) == IaAddr(ELSEWHERE, 0, 0)


async def test_an_address_of_the_link_that_nobody_has_given_has_no_binding() -> None:
    domain = two_routers()
    for kind in (MessageType.RENEW, MessageType.REBIND):
        reply = await Plain(domain).say(domain.sites[0], kind, na(1, SLAAC[5]))
        assert status(reply) == Status.NO_BINDING


async def test_an_address_ends_when_its_host_moves() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    rapid: list[Option] = [RapidCommit(), na(1)]
    reply = await client.ask(first, client.message(MessageType.SOLICIT, options=rapid))
    old = given(reply).address
    moved = await client.ask(second, client.message(MessageType.REBIND, options=[na(1, old)]))
    assert given(moved) == IaAddr(old, 0, 0)
    assert (await domain.binding()).state is BindingState.RELEASED
    fresh = await client.ask(second, client.message(MessageType.SOLICIT, options=rapid))
    assert given(fresh).address in IPv6Network("2001:db8:1002::/64")


async def test_an_address_is_of_one_link_of_a_router() -> None:
    other = IPv6Network("2001:db8:2001::/64")
    access = [
        AccessLink(interface="acc0", slaac_prefix=SLAAC),
        AccessLink(interface="acc1", slaac_prefix=other),
    ]
    domain = two_routers(access=access, keyless=Keyless.ALWAYS)
    site, client = domain.sites[0], Plain(domain)
    old = await client.get(site)
    site.link = site.config.access[1]
    assert given(await client.say(site, MessageType.REBIND, na(1, old))) == IaAddr(old, 0, 0)
    assert await client.get(site) in other


async def test_two_routers_of_one_link_assign_and_extend_the_same_addresses() -> None:
    access = [AccessLink(interface="acc0", slaac_prefix=SLAAC, link_id="0123456789abcdef")]
    domain = two_routers(access=access, keyless=Keyless.ALWAYS)
    first, second = domain.sites
    client = Plain(domain)
    address = await client.get(first)
    assert await client.get(second) == address
    assert given(await client.say(second, MessageType.REBIND, na(1, address))).valid > 0
    assert await Plain(domain, plain_duid=b"\x00\x03other").get(second) != address


async def test_a_rebind_of_an_address_is_anothers_matter_where_none_are_assigned() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    site.link = site.config.access[1]
    message = client.message(MessageType.REBIND, options=[na(1, ELSEWHERE)])
    assert await client.try_ask(site, message) is None
    reply = await client.say(site, MessageType.SOLICIT, na(1))
    assert status(reply) == Status.NO_ADDRS_AVAIL


async def test_the_pool_of_a_link_goes_before_its_slaac_prefix() -> None:
    pool = IPv6Network("2001:db8:1001::1000/126")
    domain = two_routers(
        access=[AccessLink(interface="acc0", slaac_prefix=SLAAC, address_pool=pool)]
    )
    site = domain.sites[0]
    clients = [Plain(domain, plain_duid=bytes([0, 3, number])) for number in range(4)]
    addresses = {await client.get(site) for client in clients}
    assert addresses == set(pool)
    late = Plain(domain, plain_duid=b"\x00\x03late")
    refused = await late.say(site, MessageType.SOLICIT, na(1))
    assert status(refused) == Status.NO_ADDRS_AVAIL
    confirmed = await late.say(site, MessageType.CONFIRM, na(1, SLAAC[5]))
    assert confirmed.first(StatusCode) == StatusCode(Status.SUCCESS)


async def test_a_refused_address_is_a_status_and_nothing_of_ours() -> None:
    domain = two_routers(quota=1)
    site, client = domain.sites[0], Client(domain.clock)
    await client.acquire(site, ServiceType.FIXED)
    rapid: list[Option] = [RapidCommit(), na(1)]
    reply = await client.ask(site, client.message(MessageType.SOLICIT, options=rapid))
    assert status(reply) == Status.NO_ADDRS_AVAIL
    assert said(reply).first(Refusal) is None


# ---- drawing, time -------------------------------------------------------------------------------


def test_reserved_interface_identifiers_are_not_assigned() -> None:
    anycast = IPv6Network("2001:db8::/127")
    supply = Addresses(Pool(anycast, 128), (anycast,), b"")
    drawn = {supply.draw(bytes([number]), na(number), lambda _: False) for number in range(20)}
    assert drawn == {IPv6Network("2001:db8::1")}
    reserved = IPv6Network("2001:db8::fdff:ffff:ffff:ff80/121")
    assert Addresses(Pool(reserved, 128), (), b"").draw(b"", na(1), lambda _: False) is None


def test_nobody_else_can_foresee_an_address() -> None:
    drawn = {
        Addresses(Pool(SLAAC, 128), (SLAAC,), secret).draw(b"duid", na(1), lambda _: False)
        for secret in (b"a", b"b", b"c")
    }
    assert len(drawn) == 3


async def test_the_address_of_a_host_that_sleeps_is_kept_for_it() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Plain(domain)
    await client.get(site)
    binding = await domain.binding()
    [change] = Departures(site.config).left([binding], domain.clock.now)
    await domain.store.commit([change])
    asleep = await domain.binding()
    assert (asleep.state, asleep.valid_until) == (BindingState.DETACHED, binding.valid_until)
    expiry = Expiry(site.config, site.mirror.holder)
    expiry.start([asleep])
    found = {asleep.prefix: asleep}
    assert expiry.due(found.get, domain.clock.now + 3599) == []
    [over] = expiry.due(found.get, domain.clock.now + 3600)
    await domain.store.commit([over])
    assert (await domain.binding()).state is BindingState.RELEASED
