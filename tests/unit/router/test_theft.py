"""Messages of somebody who knows all about a client but its key: nothing of it changes hands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from typing import Self

import pytest

from moorage.identity import NO_LINK, Identity
from moorage.router.authority import CLOCK_TOLERANCE
from moorage.router.config import Keyless
from moorage.service import ServiceType
from moorage.store.model import BindingState
from moorage.store.protocol import Update
from moorage.wire.dhcp6 import (
    IaAddr,
    IaNa,
    IaPd,
    Message,
    MessageType,
    Option,
    RapidCommit,
    Refusal,
    RefusalReason,
    TimeAndLink,
)
from tests.domain import (
    ANY,
    SOURCE,
    Client,
    Domain,
    association,
    ia,
    lease,
    one_link,
    said,
    two_routers,
)

FIXED = ServiceType.FIXED
SESSION_LASTING = ServiceType.SESSION_LASTING
ELSEWHERE = IPv6Address("fe80::bad")
CLIENTS_MESSAGES = [
    MessageType.SOLICIT,
    MessageType.REQUEST,
    MessageType.RENEW,
    MessageType.REBIND,
    MessageType.RELEASE,
    MessageType.DECLINE,
]
TO_ALL_SERVERS = {MessageType.SOLICIT, MessageType.REBIND}


@dataclass
class Theft:
    """A domain in which a client has a Fixed prefix at the first router."""

    domain: Domain
    victim: Client
    prefix: IPv6Network

    @classmethod
    async def begin(cls, domain: Domain, victim: Client | None = None) -> Self:
        client = victim or Client(domain.clock)
        return cls(domain, client, await client.acquire(domain.sites[0], FIXED))

    def about(self, kind: MessageType, client: Client | None = None) -> Message:
        """A message about the prefix in the victim's name."""
        [site, *_] = self.domain.sites
        server = None if kind in TO_ALL_SERVERS else site.config.server_duid
        rapid = [RapidCommit()] if kind is MessageType.SOLICIT else []
        sender = client or self.victim
        return sender.message(kind, [ia(1, self.prefix)], {1: FIXED}, server, rapid)

    def signed(self, kind: MessageType, link_id: bytes = NO_LINK, seconds: float = 0) -> bytes:
        """The same, signed by the victim when its clock is so far off."""
        assert self.victim.identity is not None
        self.victim.ticks += 1
        time = round((self.domain.clock.now + seconds) * 1e6) + self.victim.ticks
        return self.victim.identity.sign(self.about(kind), self.victim.source, time, link_id)


@pytest.fixture
async def theft() -> Theft:
    # Where keyless clients may do the most.
    return await Theft.begin(two_routers(keyless=Keyless.ALWAYS))


def refusal(reply: Message | None, iaid: int = 1) -> RefusalReason | None:
    """Why an association is refused; None: it is not."""
    assert reply is not None
    found = said(reply).for_iaid(Refusal, iaid)
    return None if found is None else found.reason


def given(reply: Message | None) -> list[IPv6Network]:
    """The prefixes that a message lets its receiver use."""
    if reply is None:
        return []
    return [each.prefix for found in reply.every(IaPd) for each in found.prefixes if each.valid]


# ---- a client with a key -------------------------------------------------------------------------


@pytest.mark.parametrize("source", [ELSEWHERE, SOURCE], ids=["own address", "victim's address"])
@pytest.mark.parametrize("site", [0, 1], ids=["same router", "other router"])
@pytest.mark.parametrize("kind", CLIENTS_MESSAGES)
async def test_what_its_key_did_not_sign_changes_nothing(
    theft: Theft, kind: MessageType, site: int, source: IPv6Address
) -> None:
    router = theft.domain.sites[site]
    before = await theft.domain.bindings()
    unspoken = replace(theft.victim, speaks=False)
    thief = Client(theft.domain.clock, source=source)
    good = theft.signed(kind, router.link_id)
    for datagram in (
        theft.about(kind).encode(),
        theft.about(kind, unspoken).encode(),
        thief.sign(theft.about(kind), router.link_id),
        good[:-1] + bytes([good[-1] ^ 1]),
        good[:2] + bytes([good[2] ^ 1]) + good[3:],
    ):
        assert given(await router.ask(datagram, source)) == []
    assert await theft.domain.bindings() == before


async def test_a_signature_is_of_no_use_from_another_address(theft: Theft) -> None:
    site = theft.domain.sites[0]
    before = await theft.domain.bindings()
    datagram = theft.signed(MessageType.REBIND, site.link_id)
    assert refusal(await site.ask(datagram, ELSEWHERE)) is RefusalReason.SIGNATURE_OR_TIME
    assert await theft.domain.bindings() == before


