"""Whatever comes, the DHCPv6 server answers it or drops it, and nothing else happens."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    GraceTime,
    IaAddr,
    IaNa,
    IaPd,
    IaPrefix,
    Message,
    MessageType,
    OnDemand,
    Option,
    OptionRequest,
    PublicKey,
    RapidCommit,
    ServerId,
    ServiceTypeOf,
    Signature,
    StatusCode,
    SubOption,
    UnknownOption,
    UnknownSubOption,
)
from tests.domain import START, Client, Domain, two_routers

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
SOURCES = st.sampled_from([IPv6Address("fe80::1"), IPv6Address("fe80::2"), IPv6Address("::")])


async def feed(domain: Domain, datagrams: list[tuple[bytes, IPv6Address, int]]) -> None:
    """Have two routers answer datagrams, and check what they say and store."""
    for datagram, source, which in datagrams:
        site = domain.sites[which]
        reply = await site.ask(datagram, source)
        domain.clock.now += 3
        if reply is None:
            continue
        assert reply.type in {MessageType.REPLY, MessageType.ADVERTISE}
        assert reply.transaction_id == int.from_bytes(datagram[1:4], "big")
        assert reply.first(ServerId) == ServerId(SERVER)
        for ia in reply.every(IaPd):
            for lease in ia.prefixes:
                assert lease.preferred <= lease.valid
    held = [binding for binding in await domain.bindings() if binding.held]
    assert len({(binding.client, binding.iaid) for binding in held}) == len(held)


@given(st.lists(st.tuples(messages.map(Message.encode), SOURCES, st.integers(0, 1)), max_size=8))
def test_random_messages(datagrams: list[tuple[bytes, IPv6Address, int]]) -> None:
    asyncio.run(feed(two_routers(hold=5.0), datagrams))


@given(
    st.lists(
        st.tuples(st.sampled_from(MessageType), st.integers(0, 400), st.integers(0, 255)),
        max_size=8,
    )
)
def test_mutated_messages(mutations: list[tuple[MessageType, int, int]]) -> None:
    domain = two_routers()
    client = Client(domain.clock)

    def mutated() -> list[tuple[bytes, IPv6Address, int]]:
        found: list[tuple[bytes, IPv6Address, int]] = []
        for kind, position, octet in mutations:
            if "RELAY" in kind.name:
                continue
            ia = IaPd(1, 0, 0, (IaPrefix(0, 0, PREFIXES[0]),))
            message = client.message(kind, [ia], {1: ServiceType.FIXED}, options=[RapidCommit()])
            datagram = bytearray(client.sign(message))
            datagram[position % len(datagram)] = octet
            found.append((bytes(datagram), client.source, position % 2))
            found.append((bytes(datagram[: position % len(datagram)]), client.source, 0))
        return found

    asyncio.run(feed(domain, mutated()))


@given(st.lists(st.tuples(st.binary(max_size=200), SOURCES, st.integers(0, 1)), max_size=8))
def test_garbage(datagrams: list[tuple[bytes, IPv6Address, int]]) -> None:
    asyncio.run(feed(two_routers(), datagrams))
