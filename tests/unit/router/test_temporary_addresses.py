"""IA_TA: no temporary addresses are assigned, and who asks for them is told so (RFC 8415)."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from moorage.wire.dhcp6 import (
    IaAddr,
    IaNa,
    IaTa,
    Message,
    MessageType,
    Option,
    RapidCommit,
    Status,
    StatusCode,
)
from tests.domain import ANY, Client, Domain, ia, lease, two_routers

TO_ONE_SERVER = {
    MessageType.REQUEST,
    MessageType.RENEW,
    MessageType.RELEASE,
    MessageType.DECLINE,
}
ADDRESS = IaAddr(IPv6Address("2001:db8:1001::7"), 0, 0)


async def ask(domain: Domain, kind: MessageType, *options: Option) -> Message | None:
    site, client = domain.sites[0], Client(domain.clock, None, speaks=False)
    server = site.config.server_duid if kind in TO_ONE_SERVER else None
    return await client.try_ask(site, client.message(kind, server=server, options=options))


def codes(reply: Message) -> dict[int, int]:
    """The status of each association of temporary addresses, which has nothing else."""
    found = {}
    for each in reply.every(IaTa):
        [status] = each.options
        assert isinstance(status, StatusCode)
        found[each.iaid] = status.code
    return found


@pytest.mark.parametrize(
    ("kind", "options", "answer", "status"),
    [
        (MessageType.SOLICIT, (), MessageType.ADVERTISE, Status.NO_ADDRS_AVAIL),
        (MessageType.SOLICIT, (RapidCommit(),), MessageType.REPLY, Status.NO_ADDRS_AVAIL),
        (MessageType.REQUEST, (), MessageType.REPLY, Status.NO_ADDRS_AVAIL),
        (MessageType.RENEW, (), MessageType.REPLY, Status.NO_BINDING),
        (MessageType.RELEASE, (), MessageType.REPLY, Status.NO_BINDING),
        (MessageType.DECLINE, (), MessageType.REPLY, Status.NO_BINDING),
    ],
)
async def test_every_message_is_answered(
    kind: MessageType, options: tuple[Option, ...], answer: MessageType, status: Status
) -> None:
    domain = two_routers()
    reply = await ask(domain, kind, *options, IaTa(1, (ADDRESS,)), IaTa(2))
    assert reply is not None
    assert reply.type is answer
    assert codes(reply) == {1: status, 2: status}
    assert await domain.bindings() == []


async def test_a_rebind_is_another_servers_matter() -> None:
    domain = two_routers()
    assert await ask(domain, MessageType.REBIND, IaTa(1, (ADDRESS,))) is None
    prefix = lease(await answered(domain, MessageType.SOLICIT, RapidCommit(), ia(1, ANY))).prefix
    reply = await answered(domain, MessageType.REBIND, IaTa(1, (ADDRESS,)), ia(1, prefix))
    assert (lease(reply).prefix, reply.every(IaTa)) == (prefix, ())


async def test_other_associations_get_what_they_ask_for() -> None:
    domain = two_routers()
    reply = await answered(
        domain, MessageType.SOLICIT, RapidCommit(), IaTa(1), ia(1, ANY), IaNa(1, 0, 0)
    )
    assert codes(reply) == {1: Status.NO_ADDRS_AVAIL}
    assert lease(reply).valid == 7200
    assert reply.every(IaNa)[0].addresses


@pytest.mark.parametrize(
    ("address", "status"),
    [("2001:db8:1001::7", Status.SUCCESS), ("2001:db8:1002::7", Status.NOT_ON_LINK)],
)
async def test_a_confirm_is_about_temporary_addresses_too(address: str, status: Status) -> None:
    held = IaTa(1, (IaAddr(IPv6Address(address), 0, 0),))
    reply = await answered(two_routers(), MessageType.CONFIRM, held)
    said = reply.first(StatusCode)
    assert said is not None
    assert said.code == status


async def answered(domain: Domain, kind: MessageType, *options: Option) -> Message:
    reply = await ask(domain, kind, *options)
    assert reply is not None
    return reply
