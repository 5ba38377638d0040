"""Messages that come through relay agents: RFC 8415 sections 13.1 and 19."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from moorage.identity import NO_LINK
from moorage.router.config import AccessLink
from moorage.router.inbox import Arrival
from moorage.router.settings import RelayAgent
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    HOP_COUNT_LIMIT,
    ClientId,
    IaAddr,
    IaNa,
    InterfaceId,
    Message,
    MessageType,
    Option,
    ReconfigureAccept,
    Refusal,
    RefusalReason,
    Relay,
    RelayMessageOption,
    Status,
    StatusCode,
    TimeAndLink,
    VendorOpts,
    client_of,
    decode_message,
)
from tests.domain import ANY, Client, Domain, Site, association, ia, lease, said, two_routers

FIXED = ServiceType.FIXED
UNSPECIFIED = IPv6Address("::")
CLIENT = IPv6Address("fe80::c11e")
NEAR = IPv6Address("2001:db8:77::a")
"""The agent on the client's link."""
BEHIND = IPv6Network("2001:db8:88::/64")
"""The prefix of that link."""
FAR = IPv6Address("fe80::f")
"""The agent on our link, by its link-local address ..."""
FAR_GLOBAL = IPv6Address("2001:db8:1001::f")
"""... and another address of it."""
SAME_LINK = IPv6Address("fe80::5")
"""An agent that only passes on what comes on our own link (RFC 6221)."""

INSIDE = RelayMessageOption(b"")
LINK = AccessLink(
    interface="acc0",
    slaac_prefix=IPv6Network("2001:db8:1001::/64"),
    relays=[
        RelayAgent(address=FAR, sources=[FAR_GLOBAL], links=[BEHIND]),
        RelayAgent(address=SAME_LINK),
    ],
)


def domain(**changes: Any) -> Domain:
    return two_routers(access=[LINK], **changes)


def forward(
    inside: bytes,
    hop_count: int = 0,
    link: IPv6Address = BEHIND[1],
    peer: IPv6Address = CLIENT,
    options: Sequence[Option] = (),
) -> bytes:
    """What a relay agent sends."""
    content = (*options, RelayMessageOption(inside))
    return Relay(MessageType.RELAY_FORW, hop_count, link, peer, content).encode()


async def ask(site: Site, datagram: bytes, source: IPv6Address = FAR) -> Relay | None:
    """The answer to a relay agent."""
    reply = await site.send(Arrival(datagram, source, unicast=True))
    if reply is None:
        return None
    message = decode_message(reply)
    assert isinstance(message, Relay)
    return message


def content(relay: Relay | None) -> Relay | Message:
    """What is in a Relay-reply."""
    assert relay is not None
    assert relay.type is MessageType.RELAY_REPL
    inside = relay.first(RelayMessageOption)
    assert inside is not None
    return decode_message(inside.message)


def answer(relay: Relay | None) -> Message:
    """What a Relay-reply brings to the client through one agent."""
    message = content(relay)
    assert isinstance(message, Message)
    return message


def plain(at: Domain) -> Client:
    return Client(at.clock, None, speaks=False, source=CLIENT)


def solicit(client: Client, *options: Option) -> bytes:
    return client.message(MessageType.SOLICIT, [ia(1, ANY)], options=options).encode()


async def test_an_answer_goes_back_through_the_agent_that_relayed() -> None:
    at = domain()
    name = InterfaceId(b"port 7")
    remark = VendorOpts(9, ((1, b"theirs"),))
    client = plain(at)
    datagram = forward(solicit(client), options=[name, remark])
    reply = await ask(at.sites[0], datagram)
    assert reply is not None
    assert (reply.hop_count, reply.link_address, reply.peer_address) == (0, BEHIND[1], CLIENT)
    assert reply.every(InterfaceId) == (name,)
    assert reply.every(VendorOpts) == ()
    assert answer(reply).type is MessageType.ADVERTISE
    assert answer(reply).first(ClientId) == ClientId(client.duid)


async def test_what_is_delegated_is_handed_to_the_agent() -> None:
    at = domain()
    site, client = at.sites[0], plain(at)
    advertised = lease(answer(await ask(site, forward(solicit(client))))).prefix
    request = client.message(
        MessageType.REQUEST, [ia(1, advertised)], server=site.config.server_duid
    )
    # Its messages may come from another of its addresses; it is one next hop all the same.
    reply = answer(await ask(site, forward(request.encode()), FAR_GLOBAL))
    assert lease(reply).prefix == advertised
    binding = await at.binding()
    assert (binding.link, binding.next_hop) == ("acc0", FAR)


