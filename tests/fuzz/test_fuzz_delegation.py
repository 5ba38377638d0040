"""Whatever comes, the DHCPv6 server answers it, or drops it, counts it, and changes nothing."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from moorage.router.config import AccessLink
from moorage.router.inbox import Arrival
from moorage.router.settings import RelayAgent
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    GraceTime,
    IaAddr,
    IaNa,
    IaPd,
    IaPrefix,
    InterfaceId,
    Message,
    MessageType,
    OnDemand,
    Option,
    OptionRequest,
    PublicKey,
    RapidCommit,
    ReconfigureAccept,
    Relay,
    RelayMessageOption,
    ServerId,
    ServiceTypeOf,
    Signature,
    StatusCode,
    SubOption,
    UnknownOption,
    UnknownSubOption,
    decode_message,
)
from tests.domain import START, Client, Domain, Site, two_routers

u32 = st.integers(0, 0xFFFFFFFF)
few = st.integers(0, 3)
PREFIXES = [
    *IPv6Network("2001:db8:a100::/62").subnets(new_prefix=64),
    *(IPv6Network(text) for text in ("::/0", "::/64", "fe80::/64", "ff00::/8", "::1/128")),
]
SERVER = two_routers().sites[0].config.server_duid
MICROSECONDS = round(START * 1_000_000)

duids = st.sampled_from([b"\x00\x03one", b"\x00\x04" + bytes(16), SERVER]) | st.binary(
    min_size=3, max_size=130
)
prefixes = st.builds(IaPrefix, u32, u32, st.sampled_from(PREFIXES))
statuses = st.builds(StatusCode, few, st.just("so"))
sub_options: st.SearchStrategy[SubOption] = st.one_of(
    st.builds(ServiceTypeOf, few, st.sampled_from(ServiceType)),
    st.builds(PublicKey, st.binary(min_size=32, max_size=32)),
    st.builds(
        Signature,
        st.just(MICROSECONDS) | st.integers(0, 2**64 - 1),
        st.just(bytes(8)) | st.binary(min_size=8, max_size=8),
        st.binary(min_size=64, max_size=64),
    ),
    st.builds(GraceTime, few, u32),
    st.builds(UnknownSubOption, st.integers(100, 200), st.binary(max_size=20)),
)
options: st.SearchStrategy[Option] = st.one_of(
    st.builds(ClientId, duids),
    st.builds(ServerId, duids),
    st.builds(IaPd, few, u32, u32, st.lists(prefixes | statuses, max_size=3).map(tuple)),
    st.builds(
        IaNa,
        few,
        u32,
        u32,
        st.lists(st.builds(IaAddr, st.ip_addresses(v=6), u32, u32), max_size=2).map(tuple),
    ),
    st.builds(RapidCommit),
    st.builds(ReconfigureAccept),
    st.builds(OptionRequest, st.lists(st.integers(0, 200), max_size=4).map(tuple)),
    st.builds(UnknownOption, st.integers(200, 300), st.binary(max_size=20)),
    st.lists(sub_options, max_size=5).map(lambda found: OnDemand(tuple(found)).to_option()),
)
messages = st.builds(
    Message,
    st.sampled_from([kind for kind in MessageType if "RELAY" not in kind.name]),
    st.integers(0, 0xFFFFFF),
    st.lists(options, max_size=8).map(tuple),
)
AGENT = RelayAgent(address=IPv6Address("fe80::a"), links=[IPv6Network("2001:db8:88::/64")])
LINKS = [
    AccessLink(interface="acc0", slaac_prefix=IPv6Network("2001:db8:1001::/64"), relays=[AGENT]),
    AccessLink(interface="acc1"),
]
SOURCES = st.sampled_from(
    [IPv6Address("fe80::1"), IPv6Address("fe80::2"), AGENT.address, IPv6Address("::")]
)

Sent = tuple[bytes, IPv6Address, bool, int, int]
"""A datagram, its source, whether it comes to us alone, the router, and the link."""


def sent(datagrams: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[Sent]]:
    """Some datagrams on their way to routers."""
    either = st.integers(0, 1)
    return st.lists(
        st.tuples(datagrams, SOURCES, st.sampled_from([False, False, True]), either, either),
        max_size=8,
    )


link_addresses = st.sampled_from([AGENT.links[0][1], IPv6Address("::"), IPv6Address("1::")])


def relayed(inside: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Datagrams as a relay agent passes them on."""
    content = st.tuples(
        st.builds(RelayMessageOption, inside), st.builds(InterfaceId, st.binary(max_size=9))
    )
    headers = st.builds(
        Relay,
        st.sampled_from([MessageType.RELAY_FORW, MessageType.RELAY_FORW, MessageType.RELAY_REPL]),
        st.integers(0, 10),
        link_addresses,
        SOURCES,
        content,
    )
    return headers.map(Relay.encode)


