"""Deciding and committing while others change the same bindings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from moorage.router.inbox import Arrival
from moorage.service import ServiceType
from moorage.store.memory import MemoryStore
from moorage.store.model import Binding
from moorage.store.protocol import Change, Hold, Mismatch, StoreError
from moorage.wire.dhcp6 import (
    IaPd,
    Message,
    MessageType,
    OnDemand,
    RapidCommit,
    Refusal,
    RefusalReason,
    decode_message,
)
from tests.domain import ANY, Client, Domain, Site, ia, lease, one_link, router_config, two_routers

FIXED = ServiceType.FIXED


class Eager(MemoryStore):
    """A store in which somebody else commits between a router's reading and its commit."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def commit(self, changes: Sequence[Change]) -> int:
        if self.times:
            self.times -= 1
            raise Mismatch(changes[0].prefix)
        return await super().commit(changes)


def site_with(store: MemoryStore) -> tuple[Site, Client]:
    domain = Domain(router_config())
    return Site(router_config(), store, domain.clock), Client(domain.clock)


async def test_after_a_conflict_everything_is_decided_anew() -> None:
    site, client = site_with(Eager(4))
    assert lease(await client.solicit(site, FIXED)).prefix.subnet_of(site.config.pool)
    assert len(site.changes) == 1


async def test_a_message_that_always_conflicts_is_dropped() -> None:
    site, client = site_with(Eager(99))
    message = client.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
    assert await client.try_ask(site, message) is None
    assert site.changes == []
    assert site.complaints.counts["DHCPv6 message"] == 1


async def test_a_prefix_that_somebody_took_is_not_drawn_again() -> None:
    taken: set[IPv6Network] = set()

    class Rival(MemoryStore):
        """Says that each prefix is taken, but the last one."""

        async def commit(self, changes: Sequence[Change]) -> int:
            if len(taken) < 3:
                assert changes[0].prefix not in taken
                taken.add(changes[0].prefix)
                raise Mismatch(changes[0].prefix)
            return await super().commit(changes)

    domain = Domain(router_config())
    config = router_config(pool=IPv6Network("2001:db8:a100::/62"))
    site = Site(config, Rival(), domain.clock)
    given = await Client(domain.clock).acquire(site, FIXED)
    assert given not in taken


async def test_one_solicit_at_two_routers_at_once_is_answered_by_the_one_that_serves() -> None:
    domain = one_link()
    client = Client(domain.clock)
    solicit = client.sign(
        client.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED}, options=[RapidCommit()]),
        domain.sites[0].link_id,
    )
    replies = await asyncio.gather(*(site.ask(solicit, client.source) for site in domain.sites))
    binding = await domain.binding()
    [answered] = [site for site, reply in zip(domain.sites, replies, strict=True) if reply]
    assert (binding.serving, binding.anchor) == (answered.config.id, answered.config.id)
    assert {lease(reply).prefix for reply in replies if reply} == {binding.prefix}


async def test_of_two_rebinds_at_once_exactly_one_moves_the_prefix() -> None:
    domain = two_routers()
    client = Client(domain.clock)
    prefix = await client.acquire(domain.sites[0], FIXED)
    rebind = client.sign(client.rebind(prefix, FIXED))
    await asyncio.gather(*(site.ask(rebind, client.source) for site in domain.sites))
    binding = await domain.binding()
    assert binding.seq == 2
    assert binding.serving in {"ar1", "ar2"}


async def test_the_kernel_follows_before_the_answer_leaves() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    reply = await client.solicit(site, FIXED)
    assert [change.prefix for change in site.changes] == [lease(reply).prefix]


class Failing(MemoryStore):
    """Does not answer while it fails."""

    failing = True

    async def commit(self, changes: Sequence[Change]) -> int:
        if self.failing:
            raise StoreError("failing: no answer")
        return await super().commit(changes)


async def test_while_the_store_does_not_answer_clients_are_to_come_again() -> None:
    store = Failing()
    site, client = site_with(store)
    solicit = client.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED}, options=[RapidCommit()])
    reply = await client.ask(site, solicit)
    assert reply.first(RapidCommit)
    assert is_put_off(reply)
    assert site.complaints.counts["DHCPv6 message"] == 1
    assert site.changes == []
    store.failing = False
    assert await client.acquire(site, FIXED)


