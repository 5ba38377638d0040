"""Hints at the length of a prefix (RFC 8168), and prefixes of several lengths from one pool."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Network
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from moorage.router.inbox import Arrival
from moorage.service import ServiceType
from moorage.store.memory import MemoryStore
from moorage.store.model import Binding, BindingState
from moorage.store.protocol import Delete
from moorage.wire.dhcp6 import (
    IaPd,
    Message,
    MessageType,
    Option,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServerId,
    Status,
)
from tests.domain import (
    SOURCE,
    Client,
    Clock,
    Domain,
    Site,
    association,
    ia,
    lease,
    router_config,
    said,
    two_routers,
)

LENGTHS = [60, 56, 48]


def of(length: int) -> IPv6Network:
    """The hint at a length."""
    return IPv6Network(f"::/{length}")


def plain(domain: Domain) -> Client:
    return Client(domain.clock, None, speaks=False)


def domain_of(lengths: list[int], **changes: Any) -> Domain:
    return two_routers(prefix_lengths=lengths, **changes)


async def solicit(
    domain: Domain, client: Client, *wishes: IPv6Network, site: int = 0, commit: bool = True
) -> Message:
    message = client.message(
        MessageType.SOLICIT, [ia(1, *wishes)], options=[RapidCommit()] if commit else []
    )
    return await client.ask(domain.sites[site], message)


async def given(domain: Domain, client: Client, *wishes: IPv6Network) -> IPv6Network:
    """What a client gets that solicits with two messages."""
    return lease(await solicit(domain, client, *wishes)).prefix


# ---- which length --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "length"),
    [
        # As it is, or the nearest shorter one, or else the nearest longer one (section 3.2).
        *((60, 60), (56, 56), (48, 48)),
        *((128, 60), (64, 60), (61, 60), (59, 56), (57, 56), (55, 48), (49, 48)),
        *((47, 48), (1, 48)),
        # No wish at all: the first of the list.
        (0, 60),
    ],
)
async def test_the_length_that_is_hinted_at_or_the_nearest(hint: int, length: int) -> None:
    domain = domain_of(LENGTHS)
    assert (await given(domain, plain(domain), of(hint))).prefixlen == length


async def test_who_hints_at_nothing_gets_the_first_length() -> None:
    for lengths in (LENGTHS, LENGTHS[::-1]):
        domain = domain_of(lengths)
        assert (await given(domain, plain(domain))).prefixlen == lengths[0]


@pytest.mark.parametrize("hint", [0, 48, 56, 63, 64, 65, 128])
async def test_without_a_choice_all_prefixes_are_equally_long(hint: int) -> None:
    domain = two_routers()
    assert (await given(domain, plain(domain), of(hint))).prefixlen == 64


async def test_a_prefix_that_is_wished_for_goes_before_a_hint() -> None:
    domain = domain_of(LENGTHS)
    wish = await given(domain, plain(domain), of(56))
    await domain.store.commit([Delete(wish, (await domain.binding()).seq)])
    assert await given(domain, plain(domain), of(48), wish) == wish
    late = Client(domain.clock, None, speaks=False, plain_duid=b"\0\x03\0\x01late")
    # Somebody has it: the hint beside it counts.
    assert (await given(domain, late, of(48), wish)).prefixlen == 48


async def test_a_wish_that_is_not_to_be_had_is_a_hint() -> None:
    domain = domain_of(LENGTHS)
    assert (await given(domain, plain(domain), IPv6Network("2001:db8:9::/48"))).prefixlen == 48


async def test_where_the_length_has_run_out_the_next_is_given() -> None:
    domain = domain_of([64, 62], pool=IPv6Network("2001:db8:a100::/61"))
    lengths = []
    for number in range(5):
        client = Client(domain.clock, None, speaks=False, plain_duid=bytes([0, 3, 0, 1, number]))
        lengths.append((await given(domain, client, of(62))).prefixlen)
    assert lengths == [62, 64, 64, 64, 64]
    late = Client(domain.clock)
    reply = await late.solicit(domain.sites[0], ServiceType.FIXED)
    refusal = said(reply).for_iaid(Refusal, 1)
    assert refusal is not None
    assert refusal.reason is RefusalReason.POOL_FULL


# ---- what a client has already -------------------------------------------------------------------


async def test_a_solicit_with_nothing_but_a_hint_asks_for_that_length() -> None:
    """Regardless of the record of earlier interactions (section 3.2)."""
    domain = domain_of(LENGTHS)
    client = plain(domain)
    before = await given(domain, client, of(60))
    after = await given(domain, client, of(56))
    assert after.prefixlen == 56
    states = {binding.prefix: binding.state for binding in await domain.bindings()}
    assert states == {before: BindingState.RELEASED, after: BindingState.ACTIVE}
    # Once more, or without any wish: it has what it wants.
    assert await given(domain, client, of(56)) == after
    assert await given(domain, client) == after
    assert await given(domain, client, of(0)) == after


async def test_a_solicit_that_names_the_prefix_keeps_it() -> None:
    domain = domain_of(LENGTHS)
    client = plain(domain)
    prefix = await given(domain, client, of(60))
    assert await given(domain, client, prefix) == prefix
    assert await given(domain, client, prefix, of(48)) == prefix
    assert await given(domain, client, of(48), prefix) == prefix


async def test_a_prefix_is_not_changed_for_one_of_no_better_length() -> None:
    domain = domain_of(LENGTHS)
    client = plain(domain)
    prefix = await given(domain, client, of(56))
    # 56 is what 58 comes to.
    assert await given(domain, client, of(58)) == prefix
    assert [binding.prefix for binding in await domain.bindings()] == [prefix]


async def test_a_prefix_is_not_given_up_where_the_other_length_has_run_out() -> None:
    domain = domain_of([64, 62], pool=IPv6Network("2001:db8:a100::/61"))
    other = Client(domain.clock, None, speaks=False, plain_duid=b"\0\x03\0\x01other")
    client = plain(domain)
    await given(domain, other, of(62))
    prefix = await given(domain, client, of(64))
    assert await given(domain, client, of(62)) == prefix
    assert all(binding.held for binding in await domain.bindings())


async def test_a_prefix_of_the_hinted_length_is_kept_when_none_is_given_any_more() -> None:
    domain = domain_of([60, 56])
    client = plain(domain)
    prefix = await given(domain, client, of(60))
    config = router_config(1, prefix_lengths=[56])
    domain.sites[0] = Site(config, domain.store, domain.clock)
    assert await given(domain, client, of(60)) == prefix


async def test_four_messages_lead_to_the_hinted_length() -> None:
    domain = domain_of(LENGTHS)
    site, client = domain.sites[0], plain(domain)
    before = await given(domain, client, of(60))
    offered = lease(await solicit(domain, client, of(56), commit=False)).prefix
    assert offered.prefixlen == 56
    assert (await domain.binding()).prefix == before
    request = client.message(MessageType.REQUEST, [ia(1, offered)], server=site.config.server_duid)
    assert lease(await client.ask(site, request)).prefix == offered


@pytest.mark.parametrize("kind", [MessageType.RENEW, MessageType.REBIND])
@pytest.mark.parametrize("hint", [48, 56, 60, 64])
async def test_a_hint_changes_no_prefix_that_is_kept(kind: MessageType, hint: int) -> None:
    """Section 3.5, the first choice: it is extended; another length takes another IAID."""
    domain = domain_of(LENGTHS)
    site, client = domain.sites[0], plain(domain)
    prefix = await given(domain, client, of(60))
    server = site.config.server_duid if kind is MessageType.RENEW else None
    message = client.message(kind, [ia(1, prefix, of(hint)), ia(2, of(hint))], server=server)
    reply = await client.ask(site, message)
    assert (lease(reply).prefix, lease(reply).valid) == (prefix, 7200)
    unknown = association(reply, 2)
    assert unknown.status is not None
    assert unknown.status.code == Status.NO_BINDING


async def test_a_prefix_of_any_length_moves() -> None:
    """Over a router that gives out others."""
    domain = Domain(router_config(1, prefix_lengths=LENGTHS), router_config(2))
    client = Client(domain.clock)
    message = client.message(
        MessageType.SOLICIT, [ia(1, of(56))], {1: ServiceType.FIXED}, options=[RapidCommit()]
    )
    prefix = lease(await client.ask(domain.sites[0], message)).prefix
    moved = await client.ask(domain.sites[1], client.rebind(prefix, ServiceType.FIXED))
    assert lease(moved).prefix == prefix
    assert (await domain.binding()).serving == "ar2"
    back = await client.ask(domain.sites[0], client.rebind(prefix, ServiceType.FIXED))
    assert lease(back).prefix == prefix


# ---- no overlap, whoever draws -------------------------------------------------------------------

SMALL: Final = IPv6Network("2001:db8:a100::/58")
"""A pool of 64 parts of the longest length."""


class Delegations(RuleBasedStateMachine):
    """Two processes of one router give prefixes of several lengths from one small pool.

    Neither hears what the other does before it lists the store anew, and from time to time both
    are started again with other lengths.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store, self.clock = MemoryStore(), Clock()
        self.processes: list[Site] = []
        self.start([64, 61])

    @rule(lengths=st.lists(st.integers(60, 64), min_size=1, max_size=4, unique=True))
    def start(self, lengths: list[int]) -> None:
        """Start both processes, with what the store holds."""
        config = router_config(1, pool=SMALL, prefix_lengths=lengths, quota=1000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("moorage.router.pool.random.SystemRandom", lambda: Random(5))
            self.processes = [Site(config, self.store, self.clock) for _ in range(2)]
        for process in (0, 1):
            self.look(process)

    @rule(process=st.integers(0, 1))
    def look(self, process: int) -> None:
        """Know what there is now."""
        site = self.processes[process]
        asyncio.run(site.look())
        site.server.listed(self.bindings())

    @rule(
        process=st.integers(0, 1),
        hints=st.lists(st.integers(0, 64), min_size=1, max_size=4),
        client=st.integers(0, 3),
    )
    def solicit(self, process: int, hints: list[int], client: int) -> None:
        """Ask for several prefixes in one message."""
        wishes = [ia(iaid, of(hint)) for iaid, hint in enumerate(hints)]
        self.ask(process, client, MessageType.SOLICIT, wishes, [RapidCommit()])

    @rule(process=st.integers(0, 1), number=st.integers(0, 63), length=st.integers(60, 64))
    def wish(self, process: int, number: int, length: int) -> None:
        """Ask for a certain prefix."""
        address = int(SMALL.network_address) + (number << 64)
        named = IPv6Network((address, length), strict=False)
        wishes = [ia(number + 10, named)]
        self.ask(process, 4, MessageType.SOLICIT, wishes, [RapidCommit()])

    @rule(process=st.integers(0, 1), choice=st.integers(0))
    def release(self, process: int, choice: int) -> None:
        """Give something back."""
        bindings = [binding for binding in self.bindings() if binding.held]
        if bindings:
            binding = bindings[choice % len(bindings)]
            leases = [ia(binding.iaid, binding.prefix)]
            server = ServerId(self.processes[process].config.server_duid)
            self.ask(process, binding.client[-1], MessageType.RELEASE, leases, [server])

    @rule(choice=st.integers(0))
    def forget(self, choice: int) -> None:
        """The quarantine of something that was given back is over."""
        bindings = [binding for binding in self.bindings() if not binding.held]
        if bindings:
            binding = bindings[choice % len(bindings)]
            asyncio.run(self.store.commit([Delete(binding.prefix, binding.seq)]))

    @invariant()
    def nothing_overlaps(self) -> None:
        prefixes = [binding.prefix for binding in self.bindings()]  # in their order
        assert not any(one.overlaps(following) for one, following in pairwise(prefixes))

    def bindings(self) -> tuple[Binding, ...]:
        return asyncio.run(self.store.snapshot()).bindings

    def ask(
        self,
        process: int,
        client: int,
        kind: MessageType,
        associations: list[IaPd],
        options: list[Option],
    ) -> None:
        """Have a process act on a message, upon what it knows."""
        sender = Client(self.clock, None, speaks=False, plain_duid=bytes((0, 3, 0, 1, client)))
        message = sender.message(kind, associations, options=options)
        asyncio.run(self.processes[process].answer(Arrival(message.encode(), SOURCE)))


TestDelegations = Delegations.TestCase
TestDelegations.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
