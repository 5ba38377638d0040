"""The DHCPv6 server's answers: RFC 8415 section 18.3 and ``docs/protocol.md``."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from moorage.identity import NO_LINK, Identity
from moorage.router.config import Keyless, Policy
from moorage.service import ServiceType
from moorage.store.model import BindingState
from moorage.wire.dhcp6 import (
    ClientId,
    GraceTime,
    IaPd,
    Message,
    MessageType,
    NetworkPolicy,
    OfferedTypes,
    OnDemand,
    PathMtu,
    Preference,
    RapidCommit,
    Refusal,
    RefusalReason,
    ServerId,
    Status,
    StatusCode,
    TimeAndLink,
)
from tests.domain import (
    ANY,
    Client,
    Domain,
    association,
    ia,
    lease,
    one_link,
    router_config,
    said,
    two_routers,
)

FIXED = ServiceType.FIXED
SESSION_LASTING = ServiceType.SESSION_LASTING
NON_PERSISTENT = ServiceType.NON_PERSISTENT
GRACEFUL = ServiceType.GRACEFUL_REPLACEMENT


def reason(reply: Message, iaid: int = 1) -> RefusalReason:
    """Why an IA_PD was refused, said in both ways."""
    status = association(reply, iaid).status
    assert status is not None
    assert status.code == Status.NO_PREFIX_AVAIL
    refusal = said(reply).for_iaid(Refusal, iaid)
    assert refusal is not None
    return refusal.reason


# ---- asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ServiceType)
async def test_two_messages_give_a_prefix_of_the_type(kind: ServiceType) -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    reply = await client.solicit(site, kind)
    lifetimes = site.config.lifetimes.of(kind)
    given = lease(reply)
    assert reply.type is MessageType.REPLY
    assert reply.first(RapidCommit)
    assert reply.first(ClientId) == ClientId(client.duid)
    assert reply.first(ServerId) == ServerId(site.config.server_duid)
    assert given.prefix.subnet_of(site.config.pool)
    assert given.prefix.prefixlen == 64
    assert (given.preferred, given.valid) == (lifetimes.preferred, lifetimes.valid)
    assert (association(reply).t1, association(reply).t2) == (lifetimes.t1, lifetimes.t2)
    about = said(reply)
    assert about.service_type(1) is kind
    assert about.first(OfferedTypes) == OfferedTypes(frozenset(ServiceType))
    assert about.for_iaid(PathMtu, 1) == PathMtu(1, 1500)
    assert (about.for_iaid(GraceTime, 1) is not None) == (kind is GRACEFUL)
    binding = await domain.binding()
    assert (binding.prefix, binding.client, binding.iaid) == (given.prefix, client.duid, 1)
    assert (binding.type, binding.anchor, binding.serving) == (kind, "ar1", "ar1")
    assert (binding.link, binding.next_hop) == ("acc0", client.source)
    assert binding.key == (client.identity and client.identity.public_key)
    assert site.changes


async def test_four_messages_commit_at_the_request() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock, None, speaks=False)
    advertise = await client.ask(site, client.message(MessageType.SOLICIT, [ia(1, ANY)]))
    assert advertise.type is MessageType.ADVERTISE
    assert advertise.first(Preference) is None
    assert await domain.bindings() == []
    offered = lease(advertise).prefix
    server = advertise.first(ServerId)
    assert server is not None
    request = client.message(MessageType.REQUEST, [ia(1, offered)], server=server.duid)
    reply = await client.ask(site, request)
    assert reply.type is MessageType.REPLY
    assert lease(reply).prefix == offered == (await domain.binding()).prefix


async def test_a_client_that_says_no_type_gets_the_default_and_is_told() -> None:
    domain = two_routers(default_type="fixed")
    reply = await Client(domain.clock).solicit(domain.sites[0], None)
    assert said(reply).service_type(1) is FIXED
    assert (await domain.binding()).type is FIXED


async def test_a_client_without_our_option_is_served_and_not_sent_it() -> None:
    domain = two_routers()
    client = Client(domain.clock, None, speaks=False)
    reply = await client.solicit(domain.sites[0], None)
    assert OnDemand.of(reply) is None
    assert lease(reply).prefix == (await domain.binding()).prefix
    assert (await domain.binding()).key is None


async def test_every_association_has_its_own_type_and_all_the_same_timers() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    types = {1: FIXED, 2: SESSION_LASTING, 3: NON_PERSISTENT}
    reply = await client.ask(
        site,
        client.message(
            MessageType.SOLICIT, [ia(iaid, ANY) for iaid in types], types, options=[RapidCommit()]
        ),
    )
    assert {iaid: said(reply).service_type(iaid) for iaid in types} == types
    assert len({lease(reply, iaid).prefix for iaid in types}) == 3
    timers = {(association(reply, iaid).t1, association(reply, iaid).t2) for iaid in types}
    assert timers == {(600, 1200)}


async def test_a_repeated_solicit_is_answered_by_the_router_that_acted_on_it() -> None:
    domain = one_link()
    first, second = domain.sites
    client = Client(domain.clock)
    solicit = client.message(
        MessageType.SOLICIT, [ia(1, ANY)], {1: SESSION_LASTING}, options=[RapidCommit()]
    )
    datagram = client.sign(solicit, first.link_id)
    one = await first.ask(datagram, client.source)
    again = await first.ask(datagram, client.source)
    other = await second.ask(datagram, client.source)
    assert one is not None
    assert again is not None
    assert lease(one) == lease(again)
    assert other is None
    assert (await domain.binding()).serving == "ar1"
    assert (await client.acquire(first, SESSION_LASTING)) == lease(one).prefix


async def test_a_prefix_wished_for_is_given_if_it_is_free() -> None:
    domain = two_routers()
    site = domain.sites[0]
    wish = IPv6Network("2001:db8:a1aa:bbcc::/64")
    client = Client(domain.clock)
    assert lease(await client.solicit(site, FIXED, 1, wish)).prefix == wish
    assert lease(await client.solicit(site, FIXED, 2, wish), 2).prefix != wish


@pytest.mark.parametrize("wish", ["2001:db8:a200::/64", "2001:db8:a1aa::/56", "::/56", "::/80"])
async def test_a_wish_that_cannot_be_fulfilled_gives_another_prefix(wish: str) -> None:
    domain = two_routers()
    site = domain.sites[0]
    reply = await Client(domain.clock).solicit(site, FIXED, 1, IPv6Network(wish))
    assert lease(reply).prefix.subnet_of(site.config.pool)
    assert lease(reply).prefix.prefixlen == 64


# ---- refusing ------------------------------------------------------------------------------------


async def test_a_type_that_is_not_offered_is_refused() -> None:
    domain = two_routers(offered=["session-lasting"])
    client = Client(domain.clock)
    reply = await client.solicit(domain.sites[0], GRACEFUL)
    assert reason(reply) is RefusalReason.TYPE_NOT_OFFERED
    assert said(reply).first(OfferedTypes) == OfferedTypes(frozenset({SESSION_LASTING}))
    assert await domain.bindings() == []


async def test_a_full_pool_is_said_to_be_full() -> None:
    domain = two_routers(pool=IPv6Network("2001:db8:a100::/63"))
    site, client = domain.sites[0], Client(domain.clock)
    given = {await client.acquire(site, SESSION_LASTING, iaid) for iaid in (1, 2)}
    assert len(given) == 2
    assert reason(await client.solicit(site, SESSION_LASTING, 3), 3) is RefusalReason.POOL_FULL


async def test_a_client_cannot_hold_more_than_its_quota() -> None:
    domain = two_routers(quota=1)
    site, client = domain.sites[0], Client(domain.clock)
    await client.acquire(site, SESSION_LASTING)
    assert reason(await client.solicit(site, SESSION_LASTING, 2), 2) is RefusalReason.QUOTA
    await Client(domain.clock).acquire(site, SESSION_LASTING)


async def test_the_operator_dictates_and_enforces_a_policy() -> None:
    policy = Policy(permitted=["session-lasting"], boot=["session-lasting"])
    domain = two_routers(policy=policy)
    reply = await Client(domain.clock).solicit(domain.sites[0], FIXED)
    assert reason(reply) is RefusalReason.NOT_AUTHORISED
    only = frozenset({SESSION_LASTING})
    assert said(reply).first(NetworkPolicy) == NetworkPolicy(only, only, None)


async def test_an_association_keeps_its_type() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    prefix = await client.acquire(site, SESSION_LASTING)
    before = await domain.bindings()
    assert reason(await client.solicit(site, FIXED)) is RefusalReason.NOT_AUTHORISED
    assert reason(await client.ask(site, client.rebind(prefix, FIXED))) is (
        RefusalReason.NOT_AUTHORISED
    )
    assert await domain.bindings() == before


async def test_a_refusal_to_a_client_without_our_option_is_only_a_status() -> None:
    domain = two_routers(offered=["fixed"], default_type="fixed", quota=1)
    site, client = domain.sites[0], Client(domain.clock, None, speaks=False)
    await client.acquire(site, None)
    reply = await client.solicit(site, None, 2)
    status = association(reply, 2).status
    assert status is not None
    assert status.code == Status.NO_PREFIX_AVAIL
    assert OnDemand.of(reply) is None


# ---- moving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FIXED, SESSION_LASTING])
async def test_a_lasting_prefix_moves_with_its_host(kind: ServiceType) -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    prefix = await client.acquire(first, kind)
    client.source = IPv6Address("fe80::5678")
    reply = await client.ask(second, client.rebind(prefix, kind))
    lifetimes = second.config.lifetimes.of(kind)
    given = lease(reply)
    assert (given.prefix, given.preferred, given.valid) == (
        prefix,
        lifetimes.preferred,
        lifetimes.valid,
    )
    assert said(reply).service_type(1) is kind
    binding = await domain.binding()
    assert (binding.anchor, binding.serving, binding.seq) == ("ar1", "ar2", 2)
    assert (binding.link, binding.next_hop) == ("acc0", client.source)


async def test_a_graceful_prefix_lives_on_for_the_grace_time() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    prefix = await client.acquire(first, GRACEFUL)
    reply = await client.ask(second, client.rebind(prefix, GRACEFUL))
    assert (lease(reply).preferred, lease(reply).valid) == (0, 60)
    # It cannot be extended, and there is no point in trying.
    assert (association(reply).t1, association(reply).t2) == (60, 60)
    assert said(reply).for_iaid(GraceTime, 1) == GraceTime(1, 60)
    domain.clock.now += 45
    back = await client.ask(first, client.rebind(prefix, GRACEFUL))
    assert (lease(back).preferred, lease(back).valid) == (0, 15)
    domain.clock.now += 16
    gone = await client.ask(first, client.rebind(prefix, GRACEFUL))
    status = association(gone).status
    assert status is not None
    assert status.code == Status.NO_BINDING


async def test_a_graceful_prefix_is_renewed_where_it_came_from() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    prefix = await client.acquire(site, GRACEFUL)
    domain.clock.now += 600
    reply = await client.ask(site, client.rebind(prefix, GRACEFUL))
    assert (lease(reply).preferred, lease(reply).valid) == (3600, 7200)


async def test_a_non_persistent_prefix_ends_at_another_router() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    prefix = await client.acquire(first, NON_PERSISTENT)
    reply = await client.ask(second, client.rebind(prefix, NON_PERSISTENT))
    assert (lease(reply).prefix, lease(reply).preferred, lease(reply).valid) == (prefix, 0, 0)
    binding = await domain.binding()
    assert binding.state is BindingState.RELEASED
    assert binding.valid_until == domain.clock.now + 600
    renewed = await client.solicit(second, NON_PERSISTENT)
    assert lease(renewed).prefix.subnet_of(second.config.pool)


async def test_a_solicit_elsewhere_replaces_a_non_persistent_prefix() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    old = await client.acquire(first, NON_PERSISTENT)
    new = await client.acquire(second, NON_PERSISTENT)
    assert new.subnet_of(second.config.pool)
    states = {binding.prefix: binding.state for binding in await domain.bindings()}
    assert states == {old: BindingState.RELEASED, new: BindingState.ACTIVE}


async def test_several_prefixes_move_with_one_rebind() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    types = {1: FIXED, 2: GRACEFUL, 3: NON_PERSISTENT}
    prefixes = {iaid: await client.acquire(first, kind, iaid) for iaid, kind in types.items()}
    message = client.message(
        MessageType.REBIND, [ia(iaid, prefix) for iaid, prefix in prefixes.items()], types
    )
    reply = await client.ask(second, message)
    valid = {iaid: lease(reply, iaid).valid for iaid in types}
    assert valid == {1: 60 * 86_400, 2: 60, 3: 0}
    # Those of the one that can be extended.
    assert {(each.t1, each.t2) for each in reply.every(IaPd)} == {(3600, 7200)}


async def test_prefixes_that_are_not_of_the_association_are_withdrawn() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    prefix = await client.acquire(site, FIXED)
    stray = IPv6Network("2001:db8:dead::/64")
    message = client.message(MessageType.REBIND, [ia(1, prefix, stray)], {1: FIXED})
    reply = await client.ask(site, message)
    valid = {each.prefix: each.valid for each in association(reply).prefixes}
    assert valid == {prefix: 60 * 86_400, stray: 0}


async def test_what_the_store_does_not_know_has_no_binding() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    for message in (
        client.rebind(IPv6Network("2001:db8:a100::/64"), FIXED),
        client.message(MessageType.RENEW, [ia(1, ANY)], {1: FIXED}, server=site.config.server_duid),
        client.release(site, IPv6Network("2001:db8:a100::/64")),
    ):
        status = association(await client.ask(site, message)).status
        assert status is not None
        assert status.code == Status.NO_BINDING


async def test_an_expired_binding_is_replaced_by_a_new_one() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    old = await client.acquire(site, SESSION_LASTING)
    domain.clock.now += 7201
    assert await client.acquire(site, SESSION_LASTING) != old
    states = {binding.prefix: binding.state for binding in await domain.bindings()}
    assert states.pop(old) is BindingState.RELEASED
    assert list(states.values()) == [BindingState.ACTIVE]


# ---- releasing -----------------------------------------------------------------------------------


async def test_a_release_works_at_any_router_and_starts_the_quarantine() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    prefix = await client.acquire(first, FIXED)
    reply = await client.ask(second, client.release(second, prefix))
    assert reply.first(StatusCode) == StatusCode(Status.SUCCESS, "")
    binding = await domain.binding()
    assert (binding.state, binding.serving) == (BindingState.RELEASED, None)
    assert binding.valid_until == domain.clock.now + 86_400
    again = await client.ask(second, client.release(second, prefix))
    assert association(again).status is not None


async def test_an_old_solicit_does_not_bring_a_released_prefix_back() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    solicit = client.sign(
        client.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED}, options=[RapidCommit()])
    )
    first = await site.ask(solicit, client.source)
    assert first is not None
    await client.ask(site, client.release(site, lease(first).prefix))
    replayed = await site.ask(solicit, client.source)
    assert replayed is not None
    assert reason(replayed) is RefusalReason.SIGNATURE_OR_TIME


# ---- who may -------------------------------------------------------------------------------------


async def test_nobody_else_moves_or_releases_a_keyed_prefix() -> None:
    domain = two_routers()
    first, second = domain.sites
    victim = Client(domain.clock)
    prefix = await victim.acquire(first, FIXED)
    before = await domain.bindings()
    for identity in (None, Identity.generate()):
        thief = Client(domain.clock, identity, source=IPv6Address("fe80::bad"))
        stolen = ClientId(victim.duid)
        for message in (thief.rebind(prefix, FIXED), thief.release(second, prefix)):
            options = tuple(
                stolen if isinstance(option, ClientId) else option for option in message.options
            )
            forged = Message(message.type, message.transaction_id, options)
            reply = await thief.ask(second, forged)
            assert reason(reply) in {
                RefusalReason.NOT_AUTHORISED,
                RefusalReason.SIGNATURE_OR_TIME,
            }
    assert await domain.bindings() == before


async def test_a_replay_on_another_link_loses_and_the_host_wins_with_the_link_id() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    prefix = await client.acquire(first, FIXED)
    datagram = client.sign(client.rebind(prefix, FIXED), NO_LINK)
    replayed = await first.ask(datagram, client.source)
    assert replayed is not None
    assert lease(replayed)
    refused = await second.ask(datagram, client.source)
    assert refused is not None
    assert reason(refused) is RefusalReason.SIGNATURE_OR_TIME
    hint = said(refused).first(TimeAndLink)
    assert hint == TimeAndLink(round(domain.clock.now * 1_000_000), second.link_id)
    accepted = await client.ask(second, client.rebind(prefix, FIXED), hint.link_id)
    assert lease(accepted).valid > 0
    assert (await domain.binding()).serving == "ar2"
    late = await first.ask(datagram, client.source)
    assert late is not None
    assert reason(late) is RefusalReason.SIGNATURE_OR_TIME
    assert (await domain.binding()).serving == "ar2"


async def test_a_signature_for_another_link_is_refused() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock)
    prefix = await client.acquire(first, FIXED)
    reply = await client.ask(second, client.rebind(prefix, FIXED), first.link_id)
    assert reason(reply) is RefusalReason.SIGNATURE_OR_TIME


async def test_a_key_takes_its_own_duid_back_from_who_used_it_without() -> None:
    domain = two_routers()
    site, owner = domain.sites[0], Client(domain.clock)
    squatter = Client(domain.clock, None, plain_duid=owner.duid)
    prefix = await squatter.acquire(site, SESSION_LASTING)
    assert await owner.acquire(site, SESSION_LASTING) == prefix
    assert (await domain.binding()).key is not None


# ---- clients without a key -----------------------------------------------------------------------


async def test_a_plain_client_keeps_its_session_after_a_departure_that_was_seen() -> None:
    domain = two_routers(hold=10.0)
    first, second = domain.sites
    client = Client(domain.clock, None, speaks=False)
    prefix = await client.acquire(first, None)
    assert await client.try_ask(second, client.rebind(prefix)) is None
    assert (await domain.binding()).serving == "ar1"
    domain.clock.now += 9
    assert await client.try_ask(second, client.rebind(prefix)) is None
    domain.clock.now += 1
    reply = await client.ask(second, client.rebind(prefix))
    assert lease(reply).prefix == prefix
    assert (await domain.binding()).serving == "ar2"


async def test_a_keyless_client_with_our_option_is_told_to_try_later() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock, None)
    prefix = await client.acquire(first, FIXED)
    assert reason(await client.ask(second, client.rebind(prefix))) is RefusalReason.TRY_LATER


async def test_keyless_prefixes_move_at_once_where_the_operator_says_so() -> None:
    domain = two_routers(keyless=Keyless.ALWAYS)
    first, second = domain.sites
    client = Client(domain.clock, None, speaks=False)
    prefix = await client.acquire(first, None)
    assert lease(await client.ask(second, client.rebind(prefix))).prefix == prefix


async def test_keyless_prefixes_never_move_where_the_operator_says_so() -> None:
    domain = two_routers(keyless=Keyless.NEVER)
    first, second = domain.sites
    client = Client(domain.clock, None, speaks=False)
    prefix = await client.acquire(first, None)
    domain.clock.now += 3600
    assert lease(await client.ask(second, client.rebind(prefix))).valid == 0
    assert (await domain.binding()).serving == "ar1"
    assert lease(await client.ask(first, client.rebind(prefix))).valid == 7200


async def test_a_keyless_prefix_is_not_released_from_elsewhere() -> None:
    domain = two_routers()
    first, second = domain.sites
    client = Client(domain.clock, None)
    prefix = await client.acquire(first, FIXED)
    reply = await client.ask(second, client.release(second, prefix))
    assert reason(reply) is RefusalReason.NOT_AUTHORISED
    assert (await domain.binding()).held


# ---- the other messages --------------------------------------------------------------------------


async def test_an_information_request_is_answered() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock, None)
    reply = await client.ask(site, client.message(MessageType.INFORMATION_REQUEST))
    assert said(reply).first(OfferedTypes) is not None


async def test_a_source_that_is_not_link_local_is_dropped() -> None:
    domain = two_routers()
    client = Client(domain.clock, None, source=IPv6Address("2001:db8::1"))
    message = client.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
    assert await client.try_ask(domain.sites[0], message) is None


async def test_garbage_is_counted_and_dropped() -> None:
    site = Domain(router_config()).sites[0]
    assert await site.ask(b"\x01\x00", IPv6Address("fe80::1")) is None
    assert site.complaints.counts["malformed DHCPv6 message"] == 1