@pytest.mark.parametrize("depth", [2, 3, HOP_COUNT_LIMIT + 1])
async def test_several_hops_are_undone_in_reverse_order(depth: int) -> None:
    at = domain()
    datagram = solicit(plain(at))
    peers = [CLIENT, *(NEAR + number for number in range(depth - 1))]
    for hop, peer in enumerate(peers):
        link = BEHIND[1] if hop == 0 else UNSPECIFIED
        datagram = forward(datagram, hop, link, peer, [InterfaceId(bytes([hop]))])
    found: Relay | Message | None = await ask(at.sites[0], datagram)
    for hop, peer in reversed(list(enumerate(peers))):
        assert isinstance(found, Relay)
        assert (found.hop_count, found.peer_address) == (hop, peer)
        assert found.first(InterfaceId) == InterfaceId(bytes([hop]))
        found = content(found)
    assert isinstance(found, Message)
    assert lease(found).prefix.subnet_of(at.sites[0].config.pool)


async def test_the_agent_nearest_to_the_client_that_knows_the_link_says_which_it_is() -> None:
    at = domain()
    site, client = at.sites[0], plain(at)
    confirm = client.message(
        MessageType.CONFIRM, options=[IaNa(1, 0, 0, (IaAddr(BEHIND[9], 0, 0),))]
    ).encode()
    for links in ((BEHIND[1], UNSPECIFIED), (UNSPECIFIED, BEHIND[1]), (FAR, BEHIND[1])):
        datagram = forward(forward(confirm, 0, links[0]), 1, links[1], NEAR)
        reply = content(await ask(site, datagram))
        assert answer(reply if isinstance(reply, Relay) else None).first(StatusCode) == StatusCode(
            Status.SUCCESS
        )


async def test_addresses_behind_an_agent_are_of_its_link() -> None:
    at = domain()
    site, client = at.sites[0], plain(at)
    message = client.message(MessageType.SOLICIT, options=[IaNa(1, 0, 0)]).encode()
    reply = answer(await ask(site, forward(message)))
    [found] = reply.every(IaNa)
    [address] = found.addresses
    assert address.address in BEHIND


@pytest.mark.parametrize("link", [UNSPECIFIED, IPv6Address("2001:db8:1001::5")])
async def test_an_agent_on_our_own_link_passes_on_what_its_hosts_say(link: IPv6Address) -> None:
    at = domain()
    site, client = at.sites[0], plain(at)
    datagram = forward(solicit(client), link=link)
    prefix = lease(answer(await ask(site, datagram, SAME_LINK))).prefix
    request = client.message(MessageType.REQUEST, [ia(1, prefix)], server=site.config.server_duid)
    await ask(site, forward(request.encode(), link=link), SAME_LINK)
    binding = await at.binding()
    assert (binding.link, binding.next_hop) == ("acc0", CLIENT)


async def test_an_agent_is_no_multicast_listener_so_messages_to_us_alone_are_fine() -> None:
    at = domain()
    datagram = forward(solicit(plain(at)))
    assert await at.sites[0].send(Arrival(datagram, FAR, unicast=True))
    assert await at.sites[0].send(Arrival(datagram, FAR))


# ---- signatures ----------------------------------------------------------------------------------


async def test_a_signature_holds_behind_an_agent() -> None:
    at = domain()
    site, client = at.sites[0], Client(at.clock, source=CLIENT)
    message = client.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED})
    signed = client.sign(message, NO_LINK)
    assert lease(answer(await ask(site, forward(signed))))
    # The agent says where it came from; from elsewhere it would be somebody else's.
    forged = answer(await ask(site, forward(signed, peer=CLIENT + 1)))
    refusal = said(forged).for_iaid(Refusal, 1)
    assert refusal == Refusal(1, RefusalReason.SIGNATURE_OR_TIME)


async def test_a_link_behind_an_agent_has_an_id_of_its_own() -> None:
    at = domain()
    site, client = at.sites[0], Client(at.clock, source=CLIENT)
    message = client.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED})
    refused = answer(await ask(site, forward(client.sign(message, site.link_id))))
    hint = said(refused).first(TimeAndLink)
    assert hint is not None
    assert hint.link_id != site.link_id
    assert lease(answer(await ask(site, forward(client.sign(message, hint.link_id)))))


async def test_a_keyless_client_moves_behind_an_agent_as_anywhere() -> None:
    at = domain(hold=10.0)
    first, second = at.sites
    client = plain(at)
    prefix = await client.acquire(first, None)
    rebind = forward(client.rebind(prefix).encode())
    assert await ask(second, rebind) is None
    at.clock.now += 10
    assert lease(answer(await ask(second, rebind))).prefix == prefix
    assert (await at.binding()).next_hop == FAR


