"""Reconfigure: RFC 8415 sections 18.3.11 and 20.4."""

from __future__ import annotations

import hashlib
import hmac
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.config import ConfigError
from moorage.router.reconfigure import (
    REC_MAX_RC,
    Reconfiguration,
    ReconfigureKeys,
    Target,
    reconfigure_message,
)
from moorage.router.reconfigurer import load_keys
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    Authentication,
    ClientId,
    Message,
    MessageType,
    Option,
    RapidCommit,
    ReconfigureAccept,
    ReconfigureMessage,
    ServerId,
    decode_message,
)
from tests.domain import ANY, START, Client, Site, ia, lease, two_routers

HOST = IPv6Address("fe80::1")
CLIENT = b"\x00\x03client"
SERVER = b"\x00\x03server"
KEY = bytes(range(16))
WILLING: list[Option] = [RapidCommit(), ReconfigureAccept()]


def target(number: int) -> Target:
    return Target(number.to_bytes(4, "big"), None, "acc0", HOST)


# ---- the key -------------------------------------------------------------------------------------


async def key_of(site: Site, client: Client, iaid: int = 1) -> Authentication | None:
    """The key that a client is given with a prefix."""
    message = client.message(MessageType.SOLICIT, [ia(iaid, ANY)], options=WILLING)
    reply = await client.ask(site, message)
    assert reply.first(ReconfigureAccept)
    return reply.first(Authentication)


async def test_who_accepts_reconfigure_messages_gets_a_key_with_the_first_reply() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    option = await key_of(site, client)
    assert option is not None
    assert (option.protocol, option.algorithm, option.rdm) == (3, 1, 0)
    assert option.information[0] == 1
    assert len(option.information) == 17
    assert (await domain.binding()).reconfigurable


async def test_who_does_not_accept_them_gets_none() -> None:
    domain = two_routers()
    reply = await Client(domain.clock).solicit(domain.sites[0], None)
    assert reply.first(ReconfigureAccept) is None
    assert reply.first(Authentication) is None
    assert not (await domain.binding()).reconfigurable


async def test_a_key_is_the_same_at_every_router_and_another_for_every_client() -> None:
    domain = two_routers()
    first, second = domain.sites
    client, other = Client(domain.clock), Client(domain.clock)
    one, again = await key_of(first, client, 1), await key_of(second, client, 2)
    different = await key_of(first, other)
    assert one is not None
    assert again is not None
    assert different is not None
    assert one.information == again.information != different.information


async def test_the_key_of_a_keyed_client_is_not_given_to_who_knows_its_duid() -> None:
    domain = two_routers()
    site, owner = domain.sites[0], Client(domain.clock)
    thief = Client(domain.clock, None, plain_duid=owner.duid)
    mine, stolen = await key_of(site, owner, 1), await key_of(site, thief, 2)
    assert mine is not None
    assert stolen is not None
    assert mine.information != stolen.information


async def test_the_key_goes_with_the_replies_that_the_standard_names() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock, None, speaks=False)
    accept: list[Option] = [ReconfigureAccept()]
    server = site.config.server_duid
    advertise = await client.ask(
        site, client.message(MessageType.SOLICIT, [ia(1, ANY)], options=accept)
    )
    assert advertise.first(ReconfigureAccept)
    assert advertise.first(Authentication) is None
    prefix = lease(advertise).prefix
    for kind, gives in (
        (MessageType.REQUEST, True),
        (MessageType.RENEW, False),
        (MessageType.REBIND, False),
        (MessageType.INFORMATION_REQUEST, True),
    ):
        about_leases = kind is not MessageType.INFORMATION_REQUEST
        associations = [ia(1, prefix)] if about_leases else []
        named = None if kind is MessageType.REBIND else server
        reply = await client.ask(site, client.message(kind, associations, {}, named, accept))
        assert reply.first(ReconfigureAccept)
        assert (reply.first(Authentication) is not None) == gives


async def test_whether_a_client_accepts_them_is_what_it_said_last() -> None:
    domain = two_routers()
    site, client = domain.sites[0], Client(domain.clock)
    await key_of(site, client)
    prefix = (await domain.binding()).prefix
    await client.ask(site, client.rebind(prefix))
    assert not (await domain.binding()).reconfigurable


# ---- the message ---------------------------------------------------------------------------------


