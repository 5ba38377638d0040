"""What clients are told beside their leases, and what they ask for by Option Request."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.router.inbox import Arrival
from moorage.router.settings import Dhcp
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    InfMaxRt,
    InformationRefreshTime,
    Message,
    MessageType,
    Option,
    OptionRequest,
    Preference,
    RapidCommit,
    ServerId,
    SolMaxRt,
    Status,
    StatusCode,
    decode_message,
)
from tests.domain import ANY, SOURCE, Client, Domain, Site, association, ia, lease, two_routers


def plain(domain: Domain) -> Client:
    return Client(domain.clock, None, speaks=False)


async def ask(domain: Domain, kind: MessageType, *options: Option) -> Message:
    """The answer of the first router."""
    client = plain(domain)
    associations = [ia(1, ANY)] if kind is MessageType.SOLICIT else []
    return await client.ask(domain.sites[0], client.message(kind, associations, options=options))


def with_dhcp(**settings: Any) -> Domain:
    return two_routers(dhcp=Dhcp(**settings))


async def test_a_preference_is_told_in_advertises_only() -> None:
    domain = with_dhcp(preference=255)
    assert (await ask(domain, MessageType.SOLICIT)).first(Preference) == Preference(255)
    reply = await ask(domain, MessageType.SOLICIT, RapidCommit())
    assert reply.first(Preference) is None


async def test_the_longest_times_are_told_to_who_asks() -> None:
    domain = with_dhcp(sol_max_rt=7200, inf_max_rt=3600)
    wish = OptionRequest((SolMaxRt.option_code, InfMaxRt.option_code))
    advertise = await ask(domain, MessageType.SOLICIT, wish)
    assert advertise.first(SolMaxRt) == SolMaxRt(7200)
    # Appendix B: not in an Advertise.
    assert advertise.first(InfMaxRt) is None
    reply = await ask(domain, MessageType.INFORMATION_REQUEST, wish)
    assert (reply.first(SolMaxRt), reply.first(InfMaxRt)) == (SolMaxRt(7200), InfMaxRt(3600))
    silent = await ask(domain, MessageType.INFORMATION_REQUEST)
    assert (silent.first(SolMaxRt), silent.first(InfMaxRt)) == (None, None)


async def test_what_is_not_configured_is_not_told() -> None:
    wish = OptionRequest((SolMaxRt.option_code, InfMaxRt.option_code, 23))
    reply = await ask(two_routers(), MessageType.INFORMATION_REQUEST, wish)
    assert {option.option_code for option in reply.options} == {
        ClientId.option_code,
        ServerId.option_code,
    }


async def test_the_refresh_time_is_for_those_without_leases() -> None:
    domain = with_dhcp(information_refresh_time=1200)
    wish = OptionRequest((InformationRefreshTime.option_code,))
    reply = await ask(domain, MessageType.INFORMATION_REQUEST, wish)
    assert reply.first(InformationRefreshTime) == InformationRefreshTime(1200)
    leased = await ask(domain, MessageType.SOLICIT, wish, RapidCommit())
    assert leased.first(InformationRefreshTime) is None


@pytest.mark.parametrize("kind", [MessageType.RENEW, MessageType.REBIND])
async def test_timers_are_equal_even_where_something_is_refused(kind: MessageType) -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    prefix = await client.acquire(site, ServiceType.FIXED)
    server = site.config.server_duid if kind is MessageType.RENEW else None
    message = client.message(kind, [ia(1, prefix), ia(2, prefix)], server=server)
    reply = await client.ask(site, message)
    assert lease(reply).prefix == prefix
    unknown = association(reply, 2)
    assert unknown.status is not None
    assert unknown.status.code == Status.NO_BINDING
    assert (unknown.t1, unknown.t2) == (association(reply).t1, association(reply).t2)


# ---- messages to one server alone ----------------------------------------------------------------


async def by_unicast(site: Site, kind: MessageType) -> Message | None:
    options: list[Option] = [ClientId(b"\x00\x03client")]
    one_server = {MessageType.REQUEST, MessageType.RENEW, MessageType.RELEASE, MessageType.DECLINE}
    if kind in one_server:
        options.append(ServerId(site.config.server_duid))
    if kind is not MessageType.INFORMATION_REQUEST:
        options.append(ia(1, ANY))
    message = Message(kind, 7, tuple(options))
    reply = await site.send(Arrival(message.encode(), SOURCE, unicast=True))
    if reply is None:
        return None
    found = decode_message(reply)
    assert isinstance(found, Message)
    return found


@pytest.mark.parametrize(
    "kind",
    [MessageType.REQUEST, MessageType.RENEW, MessageType.RELEASE, MessageType.DECLINE],
    ids=lambda kind: kind.name,
)
async def test_who_sends_to_us_alone_is_told_to_use_the_group(kind: MessageType) -> None:
    domain = two_routers()
    site = domain.sites[0]
    reply = await by_unicast(site, kind)
    assert reply is not None
    assert (reply.type, reply.transaction_id) == (MessageType.REPLY, 7)
    status = reply.first(StatusCode)
    assert status is not None
    assert status.code == Status.USE_MULTICAST
    assert reply.options == (
        ClientId(b"\x00\x03client"),
        ServerId(site.config.server_duid),
        status,
    )
    assert await domain.bindings() == []


@pytest.mark.parametrize(
    "kind",
    [
        MessageType.SOLICIT,
        MessageType.CONFIRM,
        MessageType.REBIND,
        MessageType.INFORMATION_REQUEST,
    ],
    ids=lambda kind: kind.name,
)
async def test_what_is_for_all_servers_must_not_come_to_us_alone(kind: MessageType) -> None:
    domain = two_routers()
    assert await by_unicast(domain.sites[0], kind) is None
    assert domain.sites[0].complaints.counts["DHCPv6 message"] == 1