async def test_a_client_behind_an_agent_is_not_reconfigured() -> None:
    at = domain()
    reply = answer(await ask(at.sites[0], forward(solicit(plain(at), ReconfigureAccept()))))
    assert reply.first(ReconfigureAccept) is None


# ---- what is dropped -----------------------------------------------------------------------------


async def dropped(at: Domain, datagram: bytes, source: IPv6Address = FAR) -> None:
    """There is no answer, it is counted, and nothing else happened."""
    site = at.sites[0]
    assert await ask(site, datagram, source) is None
    assert sum(site.complaints.counts.values()) == 1
    assert await at.bindings() == []


async def test_an_agent_that_is_not_configured_is_not_listened_to() -> None:
    at = domain()
    await dropped(at, forward(solicit(plain(at))), IPv6Address("fe80::bad"))


async def test_a_link_that_is_not_configured_is_not_served() -> None:
    at = domain()
    await dropped(at, forward(solicit(plain(at)), link=IPv6Address("2001:db8:99::1")))


async def test_each_agent_speaks_for_its_own_links() -> None:
    at = domain()
    await dropped(at, forward(solicit(plain(at))), SAME_LINK)


async def test_an_agent_on_our_link_passes_on_no_global_addresses() -> None:
    at = domain()
    await dropped(at, forward(solicit(plain(at)), link=UNSPECIFIED, peer=NEAR), SAME_LINK)


@pytest.mark.parametrize("hop_count", [HOP_COUNT_LIMIT + 1, 255])
async def test_a_message_that_came_too_far(hop_count: int) -> None:
    at = domain()
    await dropped(at, forward(solicit(plain(at)), hop_count))


async def test_a_message_with_too_many_headers() -> None:
    at = domain()
    datagram = solicit(plain(at))
    for _ in range(HOP_COUNT_LIMIT + 2):
        datagram = forward(datagram)
    await dropped(at, datagram)


@pytest.mark.parametrize(
    "datagram",
    [
        Relay(MessageType.RELAY_FORW, 0, BEHIND[1], CLIENT, ()).encode(),
        Relay(
            MessageType.RELAY_FORW, 0, BEHIND[1], CLIENT, 2 * (RelayMessageOption(b""),)
        ).encode(),
        forward(b""),
        forward(b"\xff\x00\x00\x00"),
        forward(Relay(MessageType.RELAY_REPL, 0, BEHIND[1], CLIENT).encode()),
        Relay(MessageType.RELAY_REPL, 0, BEHIND[1], CLIENT, (INSIDE,)).encode(),
        forward(Message(MessageType.REPLY, 1).encode()),
        forward(Message(MessageType.SOLICIT, 1).encode()),
        forward(Message(MessageType.SOLICIT, 1).encode(), options=2 * [InterfaceId(b"")]),
    ],
    ids=[
        "nothing inside",
        "two inside",
        "empty",
        "unknown",
        "reply inside",
        "reply",
        "server's message",
        "nobody's",
        "two names",
    ],
)
async def test_garbage(datagram: bytes) -> None:
    await dropped(domain(), datagram)


async def test_a_refused_address_of_another_link_behind_an_agent() -> None:
    at = domain()
    site, client = at.sites[0], plain(at)
    far_away = IaNa(1, 0, 0, (IaAddr(IPv6Address("2001:db8:1001::5"), 0, 0),))
    request = client.message(
        MessageType.REQUEST, server=site.config.server_duid, options=[far_away]
    )
    reply = answer(await ask(site, forward(request.encode())))
    [found] = reply.every(IaNa)
    assert found.status is not None
    assert found.status.code == Status.NOT_ON_LINK


async def test_a_type_is_refused_behind_an_agent_as_anywhere() -> None:
    at = domain(offered=["session-lasting"])
    client = Client(at.clock, source=CLIENT)
    message = client.message(MessageType.SOLICIT, [ia(1, ANY)], {1: FIXED})
    reply = answer(await ask(at.sites[0], forward(client.sign(message))))
    found = association(reply).status
    assert found is not None
    assert found.code == Status.NO_PREFIX_AVAIL


def test_the_client_of_a_message_is_found_without_decoding_it() -> None:
    client = Message(MessageType.SOLICIT, 1, (IaNa(1, 0, 0), ClientId(b"\x00\x03abc"))).encode()
    assert client_of(client) == b"\x00\x03abc"
    assert client_of(forward(forward(client), 1)) == b"\x00\x03abc"
    for end in range(len(client)):
        assert client_of(client[:end]) is None
    assert client_of(Message(MessageType.SOLICIT, 1).encode()) is None
    endless = client
    for _ in range(20):
        endless = forward(endless)
    assert client_of(endless) is None