async def test_while_the_store_does_not_answer_who_has_something_keeps_it() -> None:
    """Silence has him ask again; so it does who does not know our option."""
    store = Failing()
    site, client = site_with(store)
    store.failing = False
    prefix = await client.acquire(site, FIXED)
    store.failing = True
    assert await client.try_ask(site, client.rebind(prefix, FIXED)) is None
    assert await client.try_ask(site, client.release(site, prefix)) is None
    plain = Client(client.clock, None, speaks=False)
    message = plain.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
    assert await plain.try_ask(site, message) is None


async def test_what_is_known_is_enough_for_what_the_store_confirms() -> None:
    class Silent(MemoryStore):
        async def of_client(self, client: bytes) -> list[Binding]:
            raise AssertionError("not asked")

    site, client = site_with(Silent())
    prefix = await client.acquire(site, FIXED)
    assert lease(await client.ask(site, client.rebind(prefix, FIXED))).prefix == prefix
    await client.ask(site, client.message(MessageType.SOLICIT, [ia(2, ANY)]))


async def test_nobody_is_told_that_he_has_nothing_before_the_store_is_asked() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    prefix = await client.acquire(site, FIXED)
    late = Site(router_config(2), domain.store, domain.clock)
    rebind = client.sign(client.rebind(prefix, FIXED))
    reply = await late.answer(Arrival(rebind, client.source))
    assert reply is not None
    message = decode_message(reply)
    assert isinstance(message, Message)
    assert lease(message).prefix == prefix


async def test_a_message_longer_than_any_that_makes_sense_is_dropped() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock, None, speaks=False)
    many = [ia(iaid) for iaid in range(600)]
    assert await client.try_ask(site, client.message(MessageType.SOLICIT, many)) is None
    assert site.complaints.counts["DHCPv6 message"] == 1
    some = [ia(iaid) for iaid in range(500)]
    reply = await client.ask(site, client.message(MessageType.SOLICIT, some))
    assert len(reply.every(IaPd)) == 500


# ---- somebody else holds our pool ----------------------------------------------------------------


async def hand_over(domain: Domain) -> None:
    """Let ``ar2`` hold the pool of ``ar1``."""
    anchor = replace(domain.sites[0].config.anchor(), holder="ar2")
    await domain.store.hold(Hold(anchor, 0))


async def ask_for_one(site: Site, client: Client) -> Message:
    """Return the answer to a Solicit for a prefix, upon what the router knows."""
    solicit = client.sign(
        client.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED}, options=[RapidCommit()]),
        site.link_id,
    )
    reply = await site.answer(Arrival(solicit, client.source))
    assert reply is not None
    message = decode_message(reply)
    assert isinstance(message, Message)
    return message


def is_put_off(reply: Message) -> bool:
    about = OnDemand.of(reply)
    return about is not None and Refusal(1, RefusalReason.TRY_LATER) in about.sub_options


@pytest.mark.parametrize("knows", [True, False])
async def test_who_does_not_hold_his_pool_gives_nothing_from_it(knows: bool) -> None:
    """Whether he has heard of it or the store has to tell him."""
    domain = two_routers()
    client = Client(domain.clock)
    site = domain.sites[0]
    await hand_over(domain)
    if knows:
        await site.look()
    assert is_put_off(await ask_for_one(site, client))
    assert site.changes == site.prepared == []
    assert await domain.bindings() == []
    anchor = replace(site.config.anchor(), epoch=2)
    await domain.store.hold(Hold(anchor, 1))
    await site.look()
    assert lease(await ask_for_one(site, client)).prefix.subnet_of(site.config.pool)


async def test_what_was_given_from_a_pool_goes_on_without_its_router() -> None:
    domain = two_routers()
    home, standby = domain.sites
    client = Client(domain.clock)
    given = await client.acquire(home, FIXED)
    await hand_over(domain)
    for site in (standby, home, standby):
        assert lease(await client.ask(site, client.rebind(given))).prefix == given
    await client.ask(standby, client.release(standby, given))
    assert not (await domain.binding()).held