async def test_another_key_of_its_own_gets_nothing_of_others(theft: Theft) -> None:
    site = theft.domain.sites[0]
    thief = Client(theft.domain.clock, source=ELSEWHERE)
    before = await theft.domain.bindings()
    for kind in CLIENTS_MESSAGES[1:]:
        reply = await thief.ask(site, theft.about(kind, thief))
        assert theft.prefix not in given(reply)
    assert theft.prefix not in given(await thief.solicit(site, FIXED, 1, theft.prefix))
    assert [each for each in await theft.domain.bindings() if each.client == before[0].client] == (
        before
    )


@pytest.mark.parametrize("kind", CLIENTS_MESSAGES)
async def test_a_replay_changes_nothing_anywhere(theft: Theft, kind: MessageType) -> None:
    site = theft.domain.sites[0]
    for link_id in (NO_LINK, site.link_id):
        old = theft.signed(kind, link_id)
        await theft.victim.ask(site, theft.victim.rebind(theft.prefix, FIXED))
        before = await theft.domain.bindings()
        for each in theft.domain.sites:
            await each.ask(old, theft.victim.source)
        assert await theft.domain.bindings() == before


async def test_reordered_messages_do_what_the_last_of_them_says(theft: Theft) -> None:
    first, second = theft.domain.sites
    early = theft.signed(MessageType.REBIND, first.link_id)
    late = theft.signed(MessageType.REBIND, second.link_id)
    assert given(await second.ask(late, SOURCE)) == [theft.prefix]
    assert refusal(await first.ask(early, SOURCE)) is RefusalReason.SIGNATURE_OR_TIME
    assert (await theft.domain.binding()).serving == "ar2"


async def test_a_release_is_not_undone_by_what_was_said_before(theft: Theft) -> None:
    site = theft.domain.sites[0]
    old = [theft.signed(kind, site.link_id) for kind in CLIENTS_MESSAGES]
    await theft.victim.ask(site, theft.victim.release(site, theft.prefix))
    before = await theft.domain.bindings()
    for datagram in old:
        assert given(await site.ask(datagram, SOURCE)) == []
    assert await theft.domain.bindings() == before


@pytest.mark.parametrize("minutes", [-1.1, 1.1])
async def test_a_wrong_clock_is_told_the_time(theft: Theft, minutes: float) -> None:
    site = theft.domain.sites[0]
    before = await theft.domain.bindings()
    seconds = minutes * 60
    assert abs(seconds) * 1e6 > CLOCK_TOLERANCE
    reply = await site.ask(theft.signed(MessageType.REBIND, site.link_id, seconds), SOURCE)
    assert refusal(reply) is RefusalReason.SIGNATURE_OR_TIME
    assert reply is not None
    now = round(theft.domain.clock.now * 1_000_000)
    assert said(reply).first(TimeAndLink) == TimeAndLink(now, site.link_id)
    assert await theft.domain.bindings() == before


async def test_what_was_signed_for_the_future_counts_once(theft: Theft) -> None:
    site = theft.domain.sites[0]
    ahead = theft.signed(MessageType.REBIND, site.link_id, 30)
    assert given(await site.ask(ahead, SOURCE)) == [theft.prefix]
    behind = theft.signed(MessageType.REBIND, site.link_id)
    assert refusal(await site.ask(behind, SOURCE)) is RefusalReason.SIGNATURE_OR_TIME


async def test_a_solicit_that_was_carried_to_another_link_leaves_nobody_there() -> None:
    domain = two_routers()
    first, second = domain.sites
    victim = Client(domain.clock)
    solicit = victim.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED}, options=[RapidCommit()])
    datagram = victim.sign(solicit)
    [carried] = given(await second.ask(datagram, SOURCE))
    # It does not believe itself to be served here while the other router serves somebody there.
    reply = await first.ask(datagram, SOURCE)
    assert refusal(reply) is RefusalReason.SIGNATURE_OR_TIME
    assert reply is not None
    hint = said(reply).first(TimeAndLink)
    assert hint is not None
    assert lease(await victim.ask(first, solicit, hint.link_id)).prefix == carried
    assert (await domain.binding()).serving == "ar1"


async def test_of_two_routers_of_one_link_the_one_that_acts_on_a_message_answers() -> None:
    domain = one_link()
    theft = await Theft.begin(domain)
    rebind = theft.signed(MessageType.REBIND, domain.sites[0].link_id)
    replies = [await site.ask(rebind, SOURCE) for site in domain.sites]
    assert [given(reply) for reply in replies] == [[theft.prefix], []]


@pytest.mark.parametrize("kind", ServiceType)
async def test_what_was_asked_for_in_the_name_of_a_key_goes_to_its_holder(
    kind: ServiceType,
) -> None:
    domain = two_routers(quota=2)
    site, owner = domain.sites[0], Client(domain.clock)
    squatter = Client(domain.clock, None, plain_duid=owner.duid)
    for iaid in (1, 2):
        await squatter.acquire(site, SESSION_LASTING, iaid)
    for iaid in (1, 2):
        assert given(await owner.solicit(site, kind, iaid))
    held = [each for each in await domain.bindings() if each.held]
    assert {(each.iaid, each.type) for each in held} == {(1, kind), (2, kind)}
    assert all(each.key is not None for each in held)