def test_a_message_says_what_it_must_and_nothing_else() -> None:
    datagram = reconfigure_message(SERVER, CLIENT, MessageType.REBIND, KEY, START)
    message = decode_message(datagram)
    assert isinstance(message, Message)
    assert (message.type, message.transaction_id) == (MessageType.RECONFIGURE, 0)
    server, client, kind, authentication = message.options
    assert (server, client) == (ServerId(SERVER), ClientId(CLIENT))
    assert kind == ReconfigureMessage(MessageType.REBIND)
    assert isinstance(authentication, Authentication)
    assert authentication.information[0] == 2
    # RFC 2104, over the message with zeros for the digest.
    expected = hmac.new(KEY, datagram[:-16] + bytes(16), hashlib.md5).digest()
    assert authentication.information[1:] == datagram[-16:] == expected


def test_later_messages_have_higher_counters() -> None:
    counters = []
    for now in (START, START + 0.001, START + 2):
        message = decode_message(reconfigure_message(SERVER, CLIENT, MessageType.RENEW, KEY, now))
        authentication = message.first(Authentication)
        assert authentication is not None
        counters.append(authentication.replay_detection)
    assert counters == sorted(set(counters))


# ---- many clients --------------------------------------------------------------------------------


def test_a_silent_client_is_asked_eight_times_ever_more_rarely() -> None:
    core = Reconfiguration([target(1)], MessageType.RENEW)
    times: list[float] = []
    now = START
    while core.next_timer is not None:
        now = max(now, core.next_timer)
        times += [now - START for _ in core.due(now)]
    assert times == [0.0, 2.0, 6.0, 14.0, 30.0, 62.0, 126.0, 254.0]
    assert len(times) == REC_MAX_RC
    assert core.silent == [target(1).client]


def test_a_client_that_answers_is_left_alone() -> None:
    core = Reconfiguration([target(1), target(2)], MessageType.RENEW)
    assert core.due(START) == [target(1), target(2)]
    assert not core.heard(target(1).client, MessageType.REBIND)
    assert core.heard(target(1).client, MessageType.RENEW)
    assert core.due(START + 2) == [target(2)]
    assert core.heard(target(2).client, MessageType.RENEW)
    assert not core.heard(b"somebody", MessageType.RENEW)
    assert core.next_timer is None
    assert core.silent == []


def test_not_all_are_asked_at_once() -> None:
    core = Reconfiguration([target(number) for number in range(100)], MessageType.RENEW)
    first = core.due(START)
    assert len(first) == 64
    assert core.due(START) == []
    for each in first:
        core.heard(each.client, MessageType.RENEW)
    assert core.next_timer == 0.0
    assert len(core.due(START)) == 36


# ---- the server ----------------------------------------------------------------------------------


class Host(Client):
    """Answers the Reconfigure messages that it is sent, if they are right."""

    def listen(self, site: Site, key: bytes, sent: list[bytes]) -> None:
        def take(datagram: bytes, address: IPv6Address) -> None:
            assert address == self.source
            assert hmac.digest(key, datagram[:-16] + bytes(16), "md5") == datagram[-16:]
            sent.append(datagram)
            site.server.reconfigurer.heard(self.duid, MessageType.RENEW)

        site.server.reconfigurer.attach("acc0", take)


async def test_clients_on_our_links_are_asked_and_their_answer_ends_it() -> None:
    domain = two_routers()
    first, second = domain.sites
    host = Host(domain.clock)
    option = await key_of(first, host)
    assert option is not None
    sent: list[bytes] = []
    for site in domain.sites:
        await site.look()
    host.listen(first, option.information[1:], sent)
    assert await first.server.reconfigurer.run(MessageType.RENEW) == []
    assert len(sent) == 1
    # It is not on a link of the other router.
    host.listen(second, option.information[1:], sent)
    assert await second.server.reconfigurer.run(MessageType.RENEW) == []
    assert len(sent) == 1


async def test_who_did_not_consent_is_not_asked() -> None:
    domain = two_routers()
    site, host = domain.sites[0], Host(domain.clock)
    await host.acquire(site, ServiceType.FIXED)
    await site.look()
    sent: list[bytes] = []
    host.listen(site, KEY, sent)
    await site.server.reconfigurer.run()
    assert sent == []


# ---- the secret ----------------------------------------------------------------------------------


def test_the_secret_is_read_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(16))
    keys = load_keys(secret)
    assert keys is not None
    assert keys.of(CLIENT, None) == ReconfigureKeys(bytes(16)).of(CLIENT, None)
    assert load_keys(None) is None


@pytest.mark.parametrize("content", [None, b"short"])
def test_a_secret_that_is_none_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^dhcp\.secret: .*secret: [^\n]+$"):
        load_keys(secret)