def dropped(site: Site) -> int:
    """How many messages a router has counted that it does not answer."""
    counts = site.complaints.counts
    return counts["DHCPv6 message"] + counts["malformed DHCPv6 message"] + site.account.postponed


def told(reply: bytes) -> Message:
    """The answer to a client, without what relay agents take off."""
    message = decode_message(reply)
    while isinstance(message, Relay):
        assert message.type is MessageType.RELAY_REPL
        inside = message.first(RelayMessageOption)
        assert inside is not None
        message = decode_message(inside.message)
    return message


async def feed(domain: Domain, datagrams: list[Sent]) -> None:
    """Have two routers answer datagrams, and check what they say, count and store."""
    for datagram, source, unicast, which, link in datagrams:
        site = domain.sites[which]
        site.link = site.config.access[link]
        before, counted = await domain.bindings(), dropped(site)
        reply = await site.send(Arrival(datagram, source, unicast))
        domain.clock.now += 3
        if reply is None:
            assert await domain.bindings() == before
            assert dropped(site) == counted + 1
            continue
        assert dropped(site) == counted
        check(told(reply))
    held = [binding for binding in await domain.bindings() if binding.held]
    names = {(binding.client, binding.iaid, binding.is_address) for binding in held}
    assert len(names) == len(held)


def check(reply: Message) -> None:
    """An answer is one that RFC 8415 allows."""
    assert reply.type in {MessageType.REPLY, MessageType.ADVERTISE}
    assert reply.first(ServerId) == ServerId(SERVER)
    associations = [*reply.every(IaPd), *reply.every(IaNa)]
    assert len({(ia.t1, ia.t2) for ia in associations}) <= 1
    for ia in associations:
        leases: list[IaPrefix | IaAddr] = [*ia.every(IaPrefix), *ia.every(IaAddr)]
        assert (ia.status is None) == bool(leases)
        assert all(lease.preferred <= lease.valid for lease in leases)


def network(**changes: Any) -> Domain:
    return two_routers(access=LINKS, **changes)


@given(sent(messages.map(Message.encode)))
def test_random_messages(datagrams: list[Sent]) -> None:
    asyncio.run(feed(network(hold=5.0), datagrams))


@given(sent(relayed(messages.map(Message.encode)) | relayed(relayed(messages.map(Message.encode)))))
def test_random_messages_through_relay_agents(datagrams: list[Sent]) -> None:
    asyncio.run(feed(network(hold=5.0), datagrams))


@given(
    st.lists(
        st.tuples(st.sampled_from(MessageType), st.integers(0, 400), st.integers(0, 255)),
        max_size=8,
    )
)
def test_mutated_messages(mutations: list[tuple[MessageType, int, int]]) -> None:
    domain = network()
    client = Client(domain.clock)

    def mutated() -> list[Sent]:
        found: list[Sent] = []
        for kind, position, octet in mutations:
            if "RELAY" in kind.name:
                continue
            ia = IaPd(1, 0, 0, (IaPrefix(0, 0, PREFIXES[0]),))
            message = client.message(kind, [ia], {1: ServiceType.FIXED}, options=[RapidCommit()])
            datagram = bytearray(client.sign(message))
            datagram[position % len(datagram)] = octet
            found.append((bytes(datagram), client.source, False, position % 2, 0))
            cut = bytes(datagram[: position % len(datagram)])
            found.append((cut, client.source, False, 0, 0))
        return found

    asyncio.run(feed(domain, mutated()))


@given(sent(st.binary(max_size=200) | relayed(st.binary(max_size=100))))
def test_garbage(datagrams: list[Sent]) -> None:
    asyncio.run(feed(network(), datagrams))