# ---- addresses -----------------------------------------------------------------------------------


async def test_nobody_else_has_a_say_in_an_address_of_a_key(theft: Theft) -> None:
    site, victim = theft.domain.sites[0], Client(theft.domain.clock)
    rapid: list[Option] = [RapidCommit(), IaNa(1, 0, 0)]
    [found] = (await victim.ask(site, victim.message(MessageType.SOLICIT, options=rapid))).every(
        IaNa
    )
    held = IaNa(1, 0, 0, (IaAddr(found.addresses[0].address, 0, 0),))
    before = await theft.domain.bindings()
    for kind in CLIENTS_MESSAGES:
        server = None if kind in TO_ALL_SERVERS else site.config.server_duid
        forged = replace(victim, identity=None, plain_duid=victim.duid)
        other = Client(theft.domain.clock, Identity.generate())
        for thief in (forged, other):
            message = forged.message(kind, server=server, options=[held])
            reply = await thief.try_ask(site, message)
            assert reply is not None
            assert not any(each.valid for ia_na in reply.every(IaNa) for each in ia_na.addresses)
    assert await theft.domain.bindings() == before


# ---- a client without a key ----------------------------------------------------------------------


async def keyless(policy: Keyless) -> tuple[Theft, Client]:
    """A keyless client with a prefix, and somebody on the same link who uses its names."""
    domain = two_routers(keyless=policy, hold=10.0)
    theft = await Theft.begin(domain, Client(domain.clock, None))
    return theft, replace(theft.victim, source=ELSEWHERE)


async def depart(theft: Theft) -> None:
    """Have the router notice that the victim has left."""
    binding = await theft.domain.binding()
    gone = replace(
        binding,
        serving=None,
        link=None,
        next_hop=None,
        state=BindingState.DETACHED,
        seq=binding.seq + 1,
    )
    await theft.domain.store.commit([Update(gone, binding.seq)])


@pytest.mark.parametrize("site", [0, 1], ids=["same router", "other router"])
@pytest.mark.parametrize("policy", Keyless)
async def test_what_a_thief_gets_of_a_keyless_client_that_is_there(
    policy: Keyless, site: int
) -> None:
    theft, thief = await keyless(policy)
    router = theft.domain.sites[site]
    before = await theft.domain.bindings()
    reply = await thief.ask(router, theft.about(MessageType.REBIND, thief))
    taken = policy is Keyless.ALWAYS
    assert given(reply) == ([theft.prefix] if taken else [])
    assert (await theft.domain.bindings() != before) is taken
    # Who is patient gets it where a departure may go unseen.
    theft.domain.clock.now += 10
    reply = await thief.ask(router, theft.about(MessageType.REBIND, thief))
    assert given(reply) == ([] if policy is Keyless.NEVER else [theft.prefix])


@pytest.mark.parametrize("policy", Keyless)
async def test_a_keyless_prefix_that_was_left_moves_unless_it_never_does(policy: Keyless) -> None:
    theft, thief = await keyless(policy)
    await depart(theft)
    reply = await thief.ask(theft.domain.sites[1], theft.about(MessageType.REBIND, thief))
    assert given(reply) == ([] if policy is Keyless.NEVER else [theft.prefix])


async def test_a_keyless_prefix_that_never_moves_is_there_for_who_comes_back() -> None:
    theft, _ = await keyless(Keyless.NEVER)
    await depart(theft)
    site = theft.domain.sites[0]
    reply = await theft.victim.ask(site, theft.victim.rebind(theft.prefix, FIXED))
    assert given(reply) == [theft.prefix]


@pytest.mark.parametrize("site", [0, 1], ids=["same router", "other router"])
@pytest.mark.parametrize("policy", Keyless)
async def test_who_may_not_take_a_keyless_prefix_may_not_end_it(policy: Keyless, site: int) -> None:
    theft, thief = await keyless(policy)
    reply = await thief.ask(theft.domain.sites[site], theft.about(MessageType.RELEASE, thief))
    ended = policy is Keyless.ALWAYS
    assert (await theft.domain.binding()).held is not ended
    assert refusal(reply) is (None if ended else RefusalReason.NOT_AUTHORISED)
    if not ended:
        await theft.victim.ask(
            theft.domain.sites[0], theft.victim.release(theft.domain.sites[0], theft.prefix)
        )
        assert not (await theft.domain.binding()).held


async def test_a_keyless_thief_gets_nothing_of_who_has_a_key(theft: Theft) -> None:
    thief = replace(theft.victim, identity=None, plain_duid=theft.victim.duid, source=ELSEWHERE)
    theft.domain.clock.now += 3600
    await depart(theft)
    for site in theft.domain.sites:
        reply = await thief.ask(site, theft.about(MessageType.REBIND, thief))
        assert refusal(reply) is RefusalReason.NOT_AUTHORISED
        assert not association(reply).prefixes
    assert (await theft.domain.binding()).state is BindingState.DETACHED
